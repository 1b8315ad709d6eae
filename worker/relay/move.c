/* Let go: relays on their way to another worker. From then on ours stand still, open and whole, until the keeper says
 * that another has them: it may die in between, or nobody may have room.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "common/channel.h"
#include "common/clock.h"
#include "common/log.h"
#include "worker/relay/keep.h"

/* On their way at a time, which is how long one pauses at most. */
#define MOVE_UNCONFIRMED_MOST (8 * MESSAGE_BATCH)

/* With busy relays on their way the next batch waits until all have arrived, and then for as long as that took and half as
 * long again: who moves must leave the processors to those who relay, or every relay pauses until all have moved. The
 * fewer are busy the shorter is the rest. Idle ones wait for nothing. */
#define MOVE_BUSY_MS      1000 /* since bytes were moved */
#define MOVE_BUSY_SHARE   4    /* one of so many is as if all were */
#define MOVE_REST_MOST_US 15000
#define MOVE_SLOW_US      50000 /* a batch that takes longer is not waited for */
#define MOVE_LOOKS        16384 /* places of the slab in one turn */
#define MOVE_AGAIN_MS     250   /* those that could not move, or came back */

/* ------------------------------------------------------------------ who */

static bool move_is_wanted(const struct relay *relay)
{
	struct shm *shm = relay->relays->shm;

	return shm_place_is_current(shm, SHM_FRONTEND, relay->frontend->place) &&
		(relay->chosen == NULL ||
			shm_place_is_current(shm, SHM_SERVER, relay->chosen->place));
}

static bool move_can(const struct relay *relay)
{
	if (relay->magic != RELAY_MAGIC || relay->keeping == KEEPING_LET_GO)
		return false;
	switch (relay_state(relay)) {
	case RELAY_SERVING:
		if (!serve_can_move(relay))
			return false;
		break;
	case RELAY_RELAYING:
	case RELAY_LINGERING:
		break;
	case RELAY_FREE:
	case RELAY_CHOOSING:
	case RELAY_QUEUED:
	case RELAY_CONNECTING:
	case RELAY_CLOSING:
	case RELAY_STATES:
		return false;
	}
	return (relay->keeping == KEEPING_KEPT || keep_can_deposit(relay)) && move_is_wanted(relay);
}

static uint32_t move_count_busy(struct relay *const *batch, uint32_t count)
{
	const uint64_t now_ms = clock_coarse_ms();
	uint32_t busy = 0;

	for (uint32_t i = 0; i < count; i++)
		busy += batch[i]->record->moved_ms + MOVE_BUSY_MS > now_ms;
	return busy;
}

static uint32_t move_choose(struct keep *keep, struct relay **batch)
{
	struct relays *relays = keep->relays;
	uint32_t most = MESSAGE_BATCH;
	uint32_t looks = 0;
	uint32_t n = 0;

	if (!keep->leaving && keep->shed < most)
		most = keep->shed;
	while (n < most && keep->cursor < relays->slab_used && looks++ < MOVE_LOOKS) {
		struct relay *relay = &relays->slab[keep->cursor++];

		if (move_can(relay))
			batch[n++] = relay;
	}
	keep->cursor_done = keep->cursor >= relays->slab_used;
	return n;
}

/* ------------------------------------------------------------------ let go */

/* The adopter need not ask the kernel. */
static void move_note_plain(struct relay *relay)
{
	struct relay_record *record = relay->record;

	record->flags &= (uint8_t) ~(RECORD_CLIENT_PLAIN | RECORD_SERVER_PLAIN);
	if (relay->client.flags & STREAM_PLAIN)
		record->flags |= RECORD_CLIENT_PLAIN;
	if (relay->server.flags & STREAM_PLAIN)
		record->flags |= RECORD_SERVER_PLAIN;
}

static void move_rest(struct relay *relay)
{
	struct keep *keep = relay->relays->keep;
	struct relay_record *record = relay->record;

	stream_rest(&relay->client);
	stream_rest(&relay->server);
	wheel_del(relay->relays->wheel, &relay->timer);
	relay_unqueue(relay);
	if (relay->client.flags & STREAM_RESET)
		record->resets |= RECORD_CLIENT;
	if (relay->server.flags & STREAM_RESET)
		record->resets |= RECORD_SERVER;
	move_note_plain(relay);
	relay->keeping = KEEPING_LET_GO;
	TAILQ_INSERT_TAIL(&keep->gone, relay, waiting);
	keep->ngone++;
	keep->gone_all++;
	record_order();
	record->flags |= RECORD_LET_GO;
}

static void move_deposit(struct keep *keep, struct relay *const *batch, uint32_t count)
{
	struct relay *young[MESSAGE_BATCH];
	uint32_t n = 0;

	for (uint32_t i = 0; i < count; i++) {
		if (batch[i]->keeping != KEEPING_KEPT)
			young[n++] = batch[i];
	}
	if (n > 0)
		keep_deposit(keep, young, n, true);
}

