/* Counts the failures of all workers together and ejects a server that has too many. Two workers that fail
 * in the same instant may count one failure too few; who ejects is decided by one exchange.
 */
#include "worker/balance/passive.h"

#include "worker/balance/algorithms.h"

#define PASSIVE_DOUBLINGS_MAX 5   /* 32 times as long as the first time */
#define PASSIVE_CONNECTED_MS  100 /* how exact connected_ms is */
#define PASSIVE_PROVEN_MS     10000

static struct shm_shared_server *passive_server(
	const struct conf_backend *conf, struct shm *shm, uint32_t server)
{
	MUST(server < conf->nservers);
	MUST(conf->servers[server].place < SHM_SERVERS_MAX);
	return &shm_shared(shm)->servers[conf->servers[server].place];
}

/* Written only when it says something else, or something old. */
void passive_connected(
	const struct conf_backend *conf, struct shm *shm, uint32_t server, uint64_t now_ms)
{
	struct shm_shared_server *shared = passive_server(conf, shm, server);
	uint64_t at_ms = atomic_load_explicit(&shared->connected_ms, memory_order_relaxed);

	if (now_ms >= at_ms + PASSIVE_CONNECTED_MS ||
		at_ms <= atomic_load_explicit(&shared->failed_ms, memory_order_relaxed))
		atomic_store_explicit(&shared->connected_ms, now_ms, memory_order_relaxed);
}

bool passive_proven(
	const struct conf_backend *conf, struct shm *shm, uint32_t server, uint64_t now_ms)
{
	struct shm_shared_server *shared = passive_server(conf, shm, server);
	uint64_t at_ms = atomic_load_explicit(&shared->connected_ms, memory_order_relaxed);

	return at_ms > atomic_load_explicit(&shared->failed_ms, memory_order_relaxed) &&
		now_ms < at_ms + PASSIVE_PROVEN_MS;
}

/* One more failure; how many there are now within the window that began with the first of them. */
static uint32_t passive_count(struct shm_shared_server *shared, uint32_t window_ms, uint64_t now_ms)
{
	uint64_t since_ms = atomic_load_explicit(&shared->fails_since_ms, memory_order_relaxed);
	uint32_t fails = atomic_load_explicit(&shared->fails, memory_order_relaxed);

	/* Clocks of two processes may be a tick apart: a window from the near future is this one. */
	if (fails > 0 && now_ms < since_ms + window_ms)
		return atomic_fetch_add_explicit(&shared->fails, 1, memory_order_relaxed) + 1;
	atomic_store_explicit(&shared->fails_since_ms, now_ms, memory_order_relaxed);
	atomic_store_explicit(&shared->fails, 1, memory_order_relaxed);
	return 1;
}

/* Whether the backend can do without this server too: another one can be chosen, and those ejected, with
 * this one, are not more than may be. It is the same question before and after it was ejected. */
static bool passive_spares(
	const struct conf_backend *conf, struct shm *shm, uint32_t server, uint64_t now_ms)
{
	size_t ejected = 1;
	bool others = false;

	if (conf->passive.max_ejected_pct == 0)
		return false;
	for (uint32_t i = 0; i < conf->nservers; i++) {
		enum balance_obstacle obstacle = balance_obstacle(shm, &conf->servers[i], now_ms);

		if (i == server)
			continue;
		if (obstacle == OBSTACLE_NONE)
			others = true;
		if (obstacle == OBSTACLE_EJECTED)
			ejected++;
	}
	return others &&
		(ejected == 1 || ejected * 100 <= conf->nservers * conf->passive.max_ejected_pct);
}

static uint32_t passive_eject_ms(uint32_t eject_ms, uint32_t ejections)
{
	uint64_t ms = (uint64_t)eject_ms
		<< (ejections < PASSIVE_DOUBLINGS_MAX ? ejections : PASSIVE_DOUBLINGS_MAX);

	return ms < UINT32_MAX ? (uint32_t)ms : UINT32_MAX;
}

/* Two workers may eject the last two servers in the same instant. Each looks again after it wrote, so that at
 * least one of them sees the other's and takes its own back. */
static uint32_t passive_eject(
	const struct conf_backend *conf, struct shm *shm, uint32_t server, uint64_t now_ms)
{
	struct shm_shared_server *shared = passive_server(conf, shm, server);
	uint64_t before_ms = atomic_load(&shared->ejected_until_ms);
	uint32_t ejections = atomic_load_explicit(&shared->ejections, memory_order_relaxed);
	uint32_t eject_ms = passive_eject_ms(conf->passive.eject_ms, ejections);
	uint64_t until_ms = now_ms + eject_ms;

	if (before_ms > now_ms || !passive_spares(conf, shm, server, now_ms))
		return 0;
	if (!atomic_compare_exchange_strong(&shared->ejected_until_ms, &before_ms, until_ms))
		return 0; /* another worker did */
	atomic_thread_fence(memory_order_seq_cst);
	if (!passive_spares(conf, shm, server, now_ms)) {
		atomic_compare_exchange_strong(&shared->ejected_until_ms, &until_ms, before_ms);
		shm_backend_changed(shm, conf->place);
		return 0;
	}
	if (ejections < UINT32_MAX)
		atomic_store_explicit(&shared->ejections, ejections + 1, memory_order_relaxed);
	shm_backend_changed(shm, conf->place);
	return eject_ms;
}

uint32_t passive_failed(
	const struct conf_backend *conf, struct shm *shm, uint32_t server, uint64_t now_ms)
{
	struct shm_shared_server *shared = passive_server(conf, shm, server);
	const struct conf_passive *passive = &conf->passive;

	atomic_store_explicit(&shared->failed_ms, now_ms, memory_order_relaxed);
	if (passive->max_fails == 0 || passive_ejected(conf, shm, server, now_ms))
		return 0;
	if (passive_count(shared, passive->window_ms, now_ms) < passive->max_fails)
		return 0;
	atomic_store_explicit(&shared->fails, 0, memory_order_relaxed);
	return passive_eject(conf, shm, server, now_ms);
}

/* Written only when it says something else: this line is shared by all workers. */
void passive_worked(
	const struct conf_backend *conf, struct shm *shm, uint32_t server, uint64_t now_ms)
{
	struct shm_shared_server *shared = passive_server(conf, shm, server);
	uint64_t bad_ms;

	if (atomic_load_explicit(&shared->fails, memory_order_relaxed) != 0)
		atomic_store_explicit(&shared->fails, 0, memory_order_relaxed);
	if (atomic_load_explicit(&shared->ejections, memory_order_relaxed) == 0)
		return;
	bad_ms = atomic_load_explicit(&shared->ejected_until_ms, memory_order_relaxed);
	if (bad_ms < atomic_load_explicit(&shared->fails_since_ms, memory_order_relaxed))
		bad_ms = atomic_load_explicit(&shared->fails_since_ms, memory_order_relaxed);
	if (now_ms >= bad_ms + conf->passive.window_ms)
		atomic_store_explicit(&shared->ejections, 0, memory_order_relaxed);
}

bool passive_ejected(
	const struct conf_backend *conf, struct shm *shm, uint32_t server, uint64_t now_ms)
{
	struct shm_shared_server *shared = passive_server(conf, shm, server);

	return atomic_load_explicit(&shared->ejected_until_ms, memory_order_relaxed) > now_ms;
}
