/* takeover.sock, the keeper's side: one next master at a time, until it is the master or gone.
 */
#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/pidfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/child.h"
#include "common/clock.h"
#include "master/change/takeover.h"
#include "master/keeper/parts.h"

#define SESSION_HELLO_MS 5000 /* to say hello, and to read all that is told */
#define SESSION_REST_MS  1000 /* when there are no fds to accept with */

enum session_state {
	SESSION_NONE,
	SESSION_HELLO,   /* it has not spoken */
	SESSION_TELLING, /* listeners and children go out, as there is room */
	SESSION_TOLD,    /* it prepares itself */
	SESSION_TAKING,  /* the old master is leaving */
	SESSION_KILLED,  /* it did not, and was killed */
};

struct keeper_takeover {
	struct keeper *keeper; /* borrowed */
	int fd;                /* owned, listening; -1 */
	struct event *accept;  /* owned; NULL when there is no fd */
	struct event *rest;    /* owned; the same */
	struct event *timer;   /* owned; of the session */
	pid_t expected;        /* whom the master lets take over; 0: nobody */

	/* the session */
	enum session_state state;
	struct channel *line; /* owned */
	pid_t pid;
	int pidfd; /* owned; -1 */
	bool foreign;
	size_t told_listeners;
	size_t told_children;
	uint64_t changes; /* keeper.changes when it was told */
};

/* ------------------------------------------------------------------ the session's end */

static void session_timer(struct keeper_takeover *takeover, uint32_t after_ms)
{
	const struct timeval after = clock_timeval(after_ms);

	event_add(takeover->timer, &after);
}

static void session_over(struct keeper_takeover *takeover)
{
	channel_free(takeover->line);
	takeover->line = NULL;
	if (takeover->pidfd >= 0)
		close(takeover->pidfd);
	takeover->pidfd = -1;
	takeover->state = SESSION_NONE;
	event_del(takeover->timer);
	keeper_check_use(takeover->keeper);
}

static void session_say_no(struct channel *line, pid_t master, const char *why)
{
	struct msg_no no = { .pid = master };
	const struct message message = {
		.type = K2M_NO, .payload = &no, .payload_bytes = sizeof(no)
	};

	snprintf(no.why, sizeof(no.why), "%s", why);
	channel_send(line, &message);
}

static void session_refuse(struct keeper_takeover *takeover, pid_t master, const char *why)
{
	log_warnx("pid %d may not take over: %s", (int)takeover->pid, why);
	session_say_no(takeover->line, master, why);
	session_over(takeover);
}

/* ------------------------------------------------------------------ telling */

static void session_send(struct keeper_takeover *takeover, enum message_type type,
	const void *payload, size_t payload_bytes)
{
	const struct message message = {
		.type = type, .payload = payload, .payload_bytes = payload_bytes
	};

	channel_send(takeover->line, &message);
}

static void session_send_fd(struct keeper_takeover *takeover, enum message_type type, int fd)
{
	const struct message message = { .type = type, .fds = &fd, .nfds = 1 };

	channel_send(takeover->line, &message);
}

static void session_tell_listeners(struct keeper_takeover *takeover)
{
	const struct keeper *keeper = takeover->keeper;
	struct msg_kept_listener what[MESSAGE_BATCH];
	int fds[MESSAGE_BATCH];
	size_t n = 0;
	const struct message message = { .type = K2M_LISTENER, .payload = what, .fds = fds };
	struct message filled = message;

	while (n < MESSAGE_BATCH && takeover->told_listeners < keeper->nlisteners) {
		const struct keeper_listener *listener =
			&keeper->listeners[takeover->told_listeners++];

		what[n] = listener->what;
		fds[n++] = listener->fd;
	}
	filled.payload_bytes = n * sizeof(what[0]);
	filled.nfds = n;
	channel_send(takeover->line, &filled);
}

