/* What the files of worker/balance share: the list of servers that can be chosen now, cached per process,
 * and the table of operations that each algorithm fills in. Private to this directory.
 */
#ifndef PROXYD_WORKER_BALANCE_ALGORITHMS_H
#define PROXYD_WORKER_BALANCE_ALGORITHMS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/shm.h"
#include "conf/conf.h"
#include "worker/balance/balance.h"

#define BALANCE_WEIGHT_MAX 256

/* What keeps a server from being chosen, the lasting reasons last. */
enum balance_obstacle {
	OBSTACLE_NONE,
	OBSTACLE_EJECTED, /* does not count when nobody is free of obstacles */
	OBSTACLE_DOWN,
	OBSTACLE_ADDRESS,
	OBSTACLE_WEIGHT,
	OBSTACLE_DRAIN,
	OBSTACLE_MAINT,
	OBSTACLES,
};

/* Who serves: the servers of the first of these that has one. */
enum balance_tier {
	TIER_PRIMARY,
	TIER_BACKUP,
	TIER_EJECTED_PRIMARY, /* from here on: panic */
	TIER_EJECTED_BACKUP,
	TIER_NOBODY,
};

/* One server that can be chosen, with what a pick reads of it side by side. */
struct usable {
	uint32_t index;      /* in conf->servers */
	uint32_t place;      /* in shared memory */
	uint32_t weight;     /* any unit, the same for the whole list; never 0 */
	uint32_t weight_end; /* sum of the weights up to and with this one */
	uint32_t maxconn;    /* 0: no limit */
};

struct balance_algorithm {
	/* Takes what the algorithm needs beyond the list; may be NULL. Exits on no memory. */
	void (*init)(struct balancer *balancer);
	/* The list has changed; may be NULL. */
	void (*rebuild)(struct balancer *balancer);
	/* The position in the list, which is not empty. One that is unwanted only when all are. */
	uint32_t (*pick)(struct balancer *balancer, const struct balance_ask *ask);
	/* slowstart lowers the weights. Not where it would send clients to another server and back. */
	bool slowstart;
};

extern const struct balance_algorithm balance_roundrobin;
extern const struct balance_algorithm balance_leastconn;
extern const struct balance_algorithm balance_random;
extern const struct balance_algorithm balance_first;
extern const struct balance_algorithm balance_source;
extern const struct balance_algorithm balance_maglev;
extern const struct balance_algorithm balance_latency;

struct maglev;

struct balancer {
	const struct conf_backend *conf;           /* borrowed */
	struct shm *shm;                           /* borrowed, as are its parts */
	struct shm_shared *shared;                 /* the same */
	struct shm_shared_backend *backend;        /* the same */
	const struct balance_algorithm *algorithm; /* static */
	uint64_t random;                           /* state of the generator */

	/* The list in the order of the file, true for this epoch until this instant. */
	bool built;
	uint32_t built_epoch;
	uint64_t built_until_ms;
	uint32_t nusable;
	bool equal_weights;
	bool limited;          /* one of them has a maxconn */
	struct usable *usable; /* owned, room for every server of the backend */
	uint8_t *tiers;        /* owned; by server (index), enum balance_tier */

	/* To find who owns a point of the sum of weights: guide[k] is the position that owns k << guide_shift. */
	uint32_t guide_shift;
	uint32_t nguide;
	uint32_t *guide; /* owned, room for one more than there are servers */

	/* roundrobin: positions in turn; NULL for the other algorithms. nschedule is 0 when the list itself
	 * is the schedule, or when there is none because it would be too long. */
	uint32_t nschedule;
	uint32_t schedule_max;
	uint32_t *schedule; /* owned */
	int32_t *currents;  /* owned; scratch while the schedule is made */

	uint64_t *name_hashes; /* owned; source on rendezvous: by server (index), else NULL */
	struct maglev *maglev; /* owned; maglev, and source of many servers, else NULL */
};

/* calloc that ends the process when there is no memory: balancers are made at a worker's start. */
void *balance_alloc(size_t count, size_t bytes);

/* usable.c. What keeps server from being chosen now. */
enum balance_obstacle balance_obstacle(
	struct shm *shm, const struct conf_server *server, uint64_t now_ms);

/* usable.c. Make the list for this instant, and say when it begins or ends to be one of ejected servers. */
void balance_list(struct balancer *balancer, uint64_t now_ms);

/* random.c. The next number of this process's generator, evenly spread over 64 bits. */
uint64_t balance_random_next(struct balancer *balancer);

/* random.c. A position drawn by weight, not an unwanted one unless all are. */
uint32_t balance_draw(struct balancer *balancer, const struct balance_ask *ask);

/* random.c. The least busy of so many draws by weight. */
uint32_t balance_draw_least_busy(
	struct balancer *balancer, const struct balance_ask *ask, uint32_t draws);

/* maglev.c. Both exit on no memory or take NULL as the other two of their kind. */
struct maglev *maglev_new(const struct conf_backend *conf);
void maglev_free(struct maglev *maglev);

/* maglev.c. Make the table anew when the list is another one; the position for this client's hash. */
void maglev_rebuild(struct balancer *balancer);
uint32_t maglev_pick(
	const struct balancer *balancer, const struct balance_ask *ask, uint64_t client);

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
	return atomic_fetch_add_explicit(&balancer->backend->cursor, 1, memory_order_relaxed);
}

/* The pick passed over this many turns: they are used up as well, so that the next pick does not give
 * the same server again. */
static inline void balance_turn_skip(struct balancer *balancer, uint32_t turns)
{
	if (turns > 0)
		atomic_fetch_add_explicit(&balancer->backend->cursor, turns, memory_order_relaxed);
}

/* It has as many relays as it may. */
static inline bool balance_full(const struct balancer *balancer, uint32_t position)
{
	uint32_t maxconn = balancer->usable[position].maxconn;

	return maxconn > 0 && balance_active(balancer, position) >= maxconn;
}

bool balance_tried(
	const struct balancer *balancer, const struct balance_ask *ask, uint32_t position);

bool balance_proven(
	const struct balancer *balancer, const struct balance_ask *ask, uint32_t position);

/* Full, tried or, for a retry, not proven: another one where there is one. */
static inline bool balance_unwanted(
	const struct balancer *balancer, const struct balance_ask *ask, uint32_t position)
{
	return (ask->ntried > 0 && balance_tried(balancer, ask, position)) ||
		(balancer->limited && balance_full(balancer, position)) ||
		(ask->proven && !balance_proven(balancer, ask, position));
}

/* The first position at or after start, going round, that is not unwanted; start when all are. */
uint32_t balance_wanted_from(
	const struct balancer *balancer, const struct balance_ask *ask, uint32_t start);

/* The position that owns this point of [0, balance_weight_sum). */
uint32_t balance_at_weight(const struct balancer *balancer, uint32_t point);

#endif
