/* The pump against the kernel: what arrives is what was sent, and between any two turns the kernel's own
 * counts say the same as the relay's record (common/record.h) - also when a turn was cut off between sending
 * and dropping, as a SIGKILL would.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <linux/sockios.h>
#include <linux/tcp.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/unit/loopback.h"
#include "worker/relay/pump.h"

struct world {
	struct stream from; /* the proxy's socket towards the sender */
	struct stream to;   /* and towards the receiver */
	int sender;
	int receiver;
	struct pump pump;
	struct pump_tools tools;
	struct carry carry;
	struct pump_books books;
	uint32_t in_pipe;
};

static void open_world(struct world *w, bool unix_sockets)
{
	memset(w, 0, sizeof(*w));
	if (unix_sockets) {
		int a[2];
		int b[2];

		assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, a), 0);
		assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, b), 0);
		w->from.fd = a[0];
		w->sender = a[1];
		w->to.fd = b[0];
		w->receiver = b[1];
		w->from.flags = w->to.flags = STREAM_UNIX;
	} else {
		loopback_pair(&w->from.fd, &w->sender);
		loopback_pair(&w->to.fd, &w->receiver);
	}
	w->to.flags |= STREAM_WRITABLE;
	w->tools.scratch = malloc(PUMP_SCRATCH_BYTES);
	w->tools.carry = &w->carry;
	w->tools.pipes = pipes_new(2);
	w->books = (struct pump_books){ .relay = 1, .in_pipe = &w->in_pipe };
}

static void close_world(struct world *w)
{
	pump_end(&w->pump, &w->tools);
	pipes_free(w->tools.pipes);
	free(w->tools.scratch);
	if (w->sender >= 0)
		close(w->sender);
	if (w->receiver >= 0)
		close(w->receiver);
	close(w->from.fd);
	close(w->to.fd);
}

/* TCP of which the kernel keeps counts: what is short is carried. */
static void open_plain(struct world *w)
{
	open_world(w, false);
	w->from.flags |= STREAM_PLAIN;
	w->to.flags |= STREAM_PLAIN;
}

/* The part of the event loop: what poll says now. */
static void note_ready(struct world *w)
{
	struct pollfd fds[2] = { { w->from.fd, POLLIN | POLLRDHUP, 0 }, { w->to.fd, POLLOUT, 0 } };

	poll(fds, 2, 0);
	if (fds[0].revents & POLLIN)
		w->from.flags |= STREAM_READABLE;
	if (fds[0].revents & POLLRDHUP)
		w->from.flags |= STREAM_FIN;
	if (fds[1].revents & POLLOUT)
		w->to.flags |= STREAM_WRITABLE;
}

static enum pump_result turn(struct world *w)
{
	note_ready(w);
	return pump_run(&w->pump, &w->from, &w->to, &w->tools, &w->books);
}

static void get_info(int fd, struct tcp_info *info_r)
{
	socklen_t len = sizeof(*info_r);

	assert_int_equal(getsockopt(fd, IPPROTO_TCP, TCP_INFO, info_r, &len), 0);
}

static uint64_t kernel_consumed(int fd)
{
	struct tcp_info before;
	struct tcp_info after;
	int waiting;

	do {
		get_info(fd, &before);
		assert_int_equal(ioctl(fd, SIOCINQ, &waiting), 0);
		get_info(fd, &after);
	} while (before.tcpi_bytes_received != after.tcpi_bytes_received);
	/* TCP_CLOSE_WAIT: the peer's FIN came, it counts as a byte. */
	return after.tcpi_bytes_received - (after.tcpi_state == 8) - (uint64_t)waiting;
}

static uint64_t kernel_queued(int fd)
{
	struct tcp_info info;

	get_info(fd, &info);
	return info.tcpi_bytes_sent - info.tcpi_bytes_retrans + info.tcpi_notsent_bytes;
}

static void assert_ledger(const struct world *w)
{
	assert_int_equal(kernel_queued(w->to.fd), w->books.forwarded);
	assert_int_equal(kernel_consumed(w->from.fd), w->books.forwarded + w->in_pipe);
}

static unsigned char pattern(uint64_t at)
{
	return (unsigned char)((at * 2654435761ULL) >> 13);
}

static size_t send_some(struct world *w, uint64_t at, size_t len)
{
	static unsigned char buf[1 << 20];
	ssize_t n;

	for (size_t i = 0; i < len; i++)
		buf[i] = pattern(at + i);
	n = send(w->sender, buf, len, MSG_NOSIGNAL);
	return n > 0 ? (size_t)n : 0;
}

static size_t receive_some(struct world *w, uint64_t at, size_t most)
{
	static unsigned char buf[1 << 20];
	ssize_t n = recv(w->receiver, buf, most, 0);

	unsigned wrong = 0;

	for (ssize_t i = 0; i < n; i++)
		wrong += buf[i] != pattern(at + (uint64_t)i);
	assert_int_equal(wrong, 0);
	return n > 0 ? (size_t)n : 0;
}