static void session_tell_child(struct keeper_takeover *takeover)
{
	const struct keeper_child *child = &takeover->keeper->children[takeover->told_children++];
	int fds[2] = { child->channel_fd, child->pidfd };
	const struct message message = {
		.type = K2M_CHILD,
		.payload = &child->what,
		.payload_bytes = sizeof(child->what),
		.fds = fds,
		.nfds = NELEMS(fds),
	};

	channel_send(takeover->line, &message);
}

static void session_tell(struct keeper_takeover *takeover)
{
	const struct keeper *keeper = takeover->keeper;

	while (channel_has_room(takeover->line)) {
		if (takeover->told_listeners < keeper->nlisteners) {
			session_tell_listeners(takeover);
		} else if (takeover->told_children < keeper->nchildren) {
			session_tell_child(takeover);
		} else {
			session_send(takeover, K2M_END, NULL, 0);
			log_debug("pid %d was told all", (int)takeover->pid);
			takeover->state = SESSION_TOLD;
			event_del(takeover->timer);
			return;
		}
	}
}

static void session_hello(struct keeper_takeover *takeover, const struct message *message)
{
	struct keeper *keeper = takeover->keeper;
	const struct msg_hello *hello = message_payload(message, M2K_HELLO, NULL);
	const struct msg_hello ours = {
		.magic = MSG_HELLO_MAGIC,
		.takeover = TAKEOVER_VERSION,
		.shm = SHM_VERSION,
		.record_bytes = sizeof(struct relay_record),
		.pid = getpid(),
	};

	if (hello->magic != MSG_HELLO_MAGIC) {
		session_refuse(takeover, 0, "it is no proxyd");
		return;
	}
	if (keeper->master != NULL && takeover->pid != takeover->expected) {
		/* Somebody tried to start a second daemon, who is told. */
		log_info("pid %d may not take over: the master lives", (int)takeover->pid);
		session_say_no(takeover->line, keeper->master_pid, "its master lives");
		session_over(takeover);
		return;
	}
	if (keeper->inherit != NULL) {
		session_refuse(takeover, 0, "the keeper is being replaced");
		return;
	}
	takeover->foreign = hello->takeover != ours.takeover || hello->shm != ours.shm ||
		hello->record_bytes != ours.record_bytes;
	takeover->told_listeners = takeover->told_children = 0;
	takeover->changes = keeper->changes;
	takeover->state = SESSION_TELLING;
	session_send(takeover, K2M_HELLO, &ours, sizeof(ours));
	if (!takeover->foreign)
		session_send_fd(takeover, K2M_SHM, shm_fd(keeper->shm));
	session_send_fd(takeover, K2M_SOCKET, takeover->fd);
	session_tell(takeover);
}

/* ------------------------------------------------------------------ taking */

static void takeover_server_stop(struct keeper_takeover *takeover)
{
	if (takeover->accept != NULL) {
		event_free(takeover->accept);
		event_free(takeover->rest);
	}
	takeover->accept = takeover->rest = NULL;
	if (takeover->fd >= 0)
		close(takeover->fd);
	takeover->fd = -1;
}

/* Its session becomes the master's line. One of another version never speaks to us again: the listeners and
 * takeover.sock are its and its own keeper's, and we stay with the workers that drain. */
static void session_yours(struct keeper_takeover *takeover)
{
	struct keeper *keeper = takeover->keeper;
	struct message yours = { .type = K2M_YOURS };

	if (keeper->master_pidfd >= 0)
		close(keeper->master_pidfd);
	keeper->master_pid = takeover->pid;
	keeper->master_pidfd = takeover->pidfd;
	takeover->pidfd = -1;
	takeover->expected = 0;
	keeper->master_foreign = false;
	keeper_open_master(keeper, channel_detach(takeover->line));
	takeover->line = NULL;
	/* What the one before asked to be told of, this one asks for itself. */
	for (uint32_t i = 0; i < SHM_SLOTS; i++) {
		if (keeper->workers[i] != NULL)
			keeper->workers[i]->dead = false;
	}
	keeper_send_master(keeper, &yours);
	log_info("the master is pid %d now", (int)keeper->master_pid);
	if (takeover->foreign) {
		keeper->master_foreign = true;
		children_drop_listeners(keeper);
		takeover_server_stop(takeover);
	}
	session_over(takeover);
	give_soon(keeper);
}

