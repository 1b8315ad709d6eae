/* Over all children: when the start is complete or hopeless, which generation serves, how everything ends.
 */
#include "master/children/supervisor.h"

#include <stdlib.h>

#include "common/channel.h"
#include "common/clock.h"
#include "common/log.h"
#include "common/memory.h"
#include "conf/conf.h"
#include "master/admin.h"
#include "master/children/process.h"
#include "master/config.h"
#include "master/listen/handover.h"

#define SUPERVISOR_STOP_GRACE_MS 2000 /* after the drain */
#define SUPERVISOR_STOP_NOW_MS   1000
#define SUPERVISOR_UNREADY                                                                         \
	2 /* deaths of one worker before it was ever ready: its generation is given up */

struct event *supervisor_event(struct event *event)
{
	return memory_or_exit(event, "supervisor");
}

struct process *supervisor_next_worker(struct supervisor *supervisor, struct process *after)
{
	struct generation *generation = TAILQ_FIRST(&supervisor->generations);

	if (after != NULL && after + 1 < after->home->workers + after->home->nworkers)
		return after + 1;
	if (after != NULL)
		generation = TAILQ_NEXT(after->home, link);
	return generation != NULL ? &generation->workers[0] : NULL;
}

struct generation *supervisor_serving(const struct supervisor *supervisor)
{
	return supervisor->serving;
}

const struct generations *supervisor_generations(const struct supervisor *supervisor)
{
	return &supervisor->generations;
}

/* ------------------------------------------------------------------ ready */

static struct handover_worker process_as_worker(const struct process *process)
{
	return (struct handover_worker){
		.slot = process->slot,
		.number = process->number,
		.generation = process->generation,
		.channel = process->state == PROCESS_READY ? process->channel : NULL,
	};
}

uint32_t supervisor_handover_workers(
	const struct generation *generation, struct handover_worker *workers_r)
{
	for (uint32_t i = 0; i < generation->nworkers; i++) {
		workers_r[i] = process_as_worker(&generation->workers[i]);
		workers_r[i].generation = generation->number;
	}
	return generation->nworkers;
}

static void supervisor_check_started(struct supervisor *supervisor)
{
	const struct generation *serving = supervisor->serving;
	bool ready = false;

	if (supervisor->started || supervisor->stopping)
		return;
	for (uint32_t i = 0; i < serving->nworkers; i++) {
		const struct process *process = &serving->workers[i];

		if (!process->was_ready && process->deaths == 0)
			return;
		ready = ready || process->state == PROCESS_READY;
	}
	if (!ready)
		return;
	supervisor->started = true;
	supervisor->handlers.on_started(supervisor->handlers.arg);
}

void supervisor_process_ready(struct supervisor *supervisor, struct process *process)
{
	const struct handover_worker worker = process_as_worker(process);

	if (process->role != CHILD_WORKER || supervisor->stopping)
		return;
	switch (process->home->state) {
	case GENERATION_PREPARING:
		if (generation_is_ready(process->home))
			supervisor->handlers.on_prepared(process->home, supervisor->handlers.arg);
		return;
	case GENERATION_SERVING:
		handover_ready(supervisor->handover, &worker);
		keeping_routes(supervisor);
		supervisor_check_started(supervisor);
		if (process->deaths > 0 && supervisor->handlers.on_returned != NULL)
			supervisor->handlers.on_returned(supervisor->handlers.arg);
		return;
	case GENERATION_LEAVING:
		return;
	}
}

/* ------------------------------------------------------------------ death */

/* No worker was ever ready, and each has tried often enough. */
static bool supervisor_hopeless(const struct supervisor *supervisor)
{
	const struct generation *serving = supervisor->serving;

	if (supervisor->started)
		return false;
	for (uint32_t i = 0; i < serving->nworkers; i++) {
		const struct process *process = &serving->workers[i];

		if (process->was_ready || process->deaths < SUPERVISOR_START_DEATHS)
			return false;
	}
	return true;
}

