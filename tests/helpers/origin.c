/* A server for tests, one thread per connection, in one of many manners:
 *
 *   origin ADDRESS [-b BACKLOG] [-d MS] MODE [ARGUMENT]
 *
 * -d waits before the first byte is sent. USR1 ends the listener, connections stay, also those that wait to be
 * accepted. Prints "ready", then "accept N" for each connection and "end N in=BYTES out=BYTES eof|reset|closed"
 * when it is over: eof and reset are what the peer did, closed when this side was the first; "deaf" when USR1
 * has ended the listener.
 */
#include <errno.h>
#include <linux/filter.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <unistd.h>
#include <xxhash.h>

#include "tests/helpers/util.h"

struct conn {
	int fd; /* owned */
	unsigned number;
	uint64_t in;
	uint64_t out;
	const char *end;
};

#define USAGE "usage: origin ADDRESS [-b BACKLOG] [-d MS] MODE [ARGUMENT]"

typedef void serve_fn(struct conn *conn);

static const char *argument = "";
static uint64_t delay_ms;

/* Sets how the connection ended when it did. */
static ssize_t receive(struct conn *conn, char *buf, size_t len)
{
	ssize_t n;

	do {
		n = recv(conn->fd, buf, len, 0);
	} while (n < 0 && errno == EINTR);
	if (n > 0)
		conn->in += (uint64_t)n;
	else
		conn->end = n == 0 ? "eof" : "reset";
	return n;
}

static bool transmit(struct conn *conn, const char *buf, size_t len)
{
	if (!send_all(conn->fd, buf, len)) {
		conn->end = "reset";
		return false;
	}
	conn->out += len;
	return true;
}

/* Everything until the peer's end. */
static void drain(struct conn *conn)
{
	char buf[65536];

	while (receive(conn, buf, sizeof(buf)) > 0)
		;
}

/* name TEXT: says so to everyone and closes. */
static void serve_name(struct conn *conn)
{
	transmit(conn, argument, strlen(argument));
	transmit(conn, "\n", 1);
}

/* answer TEXT: says so once a line has come, and closes. */
static void serve_answer(struct conn *conn)
{
	char byte = 0;

	while (byte != '\n') {
		if (receive(conn, &byte, 1) <= 0)
			return;
	}
	sleep_ms(delay_ms);
	serve_name(conn);
}

/* echo: what comes, until the end, then its own. */
static void serve_echo(struct conn *conn)
{
	char buf[65536];
	ssize_t n;

	while ((n = receive(conn, buf, sizeof(buf))) > 0) {
		if (!transmit(conn, buf, (size_t)n))
			return;
	}
}

/* greet TEXT: says so at once, then echoes. */
static void serve_greet(struct conn *conn)
{
	serve_name(conn);
	serve_echo(conn);
}

/* sink: at the end of what comes "BYTES HASH", then its own end. */
static void serve_sink(struct conn *conn)
{
	XXH64_state_t *state = XXH64_createState();
	char buf[65536];
	char text[64];
	ssize_t n;

	XXH64_reset(state, 0);
	while ((n = receive(conn, buf, sizeof(buf))) > 0)
		XXH64_update(state, buf, (size_t)n);
	snprintf(text, sizeof(text), "%llu %016llx\n", (unsigned long long)conn->in,
		(unsigned long long)XXH64_digest(state));
	XXH64_freeState(state);
	sleep_ms(delay_ms);
	if (n == 0)
		transmit(conn, text, strlen(text));
}

/* source BYTES: that much of stream 1, its end, then waits for the peer's. */
static void serve_source(struct conn *conn)
{
	uint64_t bytes = parse_size(argument);

	if (!send_stream(conn->fd, 1, bytes)) {
		conn->end = "reset";
		return;
	}
	conn->out = bytes;
	shutdown(conn->fd, SHUT_WR);
	drain(conn);
}

/* burst BYTES: that much of stream 1 and close at once, whatever is still queued. */
static void serve_burst(struct conn *conn)
{
	uint64_t bytes = parse_size(argument);

	conn->out = bytes;
	if (!send_stream(conn->fd, 1, bytes))
		conn->end = "reset";
}

/* discard: reads and never says anything; stays open when the peer ends. */
static void serve_discard(struct conn *conn)
{
	drain(conn);
	if (strcmp(conn->end, "eof") == 0) {
		printf("eof %u in=%llu\n", conn->number, (unsigned long long)conn->in);
		for (;;)
			sleep_ms(1000);
	}
}

