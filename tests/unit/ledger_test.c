/* The ledger against the kernel: for every way in which the two sockets of a relay can stand when its worker dies, the
 * sums find exactly what was sent and not yet dropped - or say that it cannot be proven.
 *
 * The proxy's two sockets are here, and so are the peers; what a worker would do is done by hand, up to where it dies.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <arpa/inet.h>
#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/ledger.h"

#define FASTOPEN_QUEUE 16
#define MPTCP_PROTOCOL 262

struct world {
	int family;
	int client; /* the peers */
	int origin;
	int from; /* the proxy's: accepted, towards the client */
	int to;   /* connected, towards the origin */
	uint64_t rx_base;
	uint64_t tx_base;
	bool ended;
	int pipe[2];
	const struct carry *carry;
};

static socklen_t loopback(int family, struct sockaddr_storage *addr_r)
{
	struct sockaddr_in *in = (struct sockaddr_in *)addr_r;
	struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)addr_r;

	memset(addr_r, 0, sizeof(*addr_r));
	addr_r->ss_family = (sa_family_t)family;
	if (family == AF_INET6) {
		in6->sin6_addr = in6addr_loopback;
		return sizeof(*in6);
	}
	in->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	return sizeof(*in);
}

static int listen_at(int family, struct sockaddr_storage *addr_r)
{
	socklen_t len = loopback(family, addr_r);
	int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	int queue = FASTOPEN_QUEUE;

	assert_true(fd >= 0);
	assert_int_equal(bind(fd, (struct sockaddr *)addr_r, len), 0);
	setsockopt(fd, IPPROTO_TCP, TCP_FASTOPEN, &queue, sizeof(queue));
	assert_int_equal(listen(fd, 8), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)addr_r, &len), 0);
	return fd;
}

static void nonblocking(int fd)
{
	assert_int_equal(fcntl(fd, F_SETFL, O_NONBLOCK), 0);
}

/* data: sent with the SYN when the kernel does that. */
static void connect_pair(int family, const char *data, int *connected_r, int *accepted_r)
{
	struct sockaddr_storage addr;
	int listener = listen_at(family, &addr);
	socklen_t len = sizeof(addr);

	*connected_r = socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (data != NULL)
		assert_int_equal(sendto(*connected_r, data, strlen(data), MSG_FASTOPEN,
					 (struct sockaddr *)&addr, len),
			strlen(data));
	else
		assert_int_equal(connect(*connected_r, (struct sockaddr *)&addr, len), 0);
	*accepted_r = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
	assert_true(*accepted_r >= 0);
	nonblocking(*connected_r);
	nonblocking(*accepted_r);
	close(listener);
}

static void world_open_with(struct world *w, int family, const char *data)
{
	memset(w, 0, sizeof(*w));
	w->family = family;
	connect_pair(family, data, &w->client, &w->from);
	connect_pair(family, NULL, &w->to, &w->origin);
	assert_int_equal(pipe2(w->pipe, O_NONBLOCK | O_CLOEXEC), 0);
}

static void world_open(struct world *w)
{
	world_open_with(w, AF_INET, NULL);
}

