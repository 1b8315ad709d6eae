/* How long connects to a server take, for balance latency: a moving average that a slow connect raises at
 * once and that time lowers (peak-EWMA, 10 s to fall to a third). In shared memory, so that a worker
 * profits from what the others saw.
 */
#ifndef PROXYD_WORKER_BALANCE_LATENCY_H
#define PROXYD_WORKER_BALANCE_LATENCY_H

#include <stdint.h>

struct conf_backend;
struct shm;

/* A connect to server (index in the backend) took this long: it worked, or it ran out of time. Not for one
 * that was refused, which says nothing of how long the server takes. Does nothing for other algorithms. */
void latency_observe(const struct conf_backend *conf, struct shm *shm, uint32_t server,
	uint64_t connect_us, uint64_t now_ms);

#endif
