/* Adds up what lies in the slots. Whole pages of it may never have been touched, and stay so.
 */
#include "common/sums.h"

#include <string.h>

static const char *const refusal_keys[REFUSALS] = {
#define REFUSAL(name, key, text) key,
#include "common/refusals.def"
#undef REFUSAL
};

static const char *const failure_keys[FAILURES] = {
#define FAILURE(name, key, text) key,
#include "common/failures.def"
#undef FAILURE
};

static const char *const connect_failure_keys[CONNECT_FAILURES] = {
#define CONNECT_FAILURE(name, key) key,
#include "common/connect_failures.def"
#undef CONNECT_FAILURE
};

const char *refusal_key(enum refusal why)
{
	MUST(why < REFUSALS);
	return refusal_keys[why];
}

const char *failure_key(enum failure why)
{
	MUST(why < FAILURES);
	return failure_keys[why];
}

const char *connect_failure_key(enum connect_failure why)
{
	MUST(why < CONNECT_FAILURES);
	return connect_failure_keys[why];
}

static uint64_t sum_load(const _Atomic uint64_t *counter)
{
	return atomic_load_explicit(counter, memory_order_relaxed);
}

/* ------------------------------------------------------------------ frontends, workers, the daemon */

static void sum_add_frontend(
	struct shm_frontend_sum *sum, const struct shm_frontend_counters *counters)
{
	sum->active += sum_load(&counters->active);
	sum->total += sum_load(&counters->total);
	sum->ended += sum_load(&counters->ended);
	sum->bytes_in += sum_load(&counters->bytes_in);
	sum->bytes_out += sum_load(&counters->bytes_out);
	for (size_t why = 0; why < FAILURES; why++) {
		uint64_t n = sum_load(&counters->failed[why]);

		sum->failed_by[why] += n;
		sum->failed += n;
	}
	for (size_t why = 0; why < REFUSALS; why++) {
		uint64_t n = sum_load(&counters->refused[why]);

		sum->refused_by[why] += n;
		sum->refused += n;
	}
}

static void sum_add_place(struct shm *shm, uint32_t place, struct shm_frontend_sum *sum)
{
	const struct shm_master *master = shm_master(shm);

	for (uint32_t i = 0; i < master->slots; i++)
		sum_add_frontend(sum, &shm_slot(shm, i)->frontends[place]);
	sum->lost += sum_load(&master->lost[place]);
}

void shm_sum_frontend(struct shm *shm, uint32_t place, struct shm_frontend_sum *sum_r)
{
	MUST(place < SHM_FRONTENDS_MAX);
	memset(sum_r, 0, sizeof(*sum_r));
	sum_add_place(shm, place, sum_r);
}

void shm_sum_daemon(struct shm *shm, struct shm_frontend_sum *sum_r)
{
	const uint32_t frontends = shm_placed(shm, SHM_FRONTEND);

	memset(sum_r, 0, sizeof(*sum_r));
	for (uint32_t place = 0; place < frontends; place++)
		sum_add_place(shm, place, sum_r);
}

void shm_sum_worker(struct shm *shm, uint32_t slot, struct shm_frontend_sum *sum_r)
{
	const uint32_t frontends = shm_placed(shm, SHM_FRONTEND);

	memset(sum_r, 0, sizeof(*sum_r));
	for (uint32_t place = 0; place < frontends; place++)
		sum_add_frontend(sum_r, &shm_slot(shm, slot)->frontends[place]);
}

/* let_go before adopted: a relay is adopted first, so none is missed in between. One that is being moved was adopted and
 * not yet let go, so what is found may be too low for a moment. */
void shm_sum_lost(struct shm *shm, uint32_t place)
{
	struct shm_master *master = shm_master(shm);
	uint64_t gone = 0;
	uint64_t adopted = 0;

	MUST(place < SHM_FRONTENDS_MAX);
	for (uint32_t i = 0; i < master->slots; i++) {
		const struct shm_frontend_counters *counters = &shm_slot(shm, i)->frontends[place];

		gone += sum_load(&counters->died) + sum_load(&counters->let_go);
	}
	atomic_thread_fence(memory_order_acquire);
	for (uint32_t i = 0; i < master->slots; i++)
		adopted += sum_load(&shm_slot(shm, i)->frontends[place].adopted);
	if (gone > adopted && gone - adopted > sum_load(&master->lost[place]))
		atomic_store_explicit(&master->lost[place], gone - adopted, memory_order_relaxed);
}

