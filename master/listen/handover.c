/* Ownership of the listening sockets, and the messages that tell the workers.
 */
#include "master/listen/handover.h"

#include <stdlib.h>

#include "common/channel.h"
#include "common/memory.h"
#include "common/shm.h"
#include "master/listen/bindings.h"

enum handover_seat_state {
	HANDOVER_EXPECTED, /* the first worker of the number is starting: its sockets wait for it */
	HANDOVER_LIVE,
	HANDOVER_DOWN, /* it died: others own its sockets until its successor is ready */
};

/* A number of the serving generation. */
struct handover_seat {
	enum handover_seat_state state;
	uint32_t slot; /* while live */
};

struct handover {
	struct bindings *bindings; /* borrowed */
	struct handover_handlers handlers;
	uint32_t generation; /* that serves */
	uint32_t workers;
	uint32_t turn; /* the seat that had the last homeless socket */
	bool stopped;
	struct handover_seat seats[SHM_WORKERS_MAX];
	struct handover_worker slots[SHM_SLOTS]; /* channel NULL: nobody */
	bool found[SHM_SLOTS];                   /* it was another master's */
};

struct handover *handover_new(struct bindings *bindings, uint32_t workers, uint32_t generation,
	const struct handover_handlers *handlers)
{
	struct handover *handover = memory_or_exit(calloc(1, sizeof(*handover)), "handover");

	MUST(workers <= SHM_WORKERS_MAX);
	handover->bindings = bindings;
	if (handlers != NULL)
		handover->handlers = *handlers;
	handover->workers = workers;
	handover->generation = generation;
	for (size_t i = 0; i < bindings_count(bindings); i++)
		bindings_at(bindings, i)->fresh = false;
	return handover;
}

void handover_free(struct handover *handover)
{
	free(handover);
}

/* ------------------------------------------------------------------ messages */

/* Messages with as many sockets as fit, collected one by one. */
struct handover_batch {
	enum message_type type;
	size_t n;
	struct msg_listener listeners[MESSAGE_BATCH];
	int fds[MESSAGE_BATCH];
};

static void handover_send(struct handover *handover, uint32_t slot, struct handover_batch *batch)
{
	struct message message = {
		.type = batch->type,
		.slot = slot,
		.generation = handover->slots[slot].generation,
		.payload = batch->listeners,
		.payload_bytes = batch->n * sizeof(batch->listeners[0]),
	};

	if (batch->n == 0)
		return;
	if (batch->type == M2W_LISTENERS) {
		message.fds = batch->fds;
		message.nfds = batch->n;
	}
	channel_send(handover->slots[slot].channel, &message);
	batch->n = 0;
}

static void handover_add(struct handover *handover, uint32_t slot, struct handover_batch *batch,
	const struct listener *listener)
{
	batch->listeners[batch->n] = (struct msg_listener){
		.id = listener->id,
		.frontend = listener->place,
		.flags = listener->leaving ? MSG_LISTENER_LAST : 0,
	};
	batch->fds[batch->n] = listener->fd;
	if (++batch->n == MESSAGE_BATCH)
		handover_send(handover, slot, batch);
}

/* ------------------------------------------------------------------ owners */

static bool handover_is_live(const struct handover *handover, uint32_t slot)
{
	return slot < SHM_SLOTS && handover->slots[slot].channel != NULL;
}

static bool handover_serves(const struct handover *handover, uint32_t slot)
{
	return handover_is_live(handover, slot) &&
		handover->slots[slot].generation == handover->generation;
}

static bool listener_held(const struct listener *listener, uint32_t slot)
{
	return (listener->holders[slot / 64] >> slot % 64 & 1) != 0;
}

static void listener_hold(struct listener *listener, uint32_t slot, bool holds)
{
	const uint64_t bit = (uint64_t)1 << slot % 64;

	if (holds)
		listener->holders[slot / 64] |= bit;
	else
		listener->holders[slot / 64] &= ~bit;
}

static bool listener_has_holders(const struct listener *listener)
{
	for (size_t i = 0; i < NELEMS(listener->holders); i++) {
		if (listener->holders[i] != 0)
			return true;
	}
	return false;
}

static struct handover_seat *handover_home(
	struct handover *handover, const struct listener *listener)
{
	return &handover->seats[listener->home % handover->workers];
}

/* Tell every owner that does not know yet. One that leaves is to be accepted empty at once. */
static void handover_flush(struct handover *handover)
{
	for (uint32_t slot = 0; slot < SHM_SLOTS; slot++) {
		struct handover_batch give = { .type = M2W_LISTENERS };
		struct handover_batch last = { .type = M2W_RELEASE };

		if (!handover_is_live(handover, slot))
			continue;
		for (size_t i = 0; i < bindings_count(handover->bindings); i++) {
			struct listener *listener = bindings_at(handover->bindings, i);

			if (!listener->giving || listener->owner != slot)
				continue;
			handover_add(handover, slot, &give, listener);
		}
		handover_send(handover, slot, &give);
		for (size_t i = 0; i < bindings_count(handover->bindings); i++) {
			struct listener *listener = bindings_at(handover->bindings, i);

			if (!listener->giving || listener->owner != slot)
				continue;
			listener->giving = false;
			if (!listener->leaving)
				continue;
			listener->releasing = true;
			listener->last = true;
			handover_add(handover, slot, &last, listener);
		}
		handover_send(handover, slot, &last);
	}
}

