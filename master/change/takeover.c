/* Asks the keeper at takeover.sock for what an earlier master left, before there is a loop: in one of its own, for a
 * bounded time. Nothing of it is believed but what was checked.
 */
#include "master/change/takeover.h"

#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/channel.h"
#include "common/child.h"
#include "common/shm.h"

#define TAKEOVER_ITEMS_MAX 65536 /* of listeners, of children: more are not believed */

/* While it asks. */
struct takeover_ask {
	struct takeover *takeover;
	struct event_base *base;
	enum takeover_result result;
	bool heard; /* its K2M_HELLO came */
	bool over;
};

/* ------------------------------------------------------------------ what comes is checked */

static void takeover_over(struct takeover_ask *ask, enum takeover_result result, const char *why)
{
	ask->result = result;
	ask->over = true;
	snprintf(ask->takeover->why, sizeof(ask->takeover->why), "%s", why);
	event_base_loopbreak(ask->base);
}

static int takeover_option(int fd, int name)
{
	socklen_t len = sizeof(int);
	int value;

	return getsockopt(fd, SOL_SOCKET, name, &value, &len) < 0 ? -1 : value;
}

/* One more. NULL when there is no memory, or are too many. */
static void *takeover_grow(void *array, size_t count, size_t size)
{
	if (count >= TAKEOVER_ITEMS_MAX)
		return NULL;
	return reallocarray(array, count + 1, size);
}

static int takeover_keep_fd(struct message *message, size_t i)
{
	int fd = message->fds[i];

	message->fds[i] = -1;
	return fd;
}

static bool takeover_is_listener(int fd, struct sockaddr_any *addr_r)
{
	addr_r->len = sizeof(addr_r->u);
	if (takeover_option(fd, SO_TYPE) != SOCK_STREAM ||
		takeover_option(fd, SO_ACCEPTCONN) != 1 ||
		getsockname(fd, &addr_r->u.sa, &addr_r->len) < 0 || addr_r->len > sizeof(addr_r->u))
		return false;
	return addr_r->u.sa.sa_family == AF_INET || addr_r->u.sa.sa_family == AF_INET6 ||
		addr_r->u.sa.sa_family == AF_UNIX;
}

static const char *takeover_hear_listeners(struct takeover *takeover, struct message *message)
{
	size_t count;
	const struct msg_kept_listener *what = message_payload(message, K2M_LISTENER, &count);

	for (size_t i = 0; i < count; i++) {
		struct takeover_listener *listener =
			takeover_grow(takeover->listeners, takeover->nlisteners, sizeof(*listener));

		if (listener == NULL)
			return "too many listeners";
		takeover->listeners = listener;
		listener += takeover->nlisteners;
		if ((what[i].frontend >= SHM_FRONTENDS_MAX &&
			    what[i].frontend != MSG_FRONTEND_ADMIN) ||
			!takeover_is_listener(message->fds[i], &listener->addr))
			return "a listener that is none";
		listener->what = what[i];
		listener->fd = takeover_keep_fd(message, i);
		takeover->nlisteners++;
	}
	return NULL;
}

/* Whose process it is, says the kernel; one that was reaped meanwhile has no number any more. */
static bool takeover_is_pidfd(int fd, pid_t pid)
{
	char path[48];
	char line[128];
	int found = 0;
	FILE *info;

	snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", fd);
	info = fopen(path, "re");
	if (info == NULL)
		return false;
	while (found == 0 && fgets(line, sizeof(line), info) != NULL) {
		if (strncmp(line, "Pid:", 4) == 0)
			found = (int)strtol(line + 4, NULL, 10);
	}
	fclose(info);
	return found == pid || found == -1;
}

static const char *takeover_hear_child(struct takeover *takeover, struct message *message)
{
	const struct msg_child *what = message_payload(message, K2M_CHILD, NULL);
	struct takeover_child *child;

	if (what->slot >= SHM_SLOTS || what->number >= SHM_WORKERS_MAX ||
		what->role > CHILD_ADMIN || what->pid <= 0 ||
		takeover_option(message->fds[0], SO_TYPE) != SOCK_SEQPACKET ||
		!takeover_is_pidfd(message->fds[1], what->pid))
		return "a child that is none";
	child = takeover_grow(takeover->children, takeover->nchildren, sizeof(*child));
	if (child == NULL)
		return "too many children";
	takeover->children = child;
	child += takeover->nchildren++;
	child->what = *what;
	child->channel_fd = takeover_keep_fd(message, 0);
	child->pidfd = takeover_keep_fd(message, 1);
	return NULL;
}