static void close_one(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

static void world_close(struct world *w)
{
	close_one(&w->client);
	close_one(&w->from);
	close_one(&w->to);
	close_one(&w->origin);
	close_one(&w->pipe[0]);
	close_one(&w->pipe[1]);
}

/* Loopback delivers at once, softirqs a little later. */
static void settle(void)
{
	usleep(3000);
}

static size_t put(int fd, size_t len)
{
	static char bytes[1 << 20];
	size_t done = 0;

	while (done < len) {
		size_t n = len - done < sizeof(bytes) ? len - done : sizeof(bytes);
		ssize_t sent = send(fd, bytes, n, MSG_NOSIGNAL);

		if (sent <= 0)
			break;
		done += (size_t)sent;
	}
	return done;
}

static void put_all(int fd, size_t len)
{
	assert_int_equal(put(fd, len), len);
	settle();
}

/* What the worker did: bytes of the client's queue went to the origin, of which not all were dropped. */
static void forward(struct world *w, size_t sent, size_t dropped)
{
	static char bytes[1 << 20];
	ssize_t n = recv(w->from, bytes, sent, MSG_PEEK);

	assert_int_equal(n, sent);
	assert_int_equal(send(w->to, bytes, sent, MSG_NOSIGNAL), sent);
	if (dropped > 0)
		assert_int_equal(recv(w->from, NULL, dropped, MSG_TRUNC), dropped);
	settle();
}

static const char *find(struct world *w, struct ledger_found *found_r)
{
	struct ledger_side from;
	struct ledger_side to;
	struct ledger_flow flow = { .from = &from,
		.to = &to,
		.from_fd = w->from,
		.rx_base = w->rx_base,
		.tx_base = w->tx_base,
		.carry = w->carry,
		.ended = w->ended };

	assert_int_equal(ledger_look(w->from, false, &from), 0);
	assert_int_equal(ledger_look(w->to, true, &to), 0);
	assert_int_equal(ledger_pipe(w->pipe[0], &flow.pipe_bytes), 0);
	memset(found_r, 0, sizeof(*found_r));
	return ledger_find(&flow, found_r);
}

enum { FIN = 1, RESET = 2 };

static struct ledger_found assert_proven(struct world *w, unsigned ends)
{
	struct ledger_found found;
	const char *why = find(w, &found);

	if (why != NULL)
		print_message("%s\n", why);
	assert_null(why);
	assert_int_equal(found.fin, (ends & FIN) != 0);
	assert_int_equal(found.reset, (ends & RESET) != 0);
	return found;
}

static void assert_found(struct world *w, uint64_t drop, uint64_t forwarded, unsigned ends)
{
	const struct ledger_found found = assert_proven(w, ends);

	assert_int_equal(found.drop, drop);
	assert_int_equal(found.forwarded, forwarded);
}

static void assert_unproven(struct world *w, const char *about)
{
	struct ledger_found found;
	const char *why = find(w, &found);

	assert_non_null(why);
	if (strstr(why, about) == NULL)
		fail_msg("%s", why);
}

static void reset(int *fd)
{
	const struct linger now = { 1, 0 };

	setsockopt(*fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
	close_one(fd);
	settle();
}

/* ------------------------------------------------------------------ both sides open */

static void run_open(int family)
{
	struct world w;

	world_open_with(&w, family, NULL);
	assert_found(&w, 0, 0, 0);
	put_all(w.client, 9000);
	assert_found(&w, 0, 0, 0);
	forward(&w, 5000, 5000);
	assert_found(&w, 0, 5000, 0);
	forward(&w, 3000, 0);
	assert_found(&w, 3000, 8000, 0);
	assert_int_equal(recv(w.from, NULL, 1000, MSG_TRUNC), 1000); /* died in the middle of it */
	assert_found(&w, 2000, 8000, 0);
	put_all(w.client, 70000);
	assert_found(&w, 2000, 8000, 0);
	world_close(&w);
}

static void test_open(void **state)
{
	(void)state;
	run_open(AF_INET);
}

static void test_ipv6(void **state)
{
	(void)state;
	run_open(AF_INET6);
}

/* The origin does not read: what we gave lies unsent in our queue. */
static void test_zero_window(void **state)
{
	struct world w;
	size_t stuck;

	(void)state;
	world_open(&w);
	put_all(w.client, 3000);
	stuck = put(w.to, 64 << 20);
	assert_true(stuck > 100000);
	settle();
	w.tx_base = stuck;
	assert_found(&w, 0, 0, 0);
	put_all(w.client, 100);
	forward(&w, 0, 0);
	assert_found(&w, 0, 0, 0);
	w.tx_base = stuck - 500; /* as if 500 of them were the client's */
	assert_found(&w, 500, 500, 0);
	world_close(&w);
}

/* A PROXY header that went out before, one that came in and was eaten. */
static void test_headers(void **state)
{
	struct world w;

	(void)state;
	world_open(&w);
	put_all(w.to, 52);
	w.tx_base = 52;
	put_all(w.client, 28 + 1000);
	assert_int_equal(recv(w.from, NULL, 28, MSG_TRUNC), 28);
	w.rx_base = 28;
	assert_found(&w, 0, 0, 0);
	forward(&w, 700, 200);
	assert_found(&w, 500, 700, 0);
	world_close(&w);
}

static void test_bytes_that_are_missing(void **state)
{
	struct world w;

	(void)state;
	world_open(&w);
	put_all(w.client, 1000);
	assert_int_equal(recv(w.from, NULL, 10, MSG_TRUNC), 10);
	assert_unproven(&w, "missing");
	world_close(&w);
}

static void test_more_than_was_there(void **state)
{
	struct world w;

	(void)state;
	world_open(&w);
	put_all(w.client, 1000);
	put_all(w.to, 1001);
	assert_unproven(&w, "more than");
	world_close(&w);
}

/* ------------------------------------------------------------------ half-closed */

static void test_client_fin(void **state)
{
	struct world w;

	(void)state;
	world_open(&w);
	put_all(w.client, 4000);
	shutdown(w.client, SHUT_WR);
	settle();
	assert_found(&w, 0, 0, FIN);
	forward(&w, 4000, 1000);
	assert_found(&w, 3000, 4000, FIN);
	assert_int_equal(recv(w.from, NULL, 3000, MSG_TRUNC), 3000);
	assert_found(&w, 0, 4000, FIN);
	assert_int_equal(recv(w.from, NULL, 1, MSG_TRUNC), 0); /* the end was read as well */
	assert_found(&w, 0, 4000, FIN);
	world_close(&w);
}

/* Nothing but an end. */
static void test_client_fin_alone(void **state)
{
	struct world w;

	(void)state;
	world_open(&w);
	shutdown(w.client, SHUT_WR);
	settle();
	assert_found(&w, 0, 0, FIN);
	world_close(&w);
}

static void test_data_and_fin_in_one_segment(void **state)
{
	const int on = 1;
	struct world w;

	(void)state;
	world_open(&w);
	setsockopt(w.client, IPPROTO_TCP, TCP_CORK, &on, sizeof(on));
	assert_int_equal(put(w.client, 100), 100);
	shutdown(w.client, SHUT_WR);
	settle();
	assert_found(&w, 0, 0, FIN);
	forward(&w, 100, 0);
	assert_found(&w, 100, 100, FIN);
	world_close(&w);
}

/* We passed the server's end on to the client, who goes on sending. */
static void test_our_fin_to_the_client(void **state)
{
	struct world w;

	(void)state;
	world_open(&w);
	shutdown(w.origin, SHUT_WR);
	settle();
	shutdown(w.from, SHUT_WR);
	settle();
	w.ended = true;
	put_all(w.client, 2000);
	forward(&w, 1500, 500);
	assert_found(&w, 1000, 1500, 0);
	world_close(&w);
}

/* Then the client ends too: the kernel keeps the socket as closed, with bytes in it. */
static void test_both_ended_with_bytes_left(void **state)
{
	struct world w;

	(void)state;
	world_open(&w);
	shutdown(w.from, SHUT_WR);
	settle();
	w.ended = true;
	put_all(w.client, 2000);
	forward(&w, 1500, 500);
	shutdown(w.client, SHUT_WR);
	settle();
	assert_found(&w, 1000, 1500, FIN);
	assert_int_equal(recv(w.from, NULL, 1000, MSG_TRUNC), 1000);
	assert_found(&w, 0, 1500, FIN);
	forward(&w, 500, 500);
	assert_found(&w, 0, 2000, FIN);
	assert_int_equal(recv(w.from, NULL, 1, MSG_TRUNC), 0);
	assert_found(&w, 0, 2000, FIN);
	world_close(&w);
}

/* The client ended first, then we towards it while the way up is stuck. */
static void test_both_ended_the_other_way(void **state)
{
	struct world w;

	(void)state;
	world_open(&w);
	put_all(w.client, 2000);
	shutdown(w.client, SHUT_WR);
	settle();
	forward(&w, 1500, 500);
	shutdown(w.from, SHUT_WR);
	settle();
	w.ended = true;
	assert_found(&w, 1000, 1500, FIN);
	world_close(&w);
}

/* The writer's peer ended its direction: our way to it still flows. */
static void test_origin_fin(void **state)
{
	struct world w;

	(void)state;
	world_open(&w);
	put_all(w.origin, 300);
	shutdown(w.origin, SHUT_WR);
	put_all(w.client, 2000);
	forward(&w, 1500, 500);
	assert_found(&w, 1000, 1500, 0);
	world_close(&w);
}

static void test_an_end_that_the_record_does_not_know(void **state)
{
	struct world w;

	(void)state;
	world_open(&w);
	shutdown(w.to, SHUT_WR);
	settle();
	assert_unproven(&w, "was not passed on");
	world_close(&w);
}

/* A FIN of ours that waits behind what the peer does not take: it is not counted as a byte. */
static void test_a_fin_that_waits(void **state)
{
	struct ledger_side before;
	struct ledger_side after;
	struct world w;

	(void)state;
	world_open(&w);
	assert_true(put(w.to, 64 << 20) > 100000);
	settle();
	assert_int_equal(ledger_look(w.to, true, &before), 0);
	shutdown(w.to, SHUT_WR);
	settle();
	assert_int_equal(ledger_look(w.to, true, &after), 0);
	assert_true(after.fin_out);
	assert_int_equal(before.queued, after.queued);
	world_close(&w);
}

/* ------------------------------------------------------------------ resets */

static void test_a_reset_that_waits(void **state)
{
	struct world w;

	(void)state;
	world_open(&w);
	put_all(w.client, 2000);
	forward(&w, 1500, 500);
	reset(&w.client);
	assert_found(&w, 1000, 1500, RESET); /* ECONNRESET: no FIN came before */
	assert_unproven(&w, "not known");    /* it told so once */
	world_close(&w);
}

static void test_a_reset_after_an_end(void **state)
{
	struct world w;

	(void)state;
	world_open(&w);
	put_all(w.client, 2000);
	shutdown(w.client, SHUT_WR);
	settle();
	forward(&w, 1500, 500);
	/* It closed for good, and something comes for it: that is answered by a reset. */
	assert_int_equal(send(w.from, "x", 1, MSG_NOSIGNAL), 1);
	settle();
	reset(&w.client);
	assert_found(&w, 1000, 1500, RESET);
	world_close(&w);
}

/* The worker had read the error before it died: recv gives 0 then, like an end in order. */
static void test_a_reset_that_was_told(void **state)
{
	struct world w;
	char byte;

	(void)state;
	world_open(&w);
	put_all(w.client, 2000);
	forward(&w, 2000, 2000);
	reset(&w.client);
	assert_int_equal(recv(w.from, &byte, 1, 0), -1);
	assert_int_equal(recv(w.from, &byte, 1, 0), 0);
	assert_found(&w, 0, 2000, RESET);
	/* The same when our FIN had gone: no FIN of its own is counted, so it was no end. */
	w.ended = true;
	assert_found(&w, 0, 2000, RESET);
	world_close(&w);
}

static void test_a_reset_that_was_told_to_send(void **state)
{
	struct world w;

	(void)state;
	world_open(&w);
	put_all(w.client, 2000);
	forward(&w, 1500, 1000);
	reset(&w.client);
	assert_int_equal(send(w.from, "x", 1, MSG_NOSIGNAL), -1);
	/* With bytes left, whether a FIN came before it decides over one of them. */
	assert_unproven(&w, "not known");
	world_close(&w);
}

/* The writer was reset: what it was given is still counted. */
static void test_the_writer_was_reset(void **state)
{
	struct world w;

	(void)state;
	world_open(&w);
	put_all(w.client, 2000);
	forward(&w, 1500, 500);
	reset(&w.origin);
	assert_found(&w, 1000, 1500, 0);
	world_close(&w);
}

static void test_disconnected(void **state)
{
	const struct sockaddr none = { .sa_family = AF_UNSPEC };
	struct ledger_side side;
	struct world w;

	(void)state;
	world_open(&w);
	put_all(w.client, 2000);
	forward(&w, 1500, 500);
	assert_int_equal(connect(w.to, &none, sizeof(none)), 0);
	assert_int_equal(ledger_look(w.to, true, &side), 0);
	assert_true(side.closed);
	assert_unproven(&w, "missing");
	world_close(&w);
}

/* ------------------------------------------------------------------ pipes */

static void fill_pipe(struct world *w, size_t len)
{
	assert_int_equal(
		splice(w->from, NULL, w->pipe[1], NULL, len, SPLICE_F_NONBLOCK | SPLICE_F_MOVE),
		len);
}

static void flush_pipe(struct world *w, size_t len)
{
	assert_int_equal(
		splice(w->pipe[0], NULL, w->to, NULL, len, SPLICE_F_NONBLOCK | SPLICE_F_MOVE), len);
	settle();
}

static void test_pipe(void **state)
{
	struct world w;

	(void)state;
	world_open(&w);
	put_all(w.client, 50000);
	forward(&w, 20000, 20000);
	fill_pipe(&w, 20000);
	assert_found(&w, 0, 20000, 0);
	flush_pipe(&w, 5000);
	assert_found(&w, 0, 25000, 0);
	shutdown(w.client, SHUT_WR);
	settle();
	assert_found(&w, 0, 25000, FIN);
	fill_pipe(&w, 10000);
	flush_pipe(&w, 25000);
	assert_found(&w, 0, 50000, FIN);
	world_close(&w);
}

/* A pipe is only filled from what has nothing to drop, so both at once cannot be. */
static void test_pipe_and_a_rest(void **state)
{
	struct world w;

	(void)state;
	world_open(&w);
	put_all(w.client, 5000);
	fill_pipe(&w, 1000);
	put_all(w.to, 10);
	assert_unproven(&w, "missing");
	world_close(&w);
}

/* Closed with bytes left and an error that was told: the pipe decides. */
static void test_pipe_decides(void **state)
{
	struct world w;

	(void)state;
	world_open(&w);
	put_all(w.client, 5000);
	fill_pipe(&w, 1000);
	reset(&w.client);
	assert_int_equal(send(w.from, "x", 1, MSG_NOSIGNAL), -1);
	assert_found(&w, 0, 0, RESET);
	world_close(&w);
}

/* ------------------------------------------------------------------ carried */

static void assert_carried(struct world *w, uint64_t carried, size_t at, unsigned ends)
{
	const struct ledger_found found = assert_proven(w, ends);

	assert_int_equal(found.drop, 0);
	assert_int_equal(found.carried, carried);
	if (carried > 0)
		assert_ptr_equal(found.bytes, w->carry->bytes + at);
}

static void take(struct world *w, struct carry *carry, size_t len)
{
	w->carry = carry;
	assert_int_equal(recv(w->from, carry->bytes, len, 0), len);
	settle();
}

/* 2500 of the client's 4000 bytes were taken, by who says that so many went before. */
static void open_taken(struct world *w, struct carry *carry, uint64_t forwarded)
{
	world_open(w);
	put_all(w->client, 4000);
	carry_begin(carry, 1, true, forwarded);
	take(w, carry, 2500);
}

static void test_carried(void **state)
{
	static struct carry carry;
	struct world w;

	(void)state;
	world_open(&w);
	put_all(w.client, 9000);
	forward(&w, 5000, 5000);
	carry_begin(&carry, 1, true, 5000);
	w.carry = &carry;
	assert_carried(&w, 0, 0, 0); /* killed before the first call */
	take(&w, &carry, 3000);
	assert_carried(&w, 3000, 0, 0);
	put_all(w.to, 1200); /* some of it was sent */
	assert_carried(&w, 1800, 1200, 0);
	assert_int_equal(write(w.pipe[1], carry.bytes + 1200, 1000), 1000); /* and into the pipe */
	assert_carried(&w, 800, 2200, 0);
	assert_int_equal(write(w.pipe[1], carry.bytes + 2200, 800), 800);
	assert_carried(&w, 0, 0, 0);
	flush_pipe(&w, 1800);
	shutdown(w.client, SHUT_WR);
	settle();
	assert_carried(&w, 0, 0, FIN);
	carry_begin(&carry, 1, true, 8000);
	take(&w, &carry, 1000);
	assert_carried(&w, 1000, 0, FIN);
	world_close(&w);
}

static void test_carried_and_a_reset(void **state)
{
	static struct carry carry;
	struct world w;

	(void)state;
	open_taken(&w, &carry, 0);
	reset(&w.client);
	assert_carried(&w, 2500, 0, RESET);
	world_close(&w);
}

/* What is missing is not what was carried. */
static void test_carried_is_not_enough(void **state)
{
	static struct carry carry;
	struct world w;

	(void)state;
	open_taken(&w, &carry, 1); /* one byte further */
	assert_unproven(&w, "missing");
	carry_begin(&carry, 1, true, 0);
	assert_carried(&w, 2500, 0, 0);
	w.carry = NULL; /* another flow's */
	assert_unproven(&w, "missing");
	world_close(&w);

	world_open(&w);
	put_all(w.client, CARRY_BYTES + 2);
	settle();
	w.carry = &carry;
	carry_begin(&carry, 1, true, 0);
	assert_int_equal(
		recv(w.from, NULL, CARRY_BYTES + 2, MSG_TRUNC | MSG_WAITALL), CARRY_BYTES + 2);
	assert_unproven(&w, "missing"); /* more than there is room for */
	world_close(&w);
}

/* Nobody looks and carries at once. */
static void test_carried_and_a_rest(void **state)
{
	static struct carry carry;
	struct world w;

	(void)state;
	world_open(&w);
	put_all(w.client, 4000);
	forward(&w, 2500, 0);
	w.carry = &carry;
	carry_begin(&carry, 1, true, 0);
	assert_unproven(&w, "missing");
	world_close(&w);
}

static void test_carried_to_a_writer_that_was_reset(void **state)
{
	static struct carry carry;
	struct world w;

	(void)state;
	open_taken(&w, &carry, 0);
	reset(&w.origin);
	assert_unproven(&w, "missing");
	world_close(&w);
}

/* ------------------------------------------------------------------ without counts */

static void test_unix(void **state)
{
	struct ledger_side side;
	struct world w;
	int pair[2];

	(void)state;
	world_open(&w);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	assert_int_equal(ledger_look(pair[0], false, &side), 0);
	assert_true(side.is_unix && !side.plain);
	close(w.to);
	w.to = pair[0];
	assert_unproven(&w, "not plain TCP");
	close(pair[1]);
	world_close(&w);
}

static void test_mptcp(void **state)
{
	struct ledger_side side;
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, MPTCP_PROTOCOL);

	(void)state;
	if (fd < 0) {
		print_message("no MPTCP here: %s\n", strerror(errno));
		skip();
	}
	assert_int_equal(ledger_look(fd, false, &side), 0);
	assert_false(side.plain);
	assert_false(side.is_unix);
	close(fd);
}

static void test_no_socket(void **state)
{
	struct ledger_side side;
	int fds[2];

	(void)state;
	assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
	assert_int_equal(ledger_look(fds[0], false, &side), -1);
	close(fds[0]);
	close(fds[1]);
}

/* ------------------------------------------------------------------ in a network of our own */

/* Runs test in a child with its own network, where `setup` was done. Skips, with the reason, when that cannot be. */
static void in_network(const char *setup, void (*test)(void))
{
	int status;
	pid_t pid;

	if (geteuid() != 0) {
		print_message("needs root for a network namespace\n");
		skip();
	}
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		if (unshare(CLONE_NEWNET) < 0 || system("ip link set lo up") != 0 ||
			system(setup) != 0)
			_exit(77);
		test();
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	if (WIFEXITED(status) && WEXITSTATUS(status) == 77) {
		print_message("cannot be set up here: %s\n", setup);
		skip();
	}
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
}

#define CHECK(cond)                                                                                \
	do {                                                                                       \
		if (!(cond)) {                                                                     \
			fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #cond);                 \
			_exit(1);                                                                  \
		}                                                                                  \
	} while (0)

/* Both of the proxy's sockets under loss, in both directions, looked at between any two steps. */
static void stream_under_loss(void)
{
	static char bytes[1 << 16];
	uint64_t forwarded = 0;
	uint64_t received = 0;
	unsigned looks = 0;
	struct world w;

	world_open(&w);
	while (received < 4 << 20) {
		struct pollfd ready[2] = { { w.from, POLLIN, 0 }, { w.origin, POLLIN, 0 } };
		struct ledger_found found;
		ssize_t sent = 0;
		ssize_t n;

		(void)!send(w.client, bytes, 1 + (size_t)rand() % sizeof(bytes), MSG_NOSIGNAL);
		poll(ready, 2, 1000);
		n = recv(w.from, bytes, 1 + (size_t)rand() % sizeof(bytes), MSG_PEEK);
		if (n > 0)
			sent = send(w.to, bytes, (size_t)n, MSG_NOSIGNAL);
		if (sent < 0)
			sent = 0;
		forwarded += (uint64_t)sent;
		CHECK(find(&w, &found) == NULL);
		CHECK(found.drop == (uint64_t)sent);
		CHECK(found.forwarded == forwarded);
		looks++;
		if (sent > 0)
			CHECK(recv(w.from, NULL, (size_t)sent, MSG_TRUNC) == sent);
		n = recv(w.origin, bytes, sizeof(bytes), 0);
		if (n > 0)
			received += (uint64_t)n;
	}
	printf("%u looks while %llu bytes went by\n", looks, (unsigned long long)received);
	world_close(&w);
}

#define NFT(hook)                                                                                  \
	"nft 'add table ip t; add chain ip t c { type filter hook " hook                           \
	" priority 0; }; add rule ip t c numgen random mod 100 < 2 drop'"

static void test_loss_on_the_way(void **state)
{
	(void)state;
	in_network(NFT("input"), stream_under_loss);
}

/* What is dropped before it left is sent again, but not counted as sent again. */
static void test_loss_at_the_source(void **state)
{
	(void)state;
	in_network(NFT("output"), stream_under_loss);
}

static bool came_with_syn(int fd)
{
	struct tcp_info info;
	socklen_t len = sizeof(info);

	return getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &len) == 0 &&
		(info.tcpi_options & TCPI_OPT_SYN_DATA) != 0;
}

