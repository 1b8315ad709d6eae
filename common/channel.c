/* The channel: one datagram per message, checked on the way out (our bug) and on the way in (theirs).
 *
 * The end of a channel is told from the loop alone. A send that finds the other side gone only makes
 * the read side see its end: messages that were sent before that end are still delivered.
 */
#include "common/channel.h"

#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/child.h"
#include "common/log.h"

#define CHANNEL_MAGIC    0x4348414eu
#define CHANNEL_BUDGET   64 /* messages per turn of the loop */
#define CHANNEL_RETRY_MS 20 /* after the kernel ran out of something: no event would tell us */

/* In front of every payload. */
struct channel_header {
	uint32_t type;
	uint32_t payload_bytes;
	uint32_t slot;
	uint32_t generation;
};

/* A message as it lies in memory, on both sides. */
struct channel_packet {
	struct channel_header header;
	_Alignas(16) char payload[CHANNEL_BYTES_MAX];
};

/* The space for the fds of one message, aligned as the kernel wants it. */
union channel_control {
	struct cmsghdr align;
	char space[CMSG_SPACE(CHANNEL_FDS_MAX * sizeof(int))];
};

struct channel_queued {
	TAILQ_ENTRY(channel_queued) entry;
	int *fds; /* owned, and what they are; behind the payload */
	size_t nfds;
	struct channel_header header;
	_Alignas(8) char payload[];
};

enum channel_state {
	CHANNEL_OPEN,
	CHANNEL_DEAF,  /* nobody reads what we send; what they sent still comes */
	CHANNEL_ENDED, /* on_end is due or done */
};

struct channel {
	uint32_t magic;
	int fd; /* owned */
	enum channel_side side;
	enum channel_state state;
	struct channel_handlers handlers;
	struct event *read_event;
	struct event *write_event; /* added only while messages wait for room */
	struct event *retry_event;
	TAILQ_HEAD(channel_queue, channel_queued) queue;
	size_t queued;
	unsigned budget;      /* messages received per turn of the loop */
	enum channel_end end; /* with state CHANNEL_ENDED */
	char why[160];
	bool reading; /* inside on_channel_readable: channel_free leaves the memory to it */
	bool freed;
	struct channel_packet packet; /* the last one received */
};

/* ------------------------------------------------------------------ the end */

static void channel_close_fds(int *fds, size_t nfds)
{
	for (size_t i = 0; i < nfds; i++) {
		if (fds[i] >= 0)
			close(fds[i]);
		fds[i] = -1;
	}
}

static void channel_unqueue(struct channel *channel, struct channel_queued *queued)
{
	TAILQ_REMOVE(&channel->queue, queued, entry);
	channel->queued--;
	channel_close_fds(queued->fds, queued->nfds);
	free(queued);
}

static void channel_drop_queue(struct channel *channel)
{
	struct channel_queued *next;

	for (struct channel_queued *q = TAILQ_FIRST(&channel->queue); q != NULL; q = next) {
		next = TAILQ_NEXT(q, entry);
		channel_unqueue(channel, q);
	}
	event_del(channel->write_event);
	event_del(channel->retry_event);
}

/* From now on nothing is sent or received; on_end follows from the loop. */
static void channel_fail(
	struct channel *channel, enum channel_end end, const char *what, const char *detail)
{
	if (channel->state == CHANNEL_ENDED)
		return;
	channel->state = CHANNEL_ENDED;
	channel->end = end;
	snprintf(channel->why, sizeof(channel->why), "%s%s%s", what, *detail != '\0' ? ": " : "",
		detail);
	channel_drop_queue(channel);
	event_active(channel->read_event, EV_READ, 0);
}

/* The other side reads no more. shutdown makes sure that we see an end, after all that still waits. */
static void channel_deafen(struct channel *channel)
{
	if (channel->state != CHANNEL_OPEN)
		return;
	channel->state = CHANNEL_DEAF;
	channel_drop_queue(channel);
	shutdown(channel->fd, SHUT_RD);
}

/* ------------------------------------------------------------------ sending */

/* struct iovec knows no const; sendmsg only reads. */
static void *channel_unconst(const void *data)
{
	union {
		const void *in;
		void *out;
	} pointer = { .in = data };

	return pointer.out;
}

