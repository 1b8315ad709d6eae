/* The same client host goes to the same server: weighted rendezvous hashing. Every server draws a number
 * from the client's address and its own name, and the highest, for its weight, wins. A server that leaves
 * moves only its own clients, one that comes takes its share evenly, and no state is needed: all workers,
 * and every machine with the same configuration, agree.
 *
 * Every pick looks at every server. A backend of more than SOURCE_RENDEZVOUS_MAX servers takes maglev's table
 * instead, so that a pick costs the same for any number; a server that leaves may then move a few clients of
 * others too. What counts is how many are configured: that one goes down must not change the method.
 */
#include <math.h>
#include <string.h>
#include <xxhash.h>

#include "worker/balance/algorithms.h"

#define SOURCE_RENDEZVOUS_MAX 64

static void source_init(struct balancer *balancer)
{
	const struct conf_backend *conf = balancer->conf;

	if (conf->nservers > SOURCE_RENDEZVOUS_MAX) {
		balancer->maglev = maglev_new(conf);
		return;
	}
	balancer->name_hashes = balance_alloc(conf->nservers, sizeof(*balancer->name_hashes));
	for (size_t i = 0; i < conf->nservers; i++)
		balancer->name_hashes[i] =
			XXH3_64bits(conf->servers[i].name, strlen(conf->servers[i].name));
}

/* The server's draw for this client, evenly spread over 64 bits (the finaliser of splitmix64). */
static uint64_t source_draw(const struct balancer *balancer, uint32_t position, uint64_t client)
{
	uint64_t x = client ^ balancer->name_hashes[balancer->usable[position].index];

	x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ULL;
	x = (x ^ (x >> 27)) * 0x94d049bb133111ebULL;
	return x ^ (x >> 31);
}

/* With equal weights the highest draw has the lowest cost, so both searches give the same server. */
static uint32_t source_pick_equal(
	const struct balancer *balancer, const struct balance_ask *ask, uint64_t client)
{
	uint32_t best = UINT32_MAX;
	uint64_t best_draw = 0;

	for (uint32_t i = 0; i < balancer->nusable; i++) {
		uint64_t draw = source_draw(balancer, i, client);

		if (best != UINT32_MAX && draw <= best_draw)
			continue;
		if (balance_unwanted(balancer, ask, i))
			continue;
		best = i;
		best_draw = draw;
	}
	return best;
}

/* The cost of a draw u from (0, 1) is -ln(u) / weight. As -ln(u) >= 1 - u, the logarithm is only worked
 * out for the few that can win. */
static uint32_t source_pick_weighted(
	const struct balancer *balancer, const struct balance_ask *ask, uint64_t client)
{
	uint32_t best = UINT32_MAX;
	double best_cost = INFINITY;

	for (uint32_t i = 0; i < balancer->nusable; i++) {
		uint64_t draw = source_draw(balancer, i, client);
		double u = ((double)(draw >> 11) + 0.5) * 0x1p-53;
		double weight = balancer->usable[i].weight;
		double cost;

		if (1.0 - u >= best_cost * weight || balance_unwanted(balancer, ask, i))
			continue;
		cost = -log(u) / weight;
		if (cost < best_cost) {
			best = i;
			best_cost = cost;
		}
	}
	return best;
}

/* UINT32_MAX when all are unwanted. */
static uint32_t source_pick_rendezvous(
	const struct balancer *balancer, const struct balance_ask *ask, uint64_t client)
{
	return balancer->equal_weights ? source_pick_equal(balancer, ask, client)
				       : source_pick_weighted(balancer, ask, client);
}

static uint32_t source_pick(struct balancer *balancer, const struct balance_ask *ask)
{
	struct balance_ask again = *ask;
	uint32_t position;
	uint64_t client;

	if (ask->source_bytes == 0)
		return balance_wanted_from(
			balancer, ask, (uint32_t)(balance_turn(balancer) % balancer->nusable));
	client = XXH3_64bits(ask->source, ask->source_bytes);
	if (balancer->maglev != NULL)
		return maglev_pick(balancer, ask, client);
	position = source_pick_rendezvous(balancer, ask, client);
	if (position != UINT32_MAX)
		return position;
	again.ntried = 0; /* all were tried, or are full: the first choice again */
	position = source_pick_rendezvous(balancer, &again, client);
	return position != UINT32_MAX ? position : 0;
}

static void source_rebuild(struct balancer *balancer)
{
	if (balancer->maglev != NULL)
		maglev_rebuild(balancer);
}

const struct balance_algorithm balance_source = {
	.init = source_init,
	.rebuild = source_rebuild,
	.pick = source_pick,
};