static void fastopen(void)
{
	struct world w;

	world_open_with(&w, AF_INET, "data with the SYN");
	settle();
	CHECK(came_with_syn(w.from));
	assert_found(&w, 0, 0, 0);
	forward(&w, 17, 7);
	assert_found(&w, 10, 17, 0);
	assert_int_equal(recv(w.from, NULL, 10, MSG_TRUNC), 10);
	put_all(w.client, 100000);
	shutdown(w.client, SHUT_WR);
	settle();
	forward(&w, 50000, 20000);
	assert_found(&w, 30000, 50017, FIN);
	world_close(&w);
}

static void test_fastopen(void **state)
{
	(void)state;
	in_network("echo 1543 > /proc/sys/net/ipv4/tcp_fastopen", fastopen);
}

/* With few bytes a FIN could have come with the SYN, where it is not counted: only an empty queue tells. */
static void fastopen_small(void)
{
	struct world w;

	world_open_with(&w, AF_INET, "data with the SYN");
	shutdown(w.client, SHUT_WR);
	settle();
	forward(&w, 10, 5);
	assert_unproven(&w, "not known");
	assert_int_equal(recv(w.from, NULL, 5, MSG_TRUNC), 5);
	forward(&w, 7, 7);
	assert_found(&w, 0, 17, FIN);
	world_close(&w);
}

