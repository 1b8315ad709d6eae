/* The server with the fewest relays for its weight, over all workers and generations; of several equal
 * ones each in turn: the search starts at the shared cursor, which then moves behind the one chosen.
 *
 * The search looks at every server, which is what the counts in shared memory allow, and costs some 2 ns
 * each. Above LEASTCONN_EXACT_MAX it takes the least busy of many draws by weight instead: that keeps the
 * busiest server within a relay or two of the mean, and the cost of a pick bounded.
 */
#include "worker/balance/algorithms.h"

#define LEASTCONN_EXACT_MAX 512
#define LEASTCONN_DRAWS     12

/* The best one so far. */
struct leastconn {
	uint32_t position;
	uint32_t distance; /* from where the search started */
	bool unwanted;
	uint64_t active;
	uint64_t weight;
};

static void leastconn_look(struct balancer *balancer, const struct balance_ask *ask,
	const struct leastconn *next, struct leastconn *best)
{
	struct leastconn it = *next;

	it.unwanted = balance_unwanted(balancer, ask, it.position);
	it.active = balance_active(balancer, it.position);
	it.weight = balancer->usable[it.position].weight;
	if (it.unwanted != best->unwanted ? best->unwanted
					  : it.active * best->weight < best->active * it.weight)
		*best = it;
}

static uint32_t leastconn_exact(struct balancer *balancer, const struct balance_ask *ask)
{
	uint32_t n = balancer->nusable;
	struct leastconn best = { .unwanted = true, .active = UINT32_MAX, .weight = 1 };
	struct leastconn next = { .position = (uint32_t)(balance_turn(balancer) % n) };

	best.position = next.position;
	for (; next.distance < n; next.distance++) {
		leastconn_look(balancer, ask, &next, &best);
		next.position = next.position + 1 < n ? next.position + 1 : 0;
	}
	balance_turn_skip(balancer, best.distance);
	return best.position;
}

static uint32_t leastconn_pick(struct balancer *balancer, const struct balance_ask *ask)
{
	if (balancer->nusable <= LEASTCONN_EXACT_MAX)
		return leastconn_exact(balancer, ask);
	return balance_draw_least_busy(balancer, ask, LEASTCONN_DRAWS);
}

const struct balance_algorithm balance_leastconn = { .pick = leastconn_pick, .slowstart = true };
