/* The life of one child. It is known by its pidfd, so that no recycled pid is ever signalled, and by slot
 * and generation in its messages, so that none speaks for its successor.
 */
#include "master/children/process.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/channel.h"
#include "common/clock.h"
#include "common/log.h"
#include "conf/conf.h"
#include "master/config.h"
#include "master/listen/handover.h"

bool process_alive(const struct process *process)
{
	return process->state == PROCESS_STARTING || process->state == PROCESS_READY;
}

void process_kill(struct process *process)
{
	process->killed = true;
	if (process->pidfd >= 0)
		pidfd_send_signal(process->pidfd, SIGKILL, NULL, 0);
}

/* ---------------------------------------------------------------- what it is told */

static void process_send(struct process *process, struct message *message)
{
	message->slot = process->slot;
	message->generation = process->generation;
	channel_send(process->channel, message);
}

void process_tell(struct process *process, enum message_type type, int fd)
{
	struct message message = { .type = type, .fds = &fd, .nfds = fd >= 0 ? 1 : 0 };

	if (process_alive(process))
		process_send(process, &message);
}

/* It never comes: a worker's slot was taken for it. */
static void process_cancel(struct process *process)
{
	evtimer_del(process->respawn);
	process->state = PROCESS_GONE;
	if (process->role == CHILD_WORKER && process->slot != SHM_NONE)
		shm_slot(process->supervisor->env->shm, process->slot)->state = SLOT_FREE;
	process->slot = SHM_NONE;
}

static void process_end(struct process *process, enum message_type type, uint32_t drain_ms)
{
	const struct msg_stop stop = { .drain_ms = drain_ms };
	struct message message = { .type = type, .payload = &stop, .payload_bytes = sizeof(stop) };

	if (process_alive(process)) {
		process->ending = true;
		process_send(process, &message);
	} else if (process->state == PROCESS_WAITING) {
		process_cancel(process);
	}
}

void process_stop(struct process *process, uint32_t drain_ms)
{
	process_end(process, M2C_STOP, drain_ms);
}

void process_leave(struct process *process, uint32_t drain_ms)
{
	process_end(process, M2W_LEAVE, drain_ms);
}

/* ---------------------------------------------------------------- birth */

/* After a young death; 0 for the first one. */
static uint32_t process_delay_ms(const struct process *process)
{
	const uint32_t most = process->role == CHILD_KEEPER ? SUPERVISOR_DELAY_KEEPER_MS
							    : SUPERVISOR_DELAY_MAX_MS;
	uint32_t delay = SUPERVISOR_DELAY_MIN_MS;

	if (process->young_deaths <= 1)
		return 0;
	for (uint32_t i = 2; i < process->young_deaths && delay < most; i++)
		delay *= 2;
	return delay < most ? delay : most;
}

/* A worker has its slot from the moment when it is decided that it comes, so that it is to be seen while it waits. That
 * of the one before is not free yet. Returns -1 when there is none. */
static int process_take_slot(struct process *process)
{
	struct supervisor *supervisor = process->supervisor;
	struct shm *shm = supervisor->env->shm;
	struct shm_slot *slot;

	if (process->role != CHILD_WORKER || process->slot != SHM_NONE)
		return 0;
	process->slot = shm_slot_take(shm);
	if (process->slot == SHM_NONE && keeping_make_room(supervisor))
		process->slot = shm_slot_take(shm);
	if (process->slot == SHM_NONE)
		return -1;
	slot = shm_slot(shm, process->slot);
	slot->pid = 0;
	slot->number = process->number;
	slot->generation = process->home->number;
	slot->restarts = supervisor->restarts[process->number];
	slot->heartbeat_ms = clock_now_ms();
	supervisor_count_begin(supervisor, process);
	return 0;
}

static void process_schedule(struct process *process, uint32_t delay_ms)
{
	const struct timeval delay = clock_timeval(delay_ms);

	process->state = PROCESS_WAITING;
	(void)process_take_slot(process);
	evtimer_add(process->respawn, &delay);
}

static void process_failed_to_start(struct process *process, const char *why)
{
	uint32_t delay_ms;

	process->young_deaths = process->young_deaths > 0 ? process->young_deaths + 1 : 2;
	delay_ms = process_delay_ms(process);
	log_errorx("cannot start %s: %s; next try in %u ms", process->name, why, delay_ms);
	process_schedule(process, delay_ms);
}