static const char *takeover_hear_hello(struct takeover_ask *ask, const struct message *message)
{
	const struct msg_hello *hello = message_payload(message, K2M_HELLO, NULL);
	struct takeover *takeover = ask->takeover;

	if (ask->heard || hello->magic != MSG_HELLO_MAGIC || hello->pid <= 0)
		return "it is no keeper";
	ask->heard = true;
	takeover->foreign = hello->takeover != TAKEOVER_VERSION || hello->shm != SHM_VERSION ||
		hello->record_bytes != sizeof(struct relay_record);
	takeover->keeper_pid = hello->pid;
	takeover->keeper_pidfd = pidfd_open(hello->pid, 0);
	/* One that is dead may have told all before. */
	return takeover->keeper_pidfd < 0 && errno != ESRCH ? strerror(errno) : NULL;
}

static const char *takeover_hear_shm(struct takeover *takeover, struct message *message)
{
	const char *error = NULL;

	if (takeover->foreign || takeover->shm != NULL)
		return "shared memory out of turn";
	takeover->shm = shm_attach(takeover_keep_fd(message, 0), &error);
	return takeover->shm == NULL ? error : NULL;
}

static const char *takeover_hear_socket(struct takeover *takeover, struct message *message)
{
	if (takeover->socket_fd >= 0 ||
		takeover_option(message->fds[0], SO_TYPE) != SOCK_SEQPACKET ||
		takeover_option(message->fds[0], SO_ACCEPTCONN) != 1)
		return "a takeover.sock that is none";
	takeover->socket_fd = takeover_keep_fd(message, 0);
	return NULL;
}

static void takeover_hear_no(struct takeover_ask *ask, const struct message *message)
{
	const struct msg_no *no = message_payload(message, K2M_NO, NULL);
	char why[sizeof(no->why)];

	snprintf(why, sizeof(why), "%.*s", (int)sizeof(no->why) - 1, no->why);
	ask->takeover->master_pid = no->pid > 0 ? no->pid : 0;
	takeover_over(ask, TAKEOVER_REFUSED, why);
}

static void takeover_hear_end(struct takeover_ask *ask)
{
	const struct takeover *takeover = ask->takeover;

	if (takeover->socket_fd < 0 || (!takeover->foreign && takeover->shm == NULL))
		takeover_over(ask, TAKEOVER_FAILED, "it did not say all");
	else
		takeover_over(ask, TAKEOVER_READY, "");
}

static void on_keeper_message(struct channel *channel, struct message *message, void *arg)
{
	struct takeover_ask *ask = arg;
	const char *fault = NULL;

	(void)channel;
	if (ask->over)
		return;
	if (message->type == K2M_NO) {
		takeover_hear_no(ask, message);
		return;
	}
	if (!ask->heard && message->type != K2M_HELLO)
		fault = "it is no keeper";
	else if (message->type == K2M_HELLO)
		fault = takeover_hear_hello(ask, message);
	else if (message->type == K2M_SHM)
		fault = takeover_hear_shm(ask->takeover, message);
	else if (message->type == K2M_SOCKET)
		fault = takeover_hear_socket(ask->takeover, message);
	else if (message->type == K2M_LISTENER)
		fault = takeover_hear_listeners(ask->takeover, message);
	else if (message->type == K2M_CHILD)
		fault = takeover_hear_child(ask->takeover, message);
	else if (message->type == K2M_END)
		takeover_hear_end(ask);
	else
		fault = "it speaks out of turn";
	if (fault != NULL)
		takeover_over(ask, TAKEOVER_FAILED, fault);
}

static void on_keeper_end(struct channel *channel, enum channel_end end, const char *why, void *arg)
{
	struct takeover_ask *ask = arg;

	(void)channel;
	if (ask->over)
		return;
	/* It was about to exit, for nothing was left. */
	if (end == CHANNEL_CLOSED && !ask->heard)
		takeover_over(ask, TAKEOVER_NONE, "");
	else
		takeover_over(ask, TAKEOVER_FAILED, why);
}

static void on_keeper_late(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	takeover_over(arg, TAKEOVER_FAILED, "the keeper does not answer");
}

/* ------------------------------------------------------------------ asking */

