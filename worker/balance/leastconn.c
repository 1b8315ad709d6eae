/* The server with the fewest relays for its weight, over all workers and generations; of several equal
 * ones each in turn: the search starts at the shared cursor, which then moves behind the one chosen.
 * It looks at every server, which is what the counts in shared memory allow.
 */
#include "worker/balance/algorithms.h"

static uint32_t leastconn_pick(struct balancer *balancer, const struct balance_ask *ask)
{
	uint32_t n = balancer->nusable;
	uint32_t start = (uint32_t)(balance_turn(balancer) % n);
	uint32_t best = start;
	uint32_t best_distance = 0;
	uint32_t position = start;
	bool best_tried = ask->ntried > 0 && balance_tried(balancer, ask, start);

	for (uint32_t distance = 1; distance < n; distance++) {
		bool tried;

		position = position + 1 < n ? position + 1 : 0;
		tried = ask->ntried > 0 && balance_tried(balancer, ask, position);
		if (tried != best_tried ? tried : !balance_less_busy(balancer, position, best))
			continue;
		best = position;
		best_distance = distance;
		best_tried = tried;
	}
	balance_turn_skip(balancer, best_distance);
	return best;
}

const struct balance_algorithm balance_leastconn = { .pick = leastconn_pick };
