/* Once a second everything that was ever used gets one more sample in its history (common/history.h): the daemon, every
 * frontend, backend, server and worker. It is done in portions between which the loop goes on.
 *
 * What it costs, 10,000 servers in use and 8 slots: 1 ms a second in 50 turns of the loop; at the end of a step of 5 s,
 * for the quantiles, 29 ms more in 310 turns; no turn over 0.1 ms (tests/unit/sampler_test prints it).
 */
#ifndef PROXYD_MASTER_VIEWS_SAMPLER_H
#define PROXYD_MASTER_VIEWS_SAMPLER_H

#include <stdbool.h>
#include <stdint.h>

#include "common/must.h"

struct event_base;
struct sampler;
struct shm;

/* Both borrowed. Exits on no memory (start of a process). It does nothing before sampler_start. */
struct sampler *sampler_new(struct event_base *base, struct shm *shm);
void sampler_free(struct sampler *sampler); /* NULL is fine */

/* From now on what serves is ours, so its history is ours to write. */
void sampler_start(struct sampler *sampler);

/* For tests: one portion as if at now_ms. Returns whether there is more of this round. */
MUST_USE bool sampler_turn(struct sampler *sampler, uint64_t now_ms);

#endif