static enum takeover_result takeover_fail(struct takeover *takeover, const char *why)
{
	snprintf(takeover->why, sizeof(takeover->why), "%s", why);
	return TAKEOVER_FAILED;
}

/* Who listens there made the socket: a master, root's or ours. */
static enum takeover_result takeover_dial(const char *path, struct takeover *takeover)
{
	struct ucred peer = { .uid = (uid_t)-1 };
	socklen_t len = sizeof(peer);
	struct sockaddr_any addr;

	if (sockaddr_from_path(path, &addr) < 0)
		return takeover_fail(takeover, "the path is too long");
	takeover->fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (takeover->fd < 0)
		return takeover_fail(takeover, strerror(errno));
	if (connect(takeover->fd, &addr.u.sa, addr.len) < 0)
		return errno == ENOENT || errno == ECONNREFUSED || errno == ENOTDIR
			? TAKEOVER_NONE
			: takeover_fail(takeover, strerror(errno));
	if (getsockopt(takeover->fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) < 0 ||
		(peer.uid != 0 && peer.uid != geteuid()))
		return takeover_fail(takeover, "it is another user's");
	return TAKEOVER_READY;
}

static void takeover_say_hello(struct channel *channel)
{
	const struct msg_hello hello = {
		.magic = MSG_HELLO_MAGIC,
		.takeover = TAKEOVER_VERSION,
		.shm = SHM_VERSION,
		.record_bytes = sizeof(struct relay_record),
		.pid = getpid(),
	};
	const struct message message = {
		.type = M2K_HELLO, .payload = &hello, .payload_bytes = sizeof(hello)
	};

	channel_send(channel, &message);
}

/* Whether the process whose pidfd we opened by its number was still the keeper then. */
static bool takeover_line_lives(int fd)
{
	char byte;

	return recv(fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) < 0 && errno == EAGAIN;
}

static void takeover_close(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

static enum takeover_result takeover_ask(struct takeover *takeover)
{
	const struct timeval most = { TAKEOVER_CONNECT_MS / 1000, 0 };
	struct takeover_ask ask = { .takeover = takeover, .base = child_event_base() };
	const struct channel_handlers handlers = {
		.on_message = on_keeper_message,
		.on_end = on_keeper_end,
		.arg = &ask,
	};
	struct channel *channel = channel_new(ask.base, takeover->fd, CHANNEL_MASTER, &handlers);

	takeover_say_hello(channel);
	if (event_base_once(ask.base, -1, EV_TIMEOUT, on_keeper_late, &ask, &most) < 0)
		takeover_over(&ask, TAKEOVER_FAILED, "out of memory");
	while (!ask.over)
		event_base_loop(ask.base, EVLOOP_ONCE);
	takeover->fd = channel_detach(channel);
	event_base_free(ask.base);
	/* It has told all: what it told is still so. But its number may be another process's. */
	if (ask.result == TAKEOVER_READY && !takeover_line_lives(takeover->fd))
		takeover_close(&takeover->keeper_pidfd);
	return ask.result;
}

enum takeover_result takeover_connect(const char *path, struct takeover *takeover_r)
{
	enum takeover_result result;

	*takeover_r = (struct takeover){ .fd = -1, .socket_fd = -1, .keeper_pidfd = -1 };
	result = takeover_dial(path, takeover_r);
	if (result == TAKEOVER_READY)
		result = takeover_ask(takeover_r);
	if (result != TAKEOVER_READY)
		takeover_free(takeover_r);
	return result;
}

void takeover_free(struct takeover *takeover)
{
	takeover_close(&takeover->fd);
	takeover_close(&takeover->socket_fd);
	takeover_close(&takeover->keeper_pidfd);
	shm_free(takeover->shm);
	takeover->shm = NULL;
	for (size_t i = 0; i < takeover->nlisteners; i++)
		takeover_close(&takeover->listeners[i].fd);
	for (size_t i = 0; i < takeover->nchildren; i++) {
		takeover_close(&takeover->children[i].channel_fd);
		takeover_close(&takeover->children[i].pidfd);
	}
	free(takeover->listeners);
	free(takeover->children);
	takeover->listeners = NULL;
	takeover->children = NULL;
	takeover->nlisteners = takeover->nchildren = 0;
}

void takeover_take(struct channel *keeper)
{
	const struct message message = { .type = M2K_TAKE };

	channel_send(keeper, &message);
}
