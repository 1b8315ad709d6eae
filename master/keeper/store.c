/* The entries, their counts, and each slot's queue of those that wait for an adopter.
 *
 * An entry that leaves LET_GO stays linked in its queue until its turn comes there; `queued` survives even its end, so
 * that a later relay of the same record is not linked twice.
 */
#include "master/keeper/store.h"

#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "common/child.h"
#include "common/log.h"
#include "common/shm.h"

struct store_slot {
	struct store_entry *entries; /* owned mapping; NULL before the first use */
	uint32_t used;
	uint32_t count;
	uint32_t waiting;
	uint32_t given_to;
	uint32_t head; /* record + 1; 0: the queue is empty */
	uint32_t tail;
};

struct store {
	uint32_t records;
	uint64_t total;
	struct store_slot slots[SHM_SLOTS];
};

_Static_assert(sizeof(struct store_entry) == 24, "half a million of them are 12 MB");

struct store *store_new(uint32_t records)
{
	struct store *store = calloc(1, sizeof(*store));

	if (store == NULL) {
		log_fatalx("out of memory for the store");
		exit(EXIT_CODE_FAILED);
	}
	store->records = records;
	return store;
}

void store_free(struct store *store)
{
	if (store == NULL)
		return;
	for (uint32_t i = 0; i < SHM_SLOTS; i++)
		store_release(store, i);
	free(store);
}

static struct store_slot *store_slot(struct store *store, uint32_t slot)
{
	MUST(slot < SHM_SLOTS);
	return &store->slots[slot];
}

static const struct store_slot *store_look(const struct store *store, uint32_t slot)
{
	MUST(slot < SHM_SLOTS);
	return &store->slots[slot];
}

struct store_entry *store_get(struct store *store, uint32_t slot, uint32_t record)
{
	struct store_slot *s = store_slot(store, slot);

	MUST(record < store->records);
	if (record >= s->used || s->entries[record].state == ENTRY_FREE)
		return NULL;
	return &s->entries[record];
}

static struct store_entry *store_must_get(struct store *store, uint32_t slot, uint32_t record)
{
	struct store_entry *entry = store_get(store, slot, record);

	MUST(entry != NULL);
	return entry;
}

/* The counts follow the state here and nowhere else. */
static void store_state(struct store *store, uint32_t slot, struct store_entry *entry,
	enum entry_state state, uint32_t to)
{
	struct store_slot *s = store_slot(store, slot);

	if (entry->state == ENTRY_LET_GO)
		s->waiting--;
	if (entry->state == ENTRY_GIVEN)
		store_slot(store, entry->to)->given_to--;
	if (entry->state == ENTRY_FREE) {
		s->count++;
		store->total++;
	}
	entry->state = (uint8_t)state;
	switch (state) {
	case ENTRY_FREE:
		s->count--;
		store->total--;
		break;
	case ENTRY_KEPT:
		break;
	case ENTRY_LET_GO:
		s->waiting++;
		break;
	case ENTRY_GIVEN:
		entry->to = (uint8_t)to;
		store_slot(store, to)->given_to++;
		break;
	}
}

/* The entry of a record that may never have been used. NULL when there is no memory. */
static struct store_entry *store_reach(struct store *store, uint32_t slot, uint32_t record)
{
	struct store_slot *s = store_slot(store, slot);

