/* The servers that can be chosen now, and their weights: from what the operator wants, what the checker
 * and the workers found, and how long a server has been up (slowstart).
 */
#include <string.h>

#include "common/instances.h"
#include "common/log.h"
#include "worker/balance/algorithms.h"

/* A server that comes up begins with 1 of 20 parts of its weight. */
#define SLOWSTART_PARTS   20
#define SLOWSTART_STEP_MS 100 /* between two lists, at least */

static uint64_t usable_ejected_until(struct shm *shm, const struct conf_server *server)
{
	return atomic_load_explicit(
		&shm_shared(shm)->servers[server->place].ejected_until_ms, memory_order_relaxed);
}

static bool usable_has_address(struct shm *shm, const struct conf_server *server)
{
	struct instance instance;

	return server->dynamic ? instance_read(shm, server->place, &instance) : server->naddrs > 0;
}

enum balance_obstacle balance_obstacle(
	struct shm *shm, const struct conf_server *server, uint64_t now_ms)
{
	const struct shm_admin *admin = &shm_master(shm)->admin[server->place];
	uint32_t state = atomic_load_explicit(&admin->state, memory_order_relaxed);

	if (state == ADMIN_MAINT)
		return OBSTACLE_MAINT;
	if (state != ADMIN_READY)
		return OBSTACLE_DRAIN;
	if (atomic_load_explicit(&admin->weight, memory_order_relaxed) == 0)
		return OBSTACLE_WEIGHT;
	if (!usable_has_address(shm, server))
		return OBSTACLE_ADDRESS;
	if (atomic_load_explicit(&shm_checker(shm)->servers[server->place].health,
		    memory_order_relaxed) == HEALTH_DOWN)
		return OBSTACLE_DOWN;
	if (usable_ejected_until(shm, server) > now_ms)
		return OBSTACLE_EJECTED;
	return OBSTACLE_NONE;
}

static bool usable_is_backup(struct shm *shm, const struct conf_server *server)
{
	struct instance instance;

	return server->backup ||
		(server->dynamic && instance_read(shm, server->place, &instance) &&
			instance.backup);
}

static enum balance_tier usable_tier(
	struct shm *shm, const struct conf_server *server, enum balance_obstacle obstacle)
{
	switch (obstacle) {
	case OBSTACLE_NONE:
		return usable_is_backup(shm, server) ? TIER_BACKUP : TIER_PRIMARY;
	case OBSTACLE_EJECTED:
		return usable_is_backup(shm, server) ? TIER_EJECTED_BACKUP : TIER_EJECTED_PRIMARY;
	case OBSTACLE_DOWN:
	case OBSTACLE_ADDRESS:
	case OBSTACLE_WEIGHT:
	case OBSTACLE_DRAIN:
	case OBSTACLE_MAINT:
	case OBSTACLES:
		break;
	}
	return TIER_NOBODY;
}

/* Every server's tier, and the first one that has a server. The list is true until the next ejection runs
 * out, whoever is in it. */
static enum balance_tier usable_tiers(struct balancer *balancer, uint64_t now_ms)
{
	enum balance_tier first = TIER_NOBODY;

	for (size_t i = 0; i < balancer->conf->nservers; i++) {
		const struct conf_server *server = &balancer->conf->servers[i];
		enum balance_obstacle obstacle = balance_obstacle(balancer->shm, server, now_ms);
		enum balance_tier tier = usable_tier(balancer->shm, server, obstacle);

		balancer->tiers[i] = (uint8_t)tier;
		if (tier < first)
			first = tier;
		if (obstacle == OBSTACLE_EJECTED) {
			uint64_t until_ms = usable_ejected_until(balancer->shm, server);

			if (until_ms < balancer->built_until_ms)
				balancer->built_until_ms = until_ms;
		}
	}
	return first;
}

/* How many of SLOWSTART_PARTS of its weight a server gets. Time advances in steps that are the same for
 * all servers and all workers: a backend whose servers all come up makes one list a step, and every
 * worker the same one. */
static uint32_t usable_parts(
	struct balancer *balancer, const struct conf_server *server, uint64_t now_ms)
{
	const struct shm_health *health = &shm_checker(balancer->shm)->servers[server->place];
	uint64_t slowstart_ms = balancer->conf->slowstart_ms;
	uint64_t step_ms = slowstart_ms / SLOWSTART_PARTS;
	uint64_t since_ms = atomic_load_explicit(&health->last_change_ms, memory_order_relaxed);
	uint64_t at_ms;

