/* Which server of a backend takes the next connection. One balancer per backend and worker; what must
 * hold over all workers (whose turn it is, who has how many) lies in shared memory.
 *
 * A server can be chosen when the operator has it ready (shm_master()->admin: state, weight over 0), it has
 * an address, its health is not down and it is not ejected (worker/balance/passive.h). Servers that are not
 * backup serve first, then the backup ones. When ejections alone empty the backend the ejected ones serve,
 * those that are not backup first: panic mode, seen in shm_shared_backend.panic and logged once by
 * whichever worker notices.
 *
 * What the administrator or the checker changes is seen with the next epoch of the backend; ejections that
 * run out and the steps of slowstart are seen by the clock.
 */
#ifndef PROXYD_WORKER_BALANCE_BALANCE_H
#define PROXYD_WORKER_BALANCE_BALANCE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/must.h"

struct balancer;
struct conf_backend;
struct shm;

#define BALANCE_NOBODY    (-1) /* no server can be chosen */
#define BALANCE_FULL      (-2) /* servers can be chosen, and all have as many relays as they may */
#define BALANCE_TRIED_MAX 8

struct balance_ask {
	const void *source; /* the client's host bytes; may be empty (Unix sockets) */
	size_t source_bytes;
	const uint32_t *tried; /* servers (index in the backend) whose connect just failed */
	size_t ntried;         /* another server than these where there is one */
	bool proven;           /* a retry: one that works where there is one, see passive_proven */
	uint64_t now_ms;       /* clock_now_ms or clock_coarse_ms */
};

/* conf and shm are borrowed and outlive it. seed differs between processes (balance random). Exits when
 * there is no memory: it is made at a worker's start. Nothing is allocated afterwards. */
struct balancer *balancer_new(const struct conf_backend *conf, struct shm *shm, uint64_t seed);
void balancer_free(struct balancer *balancer);

/* The index of the chosen server in conf->servers, BALANCE_NOBODY or BALANCE_FULL: test for < 0. When every
 * server that could be chosen was tried, one of the tried ones is chosen again; backup servers do not
 * stand in for full ones.
 *
 * Nothing is counted here. The caller makes it active before it asks again, with
 *   shm_active_reserve(shm, slot, &(struct shm_count_id){ SHM_COUNT_SERVER, place }, maxconn)
 * of shm_master()->admin[place].maxconn, and when another worker was faster asks again, with the same
 * tried: that server is then seen to be full. */
MUST_USE int balancer_pick(struct balancer *balancer, const struct balance_ask *ask);

/* The same for a retry: a server that works, was not tried and is not full; else BALANCE_NOBODY, and nobody's turn is
 * used up. */
MUST_USE int balancer_pick_proven(struct balancer *balancer, const struct balance_ask *ask);

/* Why balancer_pick found nobody, for the log: "all 3 servers are down", "the backend has no server". */
const char *balancer_nobody_why(const struct balancer *balancer, char *buf, size_t buf_bytes);

#endif
