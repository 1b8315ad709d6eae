/* Many connections through the workers, each with its own known bytes both ways, checked byte by byte at both ends: chat,
 * bulk, ends half-closed, readers that hardly read, short ones that come and go, resets.
 */
#ifndef PROXYD_TESTS_UNIT_ADOPT_TRAFFIC_H
#define PROXYD_TESTS_UNIT_ADOPT_TRAFFIC_H

#include "tests/unit/adopt_bed.h"

enum kind {
	CHAT,
	BULK_UP,
	BULK_DOWN,
	STUCK_UP,
	STUCK_DOWN,
	HALF_UP,
	HALF_DOWN,
	SHORT,
	RESETS,
	KINDS
};

/* One direction of one connection: a sends, b receives. */
struct way {
	uint64_t sent;
	uint64_t received;
	bool fin_sent;
	bool fin_got;
};

struct conn {
	uint32_t index;
	uint32_t serial;
	enum kind kind;
	int client;
	int origin; /* -1 until its first bytes came */
	struct way up;
	struct way down;
	uint32_t steps;
};

#define TRAFFIC_MAX 2000

struct traffic {
	struct sockaddr_in proxy;
	int origin;       /* listens */
	int pending[256]; /* accepted, the first bytes have not come */
	uint32_t npending;
	struct conn conns[TRAFFIC_MAX];
	uint32_t count;
	uint32_t serial;
	bool calm;      /* no new connections, all come to their end */
	uint64_t bytes; /* received and right */
	uint64_t ended; /* connections that came to a good end */
	uint64_t retried;
};

