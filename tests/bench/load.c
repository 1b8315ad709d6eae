/* The load generator of the bench: puts one kind of load on an address for a while and prints one line of JSON:
 * how much was done, what failed, how long it took, and which CPU time proxy, origin and itself used for exactly
 * that span.
 *
 *   load [OPTION]... A.B.C.D:FIRST-LAST
 *
 *   -k ask|bulk|idle  kind of load (ask)                -c N        connections (64)
 *   -f a|e|s|g|d      form of the request, bench.h (a)  -n          a new connection for each request
 *   -q BYTES          size of a request (64)            -a BYTES    size of an answer (64)
 *   -w SECONDS        not yet measured (0.3)            -t SECONDS  measured (2)
 *   -r RATE           open loop: requests a second, in bursts every 0.2 ms; latencies count from when each was due
 *   -P PID,...        the proxy's processes             -O PID,...  the origin's
 *   -N COUNT          requests that are measured, in place of a span
 *
 * Idle connections ask once, "ready" is printed when all have been answered, and when stdin ends all ask again.
 * Exits 0 when it could measure, whatever failed: failures are figures.
 */
#include "tests/bench/load.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#define EVENTS     256
#define DRAIN_NS   (3 * NS_PER_S)
#define CONNECT_NS (20 * NS_PER_S)

static const char *const failure_names[FAILURE_KINDS] = { "connect", "reset", "closed", "wrong",
	"unanswered" };

void load_fail(struct load *load, enum load_failure failure)
{
	load->failures[failure]++;
	if (++load->failures_total == LOAD_FAILURES_MAX)
		load->phase = PHASE_DONE;
}

int load_connect(struct load *load)
{
	const struct sockaddr_in *to = &load->options.to.at[load->to_next];
	int on = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	load->to_next = load->to_next + 1 == load->options.to.count ? 0 : load->to_next + 1;
	if (fd < 0)
		die("socket: ");
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	if (connect(fd, (const struct sockaddr *)to, sizeof(*to)) < 0 && errno != EINPROGRESS) {
		close(fd);
		load_fail(load, FAILURE_CONNECT);
		return -1;
	}
	return fd;
}

void load_watch(struct load *load, int op, int fd, uint32_t events, void *data)
{
	struct epoll_event event = { .events = events, .data.ptr = data };

	if (epoll_ctl(load->epoll_fd, op, fd, &event) < 0)
		die("epoll_ctl: ");
}

static const struct load_ops *load_ops(const struct load *load)
{
	return load->options.kind == LOAD_BULK ? &load_bulk_ops : &load_ask_ops;
}

void load_enter(struct load *load, enum load_phase phase)
{
	uint64_t now = now_ns();

	if (load->phase == PHASE_DONE)
		return;
	load->phase = phase;
	load->phase_end_ns = UINT64_MAX;
	switch (phase) {
	case PHASE_CONNECT:
		load->phase_end_ns = now + CONNECT_NS;
		break;
	case PHASE_WARM:
		load->phase_end_ns = now + load->options.warm_ns;
		break;
	case PHASE_MEASURE:
		cpu_read(&load->options.proxy, &load->options.origin, &load->cpu_begin);
		load->begin_ns = now_ns();
		load->end_ns = load->phase_end_ns = load->begin_ns + load->options.window_ns;
		break;
	case PHASE_DRAIN:
		load->phase_end_ns = now + DRAIN_NS;
		/* Idle connections have no window. */
		if (load->begin_ns == UINT64_MAX)
			break;
		load->end_ns = now;
		load->measured = true;
		cpu_read(&load->options.proxy, &load->options.origin, &load->cpu_end);
		break;
	case PHASE_DONE:
		break;
	}
	load_ops(load)->enter(load, phase);
}

static void load_time_is_up(struct load *load)
{
	switch (load->phase) {
	case PHASE_CONNECT:
		fprintf(stderr, "load: not all connections came about\n");
		load_fail(load, FAILURE_CONNECT);
		load_enter(load, PHASE_DONE);
		return;
	case PHASE_WARM:
		load_enter(load, PHASE_MEASURE);
		return;
	case PHASE_MEASURE:
		load_enter(load, PHASE_DRAIN);
		return;
	case PHASE_DRAIN:
		load->failures[FAILURE_UNANSWERED] += load_ops(load)->waiting(load);
		load->failures_total += load_ops(load)->waiting(load);
		load_enter(load, PHASE_DONE);
		return;
	case PHASE_DONE:
		return;
	}
}

static void load_run(struct load *load)
{
	const struct load_ops *ops = load_ops(load);
	struct epoll_event events[EVENTS];

	ops->start(load);
	while (load->phase != PHASE_DONE) {
		uint64_t now = now_ns();
		uint64_t due = ops->turn(load, now);
		int n;

		due = due < load->phase_end_ns ? due : load->phase_end_ns;
		n = bench_wait(load->epoll_fd, events, EVENTS, due > now ? due - now : 0);
		for (int i = 0; i < n && load->phase != PHASE_DONE; i++)
			ops->event(load, events[i].data.ptr, events[i].events);
		if (now_ns() >= load->phase_end_ns)
			load_time_is_up(load);
		if (load->phase == PHASE_DRAIN && ops->waiting(load) == 0)
			load_enter(load, PHASE_DONE);
	}
}

