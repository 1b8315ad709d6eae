/* /api/v1/dashboard: what the page polls once a second, from shared memory alone. Rows are arrays, for a thousand servers
 * are to cost little; dashboard.js knows their order. `since` asks for the steps of the history after that one, `events`
 * for the events after that one: so only what is new is sent again and again.
 */
#include <event2/buffer.h>
#include <event2/http.h>
#include <event2/keyvalq_struct.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "common/check_result.h"
#include "common/clock.h"
#include "common/escape.h"
#include "common/events.h"
#include "common/rates.h"
#include "common/server_state.h"
#include "common/sums.h"
#include "worker/admin/impl.h"
#include "worker/admin/page.h"

#define STATE_TEXT_MAX 1280 /* of the longest text, six bytes each */

enum state_part {
	STATE_HEAD,
	STATE_FRONTENDS,
	STATE_BACKENDS,
	STATE_SERVERS,
	STATE_WORKERS,
	STATE_EVENTS,
	STATE_TAIL,
	STATE_END,
};

struct state {
	struct source source;
	struct admin *admin; /* borrowed */
	struct shm *shm;     /* borrowed */
	uint64_t now_ms;
	uint64_t step;   /* the newest that is over */
	uint64_t since;  /* steps after it are new */
	uint64_t events; /* events after it are new */
	enum state_part part;
	uint64_t at;
	bool any; /* a row was written in this part */
};

/* ------------------------------------------------------------------ JSON */

static void state_text(struct evbuffer *out, const char *text)
{
	char escaped[STATE_TEXT_MAX];

	escape_json(text, strlen(text), escaped, sizeof(escaped));
	evbuffer_add_printf(out, "\"%s\"", escaped);
}

static void state_number(struct evbuffer *out, uint64_t number)
{
	evbuffer_add_printf(out, ",%" PRIu64, number);
}

static void state_rate(struct evbuffer *out, double rate)
{
	evbuffer_add_printf(out, ",%.*f", rate > 0 && rate < 100 ? 1 : 0, rate);
}

static void state_row(struct state *state, struct evbuffer *out)
{
	evbuffer_add(out, state->any ? ",\n[" : "[", state->any ? 3 : 1);
	state->any = true;
}

/* ------------------------------------------------------------------ history */

/* The steps that are new: connections, bytes in and out a second, p99 of the time to connect in us; 0 when none is. */
static void state_steps(
	const struct state *state, const struct shm_history *history, struct evbuffer *out)
{
	uint64_t from = state->since + 1;
	const char *separator = ",[";

	if (from + HISTORY_STEPS <= state->step)
		from = state->step - HISTORY_STEPS + 1;
	if (history->samples_taken == 0 || from > state->step) {
		evbuffer_add(out, ",0", 2);
		return;
	}
	for (uint64_t at = from; at <= state->step; at++) {
		const uint64_t index = at + HISTORY_STEPS - history->step;
		const struct history_step *step;

		if (index >= HISTORY_STEPS) { /* it is not so far yet, or far ahead */
			evbuffer_add_printf(out, "%s0,0,0,0", separator);
		} else {
			step = rates_step(history, (unsigned)index);
			evbuffer_add_printf(out, "%s%.4g,%.0f,%.0f,%" PRIu32, separator,
				rates_per_second(step->connections, step->ms),
				rates_per_second(step->bytes_in, step->ms),
				rates_per_second(step->bytes_out, step->ms), step->p99_us);
		}
		separator = ",";
	}
	evbuffer_add(out, "]", 1);
}

/* The last 10 s, then the steps. */
static void state_history(
	const struct state *state, enum history_of of, uint32_t place, struct evbuffer *out)
{
	struct shm_history history;
	struct rates rates = { 0 };

	if (history_read(state->shm, of, place, &history))
		rates_windows(&history, &rates);
	state_rate(out, rates.windows[RATES_10S].connections);
	state_rate(out, rates.windows[RATES_10S].bytes_in);
	state_rate(out, rates.windows[RATES_10S].bytes_out);
	state_steps(state, &history, out);
}

