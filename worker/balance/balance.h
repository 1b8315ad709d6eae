/* Which server of a backend takes the next connection. One balancer per backend and worker; what must
 * hold over all workers (whose turn it is, who has how many) lies in shared memory.
 *
 * A server can be chosen when its weight is over 0, it has an address, its health is not down and it is
 * not ejected (worker/balance/passive.h); when only ejections empty the backend, the ejected ones serve.
 */
#ifndef PROXYD_WORKER_BALANCE_BALANCE_H
#define PROXYD_WORKER_BALANCE_BALANCE_H

#include <stddef.h>
#include <stdint.h>

#include "common/must.h"

struct balancer;
struct conf_backend;
struct shm;

#define BALANCE_NOBODY    (-1)
#define BALANCE_TRIED_MAX 8

struct balance_ask {
	const void *source; /* the client's host bytes; may be empty (Unix sockets) */
	size_t source_bytes;
	const uint32_t *tried; /* servers (index in the backend) whose connect just failed */
	size_t ntried;         /* another server than these where there is one */
	uint64_t now_ms;       /* clock_now_ms or clock_coarse_ms */
};

/* conf and shm are borrowed and outlive it. seed differs between processes (balance random). Exits when
 * there is no memory: it is made at a worker's start. Nothing is allocated afterwards. */
struct balancer *balancer_new(const struct conf_backend *conf, struct shm *shm, uint64_t seed);
void balancer_free(struct balancer *balancer);

/* The index of the chosen server in conf->servers, or BALANCE_NOBODY. The caller counts it as active
 * (shm_active_add) before it asks again. When every server that could be chosen was tried, one of
 * the tried ones is chosen again. */
MUST_USE int balancer_pick(struct balancer *balancer, const struct balance_ask *ask);

/* Why balancer_pick found nobody, for the log: "all 3 servers are down", "the backend has no server". */
const char *balancer_nobody_why(const struct balancer *balancer, char *buf, size_t buf_bytes);

#endif