static uint32_t handover_next_live(struct handover *handover)
{
	for (uint32_t i = 0; i < handover->workers; i++) {
		handover->turn = (handover->turn + 1) % handover->workers;
		if (handover->seats[handover->turn].state == HANDOVER_LIVE)
			return handover->seats[handover->turn].slot;
	}
	return LISTENER_NOBODY;
}

/* Only who has its frontend can accept from a socket that leaves: a worker of a generation before. */
static uint32_t handover_old_live(const struct handover *handover)
{
	for (uint32_t slot = 0; slot < SHM_SLOTS; slot++) {
		if (handover_is_live(handover, slot) && !handover_serves(handover, slot))
			return slot;
	}
	return LISTENER_NOBODY;
}

/* An owner for a socket that has none: its home, or who is there; nobody when all are down, or when the
 * first worker of its home is about to come. */
static void handover_assign(struct handover *handover, struct listener *listener)
{
	const struct handover_seat *home = handover_home(handover, listener);

	if (listener->leaving && listener_has_holders(listener))
		return; /* one of them accepts it empty */
	if (listener->leaving) {
		listener->owner = handover_old_live(handover);
		listener->giving = listener->owner != LISTENER_NOBODY;
		return;
	}
	switch (home->state) {
	case HANDOVER_EXPECTED:
		return;
	case HANDOVER_LIVE:
		listener->owner = home->slot;
		break;
	case HANDOVER_DOWN:
		listener->owner = handover_next_live(handover);
		break;
	}
	listener->giving = listener->owner != LISTENER_NOBODY;
}

static void handover_close(struct handover *handover, struct listener *listener)
{
	const uint32_t id = listener->id;

	bindings_close_one(handover->bindings, listener);
	if (handover->handlers.on_closed != NULL)
		handover->handlers.on_closed(id, handover->handlers.arg);
}

/* Those that leave, and that nobody has or could have any more. */
static void handover_close_left(struct handover *handover)
{
	for (size_t i = bindings_count(handover->bindings); i-- > 0;) {
		struct listener *listener = bindings_at(handover->bindings, i);

		if (!listener->leaving)
			continue;
		if (!listener_has_holders(listener) &&
			(listener->shared || listener->owner == LISTENER_NOBODY))
			handover_close(handover, listener);
	}
}

static void handover_assign_all(struct handover *handover)
{
	for (size_t i = 0; i < bindings_count(handover->bindings); i++) {
		struct listener *listener = bindings_at(handover->bindings, i);

		if (!listener->shared && listener->owner == LISTENER_NOBODY)
			handover_assign(handover, listener);
	}
	handover_flush(handover);
	handover_close_left(handover);
}

static void handover_give_shared(struct handover *handover, uint32_t slot, bool fresh_only)
{
	struct handover_batch batch = { .type = M2W_LISTENERS };

	for (size_t i = 0; i < bindings_count(handover->bindings); i++) {
		struct listener *listener = bindings_at(handover->bindings, i);

		if (!listener->shared || listener->admin || listener->leaving ||
			(fresh_only && !listener->fresh))
			continue;
		listener_hold(listener, slot, true);
		handover_add(handover, slot, &batch, listener);
	}
	handover_send(handover, slot, &batch);
}

/* ------------------------------------------------------------------ who comes and goes */

/* Whether this worker is to give this socket back: home may be LISTENER_NOBODY for all of them. */
static bool handover_calls(struct handover *handover, const struct listener *listener,
	uint32_t slot, const struct handover_seat *home)
{
	if (listener_held(listener, slot))
		return home == NULL;
	return listener->owner == slot && !listener->releasing &&
		(home == NULL || handover_home(handover, listener) == home);
}

/* Ask a worker for the sockets of a home; NULL: for all. */
static void handover_call(
	struct handover *handover, uint32_t slot, const struct handover_seat *home)
{
	struct handover_batch batch = { .type = M2W_RELEASE };

	for (size_t i = 0; i < bindings_count(handover->bindings); i++) {
		struct listener *listener = bindings_at(handover->bindings, i);

		if (!handover_calls(handover, listener, slot, home))
			continue;
		if (listener_held(listener, slot)) {
			handover_add(handover, slot, &batch, listener);
			continue;
		}
		listener->releasing = true;
		/* It was never told: there is nothing to release. */
		if (listener->giving) {
			listener->giving = listener->releasing = false;
			listener->owner = LISTENER_NOBODY;
			continue;
		}
		listener->last = listener->leaving;
		handover_add(handover, slot, &batch, listener);
	}
	handover_send(handover, slot, &batch);
}

