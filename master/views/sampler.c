/* A round: at the end of a step the times to connect first, backend by backend; then everything's counters.
 */
#include "master/views/sampler.h"

#include <event2/event.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/log.h"
#include "common/rates.h"
#include "common/shm.h"
#include "common/snapshot.h"
#include "common/sums.h"

/* In one turn of the loop: about a tenth of a millisecond each. */
#define SAMPLER_OBJECTS    256
#define SAMPLER_HISTOGRAMS 32

#define SAMPLER_HALVE (UINT32_C(1) << 31)

enum sampler_stage {
	SAMPLER_CONNECTS, /* p99 of the step that is over: at is a backend, server one of its servers */
	SAMPLER_FRONTENDS,
	SAMPLER_SERVERS,
	SAMPLER_BACKENDS,
	SAMPLER_WORKERS,
	SAMPLER_OVER,
};

struct sampler {
	struct shm *shm;      /* borrowed */
	struct event *second; /* owned timer */
	struct event *more;   /* owned: the rest of a round */

	/* the round */
	enum sampler_stage stage;
	uint32_t at;     /* the next place of the stage */
	uint32_t server; /* in CONNECTS: place, SHM_NONE at the beginning of a backend */
	uint64_t step;   /* that it belongs to */
	uint64_t begun_ms;
	uint64_t now_ms;  /* of this turn */
	uint64_t last_ms; /* when the one before began; 0: there was none */
	uint64_t last_step;
	struct history_sample daemon;
	struct history_sample workers[SHM_SLOTS];
	struct history_sample backends[SHM_BACKENDS_MAX];

	/* of the step that is over */
	struct histogram new_daemon;
	struct histogram new_backend;
	uint32_t daemon_p99_us;
	uint32_t backends_p99_us[SHM_BACKENDS_MAX];
	uint32_t servers_p99_us[SHM_SERVERS_MAX];
	struct snapshot servers[SHM_SERVERS_MAX];
};

/* ------------------------------------------------------------------ one sample */

static void sampler_write(struct shm_history *history, const struct history_sample *sample,
	uint64_t step, uint32_t p99_us)
{
	uint32_t sequence = atomic_load_explicit(&history->sequence, memory_order_relaxed) | 1;

	atomic_store_explicit(&history->sequence, sequence, memory_order_relaxed);
	atomic_thread_fence(memory_order_release);
	rates_sample(history, sample, step, p99_us);
	atomic_store_explicit(&history->sequence, sequence + 1, memory_order_release);
}

/* What never had anything is left alone. */
static void sampler_keep(struct sampler *sampler, enum history_of of, uint32_t place,
	struct history_sample *sample, uint32_t p99_us)
{
	_Atomic uint8_t *used;
	struct shm_history *history = history_at(sampler->shm, of, place, &used);

	if (!*used && (sample->connections | sample->bytes_in | sample->bytes_out) == 0)
		return;
	sample->at_ms = sampler->now_ms;
	if (!*used) {
		rates_begin(history,
			sampler->last_ms != 0 ? sampler->last_ms : sampler->begun_ms - 1000);
		atomic_store_explicit(used, 1, memory_order_release);
	}
	sampler_write(history, sample, sampler->step, p99_us);
}

static void sampler_add(struct history_sample *sum, const struct history_sample *sample)
{
	sum->connections += sample->connections;
	sum->bytes_in += sample->bytes_in;
	sum->bytes_out += sample->bytes_out;
}

/* ------------------------------------------------------------------ the stages */

/* A portion of a stage with `count` places: which ones. Returns false when there are none left. */
static bool sampler_portion(
	struct sampler *sampler, uint32_t count, uint32_t *from_r, uint32_t *to_r)
{
	*from_r = sampler->at;
	*to_r = count - sampler->at > SAMPLER_OBJECTS ? sampler->at + SAMPLER_OBJECTS : count;
	sampler->at = *to_r;
	return *from_r < *to_r;
}

static void sampler_frontends(struct sampler *sampler, uint32_t from, uint32_t to)
{
	struct shm *shm = sampler->shm;
	struct history_sample sums[SAMPLER_OBJECTS] = { 0 };
	const uint32_t slots = shm_master(shm)->slots;

	for (uint32_t slot = 0; slot < slots; slot++) {
		const struct shm_frontend_counters *counters = shm_slot(shm, slot)->frontends;

		for (uint32_t i = from; i < to; i++) {
			const struct history_sample sample = {
				.connections = counters[i].total,
				.bytes_in = counters[i].bytes_in,
				.bytes_out = counters[i].bytes_out,
			};

			sampler_add(&sums[i - from], &sample);
			sampler_add(&sampler->workers[slot], &sample);
		}
	}
	for (uint32_t i = from; i < to; i++) {
		sampler_add(&sampler->daemon, &sums[i - from]);
		sampler_keep(sampler, HISTORY_FRONTEND, i, &sums[i - from], 0);
		shm_sum_lost(shm, i);
	}
}

