/* Load and judge at once: relays through a proxy, each with a known stream of bytes in both directions that is checked
 * byte by byte at both ends, until told to come to their right end.
 *
 *   streams [OPTION]... FRONT[,FRONT]... ORIGIN[,ORIGIN]...
 *
 * It connects to the FRONTs in turn and listens on the ORIGINs, in a process of its own each. How many relays of
 * which kind (streams.h): --idle N --chat N --half-client N --half-server N --stuck N (a third each way and both)
 * --bulk N --churn N. Further, with their defaults:
 *
 *   --open-rate 2000        relays opened a second
 *   --ping-ms 5000          an idle relay's message that often (every second one says nothing at all)
 *   --chat-ms 100           the pause between an answer and the next message
 *   --piece-ms 200 --piece-bytes 4k     what the open direction of a half-closed relay carries
 *   --stuck-bytes 1m        written to who does not read
 *   --bulk-rate 32m --bulk-burst 1m     bytes a second in all, and of a relay at once; rate 0: no bound
 *   --life-ms 4000          of a churning relay at most
 *   --keep-after 0          ms: younger relays may break; they are counted and not judged
 *   --patience 30           seconds for an answer, and for everything to come to its end
 *   --seconds 0             ends by itself after so long
 *   --fault SIDE:WHAT[@N]   at byte N (40) of relay 0, client or origin does WHAT: flip, skip, double, fin, reset
 *
 * Says "ready" when all are established. Commands on stdin, a line each: stats (a JSON line of all), mark (a JSON line
 * of the round trips since the last mark; `pause` is over the relays, the longest of each), finish. It ends with the
 * line of `stats`, and exits 0 when no relay was broken and no byte wrong, else 1.
 */
#include "tests/helpers/streams.h"

#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#define USAGE "streams [OPTION]... FRONT[,FRONT]... ORIGIN[,ORIGIN]..."

static struct streams_options options = {
	.open_rate = 2000,
	.ping_ms = 5000,
	.chat_ms = 100,
	.piece_ms = 200,
	.piece_bytes = 4096,
	.stuck_bytes = 1U << 20,
	.bulk_rate = 32U << 20,
	.bulk_burst_bytes = 1U << 20,
	.life_ms = 4000,
	.patience_ms = 30000,
	.fault_at = 40,
};

static uint64_t patience_s = 30;
static uint64_t stuck;
static char *fault;

static const struct {
	const char *name;
	uint64_t *value_r;
} numbers[] = {
	{ "idle", &options.count[STREAM_IDLE] },
	{ "chat", &options.count[STREAM_CHAT] },
	{ "half-client", &options.count[STREAM_HALF_CLIENT] },
	{ "half-server", &options.count[STREAM_HALF_SERVER] },
	{ "stuck", &stuck },
	{ "bulk", &options.count[STREAM_BULK] },
	{ "churn", &options.count[STREAM_CHURN] },
	{ "open-rate", &options.open_rate },
	{ "ping-ms", &options.ping_ms },
	{ "chat-ms", &options.chat_ms },
	{ "piece-ms", &options.piece_ms },
	{ "piece-bytes", &options.piece_bytes },
	{ "stuck-bytes", &options.stuck_bytes },
	{ "bulk-rate", &options.bulk_rate },
	{ "bulk-burst", &options.bulk_burst_bytes },
	{ "life-ms", &options.life_ms },
	{ "keep-after", &options.keep_after_ms },
	{ "patience", &patience_s },
	{ "seconds", &options.seconds },
};

#define NUMBERS (sizeof(numbers) / sizeof(numbers[0]))

