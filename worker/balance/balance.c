/* The balancer: which servers can be chosen now, as a list that is made anew only when something changed,
 * and the choice of the algorithm. The algorithms are in files of their own; algorithms.h is between them.
 */
#include "worker/balance/balance.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/child.h"
#include "common/log.h"
#include "worker/balance/algorithms.h"

static const struct balance_algorithm *const balance_algorithms[] = {
	[BALANCE_ROUNDROBIN] = &balance_roundrobin,
	[BALANCE_LEASTCONN] = &balance_leastconn,
	[BALANCE_RANDOM] = &balance_random,
	[BALANCE_FIRST] = &balance_first,
	[BALANCE_SOURCE] = &balance_source,
};

/* What keeps a server from being chosen, the lasting reasons first. */
enum balance_obstacle {
	OBSTACLE_NONE,
	OBSTACLE_EJECTED, /* does not count when nobody is free of obstacles */
	OBSTACLE_WEIGHT,
	OBSTACLE_ADDRESS,
	OBSTACLE_DOWN,
	OBSTACLES,
};

void *balance_alloc(size_t count, size_t bytes)
{
	void *memory = calloc(count > 0 ? count : 1, bytes);

	if (memory == NULL) {
		log_fatalx("no memory for a balancer");
		exit(EXIT_CODE_FAILED);
	}
	return memory;
}

struct balancer *balancer_new(const struct conf_backend *conf, struct shm *shm, uint64_t seed)
{
	struct balancer *balancer = balance_alloc(1, sizeof(*balancer));

	MUST(conf->place < SHM_BACKENDS_MAX);
	MUST((size_t)conf->balance < NELEMS(balance_algorithms));
	balancer->conf = conf;
	balancer->shared = shm_shared(shm);
	balancer->checker = shm_checker(shm);
	balancer->algorithm = balance_algorithms[conf->balance];
	balancer->epoch = &balancer->shared->backends[conf->place].epoch;
	balancer->cursor = &balancer->shared->backends[conf->place].cursor;
	balancer->random = seed;
	balancer->usable = balance_alloc(conf->nservers, sizeof(*balancer->usable));
	if (balancer->algorithm->init != NULL)
		balancer->algorithm->init(balancer);
	return balancer;
}

void balancer_free(struct balancer *balancer)
{
	if (balancer == NULL)
		return;
	free(balancer->usable);
	free(balancer->schedule);
	free(balancer->currents);
	free(balancer->name_hashes);
	free(balancer);
}

static uint64_t balancer_ejected_until(
	const struct balancer *balancer, const struct conf_server *server)
{
	return atomic_load_explicit(
		&balancer->shared->servers[server->place].ejected_until_ms, memory_order_relaxed);
}

static enum balance_obstacle balancer_obstacle(
	const struct balancer *balancer, const struct conf_server *server, uint64_t now_ms)
{
	if (server->weight == 0)
		return OBSTACLE_WEIGHT;
	if (server->naddrs == 0)
		return OBSTACLE_ADDRESS;
	if (atomic_load_explicit(&balancer->checker->servers[server->place].health,
		    memory_order_relaxed) == HEALTH_DOWN)
		return OBSTACLE_DOWN;
	if (balancer_ejected_until(balancer, server) > now_ms)
		return OBSTACLE_EJECTED;
	return OBSTACLE_NONE;
}

/* Make the list of those with at most this obstacle, and note when the first ejection runs out. */
static void balancer_collect(
	struct balancer *balancer, enum balance_obstacle worst, uint64_t now_ms)
{
	uint32_t weight_end = 0;

	balancer->nusable = 0;
	balancer->equal_weights = true;
	balancer->built_until_ms = UINT64_MAX;
	for (size_t i = 0; i < balancer->conf->nservers; i++) {
		const struct conf_server *server = &balancer->conf->servers[i];
		enum balance_obstacle obstacle = balancer_obstacle(balancer, server, now_ms);
		struct usable *usable = &balancer->usable[balancer->nusable];

		if (obstacle == OBSTACLE_EJECTED) {
			uint64_t until_ms = balancer_ejected_until(balancer, server);

			if (until_ms < balancer->built_until_ms)
				balancer->built_until_ms = until_ms;
		}
		if (obstacle > worst)
			continue;
		weight_end += server->weight;
		usable->index = (uint32_t)i;
		usable->place = server->place;
		usable->weight = server->weight;
		usable->weight_end = weight_end;
		if (usable->weight != balancer->usable[0].weight)
			balancer->equal_weights = false;
		balancer->nusable++;
	}
}