static bool supervisor_worker_died(struct supervisor *supervisor, struct process *process)
{
	switch (process->home->state) {
	case GENERATION_PREPARING:
		if (process->deaths < SUPERVISOR_UNREADY)
			return true;
		supervisor->handlers.on_unprepared(process->home,
			"a worker of the new generation dies before it is ready, see the log",
			supervisor->handlers.arg);
		return false;
	case GENERATION_SERVING:
		supervisor->restarts[process->number]++;
		supervisor_check_started(supervisor);
		return !supervisor->stopping;
	case GENERATION_LEAVING:
		break;
	}
	return false;
}

bool supervisor_process_died(struct supervisor *supervisor, struct process *process)
{
	if (process == supervisor->spare)
		return false;
	if (supervisor->stopping)
		return process == supervisor->keeper && !supervisor->keeper_stopping;
	if (process->role == CHILD_WORKER && supervisor_hopeless(supervisor)) {
		log_fatalx("no worker gets ready, giving up");
		supervisor->failed = true;
		supervisor_stop(supervisor, 0);
		return false;
	}
	if (process->role == CHILD_WORKER)
		return supervisor_worker_died(supervisor, process);
	process->home = supervisor->serving;
	return process->role != CHILD_ADMIN || admin_is_wanted(supervisor);
}

/* Generations of which nobody is left. */
static void supervisor_sweep(struct supervisor *supervisor)
{
	struct generation *generation = TAILQ_FIRST(&supervisor->generations);

	while (generation != NULL) {
		struct generation *next = TAILQ_NEXT(generation, link);

		if (generation->state == GENERATION_LEAVING && generation_is_empty(generation)) {
			supervisor->handlers.on_gone(generation, supervisor->handlers.arg);
			if (supervisor->checker.home == generation)
				supervisor->checker.home = supervisor->serving;
			if (supervisor->admin.home == generation)
				supervisor->admin.home = supervisor->serving;
			if (supervisor->keeper->home == generation)
				supervisor->keeper->home = supervisor->serving;
			if (supervisor->spare->home == generation)
				supervisor->spare->home = supervisor->serving;
			generation_free(supervisor, generation);
		}
		generation = next;
	}
}

static bool supervisor_has_workers(struct supervisor *supervisor)
{
	struct process *worker = NULL;

	while ((worker = supervisor_next_worker(supervisor, worker)) != NULL) {
		if (worker->state != PROCESS_GONE)
			return true;
	}
	return false;
}

/* The keeper goes last: until then it has what the others might want. */
static void supervisor_stop_keeper(struct supervisor *supervisor)
{
	const struct timeval limit = clock_timeval(SUPERVISOR_STOP_NOW_MS);

	if (supervisor->keeper_stopping)
		return;
	supervisor->keeper_stopping = true;
	process_stop(supervisor->keeper, 0);
	evtimer_add(supervisor->stop_timer, &limit);
}

void supervisor_check_done(struct supervisor *supervisor)
{
	supervisor_sweep(supervisor);
	if (!supervisor->stopping || supervisor->done || supervisor_has_workers(supervisor))
		return;
	keeping_give_up(supervisor);
	admin_stop(supervisor);
	if (supervisor->checker.state != PROCESS_GONE || supervisor->admin.state != PROCESS_GONE)
		return;
	supervisor_stop_keeper(supervisor);
	if (supervisor->keeper->state != PROCESS_GONE || supervisor->spare->state != PROCESS_GONE)
		return;
	supervisor->done = true;
	supervisor->handlers.on_done(supervisor->failed, supervisor->handlers.arg);
}

/* ------------------------------------------------------------------ start and end */

static void on_watch_timer(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	supervisor_watch(arg);
}

static void supervisor_finish_off(struct process *process)
{
	if (!process_alive(process))
		return;
	log_warnx("%s (pid %d) has not ended, killing it", process->name, (int)process->pid);
	process_kill(process);
}

