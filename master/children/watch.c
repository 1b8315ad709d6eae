/* Who is silent: by the heartbeats in shared memory, with patience for who is only out of CPU.
 */
#include "common/clock.h"
#include "common/log.h"
#include "conf/conf.h"
#include "master/children/process.h"
#include "master/config.h"

#define WATCH_STARVED_LIMITS 5 /* times its limit: then even a child without CPU is given up */
#define WATCH_EVERY_MIN_MS   10
#define WATCH_EVERY_MAX_MS   1000 /* it is the master's own sign of life, too */
#define WATCH_READY_MIN_MS   5000 /* a child may take this long to get ready, or 10 heartbeats */

static uint64_t process_heartbeat_ms(const struct process *process)
{
	struct shm *shm = process->supervisor->env->shm;

	switch (process->role) {
	case CHILD_WORKER:
		return shm_slot(shm, process->slot)->heartbeat_ms;
	case CHILD_CHECKER:
		return shm_checker(shm)->heartbeat_ms;
	case CHILD_ADMIN:
		return process->heard_ms;
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
	else if (10 * timeout_ms > WATCH_READY_MIN_MS)
		*limit_ms_r = 10 * timeout_ms;
	else
		*limit_ms_r = WATCH_READY_MIN_MS;
	if (since_ms < process->supervisor->grace_ms)
		since_ms = process->supervisor->grace_ms;
	return since_ms;
}

static void process_watch(struct process *process, uint64_t now_ms)
{
	/* What another master's was told we do not know. */
	const struct config *config = process->home->config != NULL
		? process->home->config
		: process->supervisor->serving->config;
	uint32_t timeout_ms = config->conf->global.heartbeat_timeout_ms;
	uint64_t limit_ms;
	uint64_t since_ms;

	if (process->killed)
		return;
	if (process->end_by_ms != 0 && now_ms > process->end_by_ms) {
		process_tell_people(process, EVENT_WARN,
			"(pid %d) was told to go and has not, killing it", (int)process->pid);
		process_kill(process);
		return;
	}
	since_ms = process_silent_since_ms(process, timeout_ms, &limit_ms);
	if (now_ms <= since_ms + limit_ms / 4) {
		process->starved.since_ms = 0;
		return;
	}
	starved_sample(&process->starved, process->pid, now_ms);
	if (now_ms - since_ms <= limit_ms)
		return;
	if (now_ms - since_ms <= WATCH_STARVED_LIMITS * limit_ms &&
		starved_is(&process->starved, process->pid, now_ms))
		return;
	process_tell_people(process, EVENT_BAD, "(pid %d) %s for %llu ms, killing it",
		(int)process->pid,
		process->state == PROCESS_READY ? "is silent" : "does not get ready",
		(unsigned long long)(now_ms - since_ms));
	process_kill(process);
}

void supervisor_watch(struct supervisor *supervisor)
{
	const struct conf *conf = supervisor->serving->config->conf;
	struct process *worker = NULL;
	uint64_t now_ms = clock_now_ms();

	/* When we were late ourselves (stopped, suspended, out of CPU), so were perhaps the children. */
	if (now_ms - supervisor->watched_ms > conf->global.heartbeat_timeout_ms / 2)
		supervisor->grace_ms = now_ms;
	supervisor->watched_ms = now_ms;
	if (supervisor->serving->state == GENERATION_SERVING)
		shm_master(supervisor->env->shm)->heartbeat_ms = now_ms;
	while ((worker = supervisor_next_worker(supervisor, worker)) != NULL) {
		if (process_alive(worker))
			process_watch(worker, now_ms);
	}
	if (process_alive(&supervisor->checker))
		process_watch(&supervisor->checker, now_ms);
	if (process_alive(&supervisor->admin))
		process_watch(&supervisor->admin, now_ms);
	if (process_alive(supervisor->keeper))
		process_watch(supervisor->keeper, now_ms);
	if (process_alive(supervisor->spare))
		process_watch(supervisor->spare, now_ms);
	keeping_watch(supervisor, now_ms);
	supervisor_check_done(supervisor);
}

void supervisor_watch_begin(struct supervisor *supervisor)
{
	uint32_t every_ms = supervisor->serving->config->conf->global.heartbeat_timeout_ms / 4;
	struct timeval every;

	if (every_ms < WATCH_EVERY_MIN_MS)
		every_ms = WATCH_EVERY_MIN_MS;
	if (every_ms > WATCH_EVERY_MAX_MS)
		every_ms = WATCH_EVERY_MAX_MS;
	every = clock_timeval(every_ms);
	supervisor->watched_ms = clock_now_ms();
	event_add(supervisor->watch, &every);
}
