/* Counts, rates and times of everything that is counted.
 */
#include <string.h>

#include "common/rates.h"
#include "common/shm.h"
#include "common/sums.h"
#include "conf/conf.h"
#include "master/views/objects.h"

/* ------------------------------------------------------------------ show stats */

static const struct view_column stats_columns[] = {
	{ "scope", "SCOPE", VIEW_TEXT },
	{ "name", "NAME", VIEW_TEXT },
	{ "state", "STATE", VIEW_TEXT },
	{ "active", "ACTIVE", VIEW_COUNT },
	{ "queued", "QUEUED", VIEW_COUNT },
	{ "total", "TOTAL", VIEW_COUNT },
	{ "ended", NULL, VIEW_COUNT },
	{ "failed", "FAILED", VIEW_COUNT },
	{ "refused", "REFUSED", VIEW_COUNT },
	{ "lost", "LOST", VIEW_COUNT },
	{ "bytes_in", "IN", VIEW_BYTES },
	{ "bytes_out", "OUT", VIEW_BYTES },
	{ "rate_1s", NULL, VIEW_RATE },
	{ "rate_10s", "NEW/S", VIEW_RATE },
	{ "rate_60s", NULL, VIEW_RATE },
	{ "bytes_in_1s", NULL, VIEW_BYTES_RATE },
	{ "bytes_in_10s", "IN/S", VIEW_BYTES_RATE },
	{ "bytes_in_60s", NULL, VIEW_BYTES_RATE },
	{ "bytes_out_1s", NULL, VIEW_BYTES_RATE },
	{ "bytes_out_10s", "OUT/S", VIEW_BYTES_RATE },
	{ "bytes_out_60s", NULL, VIEW_BYTES_RATE },
	{ "connect_p50_us", NULL, VIEW_US },
	{ "connect_p99_us", "CONNECT-P99", VIEW_US },
	{ "session_p50_ms", NULL, VIEW_MS },
	{ "session_p99_ms", "SESSION-P99", VIEW_MS },
	{ "failed_by", NULL, VIEW_COUNTS },
	{ "refused_by", NULL, VIEW_COUNTS },
};

static const char *stats_failure(const void *none, size_t index)
{
	(void)none;
	return failure_key((enum failure)index);
}

static const char *stats_refusal(const void *none, size_t index)
{
	(void)none;
	return refusal_key((enum refusal)index);
}

static const char *stats_connect_failure(const void *none, size_t index)
{
	(void)none;
	return connect_failure_key((enum connect_failure)index);
}

static void stats_rates(
	const struct view_source *source, const struct view_object *object, struct view_row *row_r)
{
	struct shm_history history;
	struct rates rates;

	(void)history_read(source->shm, object->of, object->place, &history);
	rates_windows(&history, &rates);
	for (unsigned i = 0; i < RATES_WINDOWS; i++)
		view_real(row_r, rates.windows[i].connections);
	for (unsigned i = 0; i < RATES_WINDOWS; i++)
		view_real(row_r, rates.windows[i].bytes_in);
	for (unsigned i = 0; i < RATES_WINDOWS; i++)
		view_real(row_r, rates.windows[i].bytes_out);
}

/* p50 and p99, each divided by unit_us. */
static void stats_times(struct view_row *row_r, const struct histogram *times, uint64_t unit_us)
{
	static const unsigned permilles[] = { 500, 990 };

	for (size_t i = 0; i < NELEMS(permilles); i++) {
		if (times == NULL || times->count == 0)
			view_none(row_r);
		else
			view_number(row_r, histogram_quantile_us(times, permilles[i]) / unit_us);
	}
}

/* ------------------------------------------------------------------ those that accept */

static uint64_t stats_queued(const struct view_source *source)
{
	const uint32_t backends = shm_placed(source->shm, SHM_BACKEND);
	const uint32_t slots = shm_master(source->shm)->slots;
	uint64_t queued = 0;

	for (uint32_t i = 0; i < slots; i++) {
		for (uint32_t place = 0; place < backends; place++)
			queued += shm_slot(source->shm, i)->backends[place].queued;
	}
	return queued;
}

static void stats_sum(const struct view_source *source, const struct view_object *object,
	struct shm_frontend_sum *sum_r)
{
	const struct shm_slot *slot;

	if (object->of == HISTORY_DAEMON) {
		shm_sum_daemon(source->shm, sum_r);
	} else if (object->of == HISTORY_FRONTEND) {
		shm_sum_frontend(source->shm, object->place, sum_r);
	} else {
		shm_sum_worker(source->shm, object->place, sum_r);
		slot = shm_slot(source->shm, object->place);
		sum_r->total = slot->accepted + slot->carried;
	}
}

static void stats_accepting(
	const struct view_source *source, const struct view_object *object, struct view_row *row_r)
{
	struct shm_frontend_sum sum;
	struct histogram connect;
	struct histogram session;
	const struct histogram *connects = NULL;
	const struct histogram *sessions = NULL;
	union view_number *numbers;

	stats_sum(source, object, &sum);
	view_number(row_r, sum.active);
	if (object->of == HISTORY_DAEMON)
		view_number(row_r, stats_queued(source));
	else
		view_none(row_r);
	view_number(row_r, sum.total);
	view_number(row_r, sum.ended);
	view_number(row_r, sum.failed);
	view_number(row_r, sum.refused);
	if (object->of == HISTORY_WORKER)
		view_none(row_r);
	else
		view_number(row_r, sum.lost);
	view_number(row_r, sum.bytes_in);
	view_number(row_r, sum.bytes_out);
	stats_rates(source, object, row_r);
	if (object->of == HISTORY_FRONTEND) {
		shm_sum_session(source->shm, object->place, &session);
		sessions = &session;
	} else if (object->of == HISTORY_WORKER) {
		shm_sum_worker_times(source->shm, object->place, &connect, &session);
		connects = &connect;
		sessions = &session;
	}
	stats_times(row_r, connects, 1);
	stats_times(row_r, sessions, 1000);
	numbers = view_counts(row_r, stats_failure, FAILURES);
	for (size_t i = 0; i < FAILURES; i++)
		numbers[i].number = sum.failed_by[i];
	numbers = view_counts(row_r, stats_refusal, REFUSALS);
	for (size_t i = 0; i < REFUSALS; i++)
		numbers[i].number = sum.refused_by[i];
}

