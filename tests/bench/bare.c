/* The least that a proxy can cost on this machine: what is left when all that a proxy is for is left out.
 *
 *   bare FRONT BACK     both A.B.C.D:FIRST-LAST: relays from each port of FRONT to those of BACK in turn
 *
 * One thread, one epoll, edge-triggered; an end is passed on, and both sockets are closed when both have ended. No
 * logs, statistics, timeouts, limits, checks, nothing for the day when something fails. It copies, until there is no
 * more to be read, so for streams it is neither fair nor the least. It ends with TERM.
 */
#include "tests/bench/bench.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define BUFFER_BYTES (64 * 1024)
#define ACCEPT_BATCH 4
#define EVENTS       256

enum state {
	STATE_CLOSED,
	STATE_LISTENING,
	STATE_RELAYING,
};

/* One of the two sockets of a relay, by its fd. */
struct side {
	enum state state;
	int peer_fd;
	bool readable;
	bool writable;
	bool hung_up;      /* its end is near: it is not told again after what is there */
	bool ended;        /* its end was read and passed on */
	size_t rest_bytes; /* that it did not take when they were sent */
	char *rest;        /* owned; NULL when there are none */
};

static struct side sides[BENCH_FDS];
static struct bench_addresses back;
static unsigned back_next;
static char buffer[BUFFER_BYTES];
static int epoll_fd;

static void watch(int fd, uint32_t events)
{
	struct epoll_event event = { .events = events, .data.fd = fd };

	if (epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &event) < 0)
		die("epoll_ctl: ");
}

static void side_close(int fd)
{
	free(sides[fd].rest);
	sides[fd] = (struct side){ .state = STATE_CLOSED };
	close(fd);
}

static void relay_close(int fd)
{
	int peer_fd = sides[fd].peer_fd;

	side_close(fd);
	side_close(peer_fd);
}

/* How many bytes it took, -1 when it broke. */
static ssize_t side_send(int fd, const char *bytes, size_t n)
{
	ssize_t sent = send(fd, bytes, n, MSG_NOSIGNAL);

	if (sent < 0 && errno == EAGAIN)
		sent = 0;
	sides[fd].writable = sent == (ssize_t)n;
	return sent;
}

static void side_send_rest(int fd)
{
	struct side *side = &sides[fd];
	ssize_t sent = side_send(fd, side->rest, side->rest_bytes);

	if (sent < 0) {
		relay_close(fd);
		return;
	}
	side->rest_bytes -= (size_t)sent;
	memmove(side->rest, side->rest + sent, side->rest_bytes);
	if (side->rest_bytes == 0) {
		free(side->rest);
		side->rest = NULL;
	}
}

static void side_keep_rest(int fd, const char *bytes, size_t n)
{
	struct side *side = &sides[fd];

	side->rest = malloc(n);
	if (!side->rest)
		die("malloc: ");
	memcpy(side->rest, bytes, n);
	side->rest_bytes = n;
}

/* Only when nothing is kept for the other side, which is why its end never overtakes bytes. */
static void side_end(int fd)
{
	struct side *side = &sides[fd];

	side->ended = true;
	if (sides[side->peer_fd].ended)
		relay_close(fd);
	else
		shutdown(side->peer_fd, SHUT_WR);
}

static void side_read(int fd)
{
	struct side *side = &sides[fd];
	ssize_t sent, n = recv(fd, buffer, sizeof(buffer), 0);

	if (n == 0) {
		side_end(fd);
		return;
	}
	if (n < 0 && errno == EAGAIN) {
		side->readable = false;
		return;
	}
	sent = n < 0 ? -1 : side_send(side->peer_fd, buffer, (size_t)n);
	if (sent < 0) {
		relay_close(fd);
		return;
	}
	/* Less than asked for was all: epoll tells when there is more. */
	side->readable = n == (ssize_t)sizeof(buffer) || side->hung_up;
	if (sent < n)
		side_keep_rest(side->peer_fd, buffer + sent, (size_t)(n - sent));
}

static void relay_forward(int from_fd, int to_fd)
{
	const struct side *from = &sides[from_fd], *to = &sides[to_fd];

	if (to->writable && to->rest)
		side_send_rest(to_fd);
	while (to->writable && from->readable && !from->ended)
		side_read(from_fd);
}

static void relay_open(int client_fd)
{
	const struct sockaddr_in *to = &back.at[back_next];
	int on = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	back_next = back_next + 1 == back.count ? 0 : back_next + 1;
	if (fd < 0 || fd >= BENCH_FDS)
		die("socket: ");
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	sides[client_fd] = (struct side){ .state = STATE_RELAYING, .peer_fd = fd };
	sides[fd] = (struct side){ .state = STATE_RELAYING, .peer_fd = client_fd };
	if (connect(fd, (const struct sockaddr *)to, sizeof(*to)) < 0 && errno != EINPROGRESS) {
		relay_close(client_fd);
		return;
	}
	watch(fd, EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET);
	watch(client_fd, EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET);
}

static void accept_some(int listen_fd)
{
	for (int i = 0; i < ACCEPT_BATCH; i++) {
		int fd = bench_accept(listen_fd);

		if (fd < 0)
			return;
		relay_open(fd);
	}
}

static void listen_on(const struct sockaddr_in *address)
{
	int fd = bench_listen(address);

	sides[fd].state = STATE_LISTENING;
	watch(fd, EPOLLIN);
}

/* What was for a socket that this turn closed may reach the next one of that number: it then makes calls that say
 * EAGAIN, no more.
 */
static void on_event(const struct epoll_event *event)
{
	int peer_fd, fd = event->data.fd;
	struct side *side = &sides[fd];

	switch (side->state) {
	case STATE_CLOSED:
		return;
	case STATE_LISTENING:
		accept_some(fd);
		return;
	case STATE_RELAYING:
		peer_fd = side->peer_fd;
		side->hung_up |= (event->events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)) != 0;
		side->readable |= (event->events & EPOLLIN) != 0 || side->hung_up;
		side->writable |= (event->events & EPOLLOUT) != 0;
		relay_forward(fd, peer_fd);
		if (side->state == STATE_RELAYING)
			relay_forward(peer_fd, fd);
		return;
	}
}

int main(int argc, char **argv)
{
	struct bench_addresses front;
	struct epoll_event events[EVENTS];

	if (argc != 3)
		die("usage: bare A.B.C.D:FIRST-LAST A.B.C.D:FIRST-LAST");
	bench_parse_addresses(argv[1], &front);
	bench_parse_addresses(argv[2], &back);
	bench_raise_fds();
	epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (epoll_fd < 0)
		die("epoll_create1: ");
	for (unsigned i = 0; i < front.count; i++)
		listen_on(&front.at[i]);
	for (;;) {
		int n = bench_wait(epoll_fd, events, EVENTS, UINT64_MAX);

		for (int i = 0; i < n; i++)
			on_event(&events[i]);
	}
}
