/* Messages between two channels, and between a channel and a peer that breaks every rule. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <dirent.h>
#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/channel.h"

/* What happened to one side. */
struct witness {
	unsigned messages;
	unsigned listeners; /* elements of M2W_LISTENERS */
	uint32_t last_id;
	struct message last;
	int kept_fd;
	bool keep;                  /* keep the first fd of the next message */
	unsigned free_at;           /* free the channel in this message, from 1; 0: in none */
	struct channel *reply_from; /* send from inside of on_message, when not NULL */
	unsigned ends;
	unsigned rooms;
	enum channel_end end;
	char why[160];
};

/* As on the wire. */
struct raw {
	uint32_t type;
	uint32_t payload_bytes;
	uint32_t slot;
	uint32_t generation;
	char payload[CHANNEL_BYTES_MAX + 64];
};

static struct event_base *base;
static int pair[2];
static unsigned fds_before;

static unsigned count_fds(void)
{
	DIR *dir = opendir("/proc/self/fd");
	unsigned n = 0;

	assert_non_null(dir);
	while (readdir(dir) != NULL)
		n++;
	closedir(dir);
	return n;
}

static int setup(void **state)
{
	(void)state;
	base = event_base_new();
	fds_before = count_fds();
	return base != NULL && channel_pair(pair) == 0 ? 0 : -1;
}

/* Every test closes both ends: what is left then has leaked. */
static int teardown(void **state)
{
	(void)state;
	assert_int_equal(count_fds(), fds_before);
	event_base_free(base);
	return 0;
}

static void on_message(struct channel *channel, struct message *message, void *arg)
{
	struct witness *w = arg;

	w->messages++;
	w->last = *message;
	if (message->type == M2W_LISTENERS || message->type == M2W_RELEASE) {
		size_t n;
		const struct msg_listener *listeners = message_payload(message, message->type, &n);

		w->listeners += (unsigned)n;
		w->last_id = listeners[n - 1].id;
	}
	if (w->keep && message->nfds > 0) {
		w->kept_fd = message->fds[0];
		message->fds[0] = -1;
	}
	if (w->reply_from != NULL) {
		const struct msg_ready ready = { .pid = 1 };
		const struct message reply = {
			.type = C2M_READY, .payload = &ready, .payload_bytes = sizeof(ready)
		};

		channel_send(w->reply_from, &reply);
	}
	if (w->free_at == w->messages)
		channel_free(channel);
}

static void on_end(struct channel *channel, enum channel_end end, const char *why, void *arg)
{
	struct witness *w = arg;

	(void)channel;
	w->ends++;
	w->end = end;
	snprintf(w->why, sizeof(w->why), "%s", why);
}

static struct channel *new_side(enum channel_side side, struct witness *w)
{
	const struct channel_handlers handlers = { on_message, on_end, w, NULL };

	w->kept_fd = -1;
	return channel_new(
		base, pair[side == CHANNEL_CHILD || side == CHANNEL_KEEPER], side, &handlers);
}

static void run(void)
{
	for (int i = 0; i < 200; i++)
		event_base_loop(base, EVLOOP_NONBLOCK);
}

static void send_stop(struct channel *channel, uint32_t drain_ms)
{
	const struct msg_stop stop = { .drain_ms = drain_ms };
	const struct message message = { .type = M2C_STOP,
		.slot = 3,
		.generation = 9,
		.payload = &stop,
		.payload_bytes = sizeof(stop) };

	channel_send(channel, &message);
}

static void send_ready(struct channel *channel)
{
	const struct msg_ready ready = { .pid = 4711 };
	const struct message message = {
		.type = C2M_READY, .payload = &ready, .payload_bytes = sizeof(ready)
	};

	channel_send(channel, &message);
}

/* n listeners with fd each, ids from first on. */
static void send_listeners(struct channel *channel, uint32_t first, size_t n, int fd)
{
	struct msg_listener listeners[MESSAGE_BATCH] = { 0 };
	int fds[MESSAGE_BATCH];
	const struct message message = { .type = M2W_LISTENERS,
		.payload = listeners,
		.payload_bytes = n * sizeof(listeners[0]),
		.fds = fds,
		.nfds = n };

	for (size_t i = 0; i < n; i++) {
		listeners[i].id = first + (uint32_t)i;
		fds[i] = fd;
	}
	channel_send(channel, &message);
}