static void sampler_servers(struct sampler *sampler, uint32_t from, uint32_t to)
{
	struct shm *shm = sampler->shm;
	const struct shm_belongings *belongings = &shm_master(shm)->belongings;
	struct history_sample sums[SAMPLER_OBJECTS] = { 0 };
	const uint32_t slots = shm_master(shm)->slots;

	for (uint32_t slot = 0; slot < slots; slot++) {
		const struct shm_server_counters *counters = shm_slot(shm, slot)->servers;

		for (uint32_t i = from; i < to; i++) {
			const struct history_sample sample = {
				.connections = counters[i].total,
				.bytes_in = counters[i].bytes_in,
				.bytes_out = counters[i].bytes_out,
			};

			sampler_add(&sums[i - from], &sample);
		}
	}
	for (uint32_t i = from; i < to; i++) {
		if (belongings->owner[i] != 0)
			sampler_add(&sampler->backends[belongings->owner[i] - 1], &sums[i - from]);
		sampler_keep(
			sampler, HISTORY_SERVER, i, &sums[i - from], sampler->servers_p99_us[i]);
	}
}

static void sampler_backends(struct sampler *sampler, uint32_t from, uint32_t to)
{
	for (uint32_t i = from; i < to; i++) {
		sampler_keep(sampler, HISTORY_BACKEND, i, &sampler->backends[i],
			sampler->backends_p99_us[i]);
		sampler->backends[i] = (struct history_sample){ 0 };
	}
}

static void sampler_workers(struct sampler *sampler, uint32_t from, uint32_t to)
{
	for (uint32_t i = from; i < to; i++) {
		sampler_keep(sampler, HISTORY_WORKER, i, &sampler->workers[i], 0);
		sampler->workers[i] = (struct history_sample){ 0 };
	}
}

/* ------------------------------------------------------------------ times to connect */

static uint32_t sampler_p99(struct histogram *h)
{
	const uint64_t p99_us = h->count > 0 ? histogram_quantile_us(h, 990) : 0;

	return p99_us < UINT32_MAX ? (uint32_t)p99_us : UINT32_MAX;
}

/* It had a connection, so that its histogram may be touched. */
static bool sampler_is_used(const struct sampler *sampler, uint32_t server)
{
	struct shm *shm = sampler->shm;

	if (shm_master(shm)->histories.servers_used[server])
		return true;
	for (uint32_t i = 0; i < shm_master(shm)->slots; i++) {
		if (shm_slot(shm, i)->servers[server].total != 0)
			return true;
	}
	return false;
}

/* Of one server. Returns whether there was anything to look at. */
static bool sampler_connect(struct sampler *sampler, uint32_t server)
{
	struct histogram_shared *connect = &shm_shared(sampler->shm)->connect[server];
	struct histogram new;

	sampler->servers_p99_us[server] = 0;
	if (!sampler_is_used(sampler, server))
		return false;
	memset(&new, 0, sizeof(new));
	if (snapshot_take(&sampler->servers[server], connect, &new) == 0)
		return true;
	if (sampler->last_ms == 0)
		return true; /* what there was before this master is not new */
	sampler->servers_p99_us[server] = sampler_p99(&new);
	histogram_merge(&sampler->new_backend, &new);
	histogram_merge(&sampler->new_daemon, &new);
	if (connect->count > SAMPLER_HALVE) {
		histogram_shared_halve(connect, SAMPLER_HALVE);
		memset(&new, 0, sizeof(new));
		(void)snapshot_take(&sampler->servers[server], connect, &new);
	}
	return true;
}

static void sampler_backend_over(struct sampler *sampler)
{
	sampler->backends_p99_us[sampler->at++] = sampler_p99(&sampler->new_backend);
	if (sampler->new_backend.count > 0)
		memset(&sampler->new_backend, 0, sizeof(sampler->new_backend));
	sampler->server = SHM_NONE;
}

/* Returns whether there is more. */
static bool sampler_connects(struct sampler *sampler)
{
	const uint32_t backends = shm_placed(sampler->shm, SHM_BACKEND);
	uint32_t looks = 0;
	uint32_t looked = 0;

	while (sampler->at < backends) {
		const uint32_t next = sampler->server == SHM_NONE
			? shm_first_server(sampler->shm, sampler->at)
			: shm_next_server(sampler->shm, sampler->server);

		if (next == SHM_NONE) {
			sampler_backend_over(sampler);
		} else {
			sampler->server = next;
			looked += sampler_connect(sampler, next);
		}
		if (looked == SAMPLER_HISTOGRAMS || ++looks == SAMPLER_OBJECTS)
			return true;
	}
	sampler->daemon_p99_us = sampler_p99(&sampler->new_daemon);
	memset(&sampler->new_daemon, 0, sizeof(sampler->new_daemon));
	return false;
}