static void test_fastopen_small(void **state)
{
	(void)state;
	in_network("echo 1543 > /proc/sys/net/ipv4/tcp_fastopen", fastopen_small);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_open),
		cmocka_unit_test(test_ipv6),
		cmocka_unit_test(test_zero_window),
		cmocka_unit_test(test_headers),
		cmocka_unit_test(test_bytes_that_are_missing),
		cmocka_unit_test(test_more_than_was_there),
		cmocka_unit_test(test_client_fin),
		cmocka_unit_test(test_client_fin_alone),
		cmocka_unit_test(test_data_and_fin_in_one_segment),
		cmocka_unit_test(test_our_fin_to_the_client),
		cmocka_unit_test(test_both_ended_with_bytes_left),
		cmocka_unit_test(test_both_ended_the_other_way),
		cmocka_unit_test(test_origin_fin),
		cmocka_unit_test(test_an_end_that_the_record_does_not_know),
		cmocka_unit_test(test_a_fin_that_waits),
		cmocka_unit_test(test_a_reset_that_waits),
		cmocka_unit_test(test_a_reset_after_an_end),
		cmocka_unit_test(test_a_reset_that_was_told),
		cmocka_unit_test(test_a_reset_that_was_told_to_send),
		cmocka_unit_test(test_the_writer_was_reset),
		cmocka_unit_test(test_disconnected),
		cmocka_unit_test(test_pipe),
		cmocka_unit_test(test_pipe_and_a_rest),
		cmocka_unit_test(test_pipe_decides),
		cmocka_unit_test(test_carried),
		cmocka_unit_test(test_carried_and_a_reset),
		cmocka_unit_test(test_carried_is_not_enough),
		cmocka_unit_test(test_carried_and_a_rest),
		cmocka_unit_test(test_carried_to_a_writer_that_was_reset),
		cmocka_unit_test(test_unix),
		cmocka_unit_test(test_mptcp),
		cmocka_unit_test(test_no_socket),
		cmocka_unit_test(test_loss_on_the_way),
		cmocka_unit_test(test_loss_at_the_source),
		cmocka_unit_test(test_fastopen),
		cmocka_unit_test(test_fastopen_small),
	};

	return cmocka_run_group_tests_name("ledger", tests, NULL, NULL);
}
