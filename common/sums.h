/* Sums over the slots of all workers, of all generations: what the daemon, a frontend, a backend, a server, a worker did
 * ever, and has now. A slot keeps its counters when its worker dies, so what only grows never goes back.
 *
 * Anyone who may read the shared memory can ask. Only what is in use is looked at: asking costs no memory.
 */
#ifndef PROXYD_COMMON_SUMS_H
#define PROXYD_COMMON_SUMS_H

#include <stdint.h>

#include "common/shm.h"

/* Of a frontend, of a worker, of the daemon: total = active + ended + failed + refused + lost. While a relay is on its way
 * from one worker to another, or from a dead one, it may be active twice for a moment. */
struct shm_frontend_sum {
	uint64_t active;
	uint64_t total; /* connections accepted */
	uint64_t ended; /* after a server or a service was reached */
	uint64_t failed;
	uint64_t refused;
	uint64_t lost; /* that died with their worker; of a worker: 0 */
	uint64_t bytes_in;
	uint64_t bytes_out;
	uint64_t failed_by[FAILURES];
	uint64_t refused_by[REFUSALS];
};

/* Of a server, or of all that a backend ever had. */
struct shm_server_sum {
	uint64_t active;
	uint64_t queued;     /* backends only: clients that wait */
	uint64_t queue_full; /* the same: that were sent away */
	uint64_t total;      /* connections made */
	uint64_t failed;     /* connects */
	uint64_t bytes_in;
	uint64_t bytes_out;
	uint64_t failed_by[CONNECT_FAILURES];
};

void shm_sum_daemon(struct shm *shm, struct shm_frontend_sum *sum_r);
void shm_sum_frontend(struct shm *shm, uint32_t place, struct shm_frontend_sum *sum_r);
void shm_sum_backend(struct shm *shm, uint32_t place, struct shm_server_sum *sum_r);
void shm_sum_server(struct shm *shm, uint32_t place, struct shm_server_sum *sum_r);

/* Of one slot, whoever had it: what was adopted and let go is not in the balance. */
void shm_sum_worker(struct shm *shm, uint32_t slot, struct shm_frontend_sum *sum_r);

/* A backend's or a server's time to connect, a frontend's time from accepted to ended. */
void shm_sum_connect(struct shm *shm, uint32_t backend, struct histogram *sum_r);
void shm_sum_server_connect(struct shm *shm, uint32_t server, struct histogram *sum_r);
void shm_sum_session(struct shm *shm, uint32_t frontend, struct histogram *sum_r);

/* Both of all that one slot did, whoever had it. */
void shm_sum_worker_times(
	struct shm *shm, uint32_t slot, struct histogram *connect_r, struct histogram *session_r);

/* Master: brings shm_master.lost of a frontend up to date, after a worker was reaped and from time to time. */
void shm_sum_lost(struct shm *shm, uint32_t place);

/* "resource", "no_server", "refused": the keys of *_by. */
const char *refusal_key(enum refusal why);
const char *failure_key(enum failure why);
const char *connect_failure_key(enum connect_failure why);

#endif
