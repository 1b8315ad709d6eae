/* CPU time of processes, to the nanosecond, and of the machine, to the tick. */
#ifndef PROXYD_TESTS_BENCH_CPU_H
#define PROXYD_TESTS_BENCH_CPU_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#define CPU_PIDS 64

/* Processes that are measured as one. */
struct cpu_pids {
	unsigned count;
	pid_t pids[CPU_PIDS];
};

/* One moment. A span is the difference of two. */
struct cpu_reading {
	bool whole; /* every process was there */
	uint64_t proxy_ns;
	uint64_t origin_ns;
	uint64_t load_ns; /* of the process that asks */
	uint64_t busy_ns; /* all of the machine's, whoever used it */
};

/* "PID,PID,..." or "" for none; dies on anything else. */
void cpu_parse_pids(const char *text, struct cpu_pids *pids_r);

/* Read all counters now. */
void cpu_read(
	const struct cpu_pids *proxy, const struct cpu_pids *origin, struct cpu_reading *reading_r);

#endif