struct stream_case {
	const char *name;
	uint64_t total;
	size_t send_most;
	size_t receive_most;
	unsigned receive_every; /* turns */
	bool unix_sockets;
	bool plain;
	int buffer;                     /* of the writer; 0: what the kernel thinks */
	enum { NEVER, EITHER } splices; /* how much waits at once is the kernel's to say */
};

static void run_case(const struct stream_case *c)
{
	struct world w;
	uint64_t sent = 0;
	uint64_t received = 0;
	bool spliced = false;
	bool spilled = false;
	enum pump_result result = PUMP_BLOCKED;

	if (c->plain)
		open_plain(&w);
	else
		open_world(&w, c->unix_sockets);
	if (c->buffer > 0)
		setsockopt(w.to.fd, SOL_SOCKET, SO_SNDBUF, &c->buffer, sizeof(c->buffer));
	for (unsigned i = 0; received < c->total || result != PUMP_FIN; i++) {
		uint64_t left = c->total - sent;

		assert_true(i < 4000000);
		if (left > 0)
			sent += send_some(&w, sent, (size_t)rand() % c->send_most % left + 1);
		if (sent == c->total && left > 0)
			shutdown(w.sender, SHUT_WR);
		if (result != PUMP_FIN)
			result = turn(&w);
		spliced |= w.pump.mode == PUMP_SPLICE;
		if (!c->unix_sockets)
			assert_ledger(&w);
		if (i % c->receive_every == 0)
			received +=
				receive_some(&w, received, (size_t)rand() % c->receive_most + 1);
		assert_int_equal(w.carry.relay, 0);
		spilled |= c->plain && w.in_pipe > 0 && w.pump.streak > 0;
		if (rand() % 8 == 0)
			pump_answered(&w.pump);
	}
	assert_int_equal(w.books.forwarded, c->total);
	assert_null(w.pump.pipe);
	assert_true(c->splices == EITHER || !spliced);
	assert_true(c->buffer == 0 || spilled);
	close_world(&w);
}

static void test_streams_arrive_and_the_ledger_holds(void **state)
{
	static const struct stream_case cases[] = {
		{ "single bytes", 2000, 1, 1, 1, false, false, 0, NEVER },
		{ "small messages", 200000, 700, 4096, 1, false, false, 0, NEVER },
		{ "a slow reader", 6 << 20, 1 << 20, 9000, 3, false, false, 0, EITHER },
		{ "bulk", 64 << 20, 1 << 20, 1 << 20, 1, false, false, 0, EITHER },
		{ "unix sockets", 4 << 20, 1 << 18, 1 << 18, 1, true, false, 0, NEVER },
		{ "single bytes, carried", 2000, 1, 1, 1, false, true, 0, NEVER },
		{ "small messages, carried", 200000, 700, 4096, 1, false, true, 0, NEVER },
		{ "a slow reader, carried", 6 << 20, 1 << 20, 9000, 3, false, true, 0, EITHER },
		{ "carried without room", 2 << 20, 40000, 6000, 3, false, true, 5000, EITHER },
		{ "bulk at last", 64 << 20, 1 << 20, 1 << 20, 1, false, true, 0, EITHER },
	};

	(void)state;
	for (size_t i = 0; i < NELEMS(cases); i++) {
		print_message("%s\n", cases[i].name);
		run_case(&cases[i]);
	}
}

/* As if the worker had been killed between send and drop: the difference of the kernel's counts is exactly
 * what an adopter has to drop. */
static void test_a_cut_turn_is_found_by_arithmetic(void **state)
{
	struct world w;
	char buf[5000];

	(void)state;
	open_world(&w, false);
	send_some(&w, 0, 9000);
	while (kernel_consumed(w.from.fd) == 0 && w.books.forwarded < 4000)
		(void)turn(&w);
	send_some(&w, 9000, 5000);
	usleep(10000);
	w.from.flags |= STREAM_READABLE;
	assert_int_equal(stream_peek(&w.from, buf, 1234), 1234);
	assert_int_equal(stream_send(&w.to, buf, 1234), 1234);
	assert_int_equal(kernel_queued(w.to.fd) - kernel_consumed(w.from.fd), 1234);
	stream_drop(&w.from, buf, 1234);
	assert_int_equal(kernel_queued(w.to.fd), kernel_consumed(w.from.fd));
	close_world(&w);
}

static void test_a_fin_comes_after_the_last_byte(void **state)
{
	struct world w;

	(void)state;
	open_world(&w, false);
	send_some(&w, 0, 100000);
	shutdown(w.sender, SHUT_WR);
	usleep(10000);
	while (turn(&w) != PUMP_FIN)
		continue;
	assert_int_equal(w.books.forwarded, 100000);
	assert_ledger(&w);
	close_world(&w);
}