/* One datagram. Returns 0, or -1 with errno. */
static int channel_put(int fd, const struct channel_header *header, const void *payload,
	const int *fds, size_t nfds)
{
	union channel_control control;
	struct iovec iov[2] = {
		{ .iov_base = channel_unconst(header), .iov_len = sizeof(*header) },
		{ .iov_base = channel_unconst(payload), .iov_len = header->payload_bytes },
	};
	struct msghdr msg = { .msg_iov = iov, .msg_iovlen = 2 };

	if (nfds > 0) {
		struct cmsghdr *cmsg;

		memset(&control, 0, sizeof(control));
		msg.msg_control = control.space;
		msg.msg_controllen = CMSG_SPACE(nfds * sizeof(int));
		cmsg = CMSG_FIRSTHDR(&msg);
		cmsg->cmsg_level = SOL_SOCKET;
		cmsg->cmsg_type = SCM_RIGHTS;
		cmsg->cmsg_len = CMSG_LEN(nfds * sizeof(int));
		memcpy(CMSG_DATA(cmsg), fds, nfds * sizeof(int));
	}
	return sendmsg(fd, &msg, MSG_DONTWAIT | MSG_NOSIGNAL) == -1 ? -1 : 0;
}

/* After a send that failed: wait for room, or see that nobody is there. */
static void channel_put_failed(struct channel *channel, int error)
{
	const struct timeval retry = { .tv_usec = CHANNEL_RETRY_MS * 1000 };

	MUST(error != EBADF && error != EMSGSIZE && error != EINVAL);
	switch (error) {
	case EAGAIN:
	case EINTR:
		event_add(channel->write_event, NULL);
		break;
	case ENOBUFS:
	case ENOMEM:
	case ETOOMANYREFS: /* more fds on their way than this user may have open */
		event_add(channel->retry_event, &retry);
		break;
	default: /* EPIPE, ECONNRESET */
		channel_deafen(channel);
	}
}

static void channel_flush(struct channel *channel)
{
	int budget = CHANNEL_BUDGET;
	struct channel_queued *next;

	for (struct channel_queued *q = TAILQ_FIRST(&channel->queue); q != NULL; q = next) {
		if (budget-- == 0) {
			event_add(channel->write_event, NULL);
			return;
		}
		if (channel_put(channel->fd, &q->header, q->payload, q->fds, q->nfds) == -1) {
			channel_put_failed(channel, errno);
			return;
		}
		next = TAILQ_NEXT(q, entry);
		channel_unqueue(channel, q);
	}
}

/* A copy of a message that does not fit the socket now. NULL with errno. */
static struct channel_queued *channel_queued_new(
	const struct channel_header *header, const struct message *message)
{
	size_t payload_bytes = (message->payload_bytes + 7) / 8 * 8;
	struct channel_queued *queued =
		malloc(sizeof(*queued) + payload_bytes + message->nfds * sizeof(int));

	if (queued == NULL)
		return NULL;
	queued->header = *header;
	queued->fds = (int *)(void *)(queued->payload + payload_bytes);
	queued->nfds = 0;
	if (message->payload_bytes > 0)
		memcpy(queued->payload, message->payload, message->payload_bytes);
	for (size_t i = 0; i < message->nfds; i++) {
		int fd = fcntl(message->fds[i], F_DUPFD_CLOEXEC, 0);

		if (fd == -1) {
			int error = errno;

			channel_close_fds(queued->fds, queued->nfds);
			free(queued);
			errno = error;
			return NULL;
		}
		queued->fds[queued->nfds++] = fd;
	}
	return queued;
}

static void channel_enqueue(
	struct channel *channel, const struct channel_header *header, const struct message *message)
{
	struct channel_queued *queued;

	if (channel->queued == CHANNEL_QUEUE_MAX) {
		channel_fail(channel, CHANNEL_FULL, "it does not read", "");
		return;
	}
	queued = channel_queued_new(header, message);
	if (queued == NULL) {
		channel_fail(channel, CHANNEL_FULL, "cannot queue", strerror(errno));
		return;
	}
	TAILQ_INSERT_TAIL(&channel->queue, queued, entry);
	channel->queued++;
}