/* ------------------------------------------------------------------ those that are connected to */

static void stats_connected(
	const struct view_source *source, const struct view_object *object, struct view_row *row_r)
{
	const bool is_backend = object->of == HISTORY_BACKEND;
	struct shm_server_sum sum;
	struct histogram times;
	union view_number *numbers;

	if (is_backend) {
		shm_sum_backend(source->shm, object->place, &sum);
		shm_sum_connect(source->shm, object->place, &times);
	} else {
		shm_sum_server(source->shm, object->place, &sum);
		shm_sum_server_connect(source->shm, object->place, &times);
	}
	view_number(row_r, sum.active);
	if (is_backend)
		view_number(row_r, sum.queued);
	else
		view_none(row_r);
	view_number(row_r, sum.total);
	view_none(row_r); /* ended */
	view_number(row_r, sum.failed);
	if (is_backend)
		view_number(row_r, sum.queue_full);
	else
		view_none(row_r);
	view_none(row_r); /* lost */
	view_number(row_r, sum.bytes_in);
	view_number(row_r, sum.bytes_out);
	stats_rates(source, object, row_r);
	stats_times(row_r, &times, 1);
	stats_times(row_r, NULL, 1);
	numbers = view_counts(row_r, stats_connect_failure, CONNECT_FAILURES);
	for (size_t i = 0; i < CONNECT_FAILURES; i++)
		numbers[i].number = sum.failed_by[i];
	view_none(row_r); /* refused_by */
}

static enum view_step stats_next(
	const struct view_source *source, struct view_cursor *cursor, struct view_row *row_r)
{
	struct view_object object;

	if (!view_object_next(source, cursor, row_r, &object))
		return VIEW_END;
	view_text(row_r, view_scope_name(object.of));
	view_text(row_r, object.name);
	view_text(row_r, object.state);
	if (object.of == HISTORY_BACKEND || object.of == HISTORY_SERVER)
		stats_connected(source, &object, row_r);
	else
		stats_accepting(source, &object, row_r);
	return VIEW_ROW;
}

const struct view view_stats = {
	.columns = stats_columns,
	.ncolumns = NELEMS(stats_columns),
	.spare =
		"session_p99_ms queued lost bytes_in bytes_out refused state failed connect_p99_us total",
	.next = stats_next,
};

/* ------------------------------------------------------------------ show history */

static const struct view_column history_columns[] = {
	{ "scope", "SCOPE", VIEW_TEXT },
	{ "name", "NAME", VIEW_TEXT },
	{ "peak", "PEAK/S", VIEW_RATE },
	{ "rate", "NEW CONNECTIONS, FIVE MINUTES", VIEW_RATES },
	{ "bytes_in", NULL, VIEW_RATES },
	{ "bytes_out", NULL, VIEW_RATES },
	{ "p99_us", NULL, VIEW_NUMBERS },
};

static double history_peak(const struct shm_history *history)
{
	double peak = 0;

	for (unsigned i = 0; i < HISTORY_STEPS; i++) {
		const struct history_step *step = rates_step(history, i);
		const double rate = rates_per_second(step->connections, step->ms);

		peak = rate > peak ? rate : peak;
	}
	return peak;
}

static void history_curves(const struct shm_history *history, struct view_row *row_r)
{
	union view_number *rate = view_numbers(row_r, HISTORY_STEPS);
	union view_number *in = view_numbers(row_r, HISTORY_STEPS);
	union view_number *out = view_numbers(row_r, HISTORY_STEPS);

	for (unsigned i = 0; i < HISTORY_STEPS; i++) {
		const struct history_step *step = rates_step(history, i);

		rate[i].real = rates_per_second(step->connections, step->ms);
		in[i].real = rates_per_second(step->bytes_in, step->ms);
		out[i].real = rates_per_second(step->bytes_out, step->ms);
	}
}

static enum view_step history_next(
	const struct view_source *source, struct view_cursor *cursor, struct view_row *row_r)
{
	struct view_object object;
	struct shm_history history;
	union view_number *p99_us;

	if (!view_object_next(source, cursor, row_r, &object))
		return VIEW_END;
	(void)history_read(source->shm, object.of, object.place, &history);
	view_text(row_r, view_scope_name(object.of));
	view_text(row_r, object.name);
	view_real(row_r, history_peak(&history));
	history_curves(&history, row_r);
	if (object.of == HISTORY_FRONTEND || object.of == HISTORY_WORKER) {
		view_none(row_r);
		return VIEW_ROW;
	}
	p99_us = view_numbers(row_r, HISTORY_STEPS);
	for (unsigned i = 0; i < HISTORY_STEPS; i++)
		p99_us[i].number = rates_step(&history, i)->p99_us;
	return VIEW_ROW;
}

const struct view view_history = {
	.columns = history_columns,
	.ncolumns = NELEMS(history_columns),
	.spare = "peak",
	.next = history_next,
};