	if (since_ms == 0 || now_ms >= since_ms + slowstart_ms ||
		atomic_load_explicit(&health->health, memory_order_relaxed) != HEALTH_UP)
		return SLOWSTART_PARTS;
	if (step_ms < SLOWSTART_STEP_MS)
		step_ms = SLOWSTART_STEP_MS;
	at_ms = now_ms / step_ms * step_ms;
	if (at_ms + step_ms < balancer->built_until_ms)
		balancer->built_until_ms = at_ms + step_ms;
	if (at_ms <= since_ms)
		return 1;
	return 1 + (uint32_t)((at_ms - since_ms) * (SLOWSTART_PARTS - 1) / slowstart_ms);
}

static uint32_t usable_weight(
	struct balancer *balancer, const struct conf_server *server, uint64_t now_ms)
{
	uint32_t weight = atomic_load_explicit(
		&shm_master(balancer->shm)->admin[server->place].weight, memory_order_relaxed);
	struct instance instance;

	if (server->dynamic && instance_read(balancer->shm, server->place, &instance))
		weight = instance_weight(&instance, weight, server->weight);
	/* It may have become 0 since it was looked at: the epoch says so, soon. */
	if (weight == 0)
		weight = 1;
	if (weight > BALANCE_WEIGHT_MAX)
		weight = BALANCE_WEIGHT_MAX;
	if (!balancer->algorithm->slowstart || balancer->conf->slowstart_ms == 0)
		return weight;
	return weight * usable_parts(balancer, server, now_ms);
}

static void usable_collect(struct balancer *balancer, enum balance_tier tier, uint64_t now_ms)
{
	uint32_t weight_end = 0;

	for (size_t i = 0; i < balancer->conf->nservers; i++) {
		const struct conf_server *server = &balancer->conf->servers[i];
		struct usable *usable = &balancer->usable[balancer->nusable];

		if (balancer->tiers[i] != tier)
			continue;
		usable->index = (uint32_t)i;
		usable->place = server->place;
		usable->weight = usable_weight(balancer, server, now_ms);
		usable->maxconn = atomic_load_explicit(
			&shm_master(balancer->shm)->admin[server->place].maxconn,
			memory_order_relaxed);
		weight_end += usable->weight;
		usable->weight_end = weight_end;
		if (usable->weight != balancer->usable[0].weight)
			balancer->equal_weights = false;
		if (usable->maxconn > 0)
			balancer->limited = true;
		balancer->nusable++;
	}
}

static void usable_guide(struct balancer *balancer)
{
	uint32_t sum = balance_weight_sum(balancer);
	uint32_t position = 0;

	balancer->guide_shift = 0;
	while ((sum - 1) >> balancer->guide_shift >= balancer->nusable)
		balancer->guide_shift++;
	balancer->nguide = ((sum - 1) >> balancer->guide_shift) + 1;
	for (uint32_t k = 0; k < balancer->nguide; k++) {
		while (balancer->usable[position].weight_end <= k << balancer->guide_shift)
			position++;
		balancer->guide[k] = position;
	}
}

/* Every worker notices, one of them says it: who exchanges the value. */
static void usable_panic(struct balancer *balancer, enum balance_tier tier)
{
	uint32_t panic = tier == TIER_EJECTED_PRIMARY || tier == TIER_EJECTED_BACKUP;

	if (atomic_load_explicit(&balancer->backend->panic, memory_order_relaxed) == panic)
		return;
	if (atomic_exchange_explicit(&balancer->backend->panic, panic, memory_order_relaxed) ==
		panic)
		return;
	if (panic)
		log_warnx("backend %s: no server is left but ejected ones: %u of them serve",
			balancer->conf->name, balancer->nusable);
	else if (tier == TIER_NOBODY)
		log_warnx("backend %s: no server is left, not even ejected ones",
			balancer->conf->name);
	else
		log_info("backend %s: has servers again that are not ejected: %u",
			balancer->conf->name, balancer->nusable);
}

void balance_list(struct balancer *balancer, uint64_t now_ms)
{
	enum balance_tier tier;

	balancer->nusable = 0;
	balancer->equal_weights = true;
	balancer->limited = false;
	balancer->built_until_ms = UINT64_MAX;
	tier = usable_tiers(balancer, now_ms);
	if (tier != TIER_NOBODY) {
		usable_collect(balancer, tier, now_ms);
		usable_guide(balancer);
	}
	usable_panic(balancer, tier);
}
