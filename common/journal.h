/* Counters of a slot that change together, or not at all, also when their worker is killed between two of them.
 *
 * A worker is the only writer of its slot. It notes what it is about to write, as values and not as differences, says
 * how many there are, writes them, and says that there are none. Whoever comes after a SIGKILL (the master, once the
 * worker is reaped) writes what was noted once more: all of it is then there, once. A few plain stores in the data path.
 */
#ifndef PROXYD_COMMON_JOURNAL_H
#define PROXYD_COMMON_JOURNAL_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include "common/must.h"
#include "common/record.h"

#define JOURNAL_MOST 6

struct shm_slot;

struct journal_write {
	uint64_t at; /* bytes from the beginning of the slot */
	uint64_t value;
};

struct journal {
	_Atomic uint64_t pending; /* how many of the writes count */
	struct journal_write writes[JOURNAL_MOST];
};

/* What is to change, until journal_commit. On the stack; zero but for slot. */
struct journal_change {
	struct shm_slot *slot; /* borrowed */
	struct journal *journal;
	uint64_t count;
};

/* *number, which lies in the slot, will be value. */
static inline void journal_set(struct journal_change *change, void *number, uint64_t value)
{
	struct journal_write *write = &change->journal->writes[change->count];

	MUST(change->count < JOURNAL_MOST);
	write->at = (uint64_t)((char *)number - (char *)change->slot);
	write->value = value;
	change->count++;
}

static inline void journal_add(struct journal_change *change, _Atomic uint64_t *number, uint64_t n)
{
	journal_set(change, number, atomic_load_explicit(number, memory_order_relaxed) + n);
}

/* Makes the writes that are noted. */
static inline void journal_write(
	struct shm_slot *slot, const struct journal *journal, uint64_t count)
{
	for (uint64_t i = 0; i < count; i++)
		atomic_store_explicit(
			(_Atomic uint64_t *)(void *)((char *)slot + journal->writes[i].at),
			journal->writes[i].value, memory_order_relaxed);
}

/* From here on it is done, whatever happens to this process. */
static inline void journal_commit(struct journal_change *change)
{
	record_order();
	atomic_store_explicit(&change->journal->pending, change->count, memory_order_relaxed);
	record_order();
	journal_write(change->slot, change->journal, change->count);
	record_order();
	atomic_store_explicit(&change->journal->pending, 0, memory_order_relaxed);
	change->count = 0;
}

#endif
