/* What becomes of a dead worker's relays, and of those that it had been given and not confirmed.
 */
#include <inttypes.h>
#include <stdlib.h>

#include "common/record.h"
#include "master/keeper/parts.h"

struct dead_open {
	uint64_t id;
	uint32_t slot;
	uint32_t record;
};

static int dead_compare(const void *a, const void *b)
{
	const struct dead_open *left = a;
	const struct dead_open *right = b;

	return left->id < right->id ? -1 : left->id > right->id;
}

/* All that was given to this slot and not answered, by id. */
static size_t dead_open_list(const struct keeper_worker *adopter, struct dead_open *open)
{
	struct store *store = adopter->keeper->store;
	uint32_t left = store_given_to(store, adopter->slot);
	size_t n = 0;

	for (uint32_t slot = 0; slot < SHM_SLOTS && n < left; slot++) {
		for (uint32_t at = 0; at < store_used(store, slot) && n < left; at++) {
			const struct store_entry *entry = store_get(store, slot, at);

			if (entry != NULL && entry->state == ENTRY_GIVEN &&
				entry->to == adopter->slot)
				open[n++] = (struct dead_open){ entry->id, slot, at };
		}
	}
	qsort(open, n, sizeof(*open), dead_compare);
	return n;
}

/* It had made the relay its own, and only not said so. */
static void dead_find_adopted(
	struct keeper_worker *adopter, const struct dead_open *open, size_t nopen)
{
	struct keeper *keeper = adopter->keeper;
	uint32_t records = shm_slot(keeper->shm, adopter->slot)->records;

	if (records > shm_records(keeper->shm))
		records = shm_records(keeper->shm);
	for (uint32_t i = 0; i < records; i++) {
		const struct relay_record *record = shm_record(keeper->shm, adopter->slot, i);
		const struct dead_open key = { .id = record->id };
		const struct dead_open *found;

		if (key.id == 0 || atomic_load(&record->sequence) % 2 == 1)
			continue;
		found = bsearch(&key, open, nopen, sizeof(*open), dead_compare);
		if (found != NULL && store_get(keeper->store, found->slot, found->record) != NULL)
			give_moved(keeper->workers[found->slot], found->record, adopter, i);
	}
}

void dead_settle(struct keeper_worker *adopter)
{
	struct store *store = adopter->keeper->store;
	struct dead_open open[KEEPER_GIVEN_MAX];
	size_t n;

	if (store_given_to(store, adopter->slot) == 0)
		return;
	MUST(store_given_to(store, adopter->slot) <= KEEPER_GIVEN_MAX);
	n = dead_open_list(adopter, open);
	dead_find_adopted(adopter, open, n);
	for (size_t i = 0; i < n; i++) {
		const struct store_entry *entry = store_get(store, open[i].slot, open[i].record);

		if (entry != NULL && entry->state == ENTRY_GIVEN && entry->to == adopter->slot)
			store_let_go(store, open[i].slot, open[i].record);
	}
	give_soon(adopter->keeper);
}

static void dead_let_all_go(struct keeper_worker *dead)
{
	struct store *store = dead->keeper->store;
	uint32_t used = store_used(store, dead->slot);

	for (uint32_t at = 0; at < used; at++) {
		const struct store_entry *entry = store_get(store, dead->slot, at);

		if (entry != NULL && entry->state == ENTRY_KEPT)
			store_let_go(store, dead->slot, at);
	}
}

void dead_give(struct keeper *keeper, uint32_t slot)
{
	struct keeper_worker *dead;

	if (slot >= SHM_SLOTS) {
		log_errorx("slot %" PRIu32 " is none, nothing to give", slot);
		return;
	}
	dead = lines_worker(keeper, slot);
	if (!dead->dead)
		dead->moved = dead->lost = 0;
	dead->dead = true;
	if (dead->frozen_fd >= 0)
		return; /* what it said last is read when a successor has the line, or we again */
	lines_finish(dead);
	dead_settle(dead);
	dead_let_all_go(dead);
	give_soon(keeper);
}