	MUST(record < store->records);
	if (s->entries == NULL) {
		void *map = mmap(NULL, store->records * sizeof(*s->entries), PROT_READ | PROT_WRITE,
			MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

		if (map == MAP_FAILED)
			return NULL;
		s->entries = map;
	}
	if (record >= s->used)
		s->used = record + 1;
	return &s->entries[record];
}

static void store_free_entry(struct store *store, uint32_t slot, struct store_entry *entry)
{
	store_state(store, slot, entry, ENTRY_FREE, 0);
	entry->id = 0;
	entry->tries = 0;
	entry->fds[0] = entry->fds[1] = -1;
}

void store_drop(struct store *store, uint32_t slot, uint32_t record)
{
	struct store_entry *entry = store_must_get(store, slot, record);

	for (unsigned i = 0; i < NELEMS(entry->fds); i++) {
		if (entry->fds[i] >= 0)
			close(entry->fds[i]);
	}
	store_free_entry(store, slot, entry);
}

int store_put(struct store *store, uint32_t slot, uint32_t record, uint64_t id, const int fds[2])
{
	struct store_entry *entry = store_reach(store, slot, record);

	if (entry == NULL)
		return -1;
	if (entry->state != ENTRY_FREE)
		store_drop(store, slot, record);
	entry->id = id;
	entry->fds[0] = fds[0];
	entry->fds[1] = fds[1];
	entry->tries = 0;
	store_state(store, slot, entry, ENTRY_KEPT, 0);
	return 0;
}

int store_move(struct store *store, uint32_t from_slot, uint32_t from_record, uint32_t slot,
	uint32_t record)
{
	struct store_entry *entry = store_must_get(store, from_slot, from_record);
	const struct store_entry old = *entry;

	MUST(from_slot != slot || from_record != record);
	if (store_put(store, slot, record, old.id, old.fds) < 0)
		return -1;
	store_free_entry(store, from_slot, entry);
	return 0;
}

void store_keep(struct store *store, uint32_t slot, uint32_t record)
{
	struct store_entry *entry = store_must_get(store, slot, record);

	store_state(store, slot, entry, ENTRY_KEPT, 0);
	entry->tries = 0;
}

void store_let_go(struct store *store, uint32_t slot, uint32_t record)
{
	struct store_slot *s = store_slot(store, slot);
	struct store_entry *entry = store_must_get(store, slot, record);

	store_state(store, slot, entry, ENTRY_LET_GO, 0);
	if (entry->queued)
		return;
	entry->queued = true;
	entry->next = 0;
	if (s->tail != 0)
		s->entries[s->tail - 1].next = record + 1;
	else
		s->head = record + 1;
	s->tail = record + 1;
}

void store_give(struct store *store, uint32_t slot, uint32_t record, uint32_t to)
{
	store_state(store, slot, store_must_get(store, slot, record), ENTRY_GIVEN, to);
}

bool store_next(struct store *store, uint32_t slot, uint32_t *record_r)
{
	struct store_slot *s = store_slot(store, slot);

	while (s->head != 0) {
		uint32_t record = s->head - 1;
		struct store_entry *entry = &s->entries[record];

		s->head = entry->next;
		if (s->head == 0)
			s->tail = 0;
		entry->queued = false;
		entry->next = 0;
		if (entry->state == ENTRY_LET_GO) {
			*record_r = record;
			return true;
		}
	}
	return false;
}

uint32_t store_waiting(const struct store *store, uint32_t slot)
{
	return store_look(store, slot)->waiting;
}

uint32_t store_count(const struct store *store, uint32_t slot)
{
	return store_look(store, slot)->count;
}

uint32_t store_given_to(const struct store *store, uint32_t slot)
{
	return store_look(store, slot)->given_to;
}

uint32_t store_used(const struct store *store, uint32_t slot)
{
	return store_look(store, slot)->used;
}

uint64_t store_total(const struct store *store)
{
	return store->total;
}

void store_release(struct store *store, uint32_t slot)
{
	struct store_slot *s = store_slot(store, slot);

	if (s->entries == NULL)
		return;
	for (uint32_t i = 0; i < s->used && s->count > 0; i++) {
		if (s->entries[i].state != ENTRY_FREE)
			store_drop(store, slot, i);
	}
	munmap(s->entries, store->records * sizeof(*s->entries));
	s->entries = NULL;
	s->used = s->head = s->tail = 0;
	MUST(s->count == 0 && s->waiting == 0);
}
