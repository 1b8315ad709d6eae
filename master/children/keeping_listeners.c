/* What the keeper has of the listening sockets.
 */
#include "common/channel.h"
#include "master/children/process.h"
#include "master/listen/bindings.h"

static struct msg_kept_listener keeping_listener(const struct listener *listener)
{
	return (struct msg_kept_listener){
		.id = listener->id,
		.frontend = listener->place,
		.home = listener->shared ? UINT32_MAX : listener->home,
	};
}

/* The next portion of those that it does not know. Returns false when it knows them all. */
static bool keeping_send_listeners(struct supervisor *supervisor)
{
	struct bindings *bindings = supervisor->env->bindings;
	struct msg_kept_listener listeners[MESSAGE_BATCH];
	int fds[MESSAGE_BATCH];
	size_t n = 0;
	struct message message = { .type = M2K_LISTENER, .payload = listeners, .fds = fds };

	for (size_t i = 0; i < bindings_count(bindings) && n < MESSAGE_BATCH; i++) {
		const struct listener *listener = bindings_at(bindings, i);

		if (listener->id <= supervisor->keeping.told)
			continue;
		listeners[n] = keeping_listener(listener);
		fds[n++] = listener->fd;
	}
	if (n == 0)
		return false;
	supervisor->keeping.told = listeners[n - 1].id;
	message.payload_bytes = n * sizeof(listeners[0]);
	message.nfds = n;
	keeping_send(supervisor, &message);
	return true;
}

/* It has another frontend: once more, under its number. */
static void keeping_send_changed(struct supervisor *supervisor, const struct listener *listener)
{
	const struct msg_kept_listener kept = keeping_listener(listener);
	int fd = listener->fd;
	struct message message = {
		.type = M2K_LISTENER,
		.payload = &kept,
		.payload_bytes = sizeof(kept),
		.fds = &fd,
		.nfds = 1,
	};

	keeping_listener_closed(supervisor, listener->id);
	keeping_send(supervisor, &message);
}

void keeping_listeners(struct supervisor *supervisor)
{
	struct bindings *bindings = supervisor->env->bindings;

	if (!keeping_is_there(supervisor))
		return;
	for (size_t i = 0; i < bindings_count(bindings); i++) {
		struct listener *listener = bindings_at(bindings, i);

		if (listener->changed && listener->id <= supervisor->keeping.told)
			keeping_send_changed(supervisor, listener);
		listener->changed = false;
	}
	while (channel_has_room(supervisor->keeper->channel) && keeping_send_listeners(supervisor))
		continue;
}

void keeping_listener_closed(struct supervisor *supervisor, uint32_t id)
{
	const struct msg_listener listener = { .id = id };
	struct message message = {
		.type = M2K_DROP, .payload = &listener, .payload_bytes = sizeof(listener)
	};

	if (id <= supervisor->keeping.told)
		keeping_send(supervisor, &message);
}

void keeping_drop_listeners(struct supervisor *supervisor)
{
	struct bindings *bindings = supervisor->env->bindings;

	for (size_t i = 0; i < bindings_count(bindings); i++)
		keeping_listener_closed(supervisor, bindings_at(bindings, i)->id);
	supervisor->keeping.told = UINT32_MAX;
}