/* ------------------------------------------------------------------ rows */

static void state_head(struct state *state, struct evbuffer *out)
{
	const struct shm_master *master = shm_master(state->shm);
	struct shm_frontend_sum sum;

	shm_sum_daemon(state->shm, &sum);
	evbuffer_add_printf(out,
		"{\"version\":\"%s\",\"now\":%" PRIu64 ",\"pid\":%" PRIu32 ",\"uptime_s\":%" PRIu64
		",\"generation\":%" PRIu32 ",\"master\":%s,\"stopping\":%s,\"step\":%" PRIu64
		",\"kept\":%" PRIu64 ",\"reloads\":[%" PRIu64 ",%" PRIu64 ",%" PRIu64
		"],\"daemon\":[",
		PROXYD_VERSION, clock_wall_ms(), master->pid,
		(state->now_ms - master->started_ms) / 1000, master->generation,
		admin_has_master(state->admin) ? "true" : "false",
		master->stopping ? "true" : "false", state->step, shm_keeper(state->shm)->kept,
		master->reloads[SHM_RELOAD_DONE], master->reloads[SHM_RELOAD_UNCHANGED],
		master->reloads[SHM_RELOAD_REFUSED]);
	evbuffer_add_printf(out, "%" PRIu64, sum.active);
	state_number(out, sum.total);
	state_number(out, sum.failed);
	state_number(out, sum.refused);
	state_number(out, sum.lost);
	state_history(state, HISTORY_DAEMON, 0, out);
	evbuffer_add_printf(out, "]");
}

static void state_frontend(struct state *state, uint32_t place, struct evbuffer *out)
{
	const uint32_t backend = shm_master(state->shm)->frontend_backend[place];
	struct shm_frontend_sum sum;

	if (!shm_place_is_current(state->shm, SHM_FRONTEND, place))
		return;
	shm_sum_frontend(state->shm, place, &sum);
	state_row(state, out);
	state_text(out, shm_name(state->shm, SHM_FRONTEND, place));
	if (backend < SHM_BACKENDS_MAX)
		state_number(out, backend);
	else
		evbuffer_add(out, ",-1", 3);
	state_number(out, sum.active);
	state_number(out, sum.total);
	state_number(out, sum.failed);
	state_number(out, sum.refused);
	state_number(out, sum.lost);
	state_number(out, sum.bytes_in);
	state_number(out, sum.bytes_out);
	state_history(state, HISTORY_FRONTEND, place, out);
	evbuffer_add(out, "]", 1);
}

static void state_backend(struct state *state, uint32_t place, struct evbuffer *out)
{
	struct shm_server_sum sum;

	if (!shm_place_is_current(state->shm, SHM_BACKEND, place))
		return;
	shm_sum_backend(state->shm, place, &sum);
	state_row(state, out);
	evbuffer_add_printf(out, "%" PRIu32 ",", place);
	state_text(out, shm_name(state->shm, SHM_BACKEND, place));
	state_number(out, sum.active);
	state_number(out, sum.queued);
	state_number(out, sum.total);
	state_number(out, sum.failed);
	state_number(out, sum.queue_full);
	state_number(out, sum.bytes_in);
	state_number(out, sum.bytes_out);
	state_number(out, shm_shared(state->shm)->backends[place].panic != 0);
	state_history(state, HISTORY_BACKEND, place, out);
	evbuffer_add(out, "]", 1);
}

/* What the checks say of one that is down; else nothing. */
static void state_why(
	struct state *state, uint32_t place, enum server_state is, struct evbuffer *out)
{
	const struct shm_health *health = &shm_checker(state->shm)->servers[place];
	const uint32_t flags = shm_master(state->shm)->admin[place].flags;
	char why[128] = "";

