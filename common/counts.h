/* Counting with one truth: how many relays the daemon, a frontend, a server has now, over all workers and generations.
 */
#ifndef PROXYD_COMMON_COUNTS_H
#define PROXYD_COMMON_COUNTS_H

#include <stdbool.h>
#include <stdint.h>

#include "common/must.h"

struct shm;

/* What is counted twice: by all workers together, where limits and leastconn look, and by each worker for itself,
 * so that the master can tell what a dead one held (shm_slot_reap). */
enum shm_count_what {
	SHM_COUNT_DAEMON, /* place is 0 */
	SHM_COUNT_FRONTEND,
	SHM_COUNT_SERVER,
};

struct shm_count_id {
	enum shm_count_what what;
	uint32_t place;
};

/* Both together, by this worker (slot). delta is 1 or -1. */
void shm_active_add(struct shm *shm, uint32_t slot, const struct shm_count_id *id, int delta);

/* One more, unless all workers together have `most` already: exact, whoever asks at the same instant. most 0: no
 * limit. */
MUST_USE bool shm_active_reserve(
	struct shm *shm, uint32_t slot, const struct shm_count_id *id, uint32_t most);

/* Master, after it reaped the worker of this slot: what it was about to write is written, nobody waits in its queues any more. What it held still counts,
 * and its records stay, until others have its relays: the limits hold meanwhile. */
void shm_slot_died(struct shm *shm, uint32_t slot);

/* Master, then: its relays are others' or gone, so its records are cleared and
 * what it held of the shared counts is given back. Counters that only grow stay; relays that nobody adopted are lost. Returns how many relays
 * it had. */
uint32_t shm_slot_reap(struct shm *shm, uint32_t slot);

#endif