static void session_take(struct keeper_takeover *takeover)
{
	struct keeper *keeper = takeover->keeper;
	const struct msg_expect taken = { .pid = takeover->pid };
	struct message message = {
		.type = K2M_TAKEN, .payload = &taken, .payload_bytes = sizeof(taken)
	};

	if (takeover->changes != keeper->changes) {
		session_refuse(takeover, keeper->master != NULL ? keeper->master_pid : 0,
			"listeners or children have changed meanwhile");
		return;
	}
	if (keeper->master == NULL) {
		session_yours(takeover);
		return;
	}
	takeover->state = SESSION_TAKING;
	session_timer(takeover, KEEPER_LEAVE_MS);
	keeper_send_master(keeper, &message);
}

/* The master does not leave by itself, or cannot be made to: it may be root's, and we are not. */
static void session_leave_over(struct keeper_takeover *takeover)
{
	const struct keeper *keeper = takeover->keeper;

	if (takeover->state == SESSION_TAKING && keeper->master_pidfd >= 0 &&
		pidfd_send_signal(keeper->master_pidfd, SIGKILL, NULL, 0) == 0) {
		log_warnx("the master did not leave, and was killed");
		takeover->state = SESSION_KILLED;
		session_timer(takeover, KEEPER_LEAVE_MS);
		return;
	}
	session_refuse(takeover, keeper->master_pid, "the old master does not leave");
}

void takeover_server_master_gone(struct keeper_takeover *takeover)
{
	if (takeover_server_taking(takeover))
		session_yours(takeover);
}

static void on_session_timer(evutil_socket_t fd, short what, void *arg)
{
	struct keeper_takeover *takeover = arg;

	(void)fd;
	(void)what;
	if (takeover_server_taking(takeover))
		session_leave_over(takeover);
	else
		session_refuse(takeover, 0, "it does not speak, or does not listen");
}

static void on_session_message(struct channel *channel, struct message *message, void *arg)
{
	struct keeper_takeover *takeover = arg;

	(void)channel;
	if (takeover->state == SESSION_HELLO && message->type == M2K_HELLO)
		session_hello(takeover, message);
	else if (takeover->state == SESSION_TOLD && message->type == M2K_TAKE)
		session_take(takeover);
	else
		session_refuse(takeover, 0, "it speaks out of turn");
}

static void on_session_end(
	struct channel *channel, enum channel_end end, const char *why, void *arg)
{
	struct keeper_takeover *takeover = arg;

	(void)channel;
	(void)end;
	log_warnx("pid %d did not take over: %s", (int)takeover->pid, why);
	session_over(takeover);
}

static void on_session_room(struct channel *channel, void *arg)
{
	struct keeper_takeover *takeover = arg;

	(void)channel;
	if (takeover->state == SESSION_TELLING)
		session_tell(takeover);
}

/* ------------------------------------------------------------------ accepting */

static void on_nobody_message(struct channel *channel, struct message *message, void *arg)
{
	(void)channel;
	(void)message;
	(void)arg;
}

static void on_nobody_end(struct channel *channel, enum channel_end end, const char *why, void *arg)
{
	(void)channel;
	(void)end;
	(void)why;
	(void)arg;
}

/* Says why, and hangs up. */
static void takeover_turn_away(struct keeper_takeover *takeover, int fd, const char *why)
{
	const struct channel_handlers nobody = { on_nobody_message, on_nobody_end, NULL, NULL };
	struct channel *line = channel_new(takeover->keeper->base, fd, CHANNEL_CHILD, &nobody);

	session_say_no(line, 0, why);
	channel_free(line);
}