/* ------------------------------------------------------------------ backends, servers */

static void sum_add_server(struct shm *shm, uint32_t place, struct shm_server_sum *sum)
{
	const uint32_t slots = shm_master(shm)->slots;

	for (uint32_t i = 0; i < slots; i++) {
		const struct shm_server_counters *counters = &shm_slot(shm, i)->servers[place];

		sum->active += sum_load(&counters->active);
		sum->total += sum_load(&counters->total);
		sum->bytes_in += sum_load(&counters->bytes_in);
		sum->bytes_out += sum_load(&counters->bytes_out);
		for (size_t why = 0; why < CONNECT_FAILURES; why++) {
			uint64_t n = sum_load(&counters->failed[why]);

			sum->failed_by[why] += n;
			sum->failed += n;
		}
	}
}

void shm_sum_server(struct shm *shm, uint32_t place, struct shm_server_sum *sum_r)
{
	MUST(place < SHM_SERVERS_MAX);
	memset(sum_r, 0, sizeof(*sum_r));
	sum_add_server(shm, place, sum_r);
}

void shm_sum_backend(struct shm *shm, uint32_t place, struct shm_server_sum *sum_r)
{
	const uint32_t slots = shm_master(shm)->slots;

	MUST(place < SHM_BACKENDS_MAX);
	memset(sum_r, 0, sizeof(*sum_r));
	for (uint32_t server = shm_first_server(shm, place); server != SHM_NONE;
		server = shm_next_server(shm, server))
		sum_add_server(shm, server, sum_r);
	sum_r->active = 0; /* those that wait or connect count as well */
	for (uint32_t i = 0; i < slots; i++) {
		const struct shm_backend_counters *counters = &shm_slot(shm, i)->backends[place];

		sum_r->active += sum_load(&counters->active);
		sum_r->queued += sum_load(&counters->queued);
		sum_r->queue_full += sum_load(&counters->queue_full);
	}
}

/* ------------------------------------------------------------------ durations */

void shm_sum_connect(struct shm *shm, uint32_t backend, struct histogram *sum_r)
{
	const uint32_t slots = shm_master(shm)->slots;

	MUST(backend < SHM_BACKENDS_MAX);
	memset(sum_r, 0, sizeof(*sum_r));
	for (uint32_t i = 0; i < slots; i++) {
		const struct shm_slot *slot = shm_slot(shm, i);

		if (sum_load(&slot->backends[backend].connects) != 0)
			histogram_merge(sum_r, &slot->connect[backend]);
	}
}

void shm_sum_session(struct shm *shm, uint32_t frontend, struct histogram *sum_r)
{
	const uint32_t slots = shm_master(shm)->slots;

	MUST(frontend < SHM_FRONTENDS_MAX);
	memset(sum_r, 0, sizeof(*sum_r));
	for (uint32_t i = 0; i < slots; i++) {
		const struct shm_slot *slot = shm_slot(shm, i);

		if (sum_load(&slot->frontends[frontend].ended) != 0)
			histogram_merge(sum_r, &slot->session[frontend]);
	}
}

void shm_sum_worker_times(
	struct shm *shm, uint32_t slot, struct histogram *connect_r, struct histogram *session_r)
{
	const struct shm_slot *worker = shm_slot(shm, slot);
	const uint32_t backends = shm_placed(shm, SHM_BACKEND);
	const uint32_t frontends = shm_placed(shm, SHM_FRONTEND);

	memset(connect_r, 0, sizeof(*connect_r));
	memset(session_r, 0, sizeof(*session_r));
	for (uint32_t i = 0; i < backends; i++)
		if (sum_load(&worker->backends[i].connects) != 0)
			histogram_merge(connect_r, &worker->connect[i]);
	for (uint32_t i = 0; i < frontends; i++)
		if (sum_load(&worker->frontends[i].ended) != 0)
			histogram_merge(session_r, &worker->session[i]);
}

void shm_sum_server_connect(struct shm *shm, uint32_t server, struct histogram *sum_r)
{
	const uint32_t slots = shm_master(shm)->slots;

	MUST(server < SHM_SERVERS_MAX);
	memset(sum_r, 0, sizeof(*sum_r));
	for (uint32_t i = 0; i < slots; i++) {
		if (sum_load(&shm_slot(shm, i)->servers[server].total) == 0)
			continue;
		histogram_shared_merge(sum_r, &shm_shared(shm)->connect[server]);
		return;
	}
}
