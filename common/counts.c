/* Keeps the counts that all workers share equal to the sum of what each of them holds, also when one dies between the
 * two halves of a change.
 */
#include "common/counts.h"

#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/shm.h"
#include "common/sums.h"

/* How often, and how long each time, the master waits for workers to be outside of their few
 * instructions when it sets the shared counts right: 20 ms in all. */
#define COUNTS_PATIENCE    200
#define COUNTS_PATIENCE_US 100

/* A count that all workers share, and one worker's part of it. */
struct twins {
	_Atomic uint32_t *shared;
	_Atomic uint64_t *own;
};

static struct twins twins_of(struct shm *shm, uint32_t slot, const struct shm_count_id *id)
{
	struct shm_shared *shared = shm_shared(shm);
	struct shm_slot *own = shm_slot(shm, slot);

	switch (id->what) {
	case SHM_COUNT_FRONTEND:
		return (struct twins){ &shared->frontends[id->place].active,
			&own->frontends[id->place].active };
	case SHM_COUNT_SERVER:
		return (struct twins){ &shared->servers[id->place].active,
			&own->servers[id->place].active };
	case SHM_COUNT_DAEMON:
		break;
	}
	return (struct twins){ &shared->active, &own->active };
}

/* While a worker is between begin and end, its sequence is odd and its twins may differ. */
static void twins_begin(struct shm_slot *own)
{
	uint64_t sequence = atomic_load_explicit(&own->sequence, memory_order_relaxed);

	atomic_store_explicit(&own->sequence, sequence + 1, memory_order_relaxed);
	atomic_thread_fence(memory_order_seq_cst);
}

static void twins_end(struct shm_slot *own)
{
	uint64_t sequence = atomic_load_explicit(&own->sequence, memory_order_relaxed);

	atomic_store_explicit(&own->sequence, sequence + 1, memory_order_release);
}

void shm_active_add(struct shm *shm, uint32_t slot, const struct shm_count_id *id, int delta)
{
	struct twins twins = twins_of(shm, slot, id);

	twins_begin(shm_slot(shm, slot));
	atomic_fetch_add_explicit(twins.shared, (uint32_t)delta, memory_order_relaxed);
	shm_count(twins.own, (uint64_t)(int64_t)delta);
	twins_end(shm_slot(shm, slot));
}

bool shm_active_reserve(
	struct shm *shm, uint32_t slot, const struct shm_count_id *id, uint32_t most)
{
	struct twins twins = twins_of(shm, slot, id);
	uint32_t now = atomic_load_explicit(twins.shared, memory_order_relaxed);
	bool done = false;

	if (most == 0) {
		shm_active_add(shm, slot, id, 1);
		return true;
	}
	twins_begin(shm_slot(shm, slot));
	while (now < most && !done)
		done = atomic_compare_exchange_weak_explicit(
			twins.shared, &now, now + 1, memory_order_relaxed, memory_order_relaxed);
	if (done)
		shm_count(twins.own, 1);
	twins_end(shm_slot(shm, slot));
	return done;
}

/* What all workers say they hold, and what the shared count says, at one instant: no worker was between begin
 * and end from the first to the last look. False when one was. */
static bool twins_look(
	struct shm *shm, const struct shm_count_id *id, uint64_t *held_r, uint32_t *shared_r)
{
	uint64_t before[SHM_SLOTS];
	uint32_t slots = shm_master(shm)->slots;

	*held_r = 0;
	for (uint32_t i = 0; i < slots; i++) {
		before[i] = atomic_load_explicit(&shm_slot(shm, i)->sequence, memory_order_acquire);
		if (before[i] % 2 == 1)
			return false;
		if (before[i] != 0)
			*held_r += atomic_load_explicit(
				twins_of(shm, i, id).own, memory_order_relaxed);
	}
	*shared_r = atomic_load_explicit(twins_of(shm, 0, id).shared, memory_order_relaxed);
	atomic_thread_fence(memory_order_seq_cst);
	for (uint32_t i = 0; i < slots; i++) {
		if (atomic_load_explicit(&shm_slot(shm, i)->sequence, memory_order_relaxed) !=
			before[i])
			return false;
	}
	return true;
}

