/* A log-linear histogram of durations in microseconds, from 1 us to over an hour, at most 3 % error:
 * below 64 us a bucket per microsecond, above it 32 buckets per power of two. It lives in shared memory,
 * has one writer and any number of readers, and is never reset: readers take differences.
 */
#ifndef PROXYD_COMMON_HISTOGRAM_H
#define PROXYD_COMMON_HISTOGRAM_H

#include <stdatomic.h>
#include <stdint.h>

#define HISTOGRAM_SUB_BITS 5
#define HISTOGRAM_BUCKETS  960

#define HISTOGRAM_SHARED_BYTES 4096

struct histogram {
	_Atomic uint64_t count;
	_Atomic uint64_t sum_us;
	_Atomic uint64_t buckets[HISTOGRAM_BUCKETS];
};

/* Many writers at once, a page each: for what there are thousands of. Quantiles only. Before a count of it runs over,
 * somebody halves it, which leaves the quantiles as they were. */
struct histogram_shared {
	_Alignas(HISTOGRAM_SHARED_BYTES) _Atomic uint32_t count;
	_Atomic uint32_t buckets[HISTOGRAM_BUCKETS];
};

_Static_assert(sizeof(struct histogram_shared) == HISTOGRAM_SHARED_BYTES, "it is a page");

/* Count one duration; longer ones than the last bucket covers land in it. One writer only. */
void histogram_record(struct histogram *h, uint64_t us);
void histogram_shared_record(struct histogram_shared *h, uint64_t us);

/* Add what from holds to sum (a private copy): how the slots of all workers become one. */
void histogram_merge(struct histogram *sum, const struct histogram *from);
void histogram_shared_merge(struct histogram *sum, const struct histogram_shared *from);

/* Where its count is over `most`: all is halved, others may count meanwhile. One process alone does so. */
void histogram_shared_halve(struct histogram_shared *h, uint32_t most);

/* The duration below which permille of 1000 lie, 0 when nothing was counted; exact to 3 %. */
uint64_t histogram_quantile_us(const struct histogram *h, unsigned permille);

/* The bucket of a duration, and the first duration of a bucket: for units and for Prometheus. */
unsigned histogram_bucket(uint64_t us);
uint64_t histogram_bucket_start_us(unsigned bucket);

#endif