static void send_raw(int to, const void *data, size_t bytes, int fd, size_t nfds)
{
	union {
		struct cmsghdr align;
		char space[CMSG_SPACE((CHANNEL_FDS_MAX + 1) * sizeof(int))];
	} control = { 0 };
	struct iovec iov = { .iov_base = (void *)(uintptr_t)data, .iov_len = bytes };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };

	if (nfds > 0) {
		struct cmsghdr *c = &control.align;

		msg.msg_control = control.space;
		msg.msg_controllen = CMSG_SPACE(nfds * sizeof(int));
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(nfds * sizeof(int));
		for (size_t i = 0; i < nfds; i++)
			memcpy(CMSG_DATA(c) + i * sizeof(int), &fd, sizeof(fd));
	}
	assert_int_equal(sendmsg(to, &msg, 0), bytes);
}

static void test_both_ways(void **state)
{
	struct witness m = { 0 }, c = { 0 };
	struct channel *master = new_side(CHANNEL_MASTER, &m);
	struct channel *child = new_side(CHANNEL_CHILD, &c);

	(void)state;
	send_stop(master, 5000);
	send_ready(child);
	assert_int_equal(c.messages, 0);
	run();
	assert_int_equal(c.messages, 1);
	assert_int_equal(c.last.type, M2C_STOP);
	assert_int_equal(c.last.slot, 3);
	assert_int_equal(c.last.generation, 9);
	assert_int_equal(c.last.payload_bytes, sizeof(struct msg_stop));
	assert_int_equal(m.messages, 1);
	assert_int_equal(m.last.type, C2M_READY);
	channel_free(master);
	run();
	assert_int_equal(c.ends, 1);
	assert_int_equal(c.end, CHANNEL_CLOSED);
	send_ready(child); /* swallowed */
	run();
	assert_int_equal(c.ends, 1);
	channel_free(child);
}

static void test_fds_are_closed_or_kept(void **state)
{
	struct witness m = { 0 }, c = { .keep = true };
	struct channel *master = new_side(CHANNEL_MASTER, &m);
	struct channel *child = new_side(CHANNEL_CHILD, &c);
	unsigned before = count_fds();
	struct stat ours, theirs;

	(void)state;
	send_listeners(master, 10, MESSAGE_BATCH, STDIN_FILENO);
	run();
	assert_int_equal(c.messages, 1);
	assert_int_equal(c.listeners, MESSAGE_BATCH);
	assert_int_equal(c.last_id, 10 + MESSAGE_BATCH - 1);
	assert_int_equal(count_fds(), before + 1);
	assert_int_equal(fcntl(c.kept_fd, F_GETFD), FD_CLOEXEC);
	assert_int_equal(fstat(STDIN_FILENO, &ours), 0);
	assert_int_equal(fstat(c.kept_fd, &theirs), 0);
	assert_int_equal(ours.st_ino, theirs.st_ino);
	close(c.kept_fd);
	channel_free(master);
	channel_free(child);
}

/* More than the socket takes: queued, in order, with fds of their own. */
static void test_full_socket_queues(void **state)
{
	struct witness m = { 0 }, c = { 0 };
	struct channel *master = new_side(CHANNEL_MASTER, &m);
	struct channel *child;
	unsigned before;

	(void)state;
	before = count_fds();
	for (uint32_t i = 0; i < 700; i++) {
		int fd = dup(STDIN_FILENO);

		assert_true(fd >= 0);
		send_listeners(master, i, 1, fd);
		close(fd);
	}
	assert_true(count_fds() > before); /* else this tests nothing */
	child = new_side(CHANNEL_CHILD, &c);
	run();
	assert_int_equal(c.listeners, 700);
	assert_int_equal(c.last_id, 699);
	assert_int_equal(m.ends + c.ends, 0);
	assert_int_equal(count_fds(), before);
	send_stop(master, 1); /* directly again */
	run();
	assert_int_equal(c.last.type, M2C_STOP);
	channel_free(master);
	channel_free(child);
}

