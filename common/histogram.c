/* The log-linear histogram: which bucket a duration belongs to, and reading quantiles back.
 */
#include "common/histogram.h"

#include "common/must.h"

#define HISTOGRAM_SUBS   (1u << HISTOGRAM_SUB_BITS) /* buckets per power of two */
#define HISTOGRAM_LINEAR (2 * HISTOGRAM_SUBS)       /* below it a bucket per microsecond */

/* A load and a store instead of an atomic addition: there is one writer, and it is in the data path. */
static void histogram_add(_Atomic uint64_t *counter, uint64_t n)
{
	uint64_t now = atomic_load_explicit(counter, memory_order_relaxed);

	atomic_store_explicit(counter, now + n, memory_order_relaxed);
}

unsigned histogram_bucket(uint64_t us)
{
	unsigned top, bucket;

	if (us < HISTOGRAM_LINEAR)
		return (unsigned)us;
	top = 63 - (unsigned)__builtin_clzll(us);
	if (top > 40)
		return HISTOGRAM_BUCKETS - 1;
	/* us without its lowest bits is between SUBS and 2 * SUBS - 1. */
	bucket = HISTOGRAM_LINEAR + (top - HISTOGRAM_SUB_BITS - 1) * HISTOGRAM_SUBS +
		(unsigned)(us >> (top - HISTOGRAM_SUB_BITS)) - HISTOGRAM_SUBS;
	return bucket < HISTOGRAM_BUCKETS ? bucket : HISTOGRAM_BUCKETS - 1;
}

uint64_t histogram_bucket_start_us(unsigned bucket)
{
	unsigned power, sub;

	if (bucket < HISTOGRAM_LINEAR)
		return bucket;
	power = (bucket - HISTOGRAM_LINEAR) / HISTOGRAM_SUBS + 1;
	sub = (bucket - HISTOGRAM_LINEAR) % HISTOGRAM_SUBS;
	return (uint64_t)(HISTOGRAM_SUBS + sub) << power;
}

void histogram_record(struct histogram *h, uint64_t us)
{
	histogram_add(&h->buckets[histogram_bucket(us)], 1);
	histogram_add(&h->sum_us, us);
	histogram_add(&h->count, 1);
}

void histogram_merge(struct histogram *sum, const struct histogram *from)
{
	for (unsigned i = 0; i < HISTOGRAM_BUCKETS; i++) {
		uint64_t n = atomic_load_explicit(&from->buckets[i], memory_order_relaxed);

		if (n != 0)
			histogram_add(&sum->buckets[i], n);
	}
	histogram_add(&sum->sum_us, atomic_load_explicit(&from->sum_us, memory_order_relaxed));
	histogram_add(&sum->count, atomic_load_explicit(&from->count, memory_order_relaxed));
}

void histogram_shared_record(struct histogram_shared *h, uint64_t us)
{
	atomic_fetch_add_explicit(&h->buckets[histogram_bucket(us)], 1, memory_order_relaxed);
	atomic_fetch_add_explicit(&h->count, 1, memory_order_relaxed);
}

void histogram_shared_merge(struct histogram *sum, const struct histogram_shared *from)
{
	for (unsigned i = 0; i < HISTOGRAM_BUCKETS; i++) {
		uint32_t n = atomic_load_explicit(&from->buckets[i], memory_order_relaxed);

		if (n != 0)
			histogram_add(&sum->buckets[i], n);
	}
	histogram_add(&sum->count, atomic_load_explicit(&from->count, memory_order_relaxed));
}

void histogram_shared_halve(struct histogram_shared *h, uint32_t most)
{
	if (atomic_load_explicit(&h->count, memory_order_relaxed) <= most)
		return;
	for (unsigned i = 0; i < HISTOGRAM_BUCKETS; i++) {
		uint32_t n = atomic_load_explicit(&h->buckets[i], memory_order_relaxed) / 2;

		if (n == 0)
			continue;
		atomic_fetch_sub_explicit(&h->buckets[i], n, memory_order_relaxed);
		atomic_fetch_sub_explicit(&h->count, n, memory_order_relaxed);
	}
}

uint64_t histogram_quantile_us(const struct histogram *h, unsigned permille)
{
	uint64_t total = 0, rank, seen = 0;

	MUST(permille <= 1000);
	/* Not h->count: the writer may be between the two, and the walk below must end. */
	for (unsigned i = 0; i < HISTOGRAM_BUCKETS; i++)
		total += atomic_load_explicit(&h->buckets[i], memory_order_relaxed);
	if (total == 0)
		return 0;
	rank = total / 1000 * permille + (total % 1000 * permille + 999) / 1000;
	for (unsigned i = 0; i < HISTOGRAM_BUCKETS; i++) {
		uint64_t start = histogram_bucket_start_us(i);

		seen += atomic_load_explicit(&h->buckets[i], memory_order_relaxed);
		if (seen >= rank && seen != 0)
			return start + (histogram_bucket_start_us(i + 1) - start) / 2;
	}
	return histogram_bucket_start_us(HISTOGRAM_BUCKETS - 1);
}