/* hold: reads nothing and says nothing. */
static void serve_hold(struct conn *conn)
{
	(void)conn;
	for (;;)
		sleep_ms(1000);
}

/* slow BYTES: that many bytes at a time, then 10 ms nothing. */
static void serve_slow(struct conn *conn)
{
	size_t most = (size_t)parse_size(argument);
	char buf[65536];

	while (receive(conn, buf, most < sizeof(buf) ? most : sizeof(buf)) > 0)
		sleep_ms(10);
}

/* reset-after BYTES: reads that many, then resets. */
static void serve_reset_after(struct conn *conn)
{
	uint64_t bytes = parse_size(argument);
	char buf[65536];

	while (conn->in < bytes) {
		uint64_t left = bytes - conn->in;

		if (receive(conn, buf, left < sizeof(buf) ? (size_t)left : sizeof(buf)) <= 0)
			return;
	}
	sleep_ms(delay_ms);
	close_reset(conn->fd);
	conn->fd = -1;
}

/* send-reset BYTES: sends that many of stream 1, waits until they arrived, then resets. */
static void serve_send_reset(struct conn *conn)
{
	uint64_t bytes = parse_size(argument);

	conn->out = bytes;
	if (!send_stream(conn->fd, 1, bytes)) {
		conn->end = "reset";
		return;
	}
	wait_acknowledged(conn->fd, 5000);
	sleep_ms(delay_ms);
	close_reset(conn->fd);
	conn->fd = -1;
}

/* fin-first: its own end at once, then reads on. */
static void serve_fin_first(struct conn *conn)
{
	shutdown(conn->fd, SHUT_WR);
	drain(conn);
}

/* dribble TEXT: byte by byte, -d (1 ms) apart, then reads until the peer's end. */
static void serve_dribble(struct conn *conn)
{
	for (const char *byte = argument; *byte != '\0'; byte++) {
		if (!transmit(conn, byte, 1))
			return;
		sleep_ms(delay_ms > 0 ? delay_ms : 1);
	}
	drain(conn);
}

/* flap MS: an HTTP server that is well for that long, then answers 503 for that long, and so on. */
static void serve_flap(struct conn *conn)
{
	bool well = now_ms() / parse_size(argument) % 2 == 0;
	const char *answer = well ? "HTTP/1.1 200 OK\r\n\r\n" : "HTTP/1.1 503 Not Now\r\n\r\n";

	transmit(conn, answer, strlen(answer));
	drain(conn);
}

/* blink MS: listens for that long, does not for that long, and so on; answers a line with "blink". */
static void serve_blink(struct conn *conn)
{
	argument = "blink";
	serve_answer(conn);
}

static const struct mode {
	const char *name;
	serve_fn *serve;
} modes[] = {
	{ "name", serve_name },
	{ "answer", serve_answer },
	{ "echo", serve_echo },
	{ "greet", serve_greet },
	{ "sink", serve_sink },
	{ "source", serve_source },
	{ "burst", serve_burst },
	{ "discard", serve_discard },
	{ "hold", serve_hold },
	{ "slow", serve_slow },
	{ "reset-after", serve_reset_after },
	{ "send-reset", serve_send_reset },
	{ "fin-first", serve_fin_first },
	{ "dribble", serve_dribble },
	{ "flap", serve_flap },
	{ "blink", serve_blink },
};

static const struct mode *mode;
static int listener = -1; /* owned */
static volatile sig_atomic_t deaf;

static void on_usr1(int signo)
{
	(void)signo;
	deaf = 1;
}

static void *serve(void *arg)
{
	struct conn *conn = arg;

	mode->serve(conn);
	printf("end %u in=%llu out=%llu %s\n", conn->number, (unsigned long long)conn->in,
		(unsigned long long)conn->out, conn->end);
	if (conn->fd >= 0)
		close(conn->fd);
	free(conn);
	return NULL;
}

static void accept_one(unsigned number)
{
	struct conn *conn = calloc(1, sizeof(*conn));
	pthread_attr_t attr;
	pthread_t thread;

	if (!conn)
		die("no memory");
	conn->fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
	if (conn->fd < 0)
		die("accept: %s", strerror(errno));
	conn->number = number;
	conn->end = "closed";
	printf("accept %u\n", number);
	pthread_attr_init(&attr);
	pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	pthread_attr_setstacksize(&attr, 512 << 10);
	if (pthread_create(&thread, &attr, serve, conn) != 0)
		die("no thread for connection %u", number);
	pthread_attr_destroy(&attr);
}

