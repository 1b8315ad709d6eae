/* Walks a histogram and what it was side by side.
 */
#include "common/snapshot.h"

#include <stdlib.h>
#include <string.h>

uint32_t snapshot_take(
	struct snapshot *snapshot, const struct histogram_shared *h, struct histogram *new_r)
{
	struct snapshot_bucket now[HISTOGRAM_BUCKETS];
	struct snapshot_bucket *buckets = snapshot->buckets;
	uint32_t count = atomic_load_explicit(&h->count, memory_order_relaxed);
	uint32_t added = 0;
	uint32_t used = 0;
	uint32_t was = 0;

	if (count == snapshot->count)
		return 0;
	for (uint32_t i = 0; i < HISTOGRAM_BUCKETS; i++) {
		uint32_t n = atomic_load_explicit(&h->buckets[i], memory_order_relaxed);

		if (n != 0)
			now[used++] = (struct snapshot_bucket){ i, n };
	}
	if (used > snapshot->nbuckets)
		buckets = realloc(buckets, used * sizeof(*buckets));
	if (buckets == NULL)
		return 0;
	for (uint32_t i = 0; i < used; i++) {
		uint32_t before = 0;

		while (was < snapshot->nbuckets && buckets[was].bucket < now[i].bucket)
			was++;
		if (was < snapshot->nbuckets && buckets[was].bucket == now[i].bucket)
			before = buckets[was].count;
		if (now[i].count > before) {
			new_r->buckets[now[i].bucket] += now[i].count - before;
			added += now[i].count - before;
		}
	}
	new_r->count += added;
	memcpy(buckets, now, used * sizeof(*buckets));
	*snapshot = (struct snapshot){ count, used, buckets };
	return added;
}

void snapshot_deinit(struct snapshot *snapshot)
{
	free(snapshot->buckets);
	*snapshot = (struct snapshot){ 0 };
}
