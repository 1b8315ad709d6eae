/* The balancer: the choice of the algorithm, from a list of servers that is made anew only when something
 * changed (usable.c). The algorithms are in files of their own; algorithms.h is between them.
 */
#include "worker/balance/balance.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/child.h"
#include "common/log.h"
#include "worker/balance/algorithms.h"
#include "worker/balance/passive.h"

static const struct balance_algorithm *const balance_algorithms[] = {
	[BALANCE_ROUNDROBIN] = &balance_roundrobin,
	[BALANCE_LEASTCONN] = &balance_leastconn,
	[BALANCE_RANDOM] = &balance_random,
	[BALANCE_FIRST] = &balance_first,
	[BALANCE_SOURCE] = &balance_source,
	[BALANCE_MAGLEV] = &balance_maglev,
	[BALANCE_LATENCY] = &balance_latency,
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
	balancer->shm = shm;
	balancer->shared = shm_shared(shm);
	balancer->backend = &balancer->shared->backends[conf->place];
	balancer->algorithm = balance_algorithms[conf->balance];
	balancer->random = seed;
	balancer->usable = balance_alloc(conf->nservers, sizeof(*balancer->usable));
	balancer->tiers = balance_alloc(conf->nservers, sizeof(*balancer->tiers));
	balancer->guide = balance_alloc(conf->nservers + 1, sizeof(*balancer->guide));
	if (balancer->algorithm->init != NULL)
		balancer->algorithm->init(balancer);
	return balancer;
}

void balancer_free(struct balancer *balancer)
{
	if (balancer == NULL)
		return;
	maglev_free(balancer->maglev);
	free(balancer->usable);
	free(balancer->tiers);
	free(balancer->guide);
	free(balancer->schedule);
	free(balancer->currents);
	free(balancer->name_hashes);
	free(balancer);
}

/* The epoch is read before the state that it stands for: a change in between makes the list old at once
 * instead of going unseen. */
static void balancer_rebuild(struct balancer *balancer, uint64_t now_ms)
{
	balancer->built_epoch =
		atomic_load_explicit(&balancer->backend->epoch, memory_order_acquire);
	balancer->built = true;
	balance_list(balancer, now_ms);
	if (balancer->nusable > 0 && balancer->algorithm->rebuild != NULL)
		balancer->algorithm->rebuild(balancer);
}

/* The algorithm gives a full server when all are full or tried: then one that was only tried serves. */
static int balancer_not_full_from(const struct balancer *balancer, uint32_t start)
{
	static const struct balance_ask nobody_tried;
	uint32_t position = balance_wanted_from(balancer, &nobody_tried, start);

	if (balance_full(balancer, position))
		return BALANCE_FULL;
	return (int)balancer->usable[position].index;
}

static void balancer_look(struct balancer *balancer, uint64_t now_ms)
{
	uint32_t epoch = atomic_load_explicit(&balancer->backend->epoch, memory_order_relaxed);

	if (!balancer->built || epoch != balancer->built_epoch ||
		now_ms >= balancer->built_until_ms)
		balancer_rebuild(balancer, now_ms);
}

int balancer_pick(struct balancer *balancer, const struct balance_ask *ask)
{
	uint32_t position;

	balancer_look(balancer, ask->now_ms);
	if (balancer->nusable == 0)
		return BALANCE_NOBODY;
	position = balancer->algorithm->pick(balancer, ask);
	MUST(position < balancer->nusable);
	if (balancer->limited && balance_full(balancer, position))
		return balancer_not_full_from(balancer, position);
	return (int)balancer->usable[position].index;
}

int balancer_pick_proven(struct balancer *balancer, const struct balance_ask *ask)
{
	struct balance_ask proven = *ask;

	proven.proven = true;
	balancer_look(balancer, ask->now_ms);
	for (uint32_t i = 0; i < balancer->nusable; i++) {
		if (balance_unwanted(balancer, &proven, i))
			continue;
		/* Another worker may hear of a failure between the two. */
		return balancer_pick(balancer, &proven);
	}
	return BALANCE_NOBODY;
}

/* By obstacle. Returns how many servers there are: instances of a name that it does not need do not count. */
static size_t balancer_count_obstacles(const struct balancer *balancer, size_t counts[OBSTACLES])
{
	size_t n = 0;

	for (size_t i = 0; i < balancer->conf->nservers; i++) {
		const struct conf_server *server = &balancer->conf->servers[i];
		enum balance_obstacle obstacle =
			balance_obstacle(balancer->shm, server, UINT64_MAX);
		struct instance instance;

		if (server->dynamic && !instance_read(balancer->shm, server->place, &instance))
			continue;
		counts[obstacle]++;
		n++;
	}
	return n;
}

const char *balancer_nobody_why(const struct balancer *balancer, char *buf, size_t buf_bytes)
{
	static const char *const texts[OBSTACLES] = {
		[OBSTACLE_NONE] = "up",
		[OBSTACLE_EJECTED] = "ejected",
		[OBSTACLE_DOWN] = "down",
		[OBSTACLE_ADDRESS] = "without an address",
		[OBSTACLE_WEIGHT] = "of weight 0",
		[OBSTACLE_DRAIN] = "draining",
		[OBSTACLE_MAINT] = "in maintenance",
	};
	size_t counts[OBSTACLES] = { 0 };
	size_t nservers = balancer->conf->nservers;
	size_t len = 0;

	if (nservers == 0) {
		snprintf(buf, buf_bytes, "the backend has no server");
		return buf;
	}
	nservers = balancer_count_obstacles(balancer, counts);
	if (nservers == 0) {
		snprintf(buf, buf_bytes, "no name of its servers has an address");
		return buf;
	}
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

bool balance_proven(
	const struct balancer *balancer, const struct balance_ask *ask, uint32_t position)
{
	return passive_proven(
		balancer->conf, balancer->shm, balancer->usable[position].index, ask->now_ms);
}

uint32_t balance_wanted_from(
	const struct balancer *balancer, const struct balance_ask *ask, uint32_t start)
{
	uint32_t position = start;

	do {
		if (!balance_unwanted(balancer, ask, position))
			return position;
		position = position + 1 < balancer->nusable ? position + 1 : 0;
	} while (position != start);
	return start;
}

/* The guide leaves few positions to look through, so a search costs the same for any number of servers. */
uint32_t balance_at_weight(const struct balancer *balancer, uint32_t point)
{
	uint32_t k = point >> balancer->guide_shift;
	uint32_t low = balancer->guide[k];
	uint32_t high = k + 1 < balancer->nguide ? balancer->guide[k + 1] : balancer->nusable - 1;

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
	return balance_wanted_from(balancer, ask, 0);
}

const struct balance_algorithm balance_first = { .pick = first_pick };
