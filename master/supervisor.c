/* Over all children: when the start is complete or hopeless, who is silent, how everything ends.
 */
#include "master/supervisor.h"

#include <stdlib.h>

#include "common/clock.h"
#include "common/log.h"
#include "conf/conf.h"
#include "master/handover.h"
#include "master/process.h"

#define SUPERVISOR_STARVED_LIMITS 5 /* times its limit: then even a child without CPU is given up */
#define SUPERVISOR_READY_MIN_MS   5000 /* a child may take this long to get ready, or 10 heartbeats */
#define SUPERVISOR_STOP_GRACE_MS  2000 /* after the drain */
#define SUPERVISOR_STOP_NOW_MS    1000

static uint32_t supervisor_nprocesses(const struct supervisor *supervisor)
{
	return supervisor->nworkers + 1;
}

struct timeval supervisor_timeval(uint32_t ms)
{
	return (struct timeval){ .tv_sec = ms / 1000, .tv_usec = (suseconds_t)(ms % 1000) * 1000 };
}

struct event *supervisor_event(struct event *event)
{
	if (event == NULL) {
		log_fatal("supervisor");
		exit(EXIT_CODE_FAILED);
	}
	return event;
}

static void supervisor_check_started(struct supervisor *supervisor)
{
	bool ready = false;

	if (supervisor->started || supervisor->stopping)
		return;
	for (uint32_t i = 0; i < supervisor->nworkers; i++) {
		const struct process *process = &supervisor->processes[i];

		if (!process->was_ready && process->deaths == 0)
			return;
		ready = ready || process->state == PROCESS_READY;
	}
	if (!ready)
		return;
	supervisor->started = true;
	supervisor->handlers.on_started(supervisor->handlers.arg);
}

void supervisor_process_ready(struct supervisor *supervisor)
{
	supervisor_check_started(supervisor);
}

static void supervisor_check_done(struct supervisor *supervisor)
{
	if (!supervisor->stopping || supervisor->done)
		return;
	for (uint32_t i = 0; i < supervisor_nprocesses(supervisor); i++) {
		if (supervisor->processes[i].state != PROCESS_GONE)
			return;
	}
	supervisor->done = true;
	supervisor->handlers.on_done(supervisor->failed, supervisor->handlers.arg);
}

/* No worker was ever ready, and each slot has tried often enough. */
static bool supervisor_hopeless(const struct supervisor *supervisor)
{
	for (uint32_t i = 0; i < supervisor->nworkers; i++) {
		const struct process *process = &supervisor->processes[i];

		if (process->was_ready || process->deaths < SUPERVISOR_START_DEATHS)
			return false;
	}
	return true;
}

bool supervisor_process_died(struct supervisor *supervisor)
{
	if (!supervisor->stopping && supervisor_hopeless(supervisor)) {
		log_fatalx("no worker gets ready, giving up");
		supervisor->failed = true;
		supervisor_stop(supervisor, 0);
		return true;
	}
	supervisor_check_started(supervisor);
	supervisor_check_done(supervisor);
	return supervisor->stopping;
}

static uint64_t process_heartbeat_ms(const struct process *process)
{
	struct shm *shm = process->supervisor->env->shm;

	switch (process->role) {
	case CHILD_WORKER:
		return shm_slot(shm, process->slot)->heartbeat_ms;
	case CHILD_CHECKER:
		return shm_checker(shm)->heartbeat_ms;
	case CHILD_KEEPER:
		break;
	}
	return shm_keeper(shm)->heartbeat_ms;
}

/* Since when it is silent, and how long it may be. */
static uint64_t process_silent_since_ms(
	const struct process *process, uint64_t timeout_ms, uint64_t *limit_ms_r)
{
	uint64_t since_ms = process->started_ms;

	*limit_ms_r = timeout_ms;
	if (process->state == PROCESS_READY)
		since_ms = process_heartbeat_ms(process);
	else if (10 * timeout_ms > SUPERVISOR_READY_MIN_MS)
		*limit_ms_r = 10 * timeout_ms;
	else
		*limit_ms_r = SUPERVISOR_READY_MIN_MS;
	if (since_ms < process->supervisor->grace_ms)
		since_ms = process->supervisor->grace_ms;
	return since_ms;
}