/* Where the master shows that it is not silent yet. */
static void process_prepare_pages(struct process *process)
{
	struct shm *shm = process->supervisor->env->shm;

	switch (process->role) {
	case CHILD_CHECKER:
		shm_checker(shm)->heartbeat_ms = process->started_ms;
		return;
	case CHILD_KEEPER:
		shm_keeper(shm)->heartbeat_ms = process->started_ms;
		return;
	case CHILD_ADMIN:
		process->heard_ms = process->started_ms;
		return;
	case CHILD_WORKER:
		break;
	}
	shm_slot(shm, process->slot)->heartbeat_ms = process->started_ms;
}

static pid_t process_fork(struct process *process, int keeper_fd, int *channel_fd_r)
{
	const struct supervisor_env *env = process->supervisor->env;
	const struct config *config = process->home->config;
	const struct spawn_env spawn = {
		.shm = env->shm,
		.log = config->log,
		.log_format = config->conf->global.log.format,
		.access_log = config->access_log,
		.privileges = env->privileges,
		.detach = env->detach,
		.keep_stderr = env->keep_stderr,
	};
	const struct child child = {
		.role = process->role,
		.slot = process->slot,
		.number = process->number,
		.generation = process->generation,
		.conf = config->conf,
		.keeper_fd = keeper_fd,
		.takeover_fd = process->role == CHILD_KEEPER ? env->takeover_fd : -1,
	};

	return spawn_child(&spawn, &child, &process->pidfd, channel_fd_r);
}

static void on_process_death(evutil_socket_t fd, short what, void *arg);

void process_begin(struct process *process, enum process_state state, int channel_fd)
{
	struct supervisor *supervisor = process->supervisor;
	const struct channel_handlers handlers = process_handlers(process);

	process->state = state;
	process->channel = channel_new(supervisor->base, channel_fd, CHANNEL_MASTER, &handlers);
	process->death =
		event_new(supervisor->base, process->pidfd, EV_READ, on_process_death, process);
	if (process->death == NULL || event_add(process->death, NULL) < 0) {
		log_fatalx("no memory to watch %s", process->name);
		process_kill(process);
		exit(EXIT_CODE_FAILED);
	}
}

void process_spawn(struct process *process)
{
	struct supervisor *supervisor = process->supervisor;
	int line[2] = { -1, -1 };
	int channel_fd;

	if (process_take_slot(process) < 0) {
		process_failed_to_start(process, "all places for workers are taken");
		return;
	}
	process->started_ms = clock_now_ms();
	process->killed = process->ending = process->found = false;
	process->end_by_ms = 0;
	process->lines_asked = 0;
	process->settles = false;
	process->log_told = process->log_heard = 0;
	process->generation = process->home->number;
	process_prepare_pages(process);
	if (process->role == CHILD_WORKER)
		keeping_line(supervisor, line);
	process->pid = process_fork(process, line[1], &channel_fd);
	if (process->pid < 0) {
		process->pidfd = -1;
		process_failed_to_start(process, strerror(errno));
	} else {
		if (process->role == CHILD_WORKER)
			shm_slot(supervisor->env->shm, process->slot)->pid = (uint32_t)process->pid;
		process_begin(process, PROCESS_STARTING, channel_fd);
		if (process == supervisor->keeper)
			keeping_begin(supervisor);
		else if (process->role == CHILD_KEEPER)
			successor_born(supervisor);
		else
			keeping_child(process, line[0]);
		if (process->role == CHILD_ADMIN)
			admin_born(process);
	}
	for (size_t i = 0; i < NELEMS(line); i++) {
		if (line[i] >= 0)
			close(line[i]);
	}
}

static void on_respawn_timer(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	process_spawn(arg);
}

/* ---------------------------------------------------------------- death */

static void process_describe_end(
	const struct process *process, const siginfo_t *info, struct keeping_end *end_r)
{
	if (process->found)
		snprintf(end_r->end, sizeof(end_r->end), "ended");
	else if (info->si_code == CLD_EXITED)
		snprintf(end_r->end, sizeof(end_r->end), "exited with code %d", info->si_status);
	else
		snprintf(end_r->end, sizeof(end_r->end), "was killed by signal %d (%s)",
			info->si_status, strsignal(info->si_status));
	end_r->planned = process->ending &&
		(process->found ||
			(info->si_code == CLD_EXITED && info->si_status == EXIT_CODE_OK));
	/* Nobody needs it any more. */
	if (process == process->supervisor->spare && process->supervisor->stopping)
		end_r->planned = true;
}