static void print_cpu(const struct load *load)
{
	const struct cpu_reading *a = &load->cpu_begin, *b = &load->cpu_end;
	double proxy = (double)(b->proxy_ns - a->proxy_ns);
	double origin = (double)(b->origin_ns - a->origin_ns);
	double own = (double)(b->load_ns - a->load_ns);

	/* A process that came or went would make it a wrong figure. */
	if (!a->whole || !b->whole)
		return;
	printf(",\"cpu_proxy_ns\":%.0f,\"cpu_origin_ns\":%.0f,\"cpu_load_ns\":%.0f,\"cpu_machine_ns\":%.0f",
		proxy, origin, own, (double)(b->busy_ns - a->busy_ns));
}

static void load_print(const struct load *load)
{
	const char *comma = "";

	printf("{\"failures\":%llu,\"failed\":{", (unsigned long long)load->failures_total);
	for (unsigned i = 0; i < FAILURE_KINDS; i++) {
		if (!load->failures[i])
			continue;
		printf("%s\"%s\":%llu", comma, failure_names[i],
			(unsigned long long)load->failures[i]);
		comma = ",";
	}
	printf("}");
	if (load->measured) {
		double seconds = (double)(load->end_ns - load->begin_ns) / NS_PER_S;

		printf(",\"units\":%llu,\"seconds\":%.6f", (unsigned long long)load->units,
			seconds);
		print_cpu(load);
	}
	if (load->spread.count > 0)
		printf(",\"p50_us\":%.1f,\"p99_us\":%.1f,\"p999_us\":%.1f,\"max_us\":%.1f",
			spread_quantile_ns(&load->spread, 0.5) / 1000,
			spread_quantile_ns(&load->spread, 0.99) / 1000,
			spread_quantile_ns(&load->spread, 0.999) / 1000,
			(double)load->spread.max_ns / 1000);
	printf("}\n");
}

static enum load_kind parse_kind(const char *text)
{
	static const char *const names[] = { "ask", "bulk", "idle" };

	for (unsigned i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (strcmp(text, names[i]) == 0)
			return (enum load_kind)i;
	die("%s is no kind of load", text);
}

static void parse_option(struct load_options *options, int option, const char *text)
{
	switch (option) {
	case 'k':
		options->kind = parse_kind(text);
		return;
	case 'f':
		if (!strchr("aesgd", text[0]) || strlen(text) != 1)
			die("%s is no form of a request", text);
		options->ask.form = (uint32_t)text[0];
		return;
	case 'n':
		options->fresh = true;
		return;
	case 'c':
		options->connections = (unsigned)bench_parse_number(text, 1, BENCH_FDS - 100, "-c");
		return;
	case 'q':
		options->ask.ask_bytes =
			(uint32_t)bench_parse_number(text, sizeof(options->ask), 65536, "-q");
		return;
	case 'a':
		options->ask.answer_bytes =
			(uint32_t)bench_parse_number(text, BENCH_ANSWER_MIN, 65536, "-a");
		return;
	case 'w':
		options->warm_ns = (uint64_t)(bench_parse_number(text, 0, 60, "-w") * NS_PER_S);
		return;
	case 't':
		options->window_ns =
			(uint64_t)(bench_parse_number(text, 0.01, 3600, "-t") * NS_PER_S);
		return;
	case 'r':
		options->rate = bench_parse_number(text, 1, 1e7, "-r");
		return;
	case 'N':
		options->count = (uint64_t)bench_parse_number(text, 1, 1e9, "-N");
		options->window_ns = 60 * NS_PER_S;
		return;
	case 'P':
		cpu_parse_pids(text, &options->proxy);
		return;
	case 'O':
		cpu_parse_pids(text, &options->origin);
		return;
	default:
		die("usage: load [-k KIND] [-f FORM] [-c N] [-n] [-q BYTES] [-a BYTES] [-w SECONDS] "
		    "[-t SECONDS] [-r RATE] [-N COUNT] [-P PIDS] [-O PIDS] A.B.C.D:FIRST-LAST");
	}
}

int main(int argc, char **argv)
{
	static struct load load = { .phase = PHASE_CONNECT,
		.phase_end_ns = UINT64_MAX,
		.begin_ns = UINT64_MAX,
		.end_ns = UINT64_MAX,
		.options = { .connections = 64,
			.ask = { .form = FORM_ANSWER, .ask_bytes = 64, .answer_bytes = 64 },
			.warm_ns = 300 * NS_PER_MS,
			.window_ns = 2 * NS_PER_S } };
	int option;

	while ((option = getopt(argc, argv, "k:f:nc:q:a:w:t:r:N:P:O:")) != -1)
		parse_option(&load.options, option, optarg);
	if (optind + 1 != argc)
		parse_option(&load.options, '?', "");
	bench_parse_addresses(argv[optind], &load.options.to);
	if (bench_raise_fds() < load.options.connections + 20)
		die("%u connections are more than the limit of open files allows",
			load.options.connections);
	prctl(PR_SET_TIMERSLACK, 1UL, 0UL, 0UL, 0UL);
	load.epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (load.epoll_fd < 0)
		die("epoll_create1: ");
	load_run(&load);
	load_print(&load);
	return 0;
}
