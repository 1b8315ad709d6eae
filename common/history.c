/* Finds histories in the shared memory, and copies one while it may be changing.
 */
#include "common/history.h"

#include <string.h>

#include "common/shm.h"

/* A change takes a microsecond; who was stopped in the middle of one must not stop its readers. */
#define HISTORY_LOOKS_MAX 1000

struct shm_history *history_at(
	struct shm *shm, enum history_of of, uint32_t place, _Atomic uint8_t **used_r)
{
	struct shm_histories *all = &shm_master(shm)->histories;

	switch (of) {
	case HISTORY_DAEMON:
		break;
	case HISTORY_FRONTEND:
		MUST(place < SHM_FRONTENDS_MAX);
		*used_r = &all->frontends_used[place];
		return &all->frontends[place];
	case HISTORY_BACKEND:
		MUST(place < SHM_BACKENDS_MAX);
		*used_r = &all->backends_used[place];
		return &all->backends[place];
	case HISTORY_SERVER:
		MUST(place < SHM_SERVERS_MAX);
		*used_r = &all->servers_used[place];
		return &all->servers[place];
	case HISTORY_WORKER:
		MUST(place < SHM_SLOTS);
		*used_r = &all->workers_used[place];
		return &all->workers[place];
	}
	*used_r = &all->daemon_used;
	return &all->daemon;
}

bool history_read(struct shm *shm, enum history_of of, uint32_t place, struct shm_history *copy_r)
{
	_Atomic uint8_t *used;
	const struct shm_history *history = history_at(shm, of, place, &used);

	memset(copy_r, 0, sizeof(*copy_r));
	if (!atomic_load_explicit(used, memory_order_acquire))
		return false;
	for (int i = 0; i < HISTORY_LOOKS_MAX; i++) {
		uint32_t before = atomic_load_explicit(&history->sequence, memory_order_acquire);

		memcpy(copy_r, history, sizeof(*copy_r));
		atomic_thread_fence(memory_order_acquire);
		if (before % 2 == 0 &&
			atomic_load_explicit(&history->sequence, memory_order_relaxed) == before)
			break;
	}
	return true;
}
