/* The life of one child. It is known by its pidfd, so that no recycled pid is ever signalled, and by slot
 * and generation in its messages, so that none speaks for its successor.
 */
#include "master/process.h"

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
#include "common/counts.h"
#include "common/log.h"
#include "master/handover.h"

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

void process_stop(struct process *process, uint32_t drain_ms)
{
	const struct msg_stop stop = { .drain_ms = drain_ms };
	const struct message message = {
		.type = M2C_STOP,
		.slot = process->slot,
		.generation = process->supervisor->generation,
		.payload = &stop,
		.payload_bytes = sizeof(stop),
	};

	if (process_alive(process)) {
		channel_send(process->channel, &message);
		return;
	}
	evtimer_del(process->respawn);
	process->state = PROCESS_GONE;
}

/* ---------------------------------------------------------------- what it says */

static void process_broken(struct process *process, const char *why)
{
	if (process->killed)
		return;
	log_errorx("%s (pid %d): %s; killing it", process->name, (int)process->pid, why);
	process_kill(process);
}

static void process_is_ready(struct process *process, const struct msg_ready *ready)
{
	struct supervisor *supervisor = process->supervisor;

	if (process->state != PROCESS_STARTING || ready->pid != process->pid) {
		process_broken(process, "a C2M_READY that cannot be true");
		return;
	}
	process->state = PROCESS_READY;
	process->was_ready = true;
	log_debug("%s (pid %d) is ready after %llu ms", process->name, (int)process->pid,
		(unsigned long long)(clock_now_ms() - process->started_ms));
	if (process->role != CHILD_WORKER || supervisor->stopping)
		return;
	handover_ready(supervisor->handover, process->slot, process->channel);
	supervisor_process_ready(supervisor);
}

static void on_child_message(struct channel *channel, struct message *message, void *arg)
{
	struct process *process = arg;
	const struct msg_listener *released;
	size_t count;

	(void)channel;
	if (message->slot != process->slot ||
		message->generation != process->supervisor->generation) {
		process_broken(process, "a message in the name of another");
		return;
	}
	switch (message->type) {
	case C2M_READY:
		process_is_ready(process, message_payload(message, C2M_READY, NULL));
		return;
	case W2M_RELEASED:
		released = message_payload(message, W2M_RELEASED, &count);
		if (process->role != CHILD_WORKER ||
			handover_released(
				process->supervisor->handover, process->slot, released, count) < 0)
			process_broken(process, "it released a socket that it was not asked for");
		return;
	default:
		break;
	}
	process_broken(process, "a message that no child sends");
}

/* The channel is freed when the process is reaped, which a kill makes sure of. */
static void on_child_channel_end(
	struct channel *channel, enum channel_end end, const char *why, void *arg)
{
	struct process *process = arg;

	(void)channel;
	switch (end) {
	case CHANNEL_CLOSED:
		/* It exits, or crashed: the pidfd will say more. When we stop it may take its time. */
		if (!process->supervisor->stopping && process->pidfd >= 0)
			pidfd_send_signal(process->pidfd, SIGKILL, NULL, 0);
		return;
	case CHANNEL_BROKEN:
	case CHANNEL_FULL:
		process_broken(process, why != NULL ? why : "its channel is broken");
		return;
	}
}

/* ---------------------------------------------------------------- birth */

static void process_schedule(struct process *process, uint32_t delay_ms)
{
	const struct timeval delay = supervisor_timeval(delay_ms);

	process->state = PROCESS_WAITING;
	evtimer_add(process->respawn, &delay);
}

/* After a young death; 0 for the first one. */
static uint32_t process_delay_ms(const struct process *process)
{
	uint32_t delay = SUPERVISOR_DELAY_MIN_MS;

	if (process->young_deaths <= 1)
		return 0;
	for (uint32_t i = 2; i < process->young_deaths && delay < SUPERVISOR_DELAY_MAX_MS; i++)
		delay *= 2;
	return delay < SUPERVISOR_DELAY_MAX_MS ? delay : SUPERVISOR_DELAY_MAX_MS;
}

/* While the slot is still ours to write. */
static void process_prepare_slot(struct process *process)
{
	struct shm *shm = process->supervisor->env->shm;
	struct shm_slot *slot;

	if (process->role == CHILD_CHECKER) {
		shm_checker(shm)->heartbeat_ms = process->started_ms;
		return;
	}
	shm_slot_use(shm, process->slot);
	slot = shm_slot(shm, process->slot);
	slot->heartbeat_ms = process->started_ms;
	slot->generation = process->supervisor->generation;
	slot->restarts = process->deaths;
	slot->state = SLOT_STARTING;
}

static void on_process_death(evutil_socket_t fd, short what, void *arg);