void handover_ready(struct handover *handover, const struct handover_worker *worker)
{
	struct handover_seat *seat = &handover->seats[worker->number];

	MUST(worker->slot < SHM_SLOTS);
	if (handover->stopped || worker->generation != handover->generation)
		return;
	MUST(worker->number < handover->workers);
	handover->slots[worker->slot] = *worker;
	*seat = (struct handover_seat){ .state = HANDOVER_LIVE, .slot = worker->slot };
	handover_give_shared(handover, worker->slot, false);
	for (uint32_t slot = 0; slot < SHM_SLOTS; slot++) {
		if (slot != worker->slot && handover_is_live(handover, slot))
			handover_call(handover, slot, seat);
	}
	handover_assign_all(handover);
}

void handover_found(struct handover *handover, const struct handover_worker *worker)
{
	handover->slots[worker->slot] = *worker;
	handover->found[worker->slot] = true;
	for (size_t i = 0; i < bindings_count(handover->bindings); i++) {
		struct listener *listener = bindings_at(handover->bindings, i);

		/* Those that we have opened ourselves nobody else has. */
		if (!listener->fresh && !listener->admin)
			listener_hold(listener, worker->slot, true);
	}
}

void handover_commit(
	struct handover *handover, const struct handover_worker *workers, uint32_t count)
{
	MUST(count >= 1 && count <= SHM_WORKERS_MAX);
	if (handover->stopped)
		return;
	handover->generation = workers[0].generation;
	handover->workers = count;
	for (uint32_t i = 0; i < count; i++) {
		const bool live = workers[i].channel != NULL;

		handover->seats[i] = (struct handover_seat){
			.state = live ? HANDOVER_LIVE : HANDOVER_DOWN,
			.slot = workers[i].slot,
		};
		if (live)
			handover->slots[workers[i].slot] = workers[i];
	}
	for (size_t i = 0; i < bindings_count(handover->bindings); i++)
		bindings_at(handover->bindings, i)->fresh = false;
	for (uint32_t slot = 0; slot < SHM_SLOTS; slot++) {
		if (handover_serves(handover, slot))
			handover_give_shared(handover, slot, false);
		else if (handover_is_live(handover, slot))
			handover_call(handover, slot, NULL);
	}
	handover_assign_all(handover);
}

void handover_gone(struct handover *handover, const struct handover_worker *worker)
{
	const uint32_t slot = worker->slot;

	MUST(slot < SHM_SLOTS);
	if (handover->stopped)
		return;
	handover->slots[slot].channel = NULL;
	handover->found[slot] = false;
	if (worker->generation == handover->generation)
		handover->seats[worker->number].state = HANDOVER_DOWN;
	for (size_t i = 0; i < bindings_count(handover->bindings); i++) {
		struct listener *listener = bindings_at(handover->bindings, i);

		listener_hold(listener, slot, false);
		if (listener->owner != slot)
			continue;
		listener->owner = LISTENER_NOBODY;
		listener->giving = false;
		listener->releasing = false;
		listener->last = false;
	}
	handover_assign_all(handover);
}

/* Returns -1 when it was not asked for it. */
static int handover_take_back(struct handover *handover, struct listener *listener, uint32_t slot)
{
	if (!handover_serves(handover, slot) && listener_held(listener, slot)) {
		listener_hold(listener, slot, false);
		return 0;
	}
	/* What the master before us asked of one that was found. */
	if (listener->owner != slot || !listener->releasing)
		return handover->found[slot] ? 0 : -1;
	listener->releasing = false;
	listener->owner = LISTENER_NOBODY;
	if (!listener->last)
		handover_assign(handover, listener);
	return 0;
}

int handover_released(
	struct handover *handover, uint32_t slot, const struct msg_listener *released, size_t count)
{
	int result = 0;

	if (handover->stopped)
		return 0;
	for (size_t i = 0; i < count; i++) {
		struct listener *listener = bindings_find(handover->bindings, released[i].id);

		/* What left may have been closed without waiting for it. */
		if (listener == NULL && !handover_serves(handover, slot))
			continue;
		if (listener == NULL || handover_take_back(handover, listener, slot) < 0)
			result = -1;
	}
	handover_flush(handover);
	handover_close_left(handover);
	return result;
}

void handover_opened(struct handover *handover)
{
	if (handover->stopped)
		return;
	for (uint32_t slot = 0; slot < SHM_SLOTS; slot++) {
		if (handover_serves(handover, slot))
			handover_give_shared(handover, slot, true);
	}
	for (size_t i = 0; i < bindings_count(handover->bindings); i++)
		bindings_at(handover->bindings, i)->fresh = false;
	handover_assign_all(handover);
}

size_t handover_close_leaving(struct handover *handover)
{
	size_t n = 0;

	for (size_t i = bindings_count(handover->bindings); i-- > 0;) {
		struct listener *listener = bindings_at(handover->bindings, i);

		if (!listener->leaving)
			continue;
		handover_close(handover, listener);
		n++;
	}
	return n;
}

void handover_stop(struct handover *handover)
{
	handover->stopped = true;
}