static void parse_fault(char *text)
{
	static const char *const names[] = { "none", "flip", "skip", "double", "fin", "reset" };
	char *colon = strchr(text, ':');
	char *at = strchr(text, '@');

	if (!colon)
		die("--fault SIDE:WHAT[@N]");
	*colon = '\0';
	if (at) {
		*at = '\0';
		options.fault_at = parse_size(at + 1);
	}
	options.fault_side = strcmp(text, "client") == 0 ? SIDE_CLIENT : SIDE_ORIGIN;
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		if (strcmp(colon + 1, names[i]) == 0)
			options.fault = (enum stream_fault)i;
	}
	if (options.fault == FAULT_NONE)
		die("%s: no such fault", colon + 1);
}

static void parse_options(int argc, char **argv)
{
	struct option table[NUMBERS + 2] = { { .name = NULL } };
	int option;

	for (size_t i = 0; i < NUMBERS; i++)
		table[i] = (struct option){ numbers[i].name, required_argument, NULL, (int)i };
	table[NUMBERS] = (struct option){ "fault", required_argument, NULL, (int)NUMBERS };
	while ((option = getopt_long(argc, argv, "", table, NULL)) != -1) {
		if (option == (int)NUMBERS)
			fault = optarg;
		else if (option >= 0 && option < (int)NUMBERS)
			*numbers[option].value_r = parse_size(optarg);
		else
			die(USAGE);
	}
	if (fault)
		parse_fault(fault);
	options.patience_ms = patience_s * 1000;
	options.count[STREAM_STUCK_UP] = (stuck + 2) / 3;
	options.count[STREAM_STUCK_DOWN] = (stuck + 1) / 3;
	options.count[STREAM_STUCK_BOTH] = stuck / 3;
	for (int kind = 0; kind < STREAM_KINDS; kind++)
		options.relays += options.count[kind];
	if (argc - optind != 2 || options.relays == 0 || options.life_ms == 0)
		die(USAGE);
}

static size_t parse_addrs(char *text, struct peer_addr *addrs)
{
	size_t n = 0;

	for (char *addr = strtok(text, ","); addr; addr = strtok(NULL, ",")) {
		if (n == STREAMS_ADDRS_MAX)
			die("at most %d addresses", STREAMS_ADDRS_MAX);
		peer_addr_parse(addr, &addrs[n++]);
	}
	return n;
}

/* The kinds, mixed, and the same in every run. */
static void deal_kinds(struct streams_shared *shared)
{
	size_t n = 0;

	for (int kind = 0; kind < STREAM_KINDS; kind++) {
		for (size_t i = 0; i < options.count[kind]; i++)
			shared->slots[n++].kind = (enum stream_kind)kind;
	}
	while (n > 1) {
		size_t i = mix(n, 1) % n;
		enum stream_kind kind = shared->slots[--n].kind;

		shared->slots[n].kind = shared->slots[i].kind;
		shared->slots[i].kind = kind;
	}
}

static struct streams_shared *make_shared(void)
{
	size_t bytes = sizeof(struct streams_shared) + options.relays * sizeof(struct streams_slot);
	struct streams_shared *shared =
		mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	if (shared == MAP_FAILED)
		die("mmap: %s", strerror(errno));
	deal_kinds(shared);
	return shared;
}

int main(int argc, char **argv)
{
	struct streams_shared *shared;
	struct rlimit limit;
	pid_t pid;
	int code;

	setvbuf(stdout, NULL, _IOLBF, 0);
	parse_options(argc, argv);
	options.nfronts = parse_addrs(argv[optind], options.fronts);
	options.norigins = parse_addrs(argv[optind + 1], options.origins);
	getrlimit(RLIMIT_NOFILE, &limit);
	limit.rlim_cur = limit.rlim_max;
	setrlimit(RLIMIT_NOFILE, &limit);
	shared = make_shared();
	pid = fork();
	if (pid < 0)
		die("fork: %s", strerror(errno));
	if (pid == 0)
		run_origin(&options, shared);
	while (!shared->listening) {
		if (waitpid(pid, NULL, WNOHANG) == pid)
			return 2;
		sleep_ms(1);
	}
	code = run_client(&options, shared);
	shared->over = true;
	waitpid(pid, NULL, 0);
	return code;
}
