/* Who gets what was let go: routes, and the adopters' answers.
 *
 * Nothing is given from within a message: give_run does it at the end of the turn, so that batches are full and all that
 * a dead process said has been read.
 */
#include <event2/event.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "common/connect.h"
#include "common/record.h"
#include "master/keeper/parts.h"

/* ------------------------------------------------------------------ routes */

static int route_find(const struct keeper_route *route, uint32_t slot)
{
	for (uint32_t i = 0; i < route->distinct; i++) {
		if (route->adopters[i] == slot)
			return (int)i;
	}
	return -1;
}

/* Those that were refused try all of the new ones. */
static void route_forget_tries(struct keeper *keeper, uint32_t slot)
{
	uint32_t waiting = store_waiting(keeper->store, slot);
	uint32_t record;

	while (waiting-- > 0 && store_next(keeper->store, slot, &record)) {
		store_get(keeper->store, slot, record)->tries = 0;
		store_let_go(keeper->store, slot, record);
	}
}

void give_route(struct keeper *keeper, const struct msg_route *message)
{
	struct keeper_route *route;

	if (message->from >= SHM_SLOTS || message->count > MESSAGE_ROUTE_MAX) {
		log_errorx("a route that cannot be");
		return;
	}
	route = &lines_worker(keeper, message->from)->route;
	*route = (struct keeper_route){ .count = 0 };
	for (uint32_t i = 0; i < message->count; i++) {
		uint32_t to = message->to[i];

		if (to >= SHM_SLOTS || to == message->from)
			continue;
		route->ring[route->count++] = (uint8_t)to;
		if (route_find(route, to) < 0)
			route->adopters[route->distinct++] = (uint8_t)to;
	}
	route_forget_tries(keeper, message->from);
	give_soon(keeper);
}

static struct keeper_worker *route_live(const struct keeper *keeper, uint32_t slot)
{
	struct keeper_worker *worker = keeper->workers[slot];

	return worker != NULL && worker->line != NULL && !worker->dead ? worker : NULL;
}

static bool route_has_room(const struct keeper_worker *adopter)
{
	return store_given_to(adopter->keeper->store, adopter->slot) < KEEPER_GIVEN_MAX &&
		channel_has_room(adopter->line);
}

enum route_result {
	ROUTE_TO,     /* *to_r */
	ROUTE_WAIT,   /* nobody has room now, or lives */
	ROUTE_NOBODY, /* all have refused it */
};

/* For an entry that some refused: the next of the adopters, each once. */
static enum route_result route_next(
	struct keeper_worker *from, struct store_entry *entry, struct keeper_worker **to_r)
{
	const struct keeper_route *route = &from->route;
	uint32_t at = (uint32_t)route_find(route, entry->to);

	for (; entry->tries < route->distinct; entry->tries++) {
		at = (at + 1) % route->distinct;
		*to_r = route_live(from->keeper, route->adopters[at]);
		if (*to_r != NULL)
			return route_has_room(*to_r) ? ROUTE_TO : ROUTE_WAIT;
		entry->to = route->adopters[at];
	}
	return ROUTE_NOBODY;
}

static enum route_result route_pick(
	struct keeper_worker *from, struct store_entry *entry, struct keeper_worker **to_r)
{
	struct keeper_route *route = &from->route;

	if (entry->tries > 0 && route_find(route, entry->to) >= 0)
		return route_next(from, entry, to_r);
	entry->tries = 0;
	for (uint32_t i = 0; i < route->count; i++) {
		uint32_t at = (route->turn + i) % route->count;

		*to_r = route_live(from->keeper, route->ring[at]);
		if (*to_r != NULL && route_has_room(*to_r)) {
			route->turn = at + 1;
			return ROUTE_TO;
		}
	}
	return ROUTE_WAIT;
}

/* Whether anything at all can go along this route now: else its queue is not even looked at. */
static bool route_open(const struct keeper *keeper, const struct keeper_route *route)
{
	for (uint32_t i = 0; i < route->distinct; i++) {
		const struct keeper_worker *to = route_live(keeper, route->adopters[i]);

		if (to != NULL && route_has_room(to))
			return true;
	}
	return false;
}

/* ------------------------------------------------------------------ giving */

