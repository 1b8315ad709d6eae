/* What one child says, and what becomes of one that says what it must not.
 */
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/pidfd.h>

#include "common/channel.h"
#include "common/clock.h"
#include "common/log.h"
#include "master/change/closing.h"
#include "master/children/process.h"
#include "master/listen/handover.h"

/* Not before what there is to be told of is ours. */
void supervisor_tell_people(
	struct supervisor *supervisor, const char *name, enum event_level level, const char *text)
{
	const struct event_what what = { EVENT_PROCESS, level, name };

	if (level == EVENT_GOOD)
		log_info("%s %s", name, text);
	else if (level == EVENT_BAD)
		log_errorx("%s %s", name, text);
	else
		log_warnx("%s %s", name, text);
	if (supervisor->serving->state == GENERATION_SERVING)
		events_add(supervisor->env->shm, &what, "%s", text);
}

void process_tell_people(
	const struct process *process, enum event_level level, const char *format, ...)
{
	char text[EVENT_TEXT_MAX];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	supervisor_tell_people(process->supervisor, process->name, level, text);
}

void process_broken(struct process *process, const char *why)
{
	if (process->killed)
		return;
	process_tell_people(process, EVENT_BAD, "(pid %d): %s; killing it", (int)process->pid, why);
	process_kill(process);
}

static void process_is_ready(struct process *process, const struct msg_ready *ready)
{
	if (process->found && process->state == PROCESS_READY)
		return; /* it was about to be when its master died */
	if (process->state != PROCESS_STARTING || ready->pid != process->pid) {
		process_broken(process, "a C2M_READY that cannot be true");
		return;
	}
	process->state = PROCESS_READY;
	process->was_ready = true;
	log_debug("%s (pid %d) is ready after %llu ms", process->name, (int)process->pid,
		(unsigned long long)(clock_now_ms() - process->started_ms));
	if (process->missed)
		process_tell_people(process, EVENT_GOOD, "is back (pid %d)", (int)process->pid);
	process->missed = false;
	supervisor_process_ready(process->supervisor, process);
}

static void worker_message(struct process *process, struct message *message)
{
	struct handover *handover = process->supervisor->handover;
	const struct msg_listener *released;
	size_t count;

	switch (message->type) {
	case W2M_RELEASED:
		released = message_payload(message, W2M_RELEASED, &count);
		if (handover_released(handover, process->slot, released, count) < 0)
			process_broken(process, "it released a socket that it was not asked for");
		return;
	case W2M_KEEPER:
		keeping_answered(process);
		return;
	case W2M_CLOSED:
		closing_heard(process->supervisor->closing, process->slot,
			message_payload(message, W2M_CLOSED, NULL));
		return;
	default:
		process_broken(process, "a message that no worker sends");
	}
}

static void on_child_message(struct channel *channel, struct message *message, void *arg)
{
	struct process *process = arg;

	(void)channel;
	if (message->slot != process->slot || message->generation != process->generation) {
		process_broken(process, "a message in the name of another");
		return;
	}
	if (message->type == C2M_READY) {
		process_is_ready(process, message_payload(message, C2M_READY, NULL));
		return;
	}
	if (message->type == C2M_LOG) {
		const struct msg_round *answer = message_payload(message, C2M_LOG, NULL);

		process->log_heard = answer->round;
		return;
	}
	switch (process->role) {
	case CHILD_WORKER:
		worker_message(process, message);
		return;
	case CHILD_KEEPER:
		if (keeping_message(process->supervisor, message) == 0)
			return;
		break;
	case CHILD_ADMIN:
		if (admin_message(process, message) == 0)
			return;
		break;
	case CHILD_CHECKER:
		break;
	}
	process_broken(process, "a message that no such child sends");
}

/* The channel is freed when the process is reaped, which a kill makes sure of. */
static void on_child_channel_end(
	struct channel *channel, enum channel_end end, const char *why, void *arg)
{
	struct process *process = arg;

	(void)channel;
	switch (end) {
	case CHANNEL_CLOSED:
		/* It exits, or crashed: the pidfd will say more. One that was told to go may take its time. */
		if (!process->ending && process->pidfd >= 0)
			pidfd_send_signal(process->pidfd, SIGKILL, NULL, 0);
		return;
	case CHANNEL_BROKEN:
	case CHANNEL_FULL:
		process_broken(process, why != NULL ? why : "its channel is broken");
		return;
	}
}

/* Listeners that did not fit before. */
static void on_child_channel_room(struct channel *channel, void *arg)
{
	struct process *process = arg;

	(void)channel;
	if (process->role == CHILD_KEEPER)
		keeping_listeners(process->supervisor);
}

struct channel_handlers process_handlers(struct process *process)
{
	return (struct channel_handlers){
		.on_message = on_child_message,
		.on_end = on_child_channel_end,
		.arg = process,
		.on_room = on_child_channel_room,
	};
}
