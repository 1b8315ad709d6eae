/* The server of the bench: what a request asks for it gives, and nothing else (see bench.h).
 *
 *   origin ADDRESS      A.B.C.D:FIRST-LAST: listens on every port and says "ready"
 *
 * Level-triggered, one recv and one send per request, nothing allocated after the start. Connections are an
 * array by fd. It ends with TERM.
 */
#include "tests/bench/bench.h"

#include <errno.h>
#include <openssl/evp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#define BUFFER_BYTES (256 * 1024)
#define ANSWER_MAX   (64 * 1024)
#define SLEEP_NS     NS_PER_MS
#define ACCEPT_BATCH 64
#define SINK_BYTES   (1024 * 1024)

enum state {
	STATE_CLOSED,
	STATE_LISTENING,
	STATE_ASKED, /* reading a request, or between two */
	STATE_SINK,
	STATE_SOURCE,
};

struct conn {
	enum state state;
	bool wants_write;     /* registered for EPOLLOUT */
	uint32_t life;        /* counts the connections that this fd was */
	uint32_t head_bytes;  /* of the request's header that are here */
	uint32_t ask_left;    /* bytes of the request behind its header still to come */
	uint32_t answer_left; /* bytes of the answer still to go */
	struct bench_ask ask;
};

/* An answer that is due later. All sleep equally long, so the ring is in order. */
struct sleeper {
	uint64_t due_ns;
	int fd;
	uint32_t life;
};

static struct conn conns[BENCH_FDS];
static struct sleeper sleepers[BENCH_FDS];
static unsigned sleeper_first, sleeper_end; /* counted up for ever, taken modulo BENCH_FDS */
static char input[BUFFER_BYTES];
static char output[BUFFER_BYTES]; /* its first bytes are each answer's own */
static EVP_CIPHER_CTX *cipher;
static int epoll_fd;

static void watch(int fd, int op, uint32_t events)
{
	struct epoll_event event = { .events = events, .data.fd = fd };

	if (epoll_ctl(epoll_fd, op, fd, &event) < 0)
		die("epoll_ctl: ");
}

static void conn_close(int fd)
{
	conns[fd].state = STATE_CLOSED;
	conns[fd].life++;
	close(fd);
}

static void conn_want_write(int fd, bool wants)
{
	struct conn *conn = &conns[fd];

	if (conn->wants_write == wants)
		return;
	conn->wants_write = wants;
	/* While an answer waits, no further request is read. */
	watch(fd, EPOLL_CTL_MOD, wants ? EPOLLOUT : EPOLLIN);
}

/* What could not be sent at once goes from the pattern: only the first bytes of an answer are looked at. */
static void conn_send_rest(int fd)
{
	struct conn *conn = &conns[fd];
	size_t bytes = conn->state == STATE_SOURCE ? BUFFER_BYTES / 2 : conn->answer_left;
	ssize_t n = send(fd, output + BUFFER_BYTES / 2, bytes, MSG_NOSIGNAL);

	if (n < 0 && errno != EAGAIN) {
		conn_close(fd);
		return;
	}
	if (conn->state == STATE_SOURCE)
		return;
	conn->answer_left -= n > 0 ? (uint32_t)n : 0;
	conn_want_write(fd, conn->answer_left > 0);
}

/* AES-128-CBC over as many whole blocks as the answer has behind its number, an IV for each answer. */
static void encrypt_answer(const struct bench_ask *ask)
{
	unsigned char iv[16] = { 0 };
	int n, bytes = (int)(ask->answer_bytes - sizeof(iv)) / 16 * 16;
	char *from = output + BUFFER_BYTES / 2;

	memcpy(iv, &ask->number, sizeof(ask->number));
	if (bytes > 0 &&
		(!EVP_EncryptInit_ex(cipher, NULL, NULL, NULL, iv) ||
			!EVP_EncryptUpdate(cipher, (unsigned char *)output + sizeof(iv), &n,
				(unsigned char *)from, bytes)))
		die("AES-128-CBC failed");
}

static void conn_answer(int fd)
{
	struct conn *conn = &conns[fd];
	ssize_t n;

	if (conn->ask.form == FORM_AES)
		encrypt_answer(&conn->ask);
	memcpy(output, &conn->ask.number, sizeof(conn->ask.number));
	n = send(fd, output, conn->ask.answer_bytes, MSG_NOSIGNAL);
	if (n < 0 && errno != EAGAIN) {
		conn_close(fd);
		return;
	}
	conn->answer_left = conn->ask.answer_bytes - (n > 0 ? (uint32_t)n : 0);
	if (conn->answer_left > 0)
		conn_want_write(fd, true);
}

static void sleeper_add(int fd)
{
	sleepers[sleeper_end++ % BENCH_FDS] =
		(struct sleeper){ now_ns() + SLEEP_NS, fd, conns[fd].life };
}

/* Answer whose time has come. Returns how long the next one sleeps, UINT64_MAX when none does. */
static uint64_t sleepers_wake(void)
{
	uint64_t now;

	if (sleeper_first == sleeper_end)
		return UINT64_MAX;
	now = now_ns();
	while (sleeper_first != sleeper_end) {
		const struct sleeper *sleeper = &sleepers[sleeper_first % BENCH_FDS];

		if (sleeper->due_ns > now)
			return sleeper->due_ns - now;
		sleeper_first++;
		if (conns[sleeper->fd].life == sleeper->life)
			conn_answer(sleeper->fd);
	}
	return UINT64_MAX;
}

