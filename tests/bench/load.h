/* The load generator's inside: what its kinds of load share. One `struct load` is the whole program.
 *
 *   load.c        options, the time table (connecting, warm, measured, drained), the report
 *   load_ask.c    requests and answers: new connections or kept ones, closed or open loop, idle ones
 *   load_bulk.c   streams in one direction
 */
#ifndef PROXYD_TESTS_BENCH_LOAD_H
#define PROXYD_TESTS_BENCH_LOAD_H

#include "tests/bench/bench.h"
#include "tests/bench/cpu.h"
#include "tests/bench/spread.h"

#include <stdbool.h>

#define LOAD_FAILURES_MAX 1000 /* then it ends: there is nothing to be measured */

enum load_kind {
	LOAD_ASK,
	LOAD_BULK,
	LOAD_IDLE,
};

enum load_phase {
	PHASE_CONNECT, /* until the kept connections are all there */
	PHASE_WARM,
	PHASE_MEASURE,
	PHASE_DRAIN, /* nothing new; what is under way must still be answered */
	PHASE_DONE,
};

enum load_failure {
	FAILURE_CONNECT,
	FAILURE_RESET,
	FAILURE_CLOSED, /* by the other side, before the answer was whole */
	FAILURE_WRONG,  /* the answer to something else */
	FAILURE_UNANSWERED,
	FAILURE_KINDS,
};

struct load_options {
	enum load_kind kind;
	struct bench_addresses to; /* taken in turn */
	bool fresh;                /* a new connection for each request */
	unsigned connections;
	struct bench_ask ask;
	double rate; /* requests a second whether answered or not; 0 = each when the last was answered */
	uint64_t count; /* of requests that end the window; 0 = only time does */
	uint64_t warm_ns;
	uint64_t window_ns;
	struct cpu_pids proxy;
	struct cpu_pids origin;
};

struct load {
	struct load_options options;
	int epoll_fd;
	enum load_phase phase;
	uint64_t phase_end_ns; /* when the next phase begins; UINT64_MAX: when the kind says so */
	uint64_t begin_ns;     /* of what is measured; UINT64_MAX before */
	uint64_t end_ns;
	bool measured;  /* the window was left by the clock, not by a failure */
	uint64_t units; /* requests or bytes, in the window */
	uint64_t failures[FAILURE_KINDS];
	uint64_t failures_total;
	unsigned to_next;     /* index into options.to */
	struct spread spread; /* latencies of what began in the window */
	struct cpu_reading cpu_begin;
	struct cpu_reading cpu_end;
};

/* What a kind of load is. */
struct load_ops {
	/* Make the connections, or begin to. */
	void (*start)(struct load *load);
	/* The load enters this phase. */
	void (*enter)(struct load *load, enum load_phase phase);
	/* One event of epoll, on what was registered with it. */
	void (*event)(struct load *load, void *data, uint32_t events);
	/* Each turn: do what is due. Returns when something is due next, UINT64_MAX for nothing. */
	uint64_t (*turn)(struct load *load, uint64_t now);
	/* How many requests wait for their answers. */
	unsigned (*waiting)(const struct load *load);
};

extern const struct load_ops load_ask_ops;
extern const struct load_ops load_bulk_ops;

/* Go on to a phase; time does it by itself as well. */
void load_enter(struct load *load, enum load_phase phase);

/* Count a failure, wherever it falls; too many of them end the load. */
void load_fail(struct load *load, enum load_failure failure);

/* A non-blocking socket that is connected or on its way to the next address, -1 when it failed (and was
 * counted). The caller owns it.
 */
int load_connect(struct load *load);

/* Register or change (op) an fd. */
void load_watch(struct load *load, int op, int fd, uint32_t events, void *data);

#endif