void process_spawn(struct process *process)
{
	const struct channel_handlers handlers = {
		.on_message = on_child_message,
		.on_end = on_child_channel_end,
		.arg = process,
	};
	struct supervisor *supervisor = process->supervisor;
	const struct child child = {
		.role = process->role,
		.slot = process->slot,
		.number = process->slot,
		.generation = supervisor->generation,
		.conf = supervisor->env->conf,
		.keeper_fd = -1,
		.takeover_fd = -1,
	};
	int channel_fd;

	process->started_ms = clock_now_ms();
	process->killed = false;
	process_prepare_slot(process);
	process->pid = spawn_child(supervisor->env, &child, &process->pidfd, &channel_fd);
	if (process->pid < 0) {
		uint32_t delay_ms;

		process->pidfd = -1;
		process->young_deaths = process->young_deaths > 0 ? process->young_deaths + 1 : 2;
		delay_ms = process_delay_ms(process);
		log_error("cannot start %s, next try in %u ms", process->name, delay_ms);
		process_schedule(process, delay_ms);
		return;
	}
	if (process->role == CHILD_WORKER)
		shm_slot(supervisor->env->shm, process->slot)->pid = (uint32_t)process->pid;
	process->state = PROCESS_STARTING;
	process->channel = channel_new(supervisor->base, channel_fd, CHANNEL_MASTER, &handlers);
	process->death =
		event_new(supervisor->base, process->pidfd, EV_READ, on_process_death, process);
	if (process->death == NULL || event_add(process->death, NULL) < 0) {
		log_fatalx("no memory to watch %s", process->name);
		process_kill(process);
		exit(EXIT_CODE_FAILED);
	}
}

static void on_respawn_timer(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	process_spawn(arg);
}

static void process_describe_end(const siginfo_t *info, char *buf, size_t buf_bytes)
{
	if (info->si_code == CLD_EXITED)
		snprintf(buf, buf_bytes, "exited with code %d", info->si_status);
	else
		snprintf(buf, buf_bytes, "was killed by signal %d (%s)", info->si_status,
			strsignal(info->si_status));
}

static void process_say_death(const struct process *process, const siginfo_t *info, uint32_t relays)
{
	bool stopping = process->supervisor->stopping;
	uint32_t delay_ms = process_delay_ms(process);
	char end[80];
	char lost[48] = "";
	char next[48] = "";

	process_describe_end(info, end, sizeof(end));
	if (process->role == CHILD_WORKER && (relays > 0 || !stopping))
		snprintf(lost, sizeof(lost), ", %u relays lost", relays);
	if (!stopping && delay_ms == 0)
		snprintf(next, sizeof(next), ", started again now");
	else if (!stopping)
		snprintf(next, sizeof(next), ", started again in %u ms", delay_ms);
	if (stopping && info->si_code == CLD_EXITED && info->si_status == EXIT_CODE_OK)
		log_debug("%s (pid %d) %s%s", process->name, (int)process->pid, end, lost);
	else
		log_warnx("%s (pid %d) %s%s%s", process->name, (int)process->pid, end, lost, next);
}

static void process_release(struct process *process)
{
	event_free(process->death);
	process->death = NULL;
	channel_free(process->channel);
	process->channel = NULL;
	close(process->pidfd);
	process->pidfd = -1;
}

static void process_died(struct process *process, const siginfo_t *info)
{
	struct supervisor *supervisor = process->supervisor;
	bool young = clock_now_ms() - process->started_ms < SUPERVISOR_YOUNG_MS;
	uint32_t relays = 0;

	process->state = PROCESS_GONE;
	process->deaths++;
	process->young_deaths = young ? process->young_deaths + 1 : 0;
	/* First what clients wait for, then the books. */
	if (process->role == CHILD_WORKER) {
		handover_gone(supervisor->handover, process->slot);
		relays = shm_slot_reap(supervisor->env->shm, process->slot);
	}
	process_say_death(process, info, relays);
	process_release(process);
	if (supervisor_process_died(supervisor))
		return;
	if (process_delay_ms(process) == 0)
		process_spawn(process);
	else
		process_schedule(process, process_delay_ms(process));
}

static void on_process_death(evutil_socket_t fd, short what, void *arg)
{
	struct process *process = arg;
	siginfo_t info = { 0 };

	(void)what;
	if (waitid(P_PIDFD, (id_t)fd, &info, WEXITED | WNOHANG) < 0) {
		log_error(
			"%s (pid %d): it ended, but not for us", process->name, (int)process->pid);
	} else if (info.si_pid == 0) {
		event_add(process->death, NULL);
		return;
	}
	process_died(process, &info);
}

void process_init(
	struct process *process, struct supervisor *supervisor, enum child_role role, uint32_t slot)
{
	process->supervisor = supervisor;
	process->role = role;
	process->slot = slot;
	process->pidfd = -1;
	spawn_name(role, slot, process->name, sizeof(process->name));
	process->respawn =
		supervisor_event(evtimer_new(supervisor->base, on_respawn_timer, process));
}

void process_deinit(struct process *process)
{
	MUST(!process_alive(process));
	event_free(process->respawn);
}
