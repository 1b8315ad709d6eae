/* A few servers drawn at random by weight, of which the least busy is chosen. No shared state but the
 * counts of active relays; each process has a generator of its own (splitmix64).
 */
#include "worker/balance/algorithms.h"

#define RANDOM_REDRAWS_MAX 16 /* to get past servers that were tried */

static uint64_t random_next(struct balancer *balancer)
{
	uint64_t x = balancer->random += 0x9e3779b97f4a7c15ULL;

	x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ULL;
	x = (x ^ (x >> 27)) * 0x94d049bb133111ebULL;
	return x ^ (x >> 31);
}

static uint32_t random_draw(struct balancer *balancer)
{
	uint64_t point = (random_next(balancer) >> 32) * balance_weight_sum(balancer) >> 32;

	return balance_at_weight(balancer, (uint32_t)point);
}

static uint32_t random_draw_untried(struct balancer *balancer, const struct balance_ask *ask)
{
	uint32_t position = random_draw(balancer);

	for (int i = 0; i < RANDOM_REDRAWS_MAX && balance_tried(balancer, ask, position); i++)
		position = random_draw(balancer);
	return balance_untried_from(balancer, ask, position);
}

static uint32_t random_pick(struct balancer *balancer, const struct balance_ask *ask)
{
	uint32_t best = random_draw_untried(balancer, ask);

	for (uint32_t draw = 1; draw < balancer->conf->random_draws; draw++) {
		uint32_t position = random_draw_untried(balancer, ask);

		if (balance_less_busy(balancer, position, best))
			best = position;
	}
	return best;
}

const struct balance_algorithm balance_random = { .pick = random_pick };
