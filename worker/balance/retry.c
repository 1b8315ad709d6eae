/* Counts in shared memory, in windows of ten seconds; the last window's connections count on while the next one
 * begins, so that a backend under load never starts from nothing.
 */
#include "worker/balance/retry.h"

#include "common/clock.h"
#include "common/shm.h"
#include "conf/conf.h"

#define RETRY_WINDOW_MS 10000
#define RETRY_LEAST     10
#define RETRY_PERCENT   10

/* Who finds the window over begins the next: half of what was counted stays. */
static struct shm_shared_backend *retry_window(struct shm *shm, const struct conf_backend *backend)
{
	struct shm_shared_backend *shared = &shm_shared(shm)->backends[backend->place];
	uint64_t now_ms = clock_coarse_ms();
	uint64_t began_ms = atomic_load_explicit(&shared->budget_ms, memory_order_relaxed);

	if (now_ms - began_ms < RETRY_WINDOW_MS ||
		!atomic_compare_exchange_strong(&shared->budget_ms, &began_ms, now_ms))
		return shared;
	atomic_store_explicit(&shared->budget_all, shared->budget_all / 2, memory_order_relaxed);
	atomic_store_explicit(&shared->budget_used, shared->budget_used / 2, memory_order_relaxed);
	return shared;
}

void retry_count(struct shm *shm, const struct conf_backend *backend)
{
	struct shm_shared_backend *shared = retry_window(shm, backend);

	atomic_fetch_add_explicit(&shared->budget_all, 1, memory_order_relaxed);
}

bool retry_allowed(struct shm *shm, const struct conf_backend *backend)
{
	struct shm_shared_backend *shared = retry_window(shm, backend);
	uint32_t all = atomic_load_explicit(&shared->budget_all, memory_order_relaxed);

	if (atomic_fetch_add_explicit(&shared->budget_used, 1, memory_order_relaxed) <
		RETRY_LEAST + all / (100 / RETRY_PERCENT))
		return true;
	atomic_fetch_sub_explicit(&shared->budget_used, 1, memory_order_relaxed);
	return false;
}