static void give_flush(struct keeper_worker *to)
{
	struct keeper_batch *batch = &to->batch;
	const struct message message = {
		.type = K2W_ADOPT,
		.slot = to->slot,
		.payload = batch->adopt,
		.payload_bytes = batch->count * sizeof(batch->adopt[0]),
		.fds = batch->fds,
		.nfds = batch->nfds,
	};

	if (batch->count > 0 && to->line != NULL)
		channel_send(to->line, &message);
	batch->count = batch->nfds = 0;
}

/* The pipe of the dead or leaving owner in which bytes may lie. number: as in the record, from 1. */
static uint32_t give_pipe(struct keeper_batch *batch, const struct keeper_worker *from,
	uint32_t number, uint32_t flag)
{
	const struct keeper_pipe *pipe;

	if (number == 0 || number > from->npipes || from->pipes[number - 1].fds[0] < 0)
		return 0;
	pipe = &from->pipes[number - 1];
	batch->fds[batch->nfds++] = pipe->fds[0];
	batch->fds[batch->nfds++] = pipe->fds[1];
	return flag;
}

static void give_to(struct keeper_worker *from, uint32_t at, struct keeper_worker *to)
{
	struct store *store = from->keeper->store;
	const struct store_entry *entry = store_get(store, from->slot, at);
	const struct relay_record *record = shm_record(from->keeper->shm, from->slot, at);
	struct keeper_batch *batch = &to->batch;
	struct msg_adopt *adopt;

	if (batch->count == NELEMS(batch->adopt) || batch->nfds + 6 > NELEMS(batch->fds))
		give_flush(to);
	adopt = &batch->adopt[batch->count++];
	*adopt = (struct msg_adopt){ .slot = from->slot, .record = at, .id = entry->id };
	for (unsigned i = 0; i < NELEMS(entry->fds); i++) {
		if (entry->fds[i] < 0)
			continue;
		batch->fds[batch->nfds++] = entry->fds[i];
		adopt->fds |= i == 0 ? MSG_FD_CLIENT : MSG_FD_SERVER;
	}
	adopt->fds |= give_pipe(batch, from, record->up_pipe, MSG_FD_UP_PIPE);
	adopt->fds |= give_pipe(batch, from, record->down_pipe, MSG_FD_DOWN_PIPE);
	store_give(store, from->slot, at, to->slot);
}

static void give_count_lost(struct keeper_worker *from)
{
	from->lost++;
	shm_count(&from->keeper->pages->lost, 1);
}

/* Its owner lives and has it in its loop again. */
static void give_back(struct keeper_worker *owner, uint32_t at, uint64_t id)
{
	struct store *store = owner->keeper->store;

	store_keep(store, owner->slot, at);
	lines_answer(owner, K2W_BACK, at, id);
	if (lines_may_keep(owner->keeper, store_get(store, owner->slot, at)->fds))
		return;
	store_drop(store, owner->slot, at); /* it was only passing through */
	lines_refused(owner, at, id);
}

/* All have refused. */
static void give_nobody(struct keeper_worker *from, uint32_t at)
{
	struct store *store = from->keeper->store;
	const struct store_entry *entry = store_get(store, from->slot, at);

	if (route_live(from->keeper, from->slot) != NULL) {
		give_back(from, at, entry->id);
		return;
	}
	connect_abort(entry->fds[0]);
	connect_abort(entry->fds[1]);
	store_drop(store, from->slot, at);
	give_count_lost(from);
}

static void give_one(struct keeper_worker *from, uint32_t at)
{
	struct store *store = from->keeper->store;
	struct store_entry *entry = store_get(store, from->slot, at);
	struct keeper_worker *to;

	/* It had ended, and its owner died before it said so. */
	if (shm_record(from->keeper->shm, from->slot, at)->id != entry->id) {
		store_drop(store, from->slot, at);
		return;
	}
	switch (route_pick(from, entry, &to)) {
	case ROUTE_TO:
		give_to(from, at, to);
		break;
	case ROUTE_WAIT:
		store_let_go(store, from->slot, at);
		break;
	case ROUTE_NOBODY:
		give_nobody(from, at);
		break;
	}
}

