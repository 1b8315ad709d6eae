/* Rise and fall themselves are state.c's. */
#include "worker/checker/verdict.h"

#include "common/check_result.h"
#include "common/clock.h"
#include "common/instances.h"
#include "common/log.h"
#include "common/shm.h"
#include "conf/conf.h"

static struct shm_health *verdict_health(struct shm *shm, const struct conf_server *server)
{
	return &shm_checker(shm)->servers[server->place];
}

/* Without an address nothing can connect, whether there is a check or not. */
enum check_target verdict_target(
	const struct conf_backend *backend, const struct conf_server *server)
{
	if (server->naddrs == 0 && !server->dynamic)
		return TARGET_UNRESOLVED;
	if (backend->check.type == CHECK_NONE)
		return TARGET_UNCHECKED;
	if (server->has_check_address && server->ncheck_addrs == 0)
		return TARGET_UNRESOLVED;
	return TARGET_CHECKED;
}

struct check_state verdict_state(struct shm *shm, const struct conf_server *server)
{
	struct shm_health *health = verdict_health(shm, server);

	return (struct check_state){
		.health = atomic_load_explicit(&health->health, memory_order_relaxed),
		.streak = atomic_load_explicit(&health->streak, memory_order_relaxed),
		.checks = atomic_load_explicit(&health->checks, memory_order_relaxed),
	};
}

static void verdict_store_result(
	struct shm_health *health, enum check_result result, uint32_t detail)
{
	atomic_store_explicit(&health->detail, detail, memory_order_relaxed);
	atomic_store_explicit(&health->result, result, memory_order_relaxed);
}

/* The epoch moves after the health has, or a worker could take the old health for the new epoch's. */
static void verdict_store(struct shm *shm, const struct conf_backend *backend,
	const struct conf_server *server, const struct check_state *state)
{
	struct shm_health *health = verdict_health(shm, server);
	uint32_t before =
		atomic_exchange_explicit(&health->health, state->health, memory_order_relaxed);

	atomic_store_explicit(&health->streak, state->streak, memory_order_relaxed);
	atomic_store_explicit(&health->checks, state->checks, memory_order_relaxed);
	if (before == (uint32_t)state->health)
		return;
	atomic_store_explicit(&health->last_change_ms, clock_now_ms(), memory_order_relaxed);
	shm_backend_changed(shm, backend->place);
}

void verdict_begin(
	struct shm *shm, const struct conf_backend *backend, const struct conf_server *server)
{
	struct shm_health *health = verdict_health(shm, server);
	enum check_target target = verdict_target(backend, server);
	struct check_state state = verdict_state(shm, server);
	bool fresh = atomic_load_explicit(&health->last_change_ms, memory_order_relaxed) == 0;
	struct instance instance;

	/* Not down: relays to the address that it had may go on. */
	if (server->dynamic && !instance_read(shm, server->place, &instance))
		target = TARGET_UNCHECKED;
	check_state_begin(&state, target);
	if (target == TARGET_UNRESOLVED)
		verdict_store_result(health, CHECKED_NO_ADDRESS, 0);
	else if (target == TARGET_UNCHECKED || state.checks == 0)
		verdict_store_result(health, CHECKED_NEVER, 0);
	verdict_store(shm, backend, server, &state);
	/* What is up from the beginning never came up: there is nothing to begin slowly. */
	if (fresh && state.health == HEALTH_UP)
		atomic_store_explicit(&health->last_change_ms, 0, memory_order_relaxed);
}

void verdict_forget(
	struct shm *shm, const struct conf_backend *backend, const struct conf_server *server)
{
	struct shm_shared_server *shared = &shm_shared(shm)->servers[server->place];
	const struct check_state nothing = { .health = HEALTH_NOCHECK };

	verdict_store(shm, backend, server, &nothing);
	/* The address that comes next is no server from the beginning: it begins slowly. */
	atomic_store_explicit(
		&verdict_health(shm, server)->last_change_ms, clock_now_ms(), memory_order_relaxed);
	atomic_store_explicit(&shared->fails, 0, memory_order_relaxed);
	atomic_store_explicit(&shared->ejections, 0, memory_order_relaxed);
	atomic_store_explicit(&shared->ejected_until_ms, 0, memory_order_relaxed);
	atomic_store_explicit(&shared->latency_at_ms, 0, memory_order_relaxed);
	atomic_store_explicit(&shared->latency_us, 0, memory_order_relaxed);
}

static void verdict_log(struct shm *shm, const struct conf_backend *backend,
	const struct conf_server *server, enum health health, uint32_t in_a_row)
{
	const struct shm_health *last = verdict_health(shm, server);
	uint32_t active = atomic_load_explicit(
		&shm_shared(shm)->servers[server->place].active, memory_order_relaxed);
	const char *plural = in_a_row == 1 ? "" : "s in a row";
	char why[128];

	check_result_describe(atomic_load_explicit(&last->result, memory_order_relaxed),
		atomic_load_explicit(&last->detail, memory_order_relaxed), why, sizeof(why));
	if (health == HEALTH_DOWN)
		log_server(LOG_LEVEL_WARN, backend->name, server->name, active,
			"is down: %s (%u check%s)", why, in_a_row, plural);
	else
		log_server(LOG_LEVEL_INFO, backend->name, server->name, active,
			"is up (%u check%s)", in_a_row, plural);
}

void verdict_give(struct shm *shm, const struct conf_backend *backend,
	const struct conf_server *server, enum check_result result, uint32_t detail)
{
	struct shm_health *health = verdict_health(shm, server);
	struct check_state state = verdict_state(shm, server);
	uint32_t in_a_row = state.streak + 1;
	bool changed = check_state_step(
		&state, result == CHECKED_OK, backend->check.rise, backend->check.fall);

	verdict_store_result(health, result, detail);
	atomic_store_explicit(&health->last_check_ms, clock_now_ms(), memory_order_relaxed);
	verdict_store(shm, backend, server, &state);
	if (changed)
		verdict_log(shm, backend, server, state.health, in_a_row);
}

bool verdict_is_maint(struct shm *shm, const struct conf_server *server)
{
	return atomic_load_explicit(&shm_master(shm)->admin[server->place].state,
		       memory_order_relaxed) == ADMIN_MAINT;
}

void verdict_forget_streak(struct shm *shm, const struct conf_server *server)
{
	atomic_store_explicit(&verdict_health(shm, server)->streak, 0, memory_order_relaxed);
}