static void test_peer_that_never_reads(void **state)
{
	struct witness m = { 0 };
	struct channel *master = new_side(CHANNEL_MASTER, &m);

	(void)state;
	for (uint32_t i = 0; i < 10000; i++)
		send_stop(master, i);
	assert_int_equal(m.ends, 0); /* told from the loop only */
	run();
	assert_int_equal(m.ends, 1);
	assert_int_equal(m.end, CHANNEL_FULL);
	channel_free(master);
	close(pair[1]);
}

/* What a peer sent before it died is still heard, also when the kernel tells the death first: it left
 * something unread, which is ECONNRESET to the next that sends or receives. */
static void test_last_words(void **state)
{
	(void)state;
	close(pair[0]);
	close(pair[1]);
	for (int sends = 0; sends < 3; sends++) {
		struct witness m = { 0 }, c = { 0 };
		struct channel *master, *child;

		assert_int_equal(channel_pair(pair), 0);
		master = new_side(CHANNEL_MASTER, &m);
		child = new_side(CHANNEL_CHILD, &c);
		send_stop(master, 1);
		send_ready(child);
		send_ready(child);
		channel_free(child);
		for (int i = 0; i < sends; i++)
			send_stop(master, 2);
		assert_int_equal(m.ends, 0);
		run();
		assert_int_equal(m.messages, 2);
		assert_int_equal(m.ends, 1);
		assert_int_equal(m.end, CHANNEL_CLOSED);
		channel_free(master);
	}
}

static void test_peer_that_stops_reading_for_good(void **state)
{
	struct witness m = { 0 };
	struct channel *master = new_side(CHANNEL_MASTER, &m);

	(void)state;
	shutdown(pair[1], SHUT_RD);
	send_stop(master, 1);
	run();
	assert_int_equal(m.ends, 1);
	assert_int_equal(m.end, CHANNEL_CLOSED);
	channel_free(master);
	close(pair[1]);
}

static void test_free_from_within(void **state)
{
	struct witness m = { 0 }, c = { .free_at = 2 };
	struct channel *master = new_side(CHANNEL_MASTER, &m);

	(void)state;
	assert_non_null(new_side(CHANNEL_CHILD, &c));
	for (uint32_t i = 0; i < 5; i++)
		send_listeners(master, i, 2, STDIN_FILENO);
	run();
	assert_int_equal(c.messages, 2);
	assert_int_equal(c.ends, 0);
	assert_int_equal(m.ends, 1);
	channel_free(master);
}

static void test_answer_from_within_to_the_dead(void **state)
{
	struct witness m = { 0 }, c = { 0 };
	struct channel *master = new_side(CHANNEL_MASTER, &m);
	struct channel *child = new_side(CHANNEL_CHILD, &c);

	(void)state;
	c.reply_from = child;
	send_stop(master, 1);
	send_stop(master, 2);
	channel_free(master);
	run();
	assert_int_equal(c.messages, 2);
	assert_int_equal(c.ends, 1);
	channel_free(child);
}

/* As many fds as the elements say is the handler's to check; too many are not. */
static void test_some_fds(void **state)
{
	(void)state;
	close(pair[0]);
	close(pair[1]);
	for (size_t nfds = 0; nfds < 6; nfds++) {
		struct witness k = { 0 };
		const struct raw raw = { .type = W2K_DEPOSIT,
			.payload_bytes = 2 * sizeof(struct msg_deposit) };
		struct channel *keeper;

		assert_int_equal(channel_pair(pair), 0);
		keeper = new_side(CHANNEL_KEEPER, &k);
		send_raw(pair[0], &raw, offsetof(struct raw, payload) + raw.payload_bytes,
			STDIN_FILENO, nfds);
		run();
		assert_int_equal(k.messages, 1);
		assert_int_equal(k.last.nfds, nfds);
		channel_free(keeper);
		close(pair[0]);
	}
}