	if (is == SERVER_STATE_DOWN && (flags & SHM_SERVER_NO_ADDRESS) != 0)
		check_result_describe(CHECKED_NO_ADDRESS, 0, why, sizeof(why));
	else if (is == SERVER_STATE_DOWN)
		check_result_describe(health->result, health->detail, why, sizeof(why));
	evbuffer_add(out, ",", 1);
	state_text(out, why);
}

/* Since when it is in this state, as far as that is known; since the start when it never was in another. */
static uint64_t state_since_s(const struct state *state, uint32_t place)
{
	uint64_t at_ms = shm_checker(state->shm)->servers[place].last_change_ms;

	if (at_ms == 0 || at_ms > state->now_ms)
		at_ms = shm_master(state->shm)->started_ms;
	return (state->now_ms - at_ms) / 1000;
}

static void state_server(struct state *state, uint32_t place, struct evbuffer *out)
{
	const struct shm_admin *admin = &shm_master(state->shm)->admin[place];
	const char *slash = strchr(shm_name(state->shm, SHM_SERVER, place), '/');
	const enum server_state is = server_state(state->shm, place);
	struct shm_server_sum sum;

	if (!shm_place_is_current(state->shm, SHM_SERVER, place) || slash == NULL ||
		is == SERVER_STATE_ABSENT)
		return;
	shm_sum_server(state->shm, place, &sum);
	state_row(state, out);
	evbuffer_add_printf(out, "%" PRIu32 ",%" PRIu32 ",", place,
		shm_master(state->shm)->belongings.owner[place] - 1);
	state_text(out, slash + 1);
	state_number(out, server_is_ejected(state->shm, place, state->now_ms) ? SERVER_STATES : is);
	state_number(out, sum.active);
	state_number(out, sum.total);
	state_number(out, sum.failed);
	state_number(out, sum.bytes_in);
	state_number(out, sum.bytes_out);
	state_number(out, admin->weight);
	state_number(out, admin->maxconn);
	state_number(out, (admin->flags & SHM_SERVER_BACKUP) != 0);
	state_number(out, state_since_s(state, place));
	state_why(state, place, is, out);
	state_history(state, HISTORY_SERVER, place, out);
	evbuffer_add(out, "]", 1);
}

static void state_worker(struct state *state, uint32_t place, struct evbuffer *out)
{
	const struct shm_slot *slot = shm_slot(state->shm, place);
	const uint32_t is = slot->state;
	const uint64_t heartbeat_ms = slot->heartbeat_ms;

	if (is != SLOT_STARTING && is != SLOT_SERVING && is != SLOT_DRAINING)
		return;
	state_row(state, out);
	evbuffer_add_printf(out, "%" PRIu32, slot->number);
	state_number(out, slot->pid);
	state_number(out, slot->generation);
	state_number(out, is);
	state_number(out, slot->active);
	state_number(out, slot->accepted + slot->carried);
	state_number(out, slot->restarts);
	state_number(out, state->now_ms > heartbeat_ms ? state->now_ms - heartbeat_ms : 0);
	evbuffer_add(out, "]", 1);
}

/* Numbers go from 1, rows from 0. */
static void state_event(struct state *state, uint64_t at, struct evbuffer *out)
{
	struct event_record event;

	if (!events_read(state->shm, at, &event))
		return;
	state_row(state, out);
	evbuffer_add_printf(out, "%" PRIu64 ",%" PRIu64 ",\"%s\",\"%s\",", at, event.wall_ms,
		event_kind_name(event.kind), event_level_name(event.level));
	state_text(out, event.object);
	evbuffer_add(out, ",", 1);
	state_text(out, event.text);
	evbuffer_add(out, "]", 1);
}

/* ------------------------------------------------------------------ in portions */