/* The request is here. */
static void conn_asked(int fd)
{
	struct conn *conn = &conns[fd];

	conn->head_bytes = 0;
	switch ((enum bench_form)conn->ask.form) {
	case FORM_ANSWER:
	case FORM_AES:
		conn_answer(fd);
		return;
	case FORM_SLEEP:
		sleeper_add(fd);
		return;
	case FORM_SOURCE:
		conn->state = STATE_SOURCE;
		conn_want_write(fd, true);
		return;
	case FORM_SINK:
		conn->state = STATE_SINK;
		return;
	}
	conn_close(fd);
}

static bool ask_is_good(const struct bench_ask *ask)
{
	return ask->ask_bytes >= sizeof(*ask) && ask->answer_bytes >= BENCH_ANSWER_MIN &&
		ask->answer_bytes <= ANSWER_MAX;
}

/* Take what belongs to the header. Returns how much that was; closes the connection when it is a wrong one. */
static size_t conn_take_head(int fd, const char *bytes, size_t n)
{
	struct conn *conn = &conns[fd];
	size_t step = sizeof(conn->ask) - conn->head_bytes;

	step = n < step ? n : step;
	memcpy((char *)&conn->ask + conn->head_bytes, bytes, step);
	conn->head_bytes += (uint32_t)step;
	if (conn->head_bytes < sizeof(conn->ask))
		return step;
	if (ask_is_good(&conn->ask))
		conn->ask_left = conn->ask.ask_bytes - (uint32_t)sizeof(conn->ask);
	else
		conn_close(fd);
	return step;
}

static void conn_take(int fd, const char *bytes, size_t n)
{
	struct conn *conn = &conns[fd];

	while (n > 0 && conn->state == STATE_ASKED) {
		size_t step = n < conn->ask_left ? n : conn->ask_left;

		if (conn->head_bytes < sizeof(conn->ask))
			step = conn_take_head(fd, bytes, n);
		else
			conn->ask_left -= (uint32_t)step;
		bytes += step;
		n -= step;
		if (conn->state == STATE_ASKED && conn->head_bytes == sizeof(conn->ask) &&
			conn->ask_left == 0)
			conn_asked(fd);
	}
}

static void conn_read(int fd)
{
	bool sink = conns[fd].state == STATE_SINK;
	ssize_t n =
		sink ? recv(fd, NULL, SINK_BYTES, MSG_TRUNC) : recv(fd, input, sizeof(input), 0);

	if (n > 0 && !sink)
		conn_take(fd, input, (size_t)n);
	else if (n == 0 || (n < 0 && errno != EAGAIN))
		conn_close(fd);
}

static void accept_some(int listen_fd)
{
	for (int i = 0; i < ACCEPT_BATCH; i++) {
		int fd = bench_accept(listen_fd);

		if (fd < 0)
			return;
		conns[fd] = (struct conn){ .state = STATE_ASKED, .life = conns[fd].life + 1 };
		watch(fd, EPOLL_CTL_ADD, EPOLLIN);
	}
}

static void listen_on(const struct sockaddr_in *address)
{
	int fd = bench_listen(address);

	conns[fd].state = STATE_LISTENING;
	watch(fd, EPOLL_CTL_ADD, EPOLLIN);
}

static void on_event(const struct epoll_event *event)
{
	int fd = event->data.fd;

	switch (conns[fd].state) {
	case STATE_CLOSED:
		return;
	case STATE_LISTENING:
		accept_some(fd);
		return;
	case STATE_ASKED:
	case STATE_SINK:
	case STATE_SOURCE:
		if (event->events & (EPOLLERR | EPOLLHUP))
			conn_close(fd);
		else if (event->events & EPOLLOUT)
			conn_send_rest(fd);
		else
			conn_read(fd);
		return;
	}
}

static void cipher_start(void)
{
	static const unsigned char key[16] = "proxyd bench key";
	unsigned char iv[16] = { 0 };

	cipher = EVP_CIPHER_CTX_new();
	if (!cipher || !EVP_EncryptInit_ex(cipher, EVP_aes_128_cbc(), NULL, key, iv) ||
		!EVP_CIPHER_CTX_set_padding(cipher, 0))
		die("no AES-128-CBC");
}

int main(int argc, char **argv)
{
	struct bench_addresses addresses;
	struct epoll_event events[256];

	if (argc != 2)
		die("usage: origin A.B.C.D:FIRST-LAST");
	bench_parse_addresses(argv[1], &addresses);
	bench_raise_fds();
	prctl(PR_SET_TIMERSLACK, 1UL, 0UL, 0UL, 0UL);
	for (size_t i = 0; i < sizeof(output); i++)
		output[i] = (char)('a' + i % 26);
	cipher_start();
	epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (epoll_fd < 0)
		die("epoll_create1: ");
	for (unsigned i = 0; i < addresses.count; i++)
		listen_on(&addresses.at[i]);
	puts("ready");
	fflush(stdout);
	for (;;) {
		int n = bench_wait(epoll_fd, events, 256, sleepers_wake());

		for (int i = 0; i < n; i++)
			on_event(&events[i]);
	}
}
