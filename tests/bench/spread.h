/* A log-linear histogram of durations in nanoseconds, as HdrHistogram has them: 128 buckets per power of two,
 * so at most 0.8 % error, from 1 ns to over an hour.
 */
#ifndef PROXYD_TESTS_BENCH_SPREAD_H
#define PROXYD_TESTS_BENCH_SPREAD_H

#include <stdint.h>

#define SPREAD_SUB_BITS 7
#define SPREAD_BUCKETS  ((42 - SPREAD_SUB_BITS + 1) << SPREAD_SUB_BITS)

struct spread {
	uint64_t count;
	uint64_t max_ns;
	uint32_t buckets[SPREAD_BUCKETS];
};

/* Count one duration; longer ones than the last bucket's land in it, but max_ns is exact. */
void spread_add(struct spread *spread, uint64_t ns);

/* The duration that this share (0 to 1) of all does not exceed, the middle of its bucket; 0 when empty. */
double spread_quantile_ns(const struct spread *spread, double share);

#endif