/* ------------------------------------------------------------------ a round */

static void sampler_next_stage(struct sampler *sampler)
{
	sampler->stage++;
	sampler->at = 0;
	sampler->server = SHM_NONE;
}

static void sampler_begin(struct sampler *sampler, uint64_t now_ms)
{
	sampler->begun_ms = now_ms;
	sampler->step = now_ms / HISTORY_STEP_MS;
	sampler->daemon = (struct history_sample){ 0 };
	sampler->at = 0;
	sampler->server = SHM_NONE;
	/* The first round of a master as well, to see what there was before it. */
	sampler->stage = sampler->step != sampler->last_step ? SAMPLER_CONNECTS : SAMPLER_FRONTENDS;
}

static void sampler_end(struct sampler *sampler)
{
	sampler_keep(sampler, HISTORY_DAEMON, 0, &sampler->daemon, sampler->daemon_p99_us);
	sampler->last_ms = sampler->begun_ms;
	sampler->last_step = sampler->step;
	shm_master(sampler->shm)->histories.sampled_ms = sampler->begun_ms;
}

bool sampler_turn(struct sampler *sampler, uint64_t now_ms)
{
	struct shm *shm = sampler->shm;
	uint32_t from, to;

	sampler->now_ms = now_ms;
	switch (sampler->stage) {
	case SAMPLER_OVER:
		sampler_begin(sampler, now_ms);
		return true;
	case SAMPLER_CONNECTS:
		if (sampler_connects(sampler))
			return true;
		break;
	case SAMPLER_FRONTENDS:
		if (sampler_portion(sampler, shm_placed(shm, SHM_FRONTEND), &from, &to)) {
			sampler_frontends(sampler, from, to);
			return true;
		}
		break;
	case SAMPLER_SERVERS:
		if (sampler_portion(sampler, shm_placed(shm, SHM_SERVER), &from, &to)) {
			sampler_servers(sampler, from, to);
			return true;
		}
		break;
	case SAMPLER_BACKENDS:
		if (sampler_portion(sampler, shm_placed(shm, SHM_BACKEND), &from, &to)) {
			sampler_backends(sampler, from, to);
			return true;
		}
		break;
	case SAMPLER_WORKERS:
		if (sampler_portion(sampler, shm_master(shm)->slots, &from, &to)) {
			sampler_workers(sampler, from, to);
			return true;
		}
		sampler_end(sampler);
		break;
	}
	sampler_next_stage(sampler);
	return sampler->stage != SAMPLER_OVER;
}

static void on_sampler_more(evutil_socket_t fd, short what, void *arg)
{
	static const struct timeval at_once = { 0 };
	struct sampler *sampler = arg;

	(void)fd;
	(void)what;
	/* As a timer: what is only made active would run before the loop looks at anything else. */
	if (sampler_turn(sampler, clock_now_ms()))
		event_add(sampler->more, &at_once);
}

/* A round that takes longer than a second is finished first. */
static void on_sampler_second(evutil_socket_t fd, short what, void *arg)
{
	struct sampler *sampler = arg;

	if (sampler->stage == SAMPLER_OVER)
		on_sampler_more(fd, what, arg);
}

void sampler_start(struct sampler *sampler)
{
	static const struct timeval second = { .tv_sec = 1 };

	event_add(sampler->second, &second);
	on_sampler_second(-1, 0, sampler);
}

struct sampler *sampler_new(struct event_base *base, struct shm *shm)
{
	struct sampler *sampler = calloc(1, sizeof(*sampler));

	if (sampler != NULL) {
		sampler->second = event_new(base, -1, EV_PERSIST, on_sampler_second, sampler);
		sampler->more = event_new(base, -1, 0, on_sampler_more, sampler);
	}
	if (sampler == NULL || sampler->second == NULL || sampler->more == NULL) {
		log_fatal("no memory for statistics");
		exit(EXIT_FAILURE);
	}
	sampler->shm = shm;
	sampler->stage = SAMPLER_OVER;
	sampler->server = SHM_NONE;
	return sampler;
}

void sampler_free(struct sampler *sampler)
{
	if (sampler == NULL)
		return;
	event_free(sampler->second);
	event_free(sampler->more);
	for (uint32_t i = 0; i < shm_placed(sampler->shm, SHM_SERVER); i++)
		snapshot_deinit(&sampler->servers[i]);
	free(sampler);
}