/* What a dead process sent is read to its end at once, without the loop. */
static void test_drain(void **state)
{
	struct witness m = { 0 }, c = { 0 };
	struct channel *master = new_side(CHANNEL_MASTER, &m);
	struct channel *child = new_side(CHANNEL_CHILD, &c);

	(void)state;
	for (int i = 0; i < 200; i++)
		send_ready(child);
	channel_drain(master);
	assert_int_equal(m.messages, 200);
	assert_int_equal(m.ends, 0);
	send_ready(child);
	channel_free(child);
	channel_drain(master);
	assert_int_equal(m.messages, 201);
	assert_int_equal(m.ends, 1);
	run();
	assert_int_equal(m.ends, 1);
	channel_free(master);
}

static void on_room(struct channel *channel, void *arg)
{
	struct witness *w = arg;

	assert_true(channel_has_room(channel));
	w->rooms++;
}

static void test_room(void **state)
{
	struct witness m = { 0 }, c = { 0 };
	const struct channel_handlers handlers = { on_message, on_end, &m, on_room };
	struct channel *master = channel_new(base, pair[0], CHANNEL_MASTER, &handlers);
	struct channel *child;
	unsigned sent = 0;

	(void)state;
	while (channel_has_room(master)) {
		send_stop(master, sent++);
		assert_in_range(sent, 1, 10000);
	}
	child = new_side(CHANNEL_CHILD, &c);
	run();
	assert_int_equal(c.messages, sent);
	assert_int_equal(m.rooms, 1);
	assert_true(channel_has_room(master));
	channel_free(child);
	run();
	assert_false(channel_has_room(master));
	channel_free(master);
}

/* The fd lives on, in another channel. */
static void test_detach(void **state)
{
	struct witness m = { 0 }, c = { 0 };
	struct channel *master = new_side(CHANNEL_MASTER, &m);
	struct channel *child = new_side(CHANNEL_CHILD, &c);
	int fd;

	(void)state;
	send_stop(master, 1);
	fd = channel_detach(master);
	assert_int_equal(fd, pair[0]);
	master = new_side(CHANNEL_MASTER, &m);
	send_stop(master, 2);
	send_ready(child);
	run();
	assert_int_equal(c.messages, 2);
	assert_int_equal(m.messages, 1);
	assert_int_equal(c.ends, 0);
	channel_free(child);
	channel_free(master);
}

/* One turn is bounded: another channel gets its turn in between. */
static void test_budget(void **state)
{
	struct witness m = { 0 }, c = { 0 };
	struct channel *master = new_side(CHANNEL_MASTER, &m);
	struct channel *child = new_side(CHANNEL_CHILD, &c);

	(void)state;
	for (uint32_t i = 0; i < 100; i++)
		send_stop(master, i);
	event_base_loop(base, EVLOOP_ONCE | EVLOOP_NONBLOCK);
	assert_in_range(c.messages, 1, 64);
	run();
	assert_int_equal(c.messages, 100);
	channel_free(master);
	channel_free(child);
}

/* What a child may not send to the master. -1 in payload_bytes: says as much as it is. */
static const struct {
	const char *why; /* the whole of it */
	uint32_t type;
	int64_t says;
	size_t bytes; /* of payload, really */
	size_t nfds;
} broken[] = {
	{ "unknown: unknown type", MSG_NONE, -1, 8, 0 },
	{ "unknown: unknown type", MSG_TYPES, -1, 8, 0 },
	{ "unknown: unknown type", UINT32_MAX, -1, 8, 0 },
	{ "M2C_STOP: wrong direction", M2C_STOP, -1, 8, 0 },
	{ "M2W_LISTENERS: wrong direction", M2W_LISTENERS, -1, 8, 1 },
	{ "C2M_READY: wrong size", C2M_READY, -1, 0, 0 },
	{ "C2M_READY: wrong size", C2M_READY, -1, 7, 0 },
	{ "C2M_READY: wrong size", C2M_READY, -1, 16, 0 },
	{ "W2M_RELEASED: wrong size", W2M_RELEASED, -1, 16 * (MESSAGE_BATCH + 1), 0 },
	{ "C2M_READY: truncated", C2M_READY, 16, 8, 0 },
	{ "C2M_READY: truncated", C2M_READY, 0, 8, 0 },
	{ "C2M_READY: truncated", C2M_READY, UINT32_MAX, 8, 0 },
	{ "C2M_READY: truncated", C2M_READY, -1, CHANNEL_BYTES_MAX + 8, 0 },
	{ "C2M_READY: wrong number of fds", C2M_READY, -1, 8, 1 },
	{ "W2M_RELEASED: wrong number of fds", W2M_RELEASED, -1, 16, 2 },
	{ "C2M_READY: wrong number of fds", C2M_READY, -1, 8, 100 },
	{ "C2M_READY: too many fds, or no fds left here", C2M_READY, -1, 8, CHANNEL_FDS_MAX + 1 },
};