/* The epoch is read before the state that it stands for: a change in between makes the list old at once
 * instead of going unseen. */
static void balancer_rebuild(struct balancer *balancer, uint64_t now_ms)
{
	balancer->built_epoch = atomic_load_explicit(balancer->epoch, memory_order_acquire);
	balancer->built = true;
	balancer_collect(balancer, OBSTACLE_NONE, now_ms);
	if (balancer->nusable == 0)
		balancer_collect(balancer, OBSTACLE_EJECTED, now_ms);
	if (balancer->nusable > 0 && balancer->algorithm->rebuild != NULL)
		balancer->algorithm->rebuild(balancer);
}

int balancer_pick(struct balancer *balancer, const struct balance_ask *ask)
{
	uint32_t epoch = atomic_load_explicit(balancer->epoch, memory_order_relaxed);
	uint32_t position;

	if (!balancer->built || epoch != balancer->built_epoch ||
		ask->now_ms >= balancer->built_until_ms)
		balancer_rebuild(balancer, ask->now_ms);
	if (balancer->nusable == 0)
		return BALANCE_NOBODY;
	position = balancer->algorithm->pick(balancer, ask);
	MUST(position < balancer->nusable);
	return (int)balancer->usable[position].index;
}

const char *balancer_nobody_why(const struct balancer *balancer, char *buf, size_t buf_bytes)
{
	static const char *const texts[OBSTACLES] = {
		[OBSTACLE_NONE] = "up",
		[OBSTACLE_EJECTED] = "ejected",
		[OBSTACLE_WEIGHT] = "of weight 0",
		[OBSTACLE_ADDRESS] = "without an address",
		[OBSTACLE_DOWN] = "down",
	};
	size_t counts[OBSTACLES] = { 0 };
	size_t nservers = balancer->conf->nservers;
	size_t len = 0;

	if (nservers == 0) {
		snprintf(buf, buf_bytes, "the backend has no server");
		return buf;
	}
	for (size_t i = 0; i < nservers; i++)
		counts[balancer_obstacle(balancer, &balancer->conf->servers[i], UINT64_MAX)]++;
	for (size_t i = 0; i < OBSTACLES; i++) {
		if (counts[i] == nservers) {
			if (nservers == 1)
				snprintf(buf, buf_bytes, "the only server is %s", texts[i]);
			else
				snprintf(buf, buf_bytes, "all %zu servers are %s", nservers,
					texts[i]);
			return buf;
		}
		if (counts[i] > 0 && len < buf_bytes)
			len += (size_t)snprintf(buf + len, buf_bytes - len, "%s%zu %s",
				len > 0 ? ", " : "of the servers ", counts[i], texts[i]);
	}
	return buf;
}

bool balance_tried(
	const struct balancer *balancer, const struct balance_ask *ask, uint32_t position)
{
	for (size_t i = 0; i < ask->ntried; i++)
		if (ask->tried[i] == balancer->usable[position].index)
			return true;
	return false;
}

uint32_t balance_untried_from(
	const struct balancer *balancer, const struct balance_ask *ask, uint32_t start)
{
	uint32_t position = start;

	do {
		if (!balance_tried(balancer, ask, position))
			return position;
		position = position + 1 < balancer->nusable ? position + 1 : 0;
	} while (position != start);
	return start;
}

uint32_t balance_at_weight(const struct balancer *balancer, uint32_t point)
{
	uint32_t low = 0;
	uint32_t high = balancer->nusable - 1;

	while (low < high) {
		uint32_t middle = low + (high - low) / 2;

		if (point < balancer->usable[middle].weight_end)
			high = middle;
		else
			low = middle + 1;
	}
	return low;
}

static uint32_t first_pick(struct balancer *balancer, const struct balance_ask *ask)
{
	return balance_untried_from(balancer, ask, 0);
}

const struct balance_algorithm balance_first = { .pick = first_pick };
