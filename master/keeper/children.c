/* What the next master must find: the listening sockets, and of each child the master's end of its channel and its
 * pidfd. As long as copies of those ends are here, no child notices that the master is gone.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <unistd.h>

#include "common/child.h"
#include "master/keeper/parts.h"

/* One more of `size` bytes. NULL when there is no memory. */
static void *children_grow(void *array, size_t count, size_t size)
{
	/* In steps of 64: a reload brings many at once. */
	return count % 64 == 0 ? reallocarray(array, count + 64, size) : array;
}

/* ------------------------------------------------------------------ listeners */

static void listener_remove(struct keeper *keeper, size_t i)
{
	keeper->changes++;
	close(keeper->listeners[i].fd);
	keeper->listeners[i] = keeper->listeners[--keeper->nlisteners];
}

static void listener_remove_id(struct keeper *keeper, uint32_t id)
{
	for (size_t i = 0; i < keeper->nlisteners; i++) {
		if (keeper->listeners[i].what.id == id) {
			listener_remove(keeper, i);
			return;
		}
	}
}

void children_listener(struct keeper *keeper, struct message *message)
{
	size_t count;
	const struct msg_kept_listener *what = message_payload(message, M2K_LISTENER, &count);

	for (size_t i = 0; i < count; i++) {
		struct keeper_listener *listeners;

		listener_remove_id(keeper, what[i].id);
		listeners = children_grow(
			keeper->listeners, keeper->nlisteners, sizeof(*keeper->listeners));
		if (listeners != NULL)
			keeper->listeners = listeners;
		if (listeners == NULL || message->fds[i] >= keeper->fds_listen_max) {
			log_warnx("no room to keep listener %" PRIu32, what[i].id);
			continue;
		}
		keeper->changes++;
		listeners[keeper->nlisteners++] =
			(struct keeper_listener){ .what = what[i], .fd = message->fds[i] };
		message->fds[i] = -1;
	}
}

void children_drop(struct keeper *keeper, const struct message *message)
{
	size_t count;
	const struct msg_listener *listeners = message_payload(message, M2K_DROP, &count);

	for (size_t i = 0; i < count; i++)
		listener_remove_id(keeper, listeners[i].id);
}

void children_drop_listeners(struct keeper *keeper)
{
	while (keeper->nlisteners > 0)
		listener_remove(keeper, keeper->nlisteners - 1);
}

/* ------------------------------------------------------------------ children */

static void child_remove(struct keeper *keeper, size_t i)
{
	keeper->changes++;
	close(keeper->children[i].channel_fd);
	close(keeper->children[i].pidfd);
	keeper->children[i] = keeper->children[--keeper->nchildren];
}

/* A slot has one worker at a time. */
static bool child_is_replaced(const struct msg_child *old, const struct msg_child *what)
{
	return old->role == what->role && old->slot == what->slot &&
		(old->role == CHILD_WORKER || old->pid == what->pid);
}

static bool child_is(const struct msg_child *child, const struct msg_child *what)
{
	return child->role == what->role && child->slot == what->slot && child->pid == what->pid;
}

static void child_remove_like(struct keeper *keeper, const struct msg_child *what,
	bool like(const struct msg_child *, const struct msg_child *))
{
	for (size_t i = 0; i < keeper->nchildren; i++) {
		if (like(&keeper->children[i].what, what)) {
			child_remove(keeper, i);
			return;
		}
	}
}

/* The slot is a new worker's. Whatever is left of the last one nobody asked for in time. */
static void child_add_worker(struct keeper *keeper, uint32_t slot, int *line_fd)
{
	struct keeper_worker *worker = lines_worker(keeper, slot);

	if (store_count(keeper->store, slot) > 0)
		log_errorx("slot %" PRIu32 ": %" PRIu32 " relays of its last worker are lost", slot,
			store_count(keeper->store, slot));
	lines_release(worker);
	if (keeper->inherit != NULL)
		worker->frozen_fd = *line_fd; /* its other keeper may still read it */
	else
		lines_open(worker, *line_fd);
	*line_fd = -1;
}

void children_add(struct keeper *keeper, struct message *message)
{
	const struct msg_child *what = message_payload(message, M2K_CHILD, NULL);
	bool is_worker = what->role == CHILD_WORKER;
	struct keeper_child *children;

	if (message->nfds < 2 || message->nfds > 3 || (message->nfds == 3 && !is_worker) ||
		what->slot >= SHM_SLOTS) {
		log_errorx("%s that cannot be", message_type_name(message->type));
		return;
	}
	children = children_grow(keeper->children, keeper->nchildren, sizeof(*keeper->children));
	if (children == NULL) {
		log_errorx("out of memory for a child");
		return;
	}
	keeper->children = children;
	child_remove_like(keeper, what, child_is_replaced);
	keeper->changes++;
	children[keeper->nchildren++] = (struct keeper_child){
		.what = *what,
		.channel_fd = message->fds[0],
		.pidfd = message->fds[1],
	};
	message->fds[0] = message->fds[1] = -1;
	if (message->nfds == 3)
		child_add_worker(keeper, what->slot, &message->fds[2]);
}

/* Its relays stay until they are given; without any there is nothing to wait for. */
void children_gone(struct keeper *keeper, const struct message *message)
{
	const struct msg_child *what = message_payload(message, M2K_GONE, NULL);
	struct keeper_worker *worker;

	child_remove_like(keeper, what, child_is);
	if (what->role != CHILD_WORKER || what->slot >= SHM_SLOTS)
		return;
	for (size_t i = 0; i < keeper->nchildren; i++) {
		const struct msg_child *other = &keeper->children[i].what;

		if (other->role == CHILD_WORKER && other->slot == what->slot)
			return; /* the slot is another's by now */
	}
	worker = lines_worker(keeper, what->slot);
	lines_finish(worker);
	if (!worker->dead && store_count(keeper->store, what->slot) == 0)
		lines_release(worker);
}

int children_pidfd(const struct keeper *keeper, uint32_t slot)
{
	for (size_t i = 0; i < keeper->nchildren; i++) {
		const struct keeper_child *child = &keeper->children[i];

		if (child->what.role == CHILD_WORKER && child->what.slot == slot)
			return child->pidfd;
	}
	return -1;
}

void children_free(struct keeper *keeper)
{
	children_drop_listeners(keeper);
	while (keeper->nchildren > 0)
		child_remove(keeper, keeper->nchildren - 1);
	free(keeper->listeners);
	free(keeper->children);
}
