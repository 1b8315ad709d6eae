/* Counts failed connects of all workers together and ejects a server that has too many. Two workers that
 * fail in the same instant may count one failure too few; who ejects is decided by one exchange.
 */
#include "worker/balance/passive.h"

#include "common/must.h"
#include "common/shm.h"
#include "conf/conf.h"

static struct shm_shared_server *passive_server(
	const struct conf_backend *conf, struct shm *shm, uint32_t server)
{
	MUST(server < conf->nservers);
	MUST(conf->servers[server].place < SHM_SERVERS_MAX);
	return &shm_shared(shm)->servers[conf->servers[server].place];
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

bool passive_failed(
	const struct conf_backend *conf, struct shm *shm, uint32_t server, uint64_t now_ms)
{
	struct shm_shared_server *shared = passive_server(conf, shm, server);
	const struct conf_passive *passive = &conf->passive;
	uint64_t before_ms;

	if (passive->max_fails == 0)
		return false;
	if (passive_count(shared, passive->window_ms, now_ms) < passive->max_fails)
		return false;
	atomic_store_explicit(&shared->fails, 0, memory_order_relaxed);
	before_ms = atomic_exchange_explicit(
		&shared->ejected_until_ms, now_ms + passive->eject_ms, memory_order_relaxed);
	if (before_ms > now_ms)
		return false; /* it was ejected already: that time is now longer */
	atomic_fetch_add_explicit(
		&shm_shared(shm)->backends[conf->place].epoch, 1, memory_order_release);
	return true;
}

void passive_worked(const struct conf_backend *conf, struct shm *shm, uint32_t server)
{
	struct shm_shared_server *shared = passive_server(conf, shm, server);

	/* Written only when it says something else: this line is shared by all workers. */
	if (atomic_load_explicit(&shared->fails, memory_order_relaxed) != 0)
		atomic_store_explicit(&shared->fails, 0, memory_order_relaxed);
}

bool passive_ejected(
	const struct conf_backend *conf, struct shm *shm, uint32_t server, uint64_t now_ms)
{
	struct shm_shared_server *shared = passive_server(conf, shm, server);

	return atomic_load_explicit(&shared->ejected_until_ms, memory_order_relaxed) > now_ms;
}