void channel_send(struct channel *channel, const struct message *message)
{
	const struct channel_header header = {
		.type = message->type,
		.payload_bytes = (uint32_t)message->payload_bytes,
		.slot = message->slot,
		.generation = message->generation,
	};
	int error;

	MUST(channel->magic == CHANNEL_MAGIC && !channel->freed);
	MUST(message_fault(message->type, channel->side, message->payload_bytes, message->nfds) ==
		NULL);
	if (channel->state != CHANNEL_OPEN)
		return;
	if (!TAILQ_EMPTY(&channel->queue)) {
		channel_enqueue(channel, &header, message);
		return;
	}
	if (channel_put(channel->fd, &header, message->payload, message->fds, message->nfds) == 0)
		return;
	error = errno;
	channel_put_failed(channel, error);
	if (channel->state == CHANNEL_OPEN)
		channel_enqueue(channel, &header, message);
}

static void on_channel_writable(evutil_socket_t fd, short what, void *arg)
{
	struct channel *channel = arg;

	(void)fd;
	(void)what;
	channel_flush(channel);
	if (channel_has_room(channel) && channel->handlers.on_room != NULL)
		channel->handlers.on_room(channel, channel->handlers.arg);
}

bool channel_has_room(const struct channel *channel)
{
	return channel->state == CHANNEL_OPEN && TAILQ_EMPTY(&channel->queue);
}

int channel_fd(const struct channel *channel)
{
	return channel->fd;
}

/* ------------------------------------------------------------------ receiving */

/* All fds of a received message, wherever they stand. At most CHANNEL_FDS_MAX fit its control space. */
static size_t channel_take_fds(struct msghdr *msg, int fds[CHANNEL_FDS_MAX])
{
	size_t nfds = 0;

	for (struct cmsghdr *c = CMSG_FIRSTHDR(msg); c != NULL; c = CMSG_NXTHDR(msg, c)) {
		size_t n = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);

		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		MUST(n <= CHANNEL_FDS_MAX - nfds);
		memcpy(fds + nfds, CMSG_DATA(c), n * sizeof(int));
		nfds += n;
	}
	return nfds;
}

static enum channel_side channel_peer(enum channel_side side)
{
	switch (side) {
	case CHANNEL_MASTER:
		return CHANNEL_CHILD;
	case CHANNEL_CHILD:
		return CHANNEL_MASTER;
	case CHANNEL_KEEPER:
		return CHANNEL_KEPT;
	case CHANNEL_KEPT:
		break;
	}
	return CHANNEL_KEEPER;
}

/* Check what was received and hand it on. fds are closed unless the handler kept them. */
static void channel_deliver(
	struct channel *channel, size_t bytes, int msg_flags, int *fds, size_t nfds)
{
	const struct channel_header *header = &channel->packet.header;
	const char *fault = NULL;
	struct message message;

	if (bytes < sizeof(*header) || bytes - sizeof(*header) != header->payload_bytes ||
		(msg_flags & MSG_TRUNC) != 0)
		fault = "truncated";
	else if ((msg_flags & MSG_CTRUNC) != 0)
		fault = "too many fds, or no fds left here";
	else
		fault = message_fault(
			header->type, channel_peer(channel->side), header->payload_bytes, nfds);
	if (fault != NULL) {
		channel_fail(channel, CHANNEL_BROKEN,
			bytes < sizeof(*header) ? "message" : message_type_name(header->type),
			fault);
	} else {
		message = (struct message){
			.type = header->type,
			.slot = header->slot,
			.generation = header->generation,
			.payload = channel->packet.payload,
			.payload_bytes = header->payload_bytes,
			.fds = fds,
			.nfds = nfds,
		};
		channel->handlers.on_message(channel, &message, channel->handlers.arg);
	}
	channel_close_fds(fds, nfds);
}