static void process_say_death(const struct process *process, const struct keeping_end *end)
{
	if (end->planned)
		log_debug("%s (pid %d) %s", process->name, (int)process->pid, end->end);
	else
		process_tell_people(process, EVENT_WARN, "(pid %d) %s%s", (int)process->pid,
			end->end, end->next);
}

static void process_release(struct process *process)
{
	event_free(process->death);
	process->death = NULL;
	channel_free(process->channel);
	process->channel = NULL;
	close(process->pidfd);
	process->pidfd = -1;
	orphans_close(&process->line_fd);
}

/* First what clients wait for, then the books. */
static void process_bury(struct process *process, const struct keeping_end *end)
{
	const struct handover_worker worker = {
		.slot = process->slot,
		.number = process->number,
		.generation = process->generation,
	};

	switch (process->role) {
	case CHILD_WORKER:
		handover_gone(process->supervisor->handover, &worker);
		supervisor_count_end(process->supervisor, process);
		keeping_died(process, end);
		process->slot = SHM_NONE;
		return;
	case CHILD_KEEPER:
		process_say_death(process, end);
		return;
	case CHILD_CHECKER:
	case CHILD_ADMIN:
		process_say_death(process, end);
		keeping_child_gone(process);
		return;
	}
}

static void process_died(struct process *process, const siginfo_t *info)
{
	bool young = clock_now_ms() - process->started_ms < SUPERVISOR_YOUNG_MS;
	struct supervisor *supervisor = process->supervisor;
	struct keeping_end end = { .next = "" };
	bool again;

	process->state = PROCESS_GONE;
	process->deaths++;
	process->young_deaths = young && !process->ending ? process->young_deaths + 1 : 0;
	process_describe_end(process, info, &end);
	process->missed = process->missed || !end.planned;
	again = supervisor_process_died(supervisor, process);
	if (again && process_delay_ms(process) == 0)
		snprintf(end.next, sizeof(end.next), ", started again now");
	else if (again)
		snprintf(end.next, sizeof(end.next), ", started again in %u ms",
			process_delay_ms(process));
	process_bury(process, &end);
	process_release(process);
	if (process == supervisor->keeper) {
		keeping_end(supervisor);
		supervisor->handlers.on_keeper_died(supervisor->handlers.arg);
	} else if (process == supervisor->spare) {
		successor_ended(supervisor);
	}
	if (again && process_delay_ms(process) == 0)
		process_spawn(process);
	else if (again)
		process_schedule(process, process_delay_ms(process));
	supervisor_check_done(supervisor);
}

static void on_process_death(evutil_socket_t fd, short what, void *arg)
{
	struct process *process = arg;
	siginfo_t info = { 0 };

	(void)what;
	/* It may be that another master, or its successor, has all and that we have not read it yet. */
	if (process == process->supervisor->keeper) {
		channel_drain(process->channel);
		successor_look(process->supervisor);
	}
	if (process->found) {
		/* Whoever is its parent now waits for it. */
	} else if (waitid(P_PIDFD, (id_t)fd, &info, WEXITED | WNOHANG) < 0) {
		log_error(
			"%s (pid %d): it ended, but not for us", process->name, (int)process->pid);
	} else if (info.si_pid == 0) {
		event_add(process->death, NULL);
		return;
	}
	process_died(process, &info);
}

void process_init(struct process *process, struct supervisor *supervisor, enum child_role role,
	uint32_t number)
{
	process->supervisor = supervisor;
	process->role = role;
	process->number = number;
	process->slot = role == CHILD_WORKER ? SHM_NONE : 0;
	process->state = PROCESS_GONE;
	process->pidfd = process->found_fd = process->line_fd = -1;
	spawn_name(role, number, process->name, sizeof(process->name));
	process->respawn =
		supervisor_event(evtimer_new(supervisor->base, on_respawn_timer, process));
}

void process_deinit(struct process *process)
{
	MUST(!process_alive(process));
	orphans_close(&process->found_fd);
	orphans_close(&process->line_fd);
	orphans_close(&process->pidfd);
	event_free(process->respawn);
}