static void process_watch(struct process *process, uint64_t now_ms, uint32_t timeout_ms)
{
	uint64_t limit_ms;
	uint64_t since_ms;

	if (!process_alive(process) || process->killed)
		return;
	since_ms = process_silent_since_ms(process, timeout_ms, &limit_ms);
	if (now_ms <= since_ms + limit_ms / 4) {
		process->starved.since_ms = 0;
		return;
	}
	starved_sample(&process->starved, process->pid, now_ms);
	if (now_ms - since_ms <= limit_ms)
		return;
	if (now_ms - since_ms <= SUPERVISOR_STARVED_LIMITS * limit_ms &&
		starved_is(&process->starved, process->pid, now_ms))
		return;
	log_warnx("%s (pid %d) %s for %llu ms, killing it", process->name, (int)process->pid,
		process->state == PROCESS_READY ? "is silent" : "does not get ready",
		(unsigned long long)(now_ms - since_ms));
	process_kill(process);
}

static void on_watch_timer(evutil_socket_t fd, short what, void *arg)
{
	struct supervisor *supervisor = arg;
	uint32_t timeout_ms = supervisor->env->conf->global.heartbeat_timeout_ms;
	uint64_t now_ms = clock_now_ms();

	(void)fd;
	(void)what;
	/* When we were late ourselves (stopped, suspended, out of CPU), so were perhaps the children. */
	if (now_ms - supervisor->watched_ms > timeout_ms / 2)
		supervisor->grace_ms = now_ms;
	supervisor->watched_ms = now_ms;
	for (uint32_t i = 0; i < supervisor_nprocesses(supervisor); i++)
		process_watch(&supervisor->processes[i], now_ms, timeout_ms);
}

/* The drain has had its time, or nobody wants to wait any longer. */
static void on_stop_timer(evutil_socket_t fd, short what, void *arg)
{
	struct supervisor *supervisor = arg;

	(void)fd;
	(void)what;
	for (uint32_t i = 0; i < supervisor_nprocesses(supervisor); i++) {
		struct process *process = &supervisor->processes[i];

		if (!process_alive(process))
			continue;
		log_warnx(
			"%s (pid %d) has not ended, killing it", process->name, (int)process->pid);
		process_kill(process);
	}
}

struct supervisor *supervisor_new(struct event_base *base, const struct spawn_env *env,
	struct handover *handover, uint32_t generation, const struct supervisor_handlers *handlers)
{
	struct supervisor *supervisor = calloc(1, sizeof(*supervisor));

	if (supervisor == NULL) {
		log_fatal("supervisor");
		exit(EXIT_CODE_FAILED);
	}
	supervisor->base = base;
	supervisor->env = env;
	supervisor->handover = handover;
	supervisor->generation = generation;
	supervisor->handlers = *handlers;
	supervisor->nworkers = env->conf->global.workers;
	MUST(supervisor->nworkers >= 1 && supervisor->nworkers <= SHM_WORKERS_MAX);
	for (uint32_t i = 0; i < supervisor->nworkers; i++)
		process_init(&supervisor->processes[i], supervisor, CHILD_WORKER, i);
	process_init(&supervisor->processes[supervisor->nworkers], supervisor, CHILD_CHECKER, 0);
	supervisor->watch =
		supervisor_event(event_new(base, -1, EV_PERSIST, on_watch_timer, supervisor));
	supervisor->stop_timer = supervisor_event(evtimer_new(base, on_stop_timer, supervisor));
	return supervisor;
}

void supervisor_start(struct supervisor *supervisor)
{
	uint32_t every_ms = supervisor->env->conf->global.heartbeat_timeout_ms / 4;
	const struct timeval every = supervisor_timeval(every_ms > 10 ? every_ms : 10);

	supervisor->watched_ms = clock_now_ms();
	event_add(supervisor->watch, &every);
	for (uint32_t i = 0; i < supervisor_nprocesses(supervisor); i++)
		process_spawn(&supervisor->processes[i]);
}

void supervisor_stop(struct supervisor *supervisor, uint32_t drain_ms)
{
	struct timeval limit;

	supervisor->stopping = true;
	handover_stop(supervisor->handover);
	for (uint32_t i = 0; i < supervisor_nprocesses(supervisor); i++)
		process_stop(&supervisor->processes[i], drain_ms);
	if (drain_ms != CONF_FOREVER) {
		limit = supervisor_timeval(drain_ms);
		limit.tv_sec +=
			(drain_ms == 0 ? SUPERVISOR_STOP_NOW_MS : SUPERVISOR_STOP_GRACE_MS) / 1000;
		evtimer_add(supervisor->stop_timer, &limit);
	}
	supervisor_check_done(supervisor);
}

void supervisor_free(struct supervisor *supervisor)
{
	if (supervisor == NULL)
		return;
	for (uint32_t i = 0; i < supervisor_nprocesses(supervisor); i++)
		process_deinit(&supervisor->processes[i]);
	event_free(supervisor->watch);
	event_free(supervisor->stop_timer);
	free(supervisor);
}
