/* Which connect times were new since the last look at a server: the difference of a histogram to what it was, kept in a
 * few bytes, for connect times of one server lie close together.
 */
#ifndef PROXYD_COMMON_SNAPSHOT_H
#define PROXYD_COMMON_SNAPSHOT_H

#include <stdbool.h>
#include <stdint.h>

#include "common/histogram.h"
#include "common/must.h"

struct snapshot_bucket {
	uint32_t bucket;
	uint32_t count;
};

/* Zero at first: nothing was counted. */
struct snapshot {
	uint32_t count; /* of the histogram's */
	uint32_t nbuckets;
	struct snapshot_bucket *buckets; /* owned; those that are not 0, in order */
};

/* What is new in h is added to new_r (a private copy), and the snapshot is that of now. Returns how much is new. Without
 * memory it stays as it was and nothing is new. */
uint32_t snapshot_take(
	struct snapshot *snapshot, const struct histogram_shared *h, struct histogram *new_r);
void snapshot_deinit(struct snapshot *snapshot);

#endif