/* A worker that died between begin and end leaves its twins apart by one. Others go on counting meanwhile,
 * which changes both alike: the difference seen at one instant stays right. */
static void twins_reconcile(struct shm *shm, const struct shm_count_id *id, unsigned *patience)
{
	uint64_t held;
	uint32_t shared;

	while (!twins_look(shm, id, &held, &shared)) {
		/* Someone is inside, or was preempted there, or stopped: then the reaping of that one,
		 * which is due soon, does all of this again. */
		if (*patience == 0)
			return;
		--*patience;
		usleep(COUNTS_PATIENCE_US);
	}
	atomic_fetch_add_explicit(
		twins_of(shm, 0, id).shared, (uint32_t)held - shared, memory_order_relaxed);
}

static void shm_reconcile(struct shm *shm)
{
	unsigned patience = COUNTS_PATIENCE;
	struct shm_count_id id = { SHM_COUNT_DAEMON, 0 };

	twins_reconcile(shm, &id, &patience);
	id.what = SHM_COUNT_FRONTEND;
	for (id.place = 0; id.place < shm_placed(shm, SHM_FRONTEND); id.place++)
		twins_reconcile(shm, &id, &patience);
	id.what = SHM_COUNT_SERVER;
	for (id.place = 0; id.place < shm_placed(shm, SHM_SERVER); id.place++)
		twins_reconcile(shm, &id, &patience);
}

/* A relay that was counted for its source gives that back. */
static void shm_reap_source(struct shm *shm, const struct relay_record *record)
{
	size_t len = record->client_family == AF_INET6 ? 16 : 4;

	if (record->flags & RECORD_SOURCE_COUNTED)
		sources_leave(&shm_shared(shm)->sources,
			sources_key(record->frontend, record->client_addr, len));
}

/* Its relay died with its worker, or was adopted, which the adopter counts. Both at once, should we die as well. */
static void shm_reap_record(struct shm_slot *dead, struct relay_record *record)
{
	struct journal_change change = { .slot = dead, .journal = &dead->journal };

	journal_set(&change, &record->id, 0);
	if (record->ended == 0 && record->frontend < SHM_FRONTENDS_MAX)
		journal_add(&change, &dead->frontends[record->frontend].died, 1);
	journal_commit(&change);
}

static uint32_t shm_reap_records(struct shm *shm, uint32_t slot)
{
	struct shm_slot *dead = shm_slot(shm, slot);
	uint32_t records = dead->records < shm_records(shm) ? dead->records : shm_records(shm);
	uint32_t relays = 0;

	for (uint32_t i = 0; i < records; i++) {
		struct relay_record *record = shm_record(shm, slot, i);

		if (record->id != 0) {
			relays++;
			shm_reap_source(shm, record);
			shm_reap_record(dead, record);
		}
	}
	shm_records_clear(shm, slot);
	return relays;
}

void shm_slot_died(struct shm *shm, uint32_t slot)
{
	struct shm_slot *dead = shm_slot(shm, slot);

	for (uint32_t i = 0; i < shm_placed(shm, SHM_BACKEND); i++) {
		dead->backends[i].queued = 0;
		dead->backends[i].first_us = 0;
	}
	shm_slot_redo(shm, slot);
	dead->sequence += dead->sequence % 2;
	dead->state = SLOT_DEAD;
}

uint32_t shm_slot_reap(struct shm *shm, uint32_t slot)
{
	struct shm_slot *dead = shm_slot(shm, slot);
	uint32_t relays;

	shm_slot_died(shm, slot);
	relays = shm_reap_records(shm, slot);

	dead->active = 0;
	for (uint32_t i = 0; i < shm_placed(shm, SHM_FRONTEND); i++)
		dead->frontends[i].active = 0;
	for (uint32_t i = 0; i < shm_placed(shm, SHM_BACKEND); i++) {
		dead->backends[i].active = 0;
	}
	for (uint32_t i = 0; i < shm_placed(shm, SHM_SERVER); i++)
		dead->servers[i].active = 0;
	dead->state = SLOT_FREE;
	shm_reconcile(shm);
	for (uint32_t i = 0; i < shm_placed(shm, SHM_FRONTEND); i++)
		shm_sum_lost(shm, i);
	return relays;
}
