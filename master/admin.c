/* When there is an admin process, and from which sockets it accepts.
 */
#include "master/admin.h"

#include "common/channel.h"
#include "common/clock.h"
#include "conf/conf.h"
#include "master/children/process.h"
#include "master/config.h"
#include "master/listen/bindings.h"

#define ADMIN_STOP_MS 1000 /* for the answers that are on their way */

/* Room for MESSAGE_BATCH. */
static size_t admin_listeners(
	const struct supervisor *supervisor, struct msg_listener *listeners_r, int *fds_r)
{
	struct bindings *bindings = supervisor->env->bindings;
	size_t n = 0;

	for (size_t i = 0; i < bindings_count(bindings) && n < MESSAGE_BATCH; i++) {
		const struct listener *listener = bindings_at(bindings, i);

		if (!listener->admin || listener->leaving)
			continue;
		listeners_r[n] =
			(struct msg_listener){ .id = listener->id, .frontend = listener->place };
		fds_r[n++] = listener->fd;
	}
	return n;
}

bool admin_is_wanted(const struct supervisor *supervisor)
{
	struct msg_listener listeners[MESSAGE_BATCH];
	int fds[MESSAGE_BATCH];

	return !supervisor->stopping && admin_listeners(supervisor, listeners, fds) > 0;
}

/* All of them, each time: they are few. Those that it has already stay as they are. */
static void admin_send_listeners(struct supervisor *supervisor)
{
	struct process *admin = &supervisor->admin;
	struct msg_listener listeners[MESSAGE_BATCH];
	int fds[MESSAGE_BATCH];
	const size_t n = admin_listeners(supervisor, listeners, fds);
	const struct message message = {
		.type = M2A_LISTENERS,
		.slot = admin->slot,
		.generation = admin->generation,
		.payload = listeners,
		.payload_bytes = n * sizeof(listeners[0]),
		.fds = fds,
		.nfds = n,
	};

	if (n > 0)
		channel_send(admin->channel, &message);
}

static void admin_end(struct process *admin)
{
	if (admin->ending)
		return;
	process_stop(admin, 0);
	admin->end_by_ms = clock_now_ms() + ADMIN_STOP_MS;
}

void admin_update(struct supervisor *supervisor)
{
	struct process *admin = &supervisor->admin;
	const bool wanted = admin_is_wanted(supervisor);

	switch (admin->state) {
	case PROCESS_ORPHAN: /* not ours yet */
		return;
	case PROCESS_GONE:
		admin->home = supervisor->serving;
		if (wanted)
			process_spawn(admin);
		return;
	case PROCESS_WAITING:
		admin->home = supervisor->serving;
		if (!wanted)
			process_stop(admin, 0);
		return;
	case PROCESS_STARTING:
	case PROCESS_READY:
		if (wanted)
			admin_send_listeners(supervisor);
		else
			admin_end(admin);
		return;
	}
}

void admin_replace(struct supervisor *supervisor)
{
	if (process_alive(&supervisor->admin))
		admin_end(&supervisor->admin);
	else
		admin_update(supervisor);
}

void admin_stop(struct supervisor *supervisor)
{
	struct process *admin = &supervisor->admin;

	if (process_alive(admin))
		admin_end(admin);
	else if (admin->state == PROCESS_WAITING)
		process_stop(admin, 0);
}

bool admin_differs(const struct config *from, const struct config *to)
{
	/* Where it logs to it is told. */
	return from->conf->global.heartbeat_timeout_ms != to->conf->global.heartbeat_timeout_ms;
}

void admin_born(struct process *admin)
{
	admin_send_listeners(admin->supervisor);
}

int admin_message(struct process *admin, struct message *message)
{
	struct supervisor *supervisor = admin->supervisor;

	switch (message->type) {
	case A2M_ALIVE:
		admin->heard_ms = clock_now_ms();
		return 0;
	case A2M_ASK:
		supervisor->handlers.on_ask(message->fds[0], supervisor->handlers.arg);
		message->fds[0] = -1;
		return 0;
	default:
		return -1;
	}
}
