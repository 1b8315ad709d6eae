/* What the algorithms of worker/balance share: the list of servers that can be chosen now, cached per
 * process, and the table of operations that each algorithm fills in. Private to this directory.
 */
#ifndef PROXYD_WORKER_BALANCE_ALGORITHMS_H
#define PROXYD_WORKER_BALANCE_ALGORITHMS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/shm.h"
#include "conf/conf.h"
#include "worker/balance/balance.h"

/* One server that can be chosen, with what a pick reads of it side by side. */
struct usable {
	uint32_t index; /* in conf->servers */
	uint32_t place; /* in shared memory */
	uint32_t weight;
	uint32_t weight_end; /* sum of the weights up to and with this one */
};

struct balance_algorithm {
	/* Takes what the algorithm needs beyond the list; may be NULL. Exits on no memory. */
	void (*init)(struct balancer *balancer);
	/* The list has changed; may be NULL. */
	void (*rebuild)(struct balancer *balancer);
	/* The position in the list, which is not empty. One that was tried only when all were. */
	uint32_t (*pick)(struct balancer *balancer, const struct balance_ask *ask);
};

extern const struct balance_algorithm balance_roundrobin;
extern const struct balance_algorithm balance_leastconn;
extern const struct balance_algorithm balance_random;
extern const struct balance_algorithm balance_first;
extern const struct balance_algorithm balance_source;

struct balancer {
	const struct conf_backend *conf;           /* borrowed */
	struct shm_shared *shared;                 /* borrowed */
	const struct shm_checker *checker;         /* borrowed */
	const struct balance_algorithm *algorithm; /* static */
	_Atomic uint32_t *epoch;                   /* borrowed: the backend's, in shared memory */
	_Atomic uint64_t *cursor;                  /* the same */
	uint64_t random;                           /* state of the generator */

	/* The list in the order of the file, true for this epoch until this instant. */
	bool built;
	uint32_t built_epoch;
	uint64_t built_until_ms;
	uint32_t nusable;
	bool equal_weights;
	struct usable *usable; /* owned, room for every server of the backend */

	/* roundrobin: positions in turn; NULL for the other algorithms. nschedule is 0 when the list itself
	 * is the schedule, or when there is none because it would be too long. */
	uint32_t nschedule;
	uint32_t schedule_max;
	uint32_t *schedule; /* owned */
	int32_t *currents;  /* owned; scratch while the schedule is made */

	uint64_t *name_hashes; /* owned; source: by server (index), else NULL */
};

/* calloc that ends the process when there is no memory: balancers are made at a worker's start. */
void *balance_alloc(size_t count, size_t bytes);

static inline uint32_t balance_weight_sum(const struct balancer *balancer)
{
	return balancer->usable[balancer->nusable - 1].weight_end;
}

static inline uint32_t balance_active(const struct balancer *balancer, uint32_t position)
{
	uint32_t place = balancer->usable[position].place;

	return atomic_load_explicit(&balancer->shared->servers[place].active, memory_order_relaxed);
}

/* Whether the server at a is less busy than that at b, for its weight. */
static inline bool balance_less_busy(const struct balancer *balancer, uint32_t a, uint32_t b)
{
	uint64_t busy_a = (uint64_t)balance_active(balancer, a) * balancer->usable[b].weight;
	uint64_t busy_b = (uint64_t)balance_active(balancer, b) * balancer->usable[a].weight;

	return busy_a < busy_b;
}

/* Whose turn it is, over all workers: every call gives the next number. */
static inline uint64_t balance_turn(struct balancer *balancer)
{
	return atomic_fetch_add_explicit(balancer->cursor, 1, memory_order_relaxed);
}

/* The pick passed over this many turns: they are used up as well, so that the next pick does not give
 * the same server again. */
static inline void balance_turn_skip(struct balancer *balancer, uint32_t turns)
{
	if (turns > 0)
		atomic_fetch_add_explicit(balancer->cursor, turns, memory_order_relaxed);
}

bool balance_tried(
	const struct balancer *balancer, const struct balance_ask *ask, uint32_t position);

/* The first position at or after start, going round, that was not tried; start when all were. */
uint32_t balance_untried_from(
	const struct balancer *balancer, const struct balance_ask *ask, uint32_t start);

/* The position that owns this point of [0, balance_weight_sum). */
uint32_t balance_at_weight(const struct balancer *balancer, uint32_t point);

#endif