static void state_begin_part(struct state *state, struct evbuffer *out)
{
	static const char *const names[] = {
		[STATE_FRONTENDS] = "frontends",
		[STATE_BACKENDS] = "backends",
		[STATE_SERVERS] = "servers",
		[STATE_WORKERS] = "workers",
		[STATE_EVENTS] = "events",
	};
	const uint64_t first = events_first(state->shm);

	if (state->part >= STATE_FRONTENDS)
		evbuffer_add(out, "]", 1);
	state->part++;
	state->any = false;
	state->at = 0;
	if (state->part == STATE_EVENTS)
		state->at = state->events >= first ? state->events + 1 : first;
	if (state->part < STATE_TAIL)
		evbuffer_add_printf(out, ",\n\"%s\":[", names[state->part]);
}

/* One row of this part. Returns false when there is no other. */
static bool state_step(struct state *state, struct evbuffer *out)
{
	struct shm *shm = state->shm;
	const uint32_t at = (uint32_t)state->at;

	switch (state->part) {
	case STATE_FRONTENDS:
		if (at >= shm_placed(shm, SHM_FRONTEND))
			return false;
		state_frontend(state, at, out);
		break;
	case STATE_BACKENDS:
		if (at >= shm_placed(shm, SHM_BACKEND))
			return false;
		state_backend(state, at, out);
		break;
	case STATE_SERVERS:
		if (at >= shm_placed(shm, SHM_SERVER))
			return false;
		state_server(state, at, out);
		break;
	case STATE_WORKERS:
		if (at >= shm_master(shm)->slots || at >= SHM_SLOTS)
			return false;
		state_worker(state, at, out);
		break;
	case STATE_EVENTS:
		if (state->at == 0 || state->at > events_last(shm))
			return false;
		state_event(state, state->at, out);
		break;
	case STATE_HEAD:
	case STATE_TAIL:
	case STATE_END:
		return false;
	}
	state->at++;
	return true;
}

static int state_more(struct source *source, struct evbuffer *out)
{
	struct state *state = (struct state *)(void *)source; /* its first member */

	if (state->part == STATE_HEAD)
		state_head(state, out);
	while (state->part < STATE_TAIL) {
		if (!state_step(state, out))
			state_begin_part(state, out);
		if (evbuffer_get_length(out) >= SOURCE_PORTION)
			return 1;
	}
	if (state->part == STATE_TAIL)
		evbuffer_add(out, "}\n", 2);
	state->part = STATE_END;
	return 0;
}

static void state_free(struct source *source)
{
	free(source);
}

/* ------------------------------------------------------------------ the request */

static uint64_t state_argument(const struct evkeyvalq *arguments, const char *name)
{
	const char *text = evhttp_find_header(arguments, name);

	return text != NULL ? strtoull(text, NULL, 10) : 0;
}

static void state_arguments(struct state *state, struct evhttp_request *request)
{
	const struct evhttp_uri *uri = evhttp_request_get_evhttp_uri(request);
	const char *query = uri != NULL ? evhttp_uri_get_query(uri) : NULL;
	struct evkeyvalq arguments;

	if (query == NULL || evhttp_parse_query_str(query, &arguments) < 0)
		return;
	state->since = state_argument(&arguments, "since");
	state->events = state_argument(&arguments, "events");
	/* What a page has of another daemon's, or of the time before a reboot. */
	if (state->since > state->step)
		state->since = 0;
	if (state->events > events_last(state->shm))
		state->events = 0;
	evhttp_clear_headers(&arguments);
}

void page_state(struct admin *admin, struct evhttp_request *request)
{
	struct state *state = calloc(1, sizeof(*state));

	if (state != NULL) {
		const uint64_t sampled_ms = shm_master(admin->child->shm)->histories.sampled_ms;

		state->source = (struct source){ state_more, state_free };
		state->admin = admin;
		state->shm = admin->child->shm;
		state->now_ms = clock_now_ms();
		state->step = sampled_ms / HISTORY_STEP_MS - (sampled_ms >= HISTORY_STEP_MS);
		state_arguments(state, request);
	}
	body_source(request, "application/json", state != NULL ? &state->source : NULL);
}