static void move_say(struct keep *keep, struct relay *const *batch, uint32_t count)
{
	struct msg_relay gone[MESSAGE_BATCH];
	struct message message = {
		.type = W2K_LET_GO,
		.payload = gone,
		.payload_bytes = count * sizeof(gone[0]),
	};

	for (uint32_t i = 0; i < count; i++) {
		gone[i] = (struct msg_relay){
			.record = batch[i]->index,
			.id = batch[i]->record->id,
		};
	}
	keep_send(keep, &message);
}

static void move_let_go(struct keep *keep, struct relay *const *batch, uint32_t count)
{
	move_deposit(keep, batch, count);
	for (uint32_t i = 0; i < count; i++)
		move_rest(batch[i]);
	move_say(keep, batch, count);
}

static bool move_may(const struct keep *keep)
{
	return (keep->leaving || keep->shed > 0) && !keep->unsettled && !keep->cursor_done &&
		keep->ngone + MESSAGE_BATCH <= MOVE_UNCONFIRMED_MOST && keep_has_room(keep);
}

/* Is it time for the next batch? If not, the loop wakes up when it is. */
static bool move_is_time(struct keep *keep)
{
	uint64_t now_us;
	uint64_t at_us;
	struct timeval tv = { 0 };

	if (keep->ngone > 0 && keep->gone_busy == 0)
		return true;
	now_us = clock_now_us();
	at_us = keep->ngone > 0 ? keep->began_us + MOVE_SLOW_US : keep->next_us;
	if (now_us >= at_us)
		return true;
	tv.tv_usec = (suseconds_t)(at_us - now_us);
	event_add(&keep->pace, &tv);
	return false;
}

static void move_arrived(struct keep *keep)
{
	uint64_t now_us = clock_now_us();
	uint64_t took_us = now_us - keep->began_us;
	uint64_t rest_us = took_us + took_us / 2;

	if (keep->gone_busy * MOVE_BUSY_SHARE < keep->gone_all)
		rest_us = rest_us * keep->gone_busy * MOVE_BUSY_SHARE / keep->gone_all;
	keep->next_us = now_us + (rest_us < MOVE_REST_MOST_US ? rest_us : MOVE_REST_MOST_US);
	keep->gone_all = 0;
	keep->gone_busy = 0;
}

bool move_turn(struct keep *keep)
{
	struct relay *batch[MESSAGE_BATCH];
	uint32_t n;

	if (!move_may(keep) || !move_is_time(keep))
		return false;
	n = move_choose(keep, batch);
	if (n > 0) {
		keep->gone_busy += move_count_busy(batch, n);
		keep->began_us = clock_now_us();
		move_let_go(keep, batch, n);
	}
	keep->shed -= n < keep->shed ? n : keep->shed;
	if (keep->cursor_done) {
		keep->shed = 0;
		if (keep->leaving)
			keep_wake(keep, MOVE_AGAIN_MS);
	}
	return move_may(keep) && move_is_time(keep);
}

static void move_start(struct keep *keep)
{
	keep->cursor = 0;
	keep->cursor_done = false;
}

void relays_leave(struct relays *relays, bool leave)
{
	relays->keep->leaving = leave;
	move_start(relays->keep);
}

void relays_shed(struct relays *relays, uint32_t count)
{
	struct keep *keep = relays->keep;

	keep->shed = count < UINT32_MAX - keep->shed ? keep->shed + count : UINT32_MAX;
	move_start(keep);
}

/* ------------------------------------------------------------------ taken, or back */

static void move_off_list(struct relay *relay)
{
	struct keep *keep = relay->relays->keep;

	TAILQ_REMOVE(&keep->gone, relay, waiting);
	if (--keep->ngone == 0)
		move_arrived(keep);
}

/* With its record: else it would count as one that died with us. */
static void move_count_let_go(struct relay *relay)
{
	struct shm_slot *slot = relay->relays->slot;
	struct journal_change change = { .slot = slot, .journal = &slot->journal };

	journal_add(&change, &slot->let_go, 1);
	journal_add(&change, &slot->frontends[relay->record->frontend].let_go, 1);
	journal_set(&change, &relay->record->id, 0);
	journal_commit(&change);
}

/* Another has it. Nothing is said to the peers, nothing is logged: that is the other's. */
static void move_gone(struct relay *relay)
{
	struct relays *relays = relay->relays;

	move_off_list(relay);
	relay->keeping = KEEPING_NOT;
	stream_leave(&relay->client);
	stream_leave(&relay->server);
	pump_leave(&relay->up, &relays->tools);
	pump_leave(&relay->down, &relays->tools);
	relay_uncount(relay);
	move_count_let_go(relay);
	relay_give(relay);
}

/* It is ours as before; not kept any more when the keeper refused it meanwhile. */
static void move_returns(struct relay *relay)
{
	move_off_list(relay);
	relay->keeping = relay->record->flags & RECORD_KEPT ? KEEPING_KEPT : KEEPING_REFUSED;
	relay->record->flags &= (uint8_t)~RECORD_LET_GO;
	record_order();
	if (stream_watch(&relay->client) < 0 || stream_watch(&relay->server) < 0) {
		relay_close(relay, CLOSE_RESOURCE);
		return;
	}
	relay->client.flags |= STREAM_READABLE | STREAM_WRITABLE;
	relay->server.flags |= STREAM_READABLE | STREAM_WRITABLE;
	relay_timer_set(relay);
	relay_queue(relay);
}