/* Each that waits is looked at once at most: one whose adopter has no room holds nobody else up. */
static void give_from(struct keeper_worker *from)
{
	struct keeper *keeper = from->keeper;
	uint32_t waiting = store_waiting(keeper->store, from->slot);
	uint32_t at;

	while (waiting-- > 0 && route_open(keeper, &from->route) &&
		store_next(keeper->store, from->slot, &at))
		give_one(from, at);
}

static void give_tell(struct keeper_worker *dead)
{
	const struct msg_given given = {
		.from = dead->slot, .moved = dead->moved, .lost = dead->lost
	};
	struct message message = {
		.type = K2M_GIVEN, .payload = &given, .payload_bytes = sizeof(given)
	};

	lines_release(dead);
	keeper_send_master(dead->keeper, &message);
}

void give_run(struct keeper *keeper)
{
	if (keeper->frozen)
		return;
	for (uint32_t i = 0; i < SHM_SLOTS; i++) {
		struct keeper_worker *worker = keeper->workers[i];

		if (worker == NULL)
			continue;
		give_from(worker);
		if (worker->dead && store_count(keeper->store, i) == 0 && keeper->master != NULL)
			give_tell(worker);
	}
	for (uint32_t i = 0; i < SHM_SLOTS; i++) {
		struct keeper_worker *worker = keeper->workers[i];

		if (worker == NULL)
			continue;
		lines_flush(worker);
		give_flush(worker);
	}
	atomic_store_explicit(
		&keeper->pages->kept, store_total(keeper->store), memory_order_relaxed);
}

void give_soon(struct keeper *keeper)
{
	event_active(keeper->give, EV_TIMEOUT, 0);
}

/* ------------------------------------------------------------------ answers of adopters */

void give_moved(
	struct keeper_worker *from, uint32_t at, struct keeper_worker *adopter, uint32_t record)
{
	struct keeper *keeper = from->keeper;
	uint64_t id = store_get(keeper->store, from->slot, at)->id;
	const int *fds = store_get(keeper->store, from->slot, at)->fds;

	lines_answer(from, K2W_TAKEN, at, id);
	/* One that is dead has no other way to keep it than to have it given on. */
	if ((!lines_may_keep(keeper, fds) && adopter->line != NULL) ||
		store_move(keeper->store, from->slot, at, adopter->slot, record) < 0) {
		store_drop(keeper->store, from->slot, at);
		lines_refused(adopter, record, id);
	}
	from->moved++;
	shm_count(&keeper->pages->moved, 1);
}

static void give_answered(struct keeper_worker *adopter, const struct msg_adopted *answer)
{
	struct keeper *keeper = adopter->keeper;
	struct keeper_worker *from = keeper->workers[answer->from_slot];
	struct store_entry *entry =
		store_get(keeper->store, answer->from_slot, answer->from_record);

	/* Decided already: it had been taken for dead, or another keeper gave it. */
	if (from == NULL || entry == NULL || entry->id != answer->id ||
		entry->state != ENTRY_GIVEN || entry->to != adopter->slot)
		return;
	switch ((enum msg_adopt_result)answer->result) {
	case MSG_ADOPTED:
		give_moved(from, answer->from_record, adopter, answer->record);
		break;
	case MSG_ADOPT_NO_ROOM:
		entry->tries++;
		store_let_go(keeper->store, from->slot, answer->from_record);
		break;
	case MSG_ADOPT_UNPROVEN:
		lines_answer(from, K2W_TAKEN, answer->from_record, answer->id);
		store_drop(keeper->store, from->slot, answer->from_record);
		give_count_lost(from);
		break;
	}
}

void give_adopted(struct keeper_worker *adopter, const struct message *message)
{
	uint32_t records = shm_records(adopter->keeper->shm);
	size_t count;
	const struct msg_adopted *answers = message_payload(message, W2K_ADOPTED, &count);

	for (size_t i = 0; i < count; i++) {
		const struct msg_adopted *answer = &answers[i];

		if (answer->from_slot >= SHM_SLOTS || answer->from_record >= records ||
			answer->result > MSG_ADOPT_UNPROVEN ||
			(answer->result == MSG_ADOPTED && answer->record >= records)) {
			lines_accuse(adopter, "it adopted what is no record");
			return;
		}
		give_answered(adopter, answer);
	}
	give_soon(adopter->keeper);
}