static void test_broken_peers(void **state)
{
	(void)state;
	close(pair[0]);
	close(pair[1]);
	for (size_t i = 0; i < sizeof(broken) / sizeof(broken[0]); i++) {
		struct witness m = { 0 };
		struct raw raw = { .type = broken[i].type };
		struct channel *master;

		assert_int_equal(channel_pair(pair), 0);
		master = new_side(CHANNEL_MASTER, &m);
		raw.payload_bytes =
			(uint32_t)(broken[i].says >= 0 ? broken[i].says : (int64_t)broken[i].bytes);
		send_raw(pair[1], &raw, offsetof(struct raw, payload) + broken[i].bytes,
			STDIN_FILENO, broken[i].nfds);
		run();
		assert_int_equal(m.messages, 0);
		assert_int_equal(m.ends, 1);
		assert_int_equal(m.end, CHANNEL_BROKEN);
		assert_string_equal(m.why, broken[i].why);
		channel_free(master);
		close(pair[1]);
		assert_int_equal(count_fds(), fds_before);
	}
}

static void test_less_than_a_header(void **state)
{
	struct witness m = { 0 };
	struct channel *master = new_side(CHANNEL_MASTER, &m);

	(void)state;
	send_raw(pair[1], "short", 5, STDIN_FILENO, 3);
	run();
	assert_int_equal(m.end, CHANNEL_BROKEN);
	assert_string_equal(m.why, "message: truncated");
	channel_free(master);
	close(pair[1]);
}

/* To a child: fewer fds than listeners, and none at all. */
static void test_listeners_without_their_fds(void **state)
{
	(void)state;
	close(pair[0]);
	close(pair[1]);
	for (size_t nfds = 0; nfds < 5; nfds++) {
		struct witness c = { 0 };
		const struct raw raw = { .type = M2W_LISTENERS,
			.payload_bytes = 4 * sizeof(struct msg_listener) };
		struct channel *child;

		assert_int_equal(channel_pair(pair), 0);
		child = new_side(CHANNEL_CHILD, &c);
		send_raw(pair[0], &raw, offsetof(struct raw, payload) + raw.payload_bytes,
			STDIN_FILENO, nfds);
		run();
		assert_int_equal(c.messages, nfds == 4);
		assert_int_equal(c.ends, nfds != 4);
		channel_free(child);
		close(pair[0]);
	}
}

static void test_names(void **state)
{
	(void)state;
	assert_string_equal(message_type_name(M2W_RELEASE), "M2W_RELEASE");
	assert_string_equal(message_type_name(MSG_NONE), "unknown");
	assert_string_equal(message_type_name(MSG_TYPES), "unknown");
}

#define CHANNEL_TEST(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CHANNEL_TEST(test_both_ways),
		CHANNEL_TEST(test_fds_are_closed_or_kept),
		CHANNEL_TEST(test_full_socket_queues),
		CHANNEL_TEST(test_peer_that_never_reads),
		CHANNEL_TEST(test_last_words),
		CHANNEL_TEST(test_peer_that_stops_reading_for_good),
		CHANNEL_TEST(test_free_from_within),
		CHANNEL_TEST(test_answer_from_within_to_the_dead),
		CHANNEL_TEST(test_some_fds),
		CHANNEL_TEST(test_drain),
		CHANNEL_TEST(test_room),
		CHANNEL_TEST(test_detach),
		CHANNEL_TEST(test_budget),
		CHANNEL_TEST(test_broken_peers),
		CHANNEL_TEST(test_less_than_a_header),
		CHANNEL_TEST(test_listeners_without_their_fds),
		cmocka_unit_test(test_names),
	};

	return cmocka_run_group_tests_name("channel", tests, NULL, NULL);
}
