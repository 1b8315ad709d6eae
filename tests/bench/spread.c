/* Below 2 * 2^SUB_BITS a bucket per nanosecond, above it 2^SUB_BITS per power of two. */
#include "tests/bench/spread.h"

#include <math.h>

#define SUB (1U << SPREAD_SUB_BITS)

/* How far the values of this size are shifted so that SUB_BITS and their leading bit are left. */
static unsigned shift_of(uint64_t ns)
{
	unsigned bits = 64 - (unsigned)__builtin_clzll(ns | 1);

	return bits > SPREAD_SUB_BITS + 1 ? bits - SPREAD_SUB_BITS - 1 : 0;
}

void spread_add(struct spread *spread, uint64_t ns)
{
	unsigned shift = shift_of(ns);
	uint64_t bucket = ((uint64_t)shift << SPREAD_SUB_BITS) + (ns >> shift);

	if (bucket >= SPREAD_BUCKETS)
		bucket = SPREAD_BUCKETS - 1;
	spread->buckets[bucket]++;
	spread->count++;
	if (ns > spread->max_ns)
		spread->max_ns = ns;
}

static double bucket_middle_ns(unsigned bucket)
{
	unsigned shift = bucket < 2 * SUB ? 0 : (bucket >> SPREAD_SUB_BITS) - 1;
	uint64_t first = (uint64_t)(bucket - (shift << SPREAD_SUB_BITS)) << shift;

	return (double)first + (double)((1ULL << shift) - 1) / 2;
}

double spread_quantile_ns(const struct spread *spread, double share)
{
	uint64_t wanted = (uint64_t)ceil((double)spread->count * share), seen = 0;

	for (unsigned i = 0; i < SPREAD_BUCKETS; i++) {
		seen += spread->buckets[i];
		if (seen > 0 && seen >= wanted)
			return fmin(bucket_middle_ns(i), (double)spread->max_ns);
	}
	return 0;
}
