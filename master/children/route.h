/* How relays are dealt out among workers.
 */
#ifndef PROXYD_MASTER_CHILDREN_ROUTE_H
#define PROXYD_MASTER_CHILDREN_ROUTE_H

#include <stddef.h>
#include <stdint.h>

#include "common/messages.h"
#include "common/shm.h"

/* A worker that can adopt: how many it has, counting those that are on their way. */
struct route_target {
	uint32_t slot;
	uint64_t relays;
};

/* Deal so many relays out so that the targets come as close together as they can; their counts grow by it. turn: who is
 * first where it is all the same. The route's `to` is filled, its `from` left alone; count is 0 without targets. */
void route_fill(struct msg_route *route_r, struct route_target *targets, size_t ntargets,
	uint64_t relays, uint32_t turn);

/* So many relays of one worker go to others. */
struct route_move {
	uint32_t count;
	struct msg_route route;
};

/* What evens the workers out: a move for each that has more than its share, in moves_r, which has room for SHM_WORKERS_MAX;
 * returns how many moves. Workers that are less than a relay apart from their share stay. */
size_t route_even_out(struct route_target *workers, size_t nworkers, struct route_move *moves_r);

/* By how many percent the one with the most relays lies over the average. */
uint32_t route_spread_pct(const struct route_target *workers, size_t nworkers);

#endif