void move_taken(struct keep *keep, const struct message *message)
{
	size_t count;
	const struct msg_relay *relays = message_payload(message, K2W_TAKEN, &count);

	for (size_t i = 0; i < count; i++) {
		struct relay *relay = keep_find(keep, relays[i].record, relays[i].id);

		if (relay != NULL && relay->keeping == KEEPING_LET_GO)
			move_gone(relay);
	}
}

void move_back(struct keep *keep, const struct message *message)
{
	size_t count;
	const struct msg_relay *relays = message_payload(message, K2W_BACK, &count);

	for (size_t i = 0; i < count; i++) {
		struct relay *relay = keep_find(keep, relays[i].record, relays[i].id);

		if (relay != NULL && relay->keeping == KEEPING_LET_GO)
			move_returns(relay);
	}
}

/* ------------------------------------------------------------------ another keeper */

static int move_by_id(const void *a, const void *b)
{
	uint64_t x = (*(struct relay *const *)a)->record->id;
	uint64_t y = (*(struct relay *const *)b)->record->id;

	return (x > y) - (x < y);
}

/* Those that the records of this slot say it has. sorted: NULL where one was found. */
static void move_look_in(
	struct relays *relays, uint32_t slot, struct relay **sorted, uint32_t count)
{
	uint32_t records =
		atomic_load_explicit(&shm_slot(relays->shm, slot)->records, memory_order_relaxed);

	if (records > shm_records(relays->shm))
		records = shm_records(relays->shm);
	for (uint32_t i = 0; i < records; i++) {
		const struct relay_record *record = shm_record(relays->shm, slot, i);
		uint32_t low = 0;
		uint32_t high = count;

		if (record->id == 0)
			continue;
		while (low < high) {
			uint32_t middle = low + (high - low) / 2;

			if (sorted[middle]->record->id < record->id)
				low = middle + 1;
			else
				high = middle;
		}
		/* Who has it after us counted one move more, also when it has let go of it since. */
		if (low < count && sorted[low]->record->id == record->id &&
			record->moves > sorted[low]->record->moves)
			sorted[low]->keeping = KEEPING_NOT; /* for the moment: see below */
	}
}

/* No keeper has it. The oldest of all, so before the young: due at once. */
static void move_deposit_again(struct keep *keep, struct relay *relay)
{
	if (relay->keeping == KEEPING_LET_GO)
		keep_not(relay);
	if (relay->keeping != KEEPING_KEPT && relay->keeping != KEEPING_REFUSED)
		return;
	keep_not(relay);
	relay->keeping = KEEPING_NOT;
	if (keep->after_ms == CONF_FOREVER || relay_state(relay) == RELAY_CLOSING)
		return;
	relay->begun_ms = 0;
	TAILQ_INSERT_HEAD(&keep->young, relay, waiting);
	relay->keeping = KEEPING_YOUNG;
}

/* The old keeper died before it said whether they were taken; the others have answered by now, so their records say. */
static void move_settle_gone(struct keep *keep)
{
	struct relays *relays = keep->relays;
	struct relay *sorted[MOVE_UNCONFIRMED_MOST];
	uint32_t slots = shm_master(relays->shm)->slots;
	uint32_t count = 0;
	struct relay *relay;

	for (relay = TAILQ_FIRST(&keep->gone); relay != NULL; relay = TAILQ_NEXT(relay, waiting)) {
		MUST(count < MOVE_UNCONFIRMED_MOST);
		sorted[count++] = relay;
	}
	if (count == 0)
		return;
	qsort(sorted, count, sizeof(struct relay *), move_by_id);
	for (uint32_t i = 0; i < slots && i < SHM_SLOTS; i++) {
		if (i != relays->slot_number && shm_slot(relays->shm, i)->state != SLOT_FREE)
			move_look_in(relays, i, sorted, count);
	}
	for (uint32_t i = 0; i < count; i++) {
		if (sorted[i]->keeping == KEEPING_NOT) {
			move_gone(sorted[i]);
			continue;
		}
		move_returns(sorted[i]);
		move_deposit_again(keep, sorted[i]);
	}
}

void move_unkeep(struct keep *keep)
{
	struct relays *relays = keep->relays;

	for (uint32_t i = 0; i < relays->slab_used; i++) {
		if (relays->slab[i].magic == RELAY_MAGIC)
			move_deposit_again(keep, &relays->slab[i]);
	}
}

void relays_settle(struct relays *relays)
{
	struct keep *keep = relays->keep;

	if (!keep->unsettled || keep->channel == NULL)
		return;
	move_settle_gone(keep);
	keep->unsettled = false;
	keep->due = true;
	move_start(keep);
}
