/* Open addressing over eight neighbours; the key is claimed by a compare-and-swap.
 */
#include "common/sources.h"

#include <string.h>
#include <xxhash.h>

#define SOURCES_WAYS    8
#define SOURCES_OLD_S   2
#define SOURCES_IPV6_64 8 /* bytes of an IPv6 address that make a source */

uint64_t sources_key(uint32_t frontend, const void *host, size_t host_len)
{
	uint64_t key = XXH3_64bits_withSeed(host, host_len > 4 ? SOURCES_IPV6_64 : host_len,
		(uint64_t)frontend << 8 | host_len);

	return key != 0 ? key : 1;
}

static struct source_entry *sources_at(struct sources *sources, uint64_t key, unsigned way)
{
	return &sources->entries[(key + way) % SOURCES_SIZE];
}

static struct source_entry *sources_find(struct sources *sources, uint64_t key)
{
	for (unsigned way = 0; way < SOURCES_WAYS; way++) {
		struct source_entry *entry = sources_at(sources, key, way);

		if (atomic_load_explicit(&entry->key, memory_order_acquire) == key)
			return entry;
	}
	return NULL;
}

static bool source_is_free(const struct source_entry *entry, uint32_t second)
{
	return atomic_load_explicit(&entry->key, memory_order_relaxed) == 0 ||
		(atomic_load_explicit(&entry->active, memory_order_relaxed) == 0 &&
			second - atomic_load_explicit(&entry->second, memory_order_relaxed) >
				SOURCES_OLD_S);
}

/* Two workers may claim two places for one source at the same instant: each is then counted for itself until
 * they are forgotten. */
static struct source_entry *sources_claim(struct sources *sources, uint64_t key, uint32_t second)
{
	for (unsigned way = 0; way < SOURCES_WAYS; way++) {
		struct source_entry *entry = sources_at(sources, key, way);
		uint64_t old = atomic_load_explicit(&entry->key, memory_order_relaxed);

		if (!source_is_free(entry, second))
			continue;
		if (!atomic_compare_exchange_strong(&entry->key, &old, key))
			continue;
		atomic_store_explicit(&entry->opened, 0, memory_order_relaxed);
		atomic_store_explicit(&entry->second, second, memory_order_relaxed);
		return entry;
	}
	return NULL;
}

static bool source_within_rate(
	struct source_entry *entry, const struct source_ask *ask, uint32_t second)
{
	if (atomic_exchange_explicit(&entry->second, second, memory_order_relaxed) != second)
		atomic_store_explicit(&entry->opened, 0, memory_order_relaxed);
	if (ask->rate == 0)
		return true;
	return atomic_fetch_add_explicit(&entry->opened, 1, memory_order_relaxed) < ask->rate;
}

enum source_answer sources_enter(struct sources *sources, const struct source_ask *ask)
{
	uint32_t second = (uint32_t)(ask->now_ms / 1000);
	struct source_entry *entry = sources_find(sources, ask->key);

	if (entry == NULL)
		entry = sources_claim(sources, ask->key, second);
	if (entry == NULL)
		return SOURCE_UNCOUNTED;
	if (!source_within_rate(entry, ask, second))
		return SOURCE_RATE;
	if (atomic_fetch_add_explicit(&entry->active, 1, memory_order_relaxed) < ask->maxconn ||
		ask->maxconn == 0)
		return SOURCE_COUNTED;
	atomic_fetch_sub_explicit(&entry->active, 1, memory_order_relaxed);
	return SOURCE_MAXCONN;
}

void sources_leave(struct sources *sources, uint64_t key)
{
	struct source_entry *entry = sources_find(sources, key);
	uint32_t active;

	if (entry == NULL)
		return;
	/* Not below zero: a worker that died in between may have been given back twice. */
	active = atomic_load_explicit(&entry->active, memory_order_relaxed);
	while (active > 0 && !atomic_compare_exchange_weak(&entry->active, &active, active - 1))
		continue;
}