/* The drain has had its time, or nobody wants to wait any longer. */
static void on_stop_timer(evutil_socket_t fd, short what, void *arg)
{
	struct supervisor *supervisor = arg;
	struct process *worker = NULL;

	(void)fd;
	(void)what;
	while ((worker = supervisor_next_worker(supervisor, worker)) != NULL)
		supervisor_finish_off(worker);
	supervisor_finish_off(&supervisor->checker);
	if (supervisor->keeper_stopping)
		supervisor_finish_off(supervisor->keeper);
}

/* What a master before us counted goes on. */
static void supervisor_count_restarts(struct supervisor *supervisor)
{
	struct shm *shm = supervisor->env->shm;

	for (uint32_t i = 0; i < shm_master(shm)->slots; i++) {
		const struct shm_slot *slot = shm_slot(shm, i);

		if (slot->number < SHM_WORKERS_MAX &&
			supervisor->restarts[slot->number] < slot->restarts)
			supervisor->restarts[slot->number] = slot->restarts;
	}
}

struct supervisor *supervisor_new(struct event_base *base, const struct supervisor_env *env,
	struct handover *handover, const struct supervisor_handlers *handlers)
{
	struct supervisor *supervisor =
		memory_or_exit(calloc(1, sizeof(*supervisor)), "supervisor");

	supervisor->base = base;
	supervisor->env = env;
	supervisor->handover = handover;
	supervisor->handlers = *handlers;
	TAILQ_INIT(&supervisor->generations);
	keeping_init(supervisor);
	supervisor_count_restarts(supervisor);
	process_init(&supervisor->checker, supervisor, CHILD_CHECKER, 0);
	process_init(&supervisor->admin, supervisor, CHILD_ADMIN, 0);
	supervisor->keeper = &supervisor->keepers[0];
	supervisor->spare = &supervisor->keepers[1];
	process_init(supervisor->keeper, supervisor, CHILD_KEEPER, 0);
	process_init(supervisor->spare, supervisor, CHILD_KEEPER, 0);
	successor_init(supervisor);
	supervisor->watch =
		supervisor_event(event_new(base, -1, EV_PERSIST, on_watch_timer, supervisor));
	supervisor->stop_timer = supervisor_event(evtimer_new(base, on_stop_timer, supervisor));
	return supervisor;
}

void supervisor_start(struct supervisor *supervisor, struct config *config, uint32_t number)
{
	struct generation *first =
		generation_new(supervisor, number, config, config->conf->global.workers);

	generation_set_state(first, GENERATION_SERVING);
	supervisor->serving = supervisor->checker.home = supervisor->keeper->home = first;
	supervisor->admin.home = first;
	supervisor_watch_begin(supervisor);
	process_spawn(supervisor->keeper);
	supervisor_spawn(first);
	process_spawn(&supervisor->checker);
	admin_update(supervisor);
}

void supervisor_stop(struct supervisor *supervisor, uint32_t drain_ms)
{
	struct process *worker = NULL;
	struct timeval limit;

	supervisor->stopping = true;
	successor_give_up(supervisor, "proxyd stops");
	handover_stop(supervisor->handover);
	keeping_drop_listeners(supervisor);
	while ((worker = supervisor_next_worker(supervisor, worker)) != NULL)
		process_stop(worker, drain_ms);
	process_stop(&supervisor->checker, drain_ms);
	if (drain_ms != CONF_FOREVER) {
		limit = clock_timeval(drain_ms);
		limit.tv_sec +=
			(drain_ms == 0 ? SUPERVISOR_STOP_NOW_MS : SUPERVISOR_STOP_GRACE_MS) / 1000;
		evtimer_add(supervisor->stop_timer, &limit);
	}
}

void supervisor_free(struct supervisor *supervisor)
{
	struct generation *generation;

	if (supervisor == NULL)
		return;
	keeping_deinit(supervisor);
	process_deinit(&supervisor->checker);
	process_deinit(&supervisor->admin);
	successor_deinit(supervisor);
	process_deinit(supervisor->keeper);
	process_deinit(supervisor->spare);
	while ((generation = TAILQ_FIRST(&supervisor->generations)) != NULL)
		generation_free(supervisor, generation);
	event_free(supervisor->watch);
	event_free(supervisor->stop_timer);
	free(supervisor);
}
