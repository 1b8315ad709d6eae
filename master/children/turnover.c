/* One generation follows another: the part of the supervisor that a reload and a rebalance ask for.
 */
#include <stdio.h>

#include "common/channel.h"
#include "common/clock.h"
#include "conf/conf.h"
#include "master/admin.h"
#include "master/children/process.h"
#include "master/config.h"

#define TURNOVER_STOP_MS 1000 /* for who has nothing left to do */

size_t supervisor_targets(struct supervisor *supervisor, struct route_target *targets_r)
{
	const struct generation *serving = supervisor->serving;
	size_t n = 0;

	for (uint32_t i = 0; i < serving->nworkers; i++) {
		const struct process *worker = &serving->workers[i];

		if (worker->state != PROCESS_READY || worker->killed)
			continue;
		targets_r[n++] = (struct route_target){
			.slot = worker->slot,
			.relays = shm_slot(supervisor->env->shm, worker->slot)->active,
		};
	}
	return n;
}

void supervisor_spawn(struct generation *generation)
{
	for (uint32_t i = 0; i < generation->nworkers; i++)
		process_spawn(&generation->workers[i]);
}

struct generation *supervisor_prepare(
	struct supervisor *supervisor, struct config *config, uint32_t number)
{
	struct generation *generation =
		generation_new(supervisor, number, config, config->conf->global.workers);

	supervisor_spawn(generation);
	return generation;
}

static void supervisor_swap_checker(struct supervisor *supervisor, struct generation *generation)
{
	struct process *checker = &supervisor->checker;

	if (process_alive(checker)) {
		process_stop(checker, 0);
		checker->end_by_ms = clock_now_ms() + TURNOVER_STOP_MS;
	} else {
		checker->home = generation;
	}
}

void supervisor_commit(
	struct supervisor *supervisor, struct generation *generation, uint32_t drain_ms)
{
	struct generation *old = supervisor->serving;

	MUST(generation->state == GENERATION_PREPARING);
	generation_set_state(old, GENERATION_LEAVING);
	generation_set_state(generation, GENERATION_SERVING);
	supervisor->serving = generation;
	supervisor_watch_begin(supervisor);
	for (uint32_t i = 0; i < old->nworkers; i++)
		process_leave(&old->workers[i], drain_ms);
	supervisor_count_carry(supervisor);
	keeping_listeners(supervisor);
	keeping_routes(supervisor);
	supervisor_swap_checker(supervisor, generation);
	if (admin_differs(old->config, generation->config))
		admin_replace(supervisor);
	else
		admin_update(supervisor);
}

void supervisor_abandon(struct generation *generation)
{
	MUST(generation->state == GENERATION_PREPARING);
	generation_set_state(generation, GENERATION_LEAVING);
	for (uint32_t i = 0; i < generation->nworkers; i++) {
		process_stop(&generation->workers[i], 0);
		generation->workers[i].end_by_ms = clock_now_ms() + TURNOVER_STOP_MS;
	}
}

uint32_t supervisor_room(struct supervisor *supervisor)
{
	const uint32_t used = shm_master(supervisor->env->shm)->slots;
	uint32_t room = SHM_SLOTS - used;

	for (uint32_t i = 0; i < used; i++)
		room += shm_slot(supervisor->env->shm, i)->state == SLOT_FREE;
	return room;
}

bool supervisor_cut_short(struct supervisor *supervisor)
{
	struct generation *generation;

	TAILQ_FOREACH(generation, &supervisor->generations, link) {
		if (generation->state != GENERATION_LEAVING || generation->cut_short)
			continue;
		generation->cut_short = true;
		for (uint32_t i = 0; i < generation->nworkers; i++) {
			process_stop(&generation->workers[i], 0);
			generation->workers[i].end_by_ms = clock_now_ms() + TURNOVER_STOP_MS;
		}
		return true;
	}
	return false;
}

void supervisor_shed(struct supervisor *supervisor, const struct route_move *move)
{
	const struct msg_shed shed = { .count = move->count };
	struct process *worker = NULL;

	while ((worker = supervisor_next_worker(supervisor, worker)) != NULL) {
		struct message message = { .type = M2W_SHED,
			.slot = worker->slot,
			.generation = worker->generation,
			.payload = &shed,
			.payload_bytes = sizeof(shed) };

		if (worker->slot != move->route.from || worker->state != PROCESS_READY)
			continue;
		keeping_route(supervisor, &move->route);
		channel_send(worker->channel, &message);
	}
}

void supervisor_set_closing(struct supervisor *supervisor, struct closing *closing)
{
	supervisor->closing = closing;
}

static struct process *supervisor_worker_at(struct supervisor *supervisor, uint32_t slot)
{
	struct process *worker = NULL;

	while ((worker = supervisor_next_worker(supervisor, worker)) != NULL) {
		if (worker->slot == slot && process_alive(worker))
			return worker;
	}
	return NULL;
}

pid_t supervisor_worker_pid(struct supervisor *supervisor, uint32_t slot)
{
	const struct process *worker = supervisor_worker_at(supervisor, slot);

	return worker != NULL ? worker->pid : 0;
}

pid_t supervisor_close(struct supervisor *supervisor, uint32_t slot, const struct msg_close *what)
{
	const struct process *worker = supervisor_worker_at(supervisor, slot);
	struct message message = {
		.type = M2W_CLOSE, .payload = what, .payload_bytes = sizeof(*what)
	};

	if (worker == NULL)
		return 0;
	message.slot = worker->slot;
	message.generation = worker->generation;
	channel_send(worker->channel, &message);
	return worker->pid;
}

const char *supervisor_who(
	struct supervisor *supervisor, uint32_t slot, char *buf, size_t buf_bytes)
{
	const struct process *worker = supervisor_worker_at(supervisor, slot);

	if (worker == NULL)
		return "no worker";
	snprintf(buf, buf_bytes, "%s (pid %d)", worker->name, (int)worker->pid);
	return buf;
}

void supervisor_listeners(struct supervisor *supervisor)
{
	keeping_listeners(supervisor);
	admin_update(supervisor);
}

void supervisor_listener_closed(struct supervisor *supervisor, uint32_t id)
{
	keeping_listener_closed(supervisor, id);
}