/* Receive one message. False when there is none, now or ever again. */
static bool channel_receive(struct channel *channel)
{
	union channel_control control;
	int fds[CHANNEL_FDS_MAX];
	struct iovec iov = { .iov_base = &channel->packet, .iov_len = sizeof(channel->packet) };
	struct msghdr msg = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = control.space,
		.msg_controllen = sizeof(control.space),
	};
	ssize_t n;

	_Static_assert(offsetof(struct channel_packet, payload) == sizeof(struct channel_header),
		"the payload follows its header on the wire");
	n = recvmsg(channel->fd, &msg, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	if (n > 0) {
		channel_deliver(
			channel, (size_t)n, msg.msg_flags, fds, channel_take_fds(&msg, fds));
		return true;
	}
	if (n == 0) {
		/* An empty datagram looks like an end: no message is one either way. */
		channel_close_fds(fds, channel_take_fds(&msg, fds));
		channel_fail(channel, CHANNEL_CLOSED, "the other process is gone", "");
	} else if (errno == ECONNRESET) {
		/* It died without reading everything of ours. Told once, in front of what it sent. */
		return true;
	} else if (errno != EAGAIN && errno != EINTR) {
		channel_fail(channel, CHANNEL_CLOSED, "recvmsg", strerror(errno));
	}
	return false;
}

static void channel_release(struct channel *channel)
{
	event_free(channel->read_event);
	event_free(channel->write_event);
	event_free(channel->retry_event);
	channel->magic = 0;
	free(channel);
}

static void channel_read(struct channel *channel, unsigned budget)
{
	MUST(channel->magic == CHANNEL_MAGIC && !channel->reading);
	channel->reading = true;
	for (; budget > 0; budget--) {
		if (channel->freed || channel->state == CHANNEL_ENDED || !channel_receive(channel))
			break;
	}
	if (!channel->freed && channel->state == CHANNEL_ENDED) {
		event_del(channel->read_event);
		channel->handlers.on_end(
			channel, channel->end, channel->why, channel->handlers.arg);
	}
	channel->reading = false;
	if (channel->freed)
		channel_release(channel);
}

static void on_channel_readable(evutil_socket_t fd, short what, void *arg)
{
	struct channel *channel = arg;

	(void)fd;
	(void)what;
	channel_read(channel, channel->budget);
}

void channel_budget(struct channel *channel, unsigned messages)
{
	channel->budget = messages;
}

void channel_drain(struct channel *channel)
{
	channel_read(channel, UINT_MAX);
}

/* ------------------------------------------------------------------ new and free */

int channel_pair(int fds_r[2])
{
	return socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds_r);
}

struct channel *channel_new(struct event_base *base, int fd, enum channel_side side,
	const struct channel_handlers *handlers)
{
	struct channel *channel = calloc(1, sizeof(*channel));

	if (channel == NULL)
		goto fail;
	channel->magic = CHANNEL_MAGIC;
	channel->fd = fd;
	channel->side = side;
	channel->budget = CHANNEL_BUDGET;
	channel->handlers = *handlers;
	TAILQ_INIT(&channel->queue);
	channel->read_event =
		event_new(base, fd, EV_READ | EV_PERSIST, on_channel_readable, channel);
	channel->write_event = event_new(base, fd, EV_WRITE, on_channel_writable, channel);
	channel->retry_event = evtimer_new(base, on_channel_writable, channel);
	if (channel->read_event == NULL || channel->write_event == NULL ||
		channel->retry_event == NULL || event_add(channel->read_event, NULL) == -1)
		goto fail;
	return channel;
fail:
	log_fatalx("out of memory for a channel");
	exit(EXIT_CODE_FAILED);
}

void channel_free(struct channel *channel)
{
	if (channel == NULL)
		return;
	MUST(channel->magic == CHANNEL_MAGIC && !channel->freed);
	channel->state = CHANNEL_ENDED;
	channel_drop_queue(channel);
	event_del(channel->read_event);
	if (channel->fd >= 0)
		close(channel->fd);
	channel->freed = true;
	if (!channel->reading)
		channel_release(channel);
}

int channel_detach(struct channel *channel)
{
	int fd = channel->fd;

	/* The events know the fd: they go before it changes hands. */
	event_del(channel->read_event);
	event_del(channel->write_event);
	channel->fd = -1;
	channel_free(channel);
	return fd;
}
