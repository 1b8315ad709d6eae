/* Ownership of the listening sockets, and the messages that tell the workers.
 */
#include "master/handover.h"

#include <stdbool.h>
#include <stdlib.h>

#include "common/channel.h"
#include "common/log.h"
#include "common/shm.h"
#include "master/bindings.h"

enum handover_slot_state {
	HANDOVER_EXPECTED, /* the first worker of the slot is starting: its sockets wait for it */
	HANDOVER_LIVE,
	HANDOVER_DOWN, /* it died: others own its sockets until its successor is ready */
};

struct handover_slot {
	enum handover_slot_state state;
	struct channel *channel; /* borrowed; NULL unless live */
};

struct handover {
	struct bindings *bindings; /* borrowed */
	uint32_t generation;
	uint32_t workers;
	uint32_t turn; /* the slot that had the last homeless socket */
	bool stopped;
	struct handover_slot slots[SHM_WORKERS_MAX];
};

struct handover *handover_new(struct bindings *bindings, uint32_t workers, uint32_t generation)
{
	struct handover *handover = calloc(1, sizeof(*handover));

	if (handover == NULL) {
		log_fatal("handover");
		exit(1);
	}
	MUST(workers <= SHM_WORKERS_MAX);
	handover->bindings = bindings;
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
		.generation = handover->generation,
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
	batch->listeners[batch->n] =
		(struct msg_listener){ .id = listener->id, .frontend = listener->place };
	batch->fds[batch->n] = listener->fd;
	if (++batch->n == MESSAGE_BATCH)
		handover_send(handover, slot, batch);
}

/* Tell every owner that does not know yet. */
static void handover_flush(struct handover *handover)
{
	for (uint32_t slot = 0; slot < handover->workers; slot++) {
		struct handover_batch batch = { .type = M2W_LISTENERS };

		if (handover->slots[slot].state != HANDOVER_LIVE)
			continue;
		for (size_t i = 0; i < bindings_count(handover->bindings); i++) {
			struct listener *listener = bindings_at(handover->bindings, i);

			if (!listener->giving || listener->owner != slot)
				continue;
			listener->giving = false;
			handover_add(handover, slot, &batch, listener);
		}
		handover_send(handover, slot, &batch);
	}
}

static uint32_t handover_next_live(struct handover *handover)
{
	for (uint32_t i = 0; i < handover->workers; i++) {
		handover->turn = (handover->turn + 1) % handover->workers;
		if (handover->slots[handover->turn].state == HANDOVER_LIVE)
			return handover->turn;
	}
	return LISTENER_NOBODY;
}

/* An owner for a socket that has none: its home, or who is there; nobody when all are down, or when the
 * first worker of its home is about to come. */
static void handover_assign(struct handover *handover, struct listener *listener)
{
	switch (handover->slots[listener->home].state) {
	case HANDOVER_EXPECTED:
		return;
	case HANDOVER_LIVE:
		listener->owner = listener->home;
		break;
	case HANDOVER_DOWN:
		listener->owner = handover_next_live(handover);
		break;
	}
	listener->giving = listener->owner != LISTENER_NOBODY;
}

static void handover_assign_all(struct handover *handover)
{
	for (size_t i = 0; i < bindings_count(handover->bindings); i++) {
		struct listener *listener = bindings_at(handover->bindings, i);

		if (!listener->shared && listener->owner == LISTENER_NOBODY)
			handover_assign(handover, listener);
	}
	handover_flush(handover);
}

static void handover_give_shared(struct handover *handover, uint32_t slot, bool fresh_only)
{
	struct handover_batch batch = { .type = M2W_LISTENERS };

	for (size_t i = 0; i < bindings_count(handover->bindings); i++) {
		const struct listener *listener = bindings_at(handover->bindings, i);

		if (listener->shared && (listener->fresh || !fresh_only))
			handover_add(handover, slot, &batch, listener);
	}
	handover_send(handover, slot, &batch);
}

/* Ask the interim owners of a slot's sockets for them. */
static void handover_call_home(struct handover *handover, uint32_t home)
{
	for (uint32_t slot = 0; slot < handover->workers; slot++) {
		struct handover_batch batch = { .type = M2W_RELEASE };

		if (slot == home || handover->slots[slot].state != HANDOVER_LIVE)
			continue;
		for (size_t i = 0; i < bindings_count(handover->bindings); i++) {
			struct listener *listener = bindings_at(handover->bindings, i);

			if (listener->home != home || listener->owner != slot ||
				listener->releasing)
				continue;
			listener->releasing = true;
			handover_add(handover, slot, &batch, listener);
		}
		handover_send(handover, slot, &batch);
	}
}

void handover_ready(struct handover *handover, uint32_t slot, struct channel *channel)
{
	MUST(slot < handover->workers);
	if (handover->stopped)
		return;
	handover->slots[slot] =
		(struct handover_slot){ .state = HANDOVER_LIVE, .channel = channel };
	handover_give_shared(handover, slot, false);
	handover_call_home(handover, slot);
	handover_assign_all(handover);
}

void handover_gone(struct handover *handover, uint32_t slot)
{
	MUST(slot < handover->workers);
	if (handover->stopped)
		return;
	handover->slots[slot] = (struct handover_slot){ .state = HANDOVER_DOWN };
	for (size_t i = 0; i < bindings_count(handover->bindings); i++) {
		struct listener *listener = bindings_at(handover->bindings, i);

		if (listener->owner != slot)
			continue;
		listener->owner = LISTENER_NOBODY;
		listener->giving = false;
		listener->releasing = false;
	}
	handover_assign_all(handover);
}

int handover_released(
	struct handover *handover, uint32_t slot, const struct msg_listener *released, size_t count)
{
	int result = 0;

	if (handover->stopped)
		return 0;
	for (size_t i = 0; i < count; i++) {
		struct listener *listener = bindings_find(handover->bindings, released[i].id);

		if (listener == NULL || listener->owner != slot || !listener->releasing) {
			result = -1;
			continue;
		}
		listener->releasing = false;
		listener->owner = LISTENER_NOBODY;
		handover_assign(handover, listener);
	}
	handover_flush(handover);
	return result;
}

void handover_opened(struct handover *handover)
{
	if (handover->stopped)
		return;
	for (uint32_t slot = 0; slot < handover->workers; slot++) {
		if (handover->slots[slot].state == HANDOVER_LIVE)
			handover_give_shared(handover, slot, true);
	}
	for (size_t i = 0; i < bindings_count(handover->bindings); i++)
		bindings_at(handover->bindings, i)->fresh = false;
	handover_assign_all(handover);
}

void handover_stop(struct handover *handover)
{
	handover->stopped = true;
}
