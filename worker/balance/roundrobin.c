/* Round robin over all workers together: the cursor in shared memory gives every pick a number of its
 * own, and every worker makes the same schedule from the same state, so that number n means the same
 * server to all of them.
 *
 * Equal weights: the list in the order of the file is the schedule. Weights: smooth weighted round robin,
 * worked out in advance, when the schedule is short. Otherwise number n is the point frac(n * golden
 * ratio) of the sum of weights: the points of that sequence are spread evenly at any length, so that each
 * server comes as often as its weight says, without clusters and without a table.
 */
#include "worker/balance/algorithms.h"

#define ROUNDROBIN_SCHEDULE_MAX 4096
#define ROUNDROBIN_WORK_MAX     (1U << 20) /* steps to make a schedule: about a millisecond */
#define ROUNDROBIN_GOLDEN       0x9e3779b97f4a7c15ULL
#define ROUNDROBIN_DRAWS_MAX    32 /* further turns to get past servers that are unwanted */

/* Weights change while it runs, so the longest schedule is what there is room for. */
static void roundrobin_init(struct balancer *balancer)
{
	size_t nservers = balancer->conf->nservers;

	balancer->schedule_max = nservers > 1 ? ROUNDROBIN_SCHEDULE_MAX : 0;
	balancer->schedule = balance_alloc(balancer->schedule_max, sizeof(*balancer->schedule));
	balancer->currents = balance_alloc(nservers, sizeof(*balancer->currents));
}

static uint32_t roundrobin_gcd(uint32_t a, uint32_t b)
{
	while (b != 0) {
		uint32_t rest = a % b;

		a = b;
		b = rest;
	}
	return a;
}

/* One step of the smooth sequence: everyone gains its weight, the richest is chosen and pays the sum. */
static uint32_t roundrobin_step(struct balancer *balancer, uint32_t divisor, int32_t sum)
{
	int32_t *currents = balancer->currents;
	uint32_t best = 0;

	for (uint32_t i = 0; i < balancer->nusable; i++) {
		currents[i] += (int32_t)(balancer->usable[i].weight / divisor);
		if (currents[i] > currents[best])
			best = i;
	}
	currents[best] -= sum;
	return best;
}

static void roundrobin_rebuild(struct balancer *balancer)
{
	uint32_t divisor = 0;
	uint32_t length;

	balancer->nschedule = 0;
	if (balancer->equal_weights)
		return;
	for (uint32_t i = 0; i < balancer->nusable; i++)
		divisor = roundrobin_gcd(balancer->usable[i].weight, divisor);
	MUST(divisor > 0); /* no weight in the list is 0 */
	length = balance_weight_sum(balancer) / divisor;
	if (length > balancer->schedule_max || length > ROUNDROBIN_WORK_MAX / balancer->nusable)
		return;
	for (uint32_t i = 0; i < balancer->nusable; i++)
		balancer->currents[i] = 0;
	for (uint32_t i = 0; i < length; i++)
		balancer->schedule[i] = roundrobin_step(balancer, divisor, (int32_t)length);
	balancer->nschedule = length;
}

/* The next in a schedule: the list itself, or the table. */
static uint32_t roundrobin_pick_scheduled(
	struct balancer *balancer, const struct balance_ask *ask, uint32_t length)
{
	const uint32_t *schedule = balancer->nschedule > 0 ? balancer->schedule : NULL;
	uint32_t at = (uint32_t)(balance_turn(balancer) % length);
	uint32_t chosen = schedule != NULL ? schedule[at] : at;

	for (uint32_t skipped = 0; skipped < length; skipped++) {
		uint32_t position = schedule != NULL ? schedule[at] : at;

		if (!balance_unwanted(balancer, ask, position)) {
			balance_turn_skip(balancer, skipped);
			return position;
		}
		at = at + 1 < length ? at + 1 : 0;
	}
	return chosen;
}

static uint32_t roundrobin_pick_point(struct balancer *balancer)
{
	uint64_t point = balance_turn(balancer) * ROUNDROBIN_GOLDEN;

	return balance_at_weight(
		balancer, (uint32_t)((point >> 32) * balance_weight_sum(balancer) >> 32));
}

static uint32_t roundrobin_pick(struct balancer *balancer, const struct balance_ask *ask)
{
	uint32_t position;

	if (balancer->equal_weights)
		return roundrobin_pick_scheduled(balancer, ask, balancer->nusable);
	if (balancer->nschedule > 0)
		return roundrobin_pick_scheduled(balancer, ask, balancer->nschedule);
	position = roundrobin_pick_point(balancer);
	for (int draw = 0; draw < ROUNDROBIN_DRAWS_MAX; draw++) {
		if (!balance_unwanted(balancer, ask, position))
			return position;
		position = roundrobin_pick_point(balancer);
	}
	return balance_wanted_from(balancer, ask, position);
}

const struct balance_algorithm balance_roundrobin = {
	.init = roundrobin_init,
	.rebuild = roundrobin_rebuild,
	.pick = roundrobin_pick,
	.slowstart = true,
};
