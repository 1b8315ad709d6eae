/* Evening out the live relays of the workers that serve: when it is asked for, and by itself where global.rebalance says so.
 */
#ifndef PROXYD_MASTER_CHILDREN_REBALANCE_H
#define PROXYD_MASTER_CHILDREN_REBALANCE_H

#include <stdint.h>

#include "common/must.h"

struct event_base;
struct rebalance;
struct supervisor;

#define REBALANCE_AIM_PCT 10 /* apart that is good enough */
#define REBALANCE_LEAST                                                                            \
	8 /* relays that one worker has over the average: for fewer nothing is moved by itself */
#define REBALANCE_LOOK_MS  1000
#define REBALANCE_PAUSE_MS 3000 /* between two */

/* supervisor is borrowed. Exits when there is no memory. */
struct rebalance *rebalance_new(struct event_base *base, struct supervisor *supervisor);
void rebalance_free(struct rebalance *rebalance); /* NULL is fine */

/* Let go of what is too much. Returns how many relays will move. */
uint64_t rebalance_now(struct rebalance *rebalance);

/* By itself when a worker has so many percent more than the average; 0: never. */
void rebalance_bound(struct rebalance *rebalance, uint32_t pct);

/* A worker is back, with nothing: that is reason enough, where it is done by itself. */
void rebalance_returned(struct rebalance *rebalance);

#endif
