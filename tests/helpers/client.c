/* A client for tests, one scenario per call:
 *
 *   client [-t SECONDS] [-s SEED] [-b SOURCE] ADDRESS SCENARIO [ARGUMENT]...
 *
 * -b binds to a source address, HOST:0, first.
 *
 *   connect                  connect and close
 *   ask [TEXT]               send TEXT and a newline when given, print what comes until the end
 *   half BYTES               send that many, end, compare the answer of an origin `sink`
 *   echo BYTES [CHUNK]       send and receive at once in pieces of CHUNK, compare, both ends
 *   fetch BYTES [SECONDS]    read nothing for SECONDS, then compare with an origin `source`
 *   reset BYTES              send that many, wait until they arrived, reset
 *   watch [BYTES] [fin]      send that many, then its own end when `fin`, print how the peer ended, and how
 *                            long after the start of the connect: "eof BYTES MS" or "reset BYTES MS"
 *   rate N SECONDS           N requests a second, each on a connection of its own, or until TERM (client_many.c)
 *   hold N SECONDS           N connections kept for so long, or until TERM (client_many.c)
 *   drip N SECONDS           the same, with a byte a second on each
 *
 * Exits 0 when all was as it should be, 3 refused, 4 reset, 5 no end within -t (10 s), 6 too short an answer,
 * 7 a wrong one.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <xxhash.h>

#include "tests/helpers/client.h"
#include "tests/helpers/util.h"

static uint64_t seed = 1;
static const char *source;
static uint64_t start_ms;

__attribute__((noreturn)) static void end(enum outcome outcome, const char *text)
{
	fprintf(stderr, "client: %s\n", text);
	exit(outcome);
}

static void on_alarm(int signo)
{
	static const char text[] = "client: the time is over\n";

	(void)signo;
	(void)!write(STDERR_FILENO, text, sizeof(text) - 1);
	_exit(OUTCOME_TIMEOUT);
}

static int connected(const struct peer_addr *addr)
{
	int fd = peer_socket(addr);
	struct peer_addr from;

	if (source) {
		peer_addr_parse(source, &from);
		if (bind(fd, (struct sockaddr *)&from.addr, from.len) < 0)
			die("bind: %s", strerror(errno));
	}
	if (connect(fd, (const struct sockaddr *)&addr->addr, addr->len) < 0)
		end(errno == ECONNREFUSED || errno == ENOENT ? OUTCOME_REFUSED : OUTCOME_RESET,
			strerror(errno));
	return fd;
}

/* 0 is the peer's end; a reset ends the program. */
static size_t receive(int fd, char *buf, size_t len)
{
	ssize_t n = recv(fd, buf, len, 0);

	if (n < 0)
		end(OUTCOME_RESET, strerror(errno));
	return (size_t)n;
}

static void send_or_end(int fd, const char *buf, size_t len)
{
	if (!send_all(fd, buf, len))
		end(OUTCOME_RESET, strerror(errno));
}

static void do_connect(int fd, int argc, char **argv)
{
	(void)argc;
	(void)argv;
	close(fd);
}

static void do_ask(int fd, int argc, char **argv)
{
	char buf[65536];
	size_t n;

	if (argc > 0) {
		send_or_end(fd, argv[0], strlen(argv[0]));
		send_or_end(fd, "\n", 1);
	}
	while ((n = receive(fd, buf, sizeof(buf))) > 0)
		fwrite(buf, 1, n, stdout);
}

static void do_half(int fd, int argc, char **argv)
{
	uint64_t bytes = argc > 0 ? parse_size(argv[0]) : 0;
	XXH64_state_t *state = XXH64_createState();
	char got[256] = "";
	char want[64];
	char buf[4096];
	size_t len = 0;
	size_t n;

	if (!send_stream(fd, seed, bytes))
		end(OUTCOME_RESET, strerror(errno));
	shutdown(fd, SHUT_WR);
	XXH64_reset(state, 0);
	for (uint64_t at = 0; at < bytes; at += n) {
		n = bytes - at < sizeof(buf) ? (size_t)(bytes - at) : sizeof(buf);
		stream_fill(seed, at, buf, n);
		XXH64_update(state, buf, n);
	}
	snprintf(want, sizeof(want), "%llu %016llx\n", (unsigned long long)bytes,
		(unsigned long long)XXH64_digest(state));
	XXH64_freeState(state);
	while (len < sizeof(got) - 1 && (n = receive(fd, got + len, sizeof(got) - 1 - len)) > 0)
		len += n;
	if (len < strlen(want))
		end(OUTCOME_SHORT, len ? got : "the connection ended without an answer");
	if (strcmp(got, want) != 0)
		end(OUTCOME_WRONG, got);
}

