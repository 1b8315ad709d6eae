/* A few servers drawn at random by weight, of which the least busy is chosen. No shared state but the
 * counts of active relays; each process has a generator of its own (splitmix64).
 */
#include "worker/balance/algorithms.h"

#define RANDOM_REDRAWS_MAX 16 /* to get past servers that are unwanted */

uint64_t balance_random_next(struct balancer *balancer)
{
	uint64_t x = balancer->random += 0x9e3779b97f4a7c15ULL;

	x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ULL;
	x = (x ^ (x >> 27)) * 0x94d049bb133111ebULL;
	return x ^ (x >> 31);
}

static uint32_t random_draw(struct balancer *balancer)
{
	uint64_t draw = balance_random_next(balancer) >> 32;

	if (balancer->equal_weights)
		return (uint32_t)(draw * balancer->nusable >> 32);
	return balance_at_weight(balancer, (uint32_t)(draw * balance_weight_sum(balancer) >> 32));
}

uint32_t balance_draw(struct balancer *balancer, const struct balance_ask *ask)
{
	uint32_t position = random_draw(balancer);

	for (int i = 0; i < RANDOM_REDRAWS_MAX; i++) {
		if (!balance_unwanted(balancer, ask, position))
			return position;
		position = random_draw(balancer);
	}
	return balance_wanted_from(balancer, ask, position);
}

uint32_t balance_draw_least_busy(
	struct balancer *balancer, const struct balance_ask *ask, uint32_t draws)
{
	uint32_t best = balance_draw(balancer, ask);

	for (uint32_t draw = 1; draw < draws; draw++) {
		uint32_t position = balance_draw(balancer, ask);

		if (balance_less_busy(balancer, position, best))
			best = position;
	}
	return best;
}

static uint32_t random_pick(struct balancer *balancer, const struct balance_ask *ask)
{
	return balance_draw_least_busy(balancer, ask, balancer->conf->random_draws);
}

const struct balance_algorithm balance_random = { .pick = random_pick, .slowstart = true };