static inline int listen_here(struct sockaddr_in *addr_r)
{
	socklen_t len = sizeof(*addr_r);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	*addr_r = (struct sockaddr_in){ .sin_family = AF_INET,
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	assert_int_equal(bind(fd, (struct sockaddr *)addr_r, len), 0);
	assert_int_equal(listen(fd, 4096), 0);
	getsockname(fd, (struct sockaddr *)addr_r, &len);
	return fd;
}

static inline unsigned char traffic_byte(const struct conn *conn, bool up, uint64_t at)
{
	uint64_t n = (at + conn->serial * 7919ULL + up * 104729ULL) * 2654435761ULL;

	return (unsigned char)(n >> 17);
}

/* The first bytes say whose it is: index and serial. */
#define HELLO_BYTES 8

static inline void hello(const struct conn *conn, unsigned char *out)
{
	memcpy(out, &conn->index, 4);
	memcpy(out + 4, &conn->serial, 4);
}

/* KINDS: all of them. */
static enum kind only = KINDS;

static inline void conn_open(struct traffic *t, struct conn *conn)
{
	unsigned char first[HELLO_BYTES];
	static const uint8_t kinds[] = { CHAT, HALF_UP, HALF_DOWN, SHORT, RESETS, BULK_UP, CHAT,
		HALF_UP, HALF_DOWN, SHORT, RESETS, BULK_DOWN, CHAT, HALF_UP, HALF_DOWN, SHORT,
		STUCK_UP, STUCK_DOWN };
	uint32_t index = (uint32_t)(conn - t->conns);

	memset(conn, 0, sizeof(*conn));
	conn->index = index;
	conn->serial = ++t->serial;
	conn->kind = only != KINDS ? only : (enum kind)kinds[index % NELEMS(kinds)];
	conn->origin = -1;
	conn->client = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_true(conn->client >= 0);
	assert_int_equal(connect(conn->client, (struct sockaddr *)&t->proxy, sizeof(t->proxy)), 0);
	assert_int_equal(fcntl(conn->client, F_SETFL, O_NONBLOCK), 0);
	hello(conn, first);
	(void)!send(conn->client, first, sizeof(first), MSG_NOSIGNAL);
}

static inline void conn_close(struct conn *conn)
{
	close(conn->client);
	if (conn->origin >= 0)
		close(conn->origin);
	conn->client = conn->origin = -1;
}

static inline void traffic_accept(struct traffic *t)
{
	int fd;

	while (t->npending < 256 &&
		(fd = accept4(t->origin, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0)
		t->pending[t->npending++] = fd;
	for (uint32_t i = 0; i < t->npending; i++) {
		unsigned char first[HELLO_BYTES];
		uint32_t index;
		uint32_t serial;
		ssize_t n = recv(t->pending[i], first, sizeof(first), MSG_PEEK);

		if (n > 0 && n < HELLO_BYTES)
			continue;
		if (n < 0 && errno == EAGAIN)
			continue;
		if (n == HELLO_BYTES) {
			(void)!recv(t->pending[i], first, sizeof(first), 0);
			memcpy(&index, first, 4);
			memcpy(&serial, first + 4, 4);
			assert_true(index < t->count);
			if (t->conns[index].serial == serial) {
				assert_int_equal(t->conns[index].origin, -1);
				t->conns[index].origin = t->pending[i];
			} else {
				close(t->pending[i]);
			}
		} else {
			close(t->pending[i]);
		}
		t->pending[i--] = t->pending[--t->npending];
	}
}

static inline void way_send(struct conn *conn, bool up, size_t len)
{
	static unsigned char buf[1 << 17];
	struct way *way = up ? &conn->up : &conn->down;
	int fd = up ? conn->client : conn->origin;
	ssize_t n;

	if (way->fin_sent || len == 0)
		return;
	if (len > sizeof(buf))
		len = sizeof(buf);
	for (size_t i = 0; i < len; i++)
		buf[i] = traffic_byte(conn, up, way->sent + i);
	n = send(fd, buf, len, MSG_NOSIGNAL);
	if (n < 0 && errno != EAGAIN)
		fail_msg("connection %u of kind %u: send %s: %s", conn->index, conn->kind,
			up ? "up" : "down", strerror(errno));
	if (n > 0)
		way->sent += (uint64_t)n;
}

static inline void way_fin(struct conn *conn, bool up)
{
	struct way *way = up ? &conn->up : &conn->down;

	if (!way->fin_sent)
		shutdown(up ? conn->client : conn->origin, SHUT_WR);
	way->fin_sent = true;
}

/* Returns 0, or the errno of a reset. */
static inline int way_receive(struct traffic *t, struct conn *conn, bool up, size_t most)
{
	static unsigned char buf[1 << 18];
	struct way *way = up ? &conn->up : &conn->down;
	int fd = up ? conn->origin : conn->client;
	ssize_t n;

	if (way->fin_got || most == 0)
		return 0;
	n = recv(fd, buf, most < sizeof(buf) ? most : sizeof(buf), 0);
	if (n < 0)
		return errno == EAGAIN ? 0 : errno;
	if (n == 0) {
		if (!way->fin_sent || way->received != way->sent)
			fail_msg("connection %u of kind %u: ended %s after %llu of %llu bytes",
				conn->index, conn->kind, up ? "up" : "down",
				(unsigned long long)way->received, (unsigned long long)way->sent);
		way->fin_got = true;
		return 0;
	}
	for (ssize_t i = 0; i < n; i++) {
		if (buf[i] != traffic_byte(conn, up, way->received + (uint64_t)i))
			fail_msg("connection %u of kind %u: wrong byte %s at %llu", conn->index,
				conn->kind, up ? "up" : "down",
				(unsigned long long)(way->received + (uint64_t)i));
	}
	way->received += (uint64_t)n;
	t->bytes += (uint64_t)n;
	return 0;
}

static inline void way_must_receive(struct traffic *t, struct conn *conn, bool up, size_t most)
{
	int error = way_receive(t, conn, up, most);

	if (error != 0)
		fail_msg("connection %u of kind %u, serial %u: %s: %s", conn->index, conn->kind,
			conn->serial, up ? "up" : "down", strerror(error));
}

static inline void way_chat(struct traffic *t, struct conn *conn, bool up)
{
	struct way *way = up ? &conn->up : &conn->down;

	if (rand() % 4 == 0 && way->sent - way->received < 4000)
		way_send(conn, up, 1 + (size_t)rand() % 300);
	way_must_receive(t, conn, up, 1 << 16);
}

static inline void way_bulk(struct traffic *t, struct conn *conn, bool up)
{
	struct way *way = up ? &conn->up : &conn->down;

	if (way->sent - way->received < 2 << 20)
		way_send(conn, up, 1 << 17);
	way_must_receive(t, conn, up, 1 << 18);
}

static inline void way_stuck(struct traffic *t, struct conn *conn, bool up)
{
	struct way *way = up ? &conn->up : &conn->down;

	if (way->sent - way->received < 64 << 20)
		way_send(conn, up, 1 << 17);
	if (rand() % 64 == 0)
		way_must_receive(t, conn, up, 1 + (size_t)rand() % 3000);
	else if (rand() % 32 == 0) /* else it would never be bulk again */
		for (int i = 0; i < 16; i++)
			way_must_receive(t, conn, up, 1 << 18);
}

static inline void conn_half(struct traffic *t, struct conn *conn, bool up)
{
	if (conn->steps < 20)
		way_chat(t, conn, up);
	else
		way_fin(conn, up);
	way_must_receive(t, conn, up, 1 << 16);
	if (conn->steps < 300)
		way_chat(t, conn, !up);
	else
		way_fin(conn, !up);
	way_must_receive(t, conn, !up, 1 << 16);
}

/* One end resets in the middle: the other hears of a reset, never of an end. Returns true when it is over. */
static inline bool conn_resets(struct traffic *t, struct conn *conn)
{
	const struct linger now = { 1, 0 };
	bool by_client = conn->serial % 2 == 0;
	int *resets = by_client ? &conn->client : &conn->origin;

	if (conn->steps < 200) {
		way_chat(t, conn, true);
		way_chat(t, conn, false);
		return false;
	}
	if (*resets >= 0) {
		setsockopt(*resets, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
		close(*resets);
		*resets = -1;
	}
	if (by_client ? way_receive(t, conn, true, 1 << 16) == 0
		      : way_receive(t, conn, false, 1 << 16) == 0)
		return false;
	close(by_client ? conn->origin : conn->client);
	conn->client = conn->origin = -1;
	return true;
}

/* All that was sent, then the ends. */
static inline void conn_finish(struct traffic *t, struct conn *conn)
{
	way_fin(conn, true);
	way_fin(conn, false);
	way_must_receive(t, conn, true, 1 << 18);
	way_must_receive(t, conn, false, 1 << 18);
}

static inline void conn_work(struct traffic *t, struct conn *conn)
{
	switch (conn->kind) {
	case CHAT:
		way_chat(t, conn, true);
		way_chat(t, conn, false);
		break;
	case BULK_UP:
	case BULK_DOWN:
		way_bulk(t, conn, conn->kind == BULK_UP);
		way_chat(t, conn, conn->kind != BULK_UP);
		break;
	case STUCK_UP:
	case STUCK_DOWN:
		way_stuck(t, conn, conn->kind == STUCK_UP);
		way_chat(t, conn, conn->kind != STUCK_UP);
		break;
	case HALF_UP:
	case HALF_DOWN:
		conn_half(t, conn, conn->kind == HALF_UP);
		break;
	case SHORT:
		way_chat(t, conn, true);
		way_chat(t, conn, false);
		if (conn->steps > 30)
			conn_finish(t, conn);
		break;
	case RESETS:
	case KINDS:
		break;
	}
}

/* A worker that died before it relayed takes the connection with it: another one. */
static inline void conn_look(struct traffic *t, struct conn *conn)
{
	char byte;
	ssize_t n = recv(conn->client, &byte, 1, MSG_PEEK);

	if (n == 0 || (n < 0 && errno != EAGAIN)) {
		conn_close(conn);
		t->retried++;
		conn_open(t, conn);
	}
}

static inline void conn_step(struct traffic *t, struct conn *conn)
{
	if (conn->serial == 0) {
		if (!t->calm)
			conn_open(t, conn);
		return;
	}
	if (conn->origin < 0 && conn->steps == 0) {
		conn_look(t, conn);
		return;
	}
	conn->steps++;
	if (conn->kind == RESETS && (!t->calm || conn->client < 0 || conn->origin < 0)) {
		if (conn_resets(t, conn)) {
			t->ended++;
			conn->serial = 0;
		}
		return;
	}
	if (t->calm)
		conn_finish(t, conn);
	else
		conn_work(t, conn);
	if (conn->up.fin_got && conn->down.fin_got) {
		conn_close(conn);
		t->ended++;
		conn->serial = 0;
	}
}

static inline void traffic_step(struct traffic *t)
{
	traffic_accept(t);
	for (uint32_t i = 0; i < t->count; i++)
		conn_step(t, &t->conns[i]);
}

static inline uint32_t traffic_open(const struct traffic *t)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < t->count; i++)
		n += t->conns[i].serial != 0;
	return n;
}

static inline bool traffic_all_established(const struct traffic *t)
{
	for (uint32_t i = 0; i < t->count; i++) {
		if (t->conns[i].serial == 0 || (t->conns[i].origin < 0 && t->conns[i].steps == 0))
			return false;
	}
	return true;
}

#endif