/* Send and receive as either is possible. */
static void do_echo(int fd, int argc, char **argv)
{
	uint64_t bytes = argc > 0 ? parse_size(argv[0]) : 0;
	uint64_t chunk = argc > 1 ? parse_size(argv[1]) : 16384;
	uint64_t sent = 0;
	uint64_t got = 0;
	char buf[65536];

	if (chunk == 0 || chunk > sizeof(buf))
		die("echo: a chunk has 1 to %zu bytes", sizeof(buf));
	fcntl(fd, F_SETFL, O_NONBLOCK);
	if (bytes == 0)
		shutdown(fd, SHUT_WR);
	for (;;) {
		struct pollfd wait = { .fd = fd,
			.events = (short)(POLLIN | (sent < bytes ? POLLOUT : 0)) };
		ssize_t n;

		poll(&wait, 1, -1);
		if (wait.revents & POLLOUT && sent < bytes) {
			size_t len = bytes - sent < chunk ? (size_t)(bytes - sent) : (size_t)chunk;

			stream_fill(seed, sent, buf, len);
			n = send(fd, buf, len, MSG_NOSIGNAL);
			if (n < 0 && errno != EAGAIN)
				end(OUTCOME_RESET, strerror(errno));
			sent += n > 0 ? (uint64_t)n : 0;
			if (sent == bytes)
				shutdown(fd, SHUT_WR);
		}
		n = recv(fd, buf, sizeof(buf), 0);
		if (n < 0 && errno == EAGAIN)
			continue;
		if (n < 0)
			end(OUTCOME_RESET, strerror(errno));
		if (n == 0)
			break;
		if (!stream_matches(seed, got, buf, (size_t)n))
			end(OUTCOME_WRONG, "an echoed byte is not the one that was sent");
		got += (uint64_t)n;
	}
	if (got != bytes)
		end(OUTCOME_SHORT, "the connection ended before everything came back");
}

static void do_fetch(int fd, int argc, char **argv)
{
	uint64_t bytes = argc > 0 ? parse_size(argv[0]) : 0;
	uint64_t got = 0;
	char buf[65536];
	size_t n;

	if (argc > 1)
		sleep_ms(parse_size(argv[1]) * 1000);
	while ((n = receive(fd, buf, sizeof(buf))) > 0) {
		if (!stream_matches(1, got, buf, n))
			end(OUTCOME_WRONG, "a byte is not the one that was sent");
		got += n;
	}
	if (got != bytes)
		end(OUTCOME_SHORT, "the connection ended before everything came");
}

static void do_reset(int fd, int argc, char **argv)
{
	if (argc > 0 && !send_stream(fd, seed, parse_size(argv[0])))
		end(OUTCOME_RESET, strerror(errno));
	wait_acknowledged(fd, 2000);
	close_reset(fd);
}

static void do_watch(int fd, int argc, char **argv)
{
	uint64_t got = 0;
	char buf[65536];
	ssize_t n;

	if (argc > 0 && !send_stream(fd, seed, parse_size(argv[0])))
		printf("(sending failed) ");
	if (argc > 1 && strcmp(argv[1], "fin") == 0)
		shutdown(fd, SHUT_WR);
	while ((n = recv(fd, buf, sizeof(buf), 0)) > 0)
		got += (uint64_t)n;
	printf("%s %llu %llu\n", n == 0 ? "eof" : "reset", (unsigned long long)got,
		(unsigned long long)(now_ms() - start_ms));
}

static const struct scenario {
	const char *name;
	void (*run)(int fd, int argc, char **argv);
} scenarios[] = {
	{ "connect", do_connect },
	{ "ask", do_ask },
	{ "half", do_half },
	{ "echo", do_echo },
	{ "fetch", do_fetch },
	{ "reset", do_reset },
	{ "watch", do_watch },
};

int main(int argc, char **argv)
{
	unsigned timeout_s = 10;
	struct peer_addr addr;
	const char *name;
	int option;

	while ((option = getopt(argc, argv, "+t:s:b:")) != -1) {
		if (option == 't')
			timeout_s = (unsigned)parse_size(optarg);
		else if (option == 's')
			seed = parse_size(optarg);
		else if (option == 'b')
			source = optarg;
		else
			return 2;
	}
	argv += optind;
	argc -= optind;
	if (argc < 2)
		die("usage: client [-t SECONDS] [-s SEED] [-b SOURCE] ADDRESS SCENARIO [ARGUMENT]...");
	name = argv[1];
	peer_addr_parse(argv[0], &addr);
	if (strcmp(name, "rate") == 0 && argc == 4)
		return many_rate(&addr, parse_size(argv[2]), parse_size(argv[3]), timeout_s);
	if (strcmp(name, "hold") == 0 && argc == 4)
		return many_hold(&addr, parse_size(argv[2]), parse_size(argv[3]), false);
	if (strcmp(name, "drip") == 0 && argc == 4)
		return many_hold(&addr, parse_size(argv[2]), parse_size(argv[3]), true);
	signal(SIGALRM, on_alarm);
	alarm(timeout_s);
	start_ms = now_ms();
	for (size_t i = 0; i < sizeof(scenarios) / sizeof(scenarios[0]); i++) {
		if (strcmp(name, scenarios[i].name) == 0) {
			scenarios[i].run(connected(&addr), argc - 2, argv + 2);
			return OUTCOME_OK;
		}
	}
	die("%s: no such scenario, or not its arguments", name);
}
