/* The server that would take a connection the soonest: the recent time to connect times the relays it has
 * and the one to come, for its weight. Few servers are all looked at, from the shared cursor on, so that
 * equal ones come in turn; of many, the better of two draws by weight.
 *
 * Times below LATENCY_LEAST_US are all the same: that is the noise of a local network, and an old time
 * that has faded to nothing must not draw everything to its server. A server that nobody measured yet gets
 * one connection, and no more before that one told its time.
 */
#include "worker/balance/latency.h"

#include <math.h>

#include "worker/balance/algorithms.h"

#define LATENCY_TAU_MS   10000.0
#define LATENCY_LEAST_US 100
#define LATENCY_NEVER_US UINT32_MAX
#define LATENCY_SCAN_MAX 16
#define LATENCY_DRAWS    2

/* What is left of a time after this long. Clocks of two processes may be a tick apart. */
static double latency_fade(uint32_t latency_us, uint64_t at_ms, uint64_t now_ms)
{
	if (now_ms <= at_ms)
		return latency_us;
	return latency_us * exp(-(double)(now_ms - at_ms) / LATENCY_TAU_MS);
}

/* Two workers that observe in the same instant may lose one of the two. */
void latency_observe(const struct conf_backend *conf, struct shm *shm, uint32_t server,
	uint64_t connect_us, uint64_t now_ms)
{
	struct shm_shared_server *shared;
	uint64_t at_ms;
	double old_us;
	double new_us = connect_us < LATENCY_NEVER_US ? (double)connect_us : LATENCY_NEVER_US;

	if (conf->balance != BALANCE_LATENCY)
		return;
	MUST(server < conf->nservers && conf->servers[server].place < SHM_SERVERS_MAX);
	shared = &shm_shared(shm)->servers[conf->servers[server].place];
	at_ms = atomic_load_explicit(&shared->latency_at_ms, memory_order_relaxed);
	if (at_ms > 0) {
		uint32_t latency_us =
			atomic_load_explicit(&shared->latency_us, memory_order_relaxed);

		old_us = latency_fade(latency_us, at_ms, now_ms);
		/* The shorter the time since, the less a good one counts. */
		if (old_us > new_us && latency_us > 0)
			new_us = old_us + new_us * (1 - old_us / latency_us);
	}
	atomic_store_explicit(&shared->latency_us, (uint32_t)new_us, memory_order_relaxed);
	atomic_store_explicit(&shared->latency_at_ms, now_ms, memory_order_relaxed);
}

static double latency_cost(const struct balancer *balancer, uint32_t position, uint64_t now_ms)
{
	const struct usable *usable = &balancer->usable[position];
	const struct shm_shared_server *shared = &balancer->shared->servers[usable->place];
	uint64_t at_ms = atomic_load_explicit(&shared->latency_at_ms, memory_order_relaxed);
	uint32_t active = balance_active(balancer, position);
	double us = LATENCY_LEAST_US;

	if (at_ms == 0 && active > 0)
		us = LATENCY_NEVER_US;
	else if (at_ms != 0)
		us = latency_fade(atomic_load_explicit(&shared->latency_us, memory_order_relaxed),
			at_ms, now_ms);
	if (us < LATENCY_LEAST_US)
		us = LATENCY_LEAST_US;
	return us * (active + 1.0) / usable->weight;
}

static uint32_t latency_scan(struct balancer *balancer, const struct balance_ask *ask)
{
	uint32_t n = balancer->nusable;
	uint32_t position = (uint32_t)(balance_turn(balancer) % n);
	uint32_t best = position;
	uint32_t best_distance = 0;
	double best_cost = INFINITY;

	for (uint32_t distance = 0; distance < n; distance++) {
		double cost = latency_cost(balancer, position, ask->now_ms);

		if (cost < best_cost && !balance_unwanted(balancer, ask, position)) {
			best = position;
			best_distance = distance;
			best_cost = cost;
		}
		position = position + 1 < n ? position + 1 : 0;
	}
	balance_turn_skip(balancer, best_distance);
	return best;
}

static uint32_t latency_pick(struct balancer *balancer, const struct balance_ask *ask)
{
	uint32_t best;

	if (balancer->nusable <= LATENCY_SCAN_MAX)
		return latency_scan(balancer, ask);
	best = balance_draw(balancer, ask);
	for (int draw = 1; draw < LATENCY_DRAWS; draw++) {
		uint32_t position = balance_draw(balancer, ask);

		if (latency_cost(balancer, position, ask->now_ms) <
			latency_cost(balancer, best, ask->now_ms))
			best = position;
	}
	return best;
}

const struct balance_algorithm balance_latency = { .pick = latency_pick, .slowstart = true };
