/* Arithmetic only.
 */
#include "master/children/route.h"

#include "common/must.h"

static size_t route_least(const struct route_target *targets, size_t ntargets, uint32_t turn)
{
	size_t least = turn % ntargets;

	for (size_t i = 1; i < ntargets; i++) {
		const size_t at = (turn + i) % ntargets;

		if (targets[at].relays < targets[least].relays)
			least = at;
	}
	return least;
}

/* The keeper takes the entries of a route in turn, so each stands for the same share of the relays. */
void route_fill(struct msg_route *route_r, struct route_target *targets, size_t ntargets,
	uint64_t relays, uint32_t turn)
{
	uint64_t left = relays;

	route_r->count = 0;
	for (uint32_t i = 0; ntargets > 0 && i < MESSAGE_ROUTE_MAX; i++) {
		const uint64_t entries = MESSAGE_ROUTE_MAX - i;
		const uint64_t share = (left + entries - 1) / entries;
		const size_t at = route_least(targets, ntargets, turn + i);

		route_r->to[route_r->count++] = targets[at].slot;
		targets[at].relays += share;
		left -= share;
	}
}

static uint64_t route_total(const struct route_target *workers, size_t nworkers)
{
	uint64_t total = 0;

	for (size_t i = 0; i < nworkers; i++)
		total += workers[i].relays;
	return total;
}

size_t route_even_out(struct route_target *workers, size_t nworkers, struct route_move *moves_r)
{
	uint64_t share;
	size_t nmoves = 0;
	struct route_target below[SHM_WORKERS_MAX];
	size_t nbelow = 0;

	MUST(nworkers <= SHM_WORKERS_MAX);
	if (nworkers < 2)
		return 0;
	share = route_total(workers, nworkers) / nworkers;
	for (size_t i = 0; i < nworkers; i++) {
		if (workers[i].relays < share)
			below[nbelow++] = workers[i];
	}
	for (size_t i = 0; i < nworkers && nbelow > 0; i++) {
		struct route_move *move = &moves_r[nmoves];

		if (workers[i].relays <= share + 1)
			continue;
		move->count = (uint32_t)(workers[i].relays - share);
		move->route.from = workers[i].slot;
		route_fill(&move->route, below, nbelow, move->count, 0);
		nmoves++;
	}
	return nmoves;
}

uint32_t route_spread_pct(const struct route_target *workers, size_t nworkers)
{
	const uint64_t total = route_total(workers, nworkers);
	uint64_t most = 0;

	if (total == 0)
		return 0;
	for (size_t i = 0; i < nworkers; i++) {
		if (workers[i].relays > most)
			most = workers[i].relays;
	}
	return (uint32_t)((most * nworkers - total) * 100 / total);
}
