/* What was, for rates and curves: samples of the last minute, a second apart, and the last five minutes in steps of
 * 5 s. It lies in the master's pages of the shared memory, so it goes on over reloads, upgrades and dead masters. The
 * master (master/sampler) writes it; whoever may read the shared memory reads it.
 *
 * The history of what never had a connection was never touched, and history_read does not either.
 */
#ifndef PROXYD_COMMON_HISTORY_H
#define PROXYD_COMMON_HISTORY_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "common/must.h"
#include "common/shm_limits.h"

#define HISTORY_SAMPLES 64 /* over 60: a minute of them and some */
#define HISTORY_STEPS   60
#define HISTORY_STEP_MS 5000
#define HISTORY_BYTES   4096

struct shm;

enum history_of {
	HISTORY_DAEMON, /* place is 0 */
	HISTORY_FRONTEND,
	HISTORY_BACKEND,
	HISTORY_SERVER,
	HISTORY_WORKER, /* place is its slot */
};

/* Counters at one instant. */
struct history_sample {
	uint64_t at_ms; /* clock_now_ms */
	uint64_t connections;
	uint64_t bytes_in;
	uint64_t bytes_out;
};

/* What came in `ms`. */
struct history_step {
	uint32_t ms;     /* 0: there is none yet */
	uint32_t p99_us; /* of the time to connect; 0: nobody connected */
	uint64_t connections;
	uint64_t bytes_in;
	uint64_t bytes_out;
};

struct shm_history {
	_Alignas(HISTORY_BYTES) _Atomic uint32_t sequence; /* odd while it is being changed */
	uint32_t unused;
	uint64_t samples_taken; /* the newest is samples[(samples_taken - 1) % HISTORY_SAMPLES] */
	uint64_t step;          /* of the newest of steps: clock_now_ms / HISTORY_STEP_MS */
	struct history_sample begun; /* where the step after it began */
	struct history_sample samples[HISTORY_SAMPLES];
	struct history_step steps[HISTORY_STEPS]; /* by step % HISTORY_STEPS */
};

_Static_assert(sizeof(struct shm_history) == HISTORY_BYTES, "it is a page");

struct shm_histories {
	_Atomic uint64_t sampled_ms; /* when the sampler last went over all of them */
	_Atomic uint8_t daemon_used; /* 0: untouched */
	_Atomic uint8_t frontends_used[SHM_FRONTENDS_MAX];
	_Atomic uint8_t backends_used[SHM_BACKENDS_MAX];
	_Atomic uint8_t servers_used[SHM_SERVERS_MAX];
	_Atomic uint8_t workers_used[SHM_SLOTS];
	struct shm_history daemon;
	struct shm_history frontends[SHM_FRONTENDS_MAX];
	struct shm_history backends[SHM_BACKENDS_MAX];
	struct shm_history servers[SHM_SERVERS_MAX];
	struct shm_history workers[SHM_SLOTS];
};

/* A copy, whole. False, and all zero, when there is none. */
bool history_read(struct shm *shm, enum history_of of, uint32_t place, struct shm_history *copy_r);

/* Whether there is one, and it; used is set by who writes the first sample. */
struct shm_history *history_at(
	struct shm *shm, enum history_of of, uint32_t place, _Atomic uint8_t **used_r);

#endif