/* The end of a listener resets whoever waits in its queue, although he is connected for all he knows and may
 * have asked already: no proxy can hide that. So nobody new is let in first (a filter sees what begins at the
 * TCP header; connections inherit it, and get no SYN), and who is in is accepted. A SYN that was dropped
 * meanwhile comes again after a second and is refused then. Gives the number of the next connection. */
static unsigned close_listener(unsigned number)
{
	struct sock_filter no_syn[] = {
		BPF_STMT(BPF_LD | BPF_B | BPF_ABS, 13),    /* the flags */
		BPF_STMT(BPF_ALU | BPF_AND | BPF_K, 0x12), /* ACK, SYN */
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 0x02, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, 0),
		BPF_STMT(BPF_RET | BPF_K, UINT32_MAX),
	};
	struct sock_fprog program = { sizeof(no_syn) / sizeof(no_syn[0]), no_syn };
	struct pollfd waiting = { .fd = listener, .events = POLLIN };

	if (setsockopt(listener, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof(program)) < 0)
		die("SO_ATTACH_FILTER: %s", strerror(errno));
	/* So long a handshake may still be under way. */
	while (poll(&waiting, 1, 20) > 0)
		accept_one(number++);
	close(listener);
	return number;
}

static void blink(const struct peer_addr *addr, int backlog, uint64_t ms)
{
	unsigned number = 1;

	for (;;) {
		uint64_t end_ms = now_ms() + ms;
		struct pollfd waiting = { .fd = listener, .events = POLLIN };

		while (now_ms() < end_ms) {
			if (poll(&waiting, 1, 1) > 0)
				accept_one(number++);
		}
		number = close_listener(number);
		sleep_ms(ms);
		listener = peer_listen(addr, backlog);
	}
}

/* USR1 comes through while this waits, and at no other time. */
static void serve_until_deaf(void)
{
	struct pollfd waiting = { .fd = listener, .events = POLLIN };
	unsigned number = 1;
	sigset_t none;

	sigemptyset(&none);
	while (!deaf) {
		if (ppoll(&waiting, 1, NULL, &none) > 0)
			accept_one(number++);
	}
	close_listener(number);
	printf("deaf\n");
	for (;;)
		sleep_ms(1000);
}

/* full: accepts nobody and has filled its own queue, so that a connect is left without an answer. */
static void stay_full(const struct peer_addr *addr)
{
	int fd;

	peer_listen(addr, 0);
	for (int i = 0; i < 8; i++) {
		fd = socket(addr->addr.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
		(void)!connect(fd, (const struct sockaddr *)&addr->addr, addr->len);
	}
	sleep_ms(100);
	printf("ready\n");
	for (;;)
		sleep_ms(1000);
}

int main(int argc, char **argv)
{
	struct peer_addr addr;
	int backlog = 1024;
	sigset_t usr1;
	int option;

	setvbuf(stdout, NULL, _IOLBF, 0);
	if (argc < 3)
		die(USAGE);
	peer_addr_parse(argv[1], &addr);
	optind = 2;
	while ((option = getopt(argc, argv, "+b:d:")) != -1) {
		if (option == 'b')
			backlog = (int)parse_size(optarg);
		else if (option == 'd')
			delay_ms = parse_size(optarg);
		else
			die(USAGE);
	}
	if (optind == argc)
		die(USAGE);
	if (strcmp(argv[optind], "full") == 0)
		stay_full(&addr);
	for (size_t i = 0; i < sizeof(modes) / sizeof(modes[0]); i++) {
		if (strcmp(argv[optind], modes[i].name) == 0)
			mode = &modes[i];
	}
	if (!mode)
		die("%s: no such mode", argv[optind]);
	if (optind + 1 < argc)
		argument = argv[optind + 1];
	listener = peer_listen(&addr, backlog);
	signal(SIGUSR1, on_usr1);
	sigemptyset(&usr1);
	sigaddset(&usr1, SIGUSR1);
	/* Inherited by the threads. */
	sigprocmask(SIG_BLOCK, &usr1, NULL);
	printf("ready\n");
	if (strcmp(mode->name, "blink") == 0)
		blink(&addr, backlog, parse_size(argument));
	serve_until_deaf();
}