static void reset(int *fd)
{
	const struct linger now = { 1, 0 };

	setsockopt(*fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
	close(*fd);
	*fd = -1;
	usleep(10000);
}

static void test_a_reset_comes_after_what_was_received(void **state)
{
	struct world w;
	enum pump_result result;

	(void)state;
	open_world(&w, false);
	send_some(&w, 0, 5000);
	usleep(10000);
	reset(&w.sender);
	do {
		result = turn(&w);
	} while (result == PUMP_BLOCKED);
	assert_int_equal(result, PUMP_FROM_RESET);
	assert_int_equal(w.books.forwarded, 5000);
	assert_true(w.from.flags & STREAM_RESET);
	close_world(&w);
}

static void test_a_reset_writer_is_told_apart(void **state)
{
	struct world w;

	(void)state;
	open_world(&w, false);
	reset(&w.receiver);
	send_some(&w, 0, 100);
	usleep(10000);
	assert_int_equal(turn(&w), PUMP_TO_RESET);
	assert_true(w.to.flags & STREAM_RESET);
	close_world(&w);
}

/* While nobody answers only so much is carried: then a slow reader's bytes wait at the sender. */
static void test_a_burst_is_not_carried(void **state)
{
	struct world w;
	uint64_t carried;

	(void)state;
	open_plain(&w);
	for (uint64_t sent = 0; sent < 1 << 20;) {
		sent += send_some(&w, sent, 1000);
		(void)turn(&w);
		receive_some(&w, sent, 0);
		(void)!recv(w.receiver, NULL, 1 << 20, MSG_TRUNC);
	}
	carried = w.pump.burst * 64ULL;
	assert_in_range(carried, 128 << 10, (128 << 10) + 1024);
	assert_true(w.books.forwarded > carried);
	pump_answered(&w.pump);
	send_some(&w, 0, 1000);
	usleep(1000);
	(void)turn(&w);
	assert_int_equal(w.pump.burst, (1000 + 63) / 64);
	close_world(&w);
}

/* Without a pipe in reserve nothing is carried. */
static void test_no_pipe_no_carry(void **state)
{
	struct world w;

	(void)state;
	open_plain(&w);
	pipes_free(w.tools.pipes);
	w.tools.pipes = pipes_new(0);
	send_some(&w, 0, 1000);
	usleep(1000);
	(void)turn(&w);
	assert_int_equal(w.books.forwarded, 1000);
	assert_int_equal(w.pump.burst, 0);
	assert_ledger(&w);
	close_world(&w);
}

/* As when a relay has just been adopted and the loop has not told of it. */
static void test_what_no_event_told_is_there(void **state)
{
	(void)state;
	for (unsigned unix_sockets = 0; unix_sockets < 2; unix_sockets++) {
		struct world w;

		open_world(&w, unix_sockets != 0);
		w.from.flags &= (uint8_t)~STREAM_READABLE;
		assert_false(stream_has_more(&w.from));
		assert_int_equal(send_some(&w, 0, 1), 1);
		assert_true(stream_has_more(&w.from));
		stream_drop(&w.from, w.tools.scratch, 1);
		assert_false(stream_has_more(&w.from));
		close_world(&w);
	}
}

/* One relay cannot keep the worker to itself; what keeps the buffers full is spliced. */
static void test_bulk_is_spliced_within_a_budget(void **state)
{
	struct world w;
	bool spliced = false;
	uint64_t most = 0;
	uint64_t sent = 0;
	uint64_t received = 0;

	(void)state;
	open_world(&w, false);
	for (int i = 0; i < 400; i++) {
		uint64_t before = w.books.forwarded;

		for (int j = 0; j < 8; j++)
			sent += send_some(&w, sent, 1 << 20);
		(void)turn(&w);
		spliced |= w.pump.mode == PUMP_SPLICE;
		most = w.books.forwarded - before > most ? w.books.forwarded - before : most;
		for (int j = 0; j < 8; j++)
			received += receive_some(&w, received, 1 << 20);
	}
	assert_true(spliced);
	assert_true(most > 0 && most <= PUMP_BUDGET_BYTES + (1U << 20));
	close_world(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_streams_arrive_and_the_ledger_holds),
		cmocka_unit_test(test_a_cut_turn_is_found_by_arithmetic),
		cmocka_unit_test(test_a_fin_comes_after_the_last_byte),
		cmocka_unit_test(test_a_reset_comes_after_what_was_received),
		cmocka_unit_test(test_a_reset_writer_is_told_apart),
		cmocka_unit_test(test_a_burst_is_not_carried),
		cmocka_unit_test(test_no_pipe_no_carry),
		cmocka_unit_test(test_what_no_event_told_is_there),
		cmocka_unit_test(test_bulk_is_spliced_within_a_budget),
	};

	return cmocka_run_group_tests_name("pump", tests, NULL, NULL);
}