static void session_begin(struct keeper_takeover *takeover, int fd)
{
	const struct channel_handlers handlers = {
		.on_message = on_session_message,
		.on_end = on_session_end,
		.arg = takeover,
		.on_room = on_session_room,
	};
	struct ucred peer = { .uid = (uid_t)-1 };
	socklen_t len = sizeof(peer);

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) < 0 ||
		(peer.uid != 0 && peer.uid != geteuid())) {
		log_warnx(
			"uid %u, pid %d: it may not take over", (unsigned)peer.uid, (int)peer.pid);
		takeover_turn_away(takeover, fd, "not this user's");
		return;
	}
	if (takeover->state != SESSION_NONE) {
		takeover_turn_away(takeover, fd, "another start is taking over");
		return;
	}
	takeover->line = channel_new(takeover->keeper->base, fd, CHANNEL_CHILD, &handlers);
	takeover->pid = peer.pid;
	takeover->pidfd = pidfd_open(peer.pid, 0);
	takeover->state = SESSION_HELLO;
	session_timer(takeover, SESSION_HELLO_MS);
}

static void on_takeover_connect(evutil_socket_t fd, short what, void *arg)
{
	const struct timeval rest = { SESSION_REST_MS / 1000, 0 };
	struct keeper_takeover *takeover = arg;
	int session = accept4(fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

	(void)what;
	if (session >= 0) {
		session_begin(takeover, session);
	} else if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
		log_warn("takeover.sock");
		event_del(takeover->accept);
		event_add(takeover->rest, &rest);
	}
}

static void on_takeover_rested(evutil_socket_t fd, short what, void *arg)
{
	struct keeper_takeover *takeover = arg;

	(void)fd;
	(void)what;
	event_add(takeover->accept, NULL);
}

/* ------------------------------------------------------------------ begin and end */

void takeover_server_expect(struct keeper_takeover *takeover, pid_t pid)
{
	takeover->expected = pid;
}

bool takeover_server_busy(const struct keeper_takeover *takeover)
{
	return takeover->state != SESSION_NONE;
}

bool takeover_server_taking(const struct keeper_takeover *takeover)
{
	return takeover->state == SESSION_TAKING || takeover->state == SESSION_KILLED;
}

static void takeover_server_listen(struct keeper_takeover *takeover, int fd)
{
	struct event_base *base = takeover->keeper->base;

	takeover->fd = fd;
	if (fcntl(fd, F_SETFL, O_NONBLOCK) < 0)
		log_warn("takeover.sock");
	takeover->accept = event_new(base, fd, EV_READ | EV_PERSIST, on_takeover_connect, takeover);
	takeover->rest = evtimer_new(base, on_takeover_rested, takeover);
	if (takeover->accept == NULL || takeover->rest == NULL ||
		event_add(takeover->accept, NULL) < 0) {
		log_fatalx("out of memory for takeover.sock");
		exit(EXIT_CODE_FAILED);
	}
}

struct keeper_takeover *takeover_server_new(struct keeper *keeper, int fd)
{
	struct keeper_takeover *takeover = calloc(1, sizeof(*takeover));

	if (takeover == NULL)
		goto fail;
	takeover->keeper = keeper;
	takeover->pidfd = -1;
	takeover->fd = -1;
	takeover->timer = evtimer_new(keeper->base, on_session_timer, takeover);
	if (takeover->timer == NULL)
		goto fail;
	if (fd >= 0)
		takeover_server_listen(takeover, fd);
	return takeover;
fail:
	log_fatalx("out of memory for takeover.sock");
	exit(EXIT_CODE_FAILED);
}

void takeover_server_free(struct keeper_takeover *takeover)
{
	takeover_server_stop(takeover);
	if (takeover->line != NULL)
		channel_free(takeover->line);
	if (takeover->pidfd >= 0)
		close(takeover->pidfd);
	event_free(takeover->timer);
	free(takeover);
}
