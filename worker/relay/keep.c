/* The line itself, what is deposited and what is forgotten.
 */
#include "worker/relay/keep.h"

#include <event2/event.h>
#include <stdlib.h>
#include <string.h>

#include "common/channel.h"
#include "common/child.h"
#include "common/clock.h"
#include "common/log.h"
#include "common/memory.h"

/* A relay is deposited a little before it is keep_after old, so that several go together and none is late. */
#define KEEP_EARLY_MS 100
#define KEEP_BATCHES  8 /* in one turn */

/* Received in one turn: what is adopted makes two events a relay, which stand in one line with the traffic's, and are
 * fewer than a turn looks at (POLLER_BATCH), or whoever is behind them waits until all are adopted. */
#define KEEP_MESSAGES 2

static bool keep_pipe(void *arg, const struct pipe *pipe)
{
	struct keep *keep = arg;
	struct msg_pipe number = { .number = pipe->number };
	int fds[2] = { pipe->read_fd, pipe->write_fd };
	struct message message = {
		.type = W2K_PIPE,
		.payload = &number,
		.payload_bytes = sizeof(number),
		.fds = fds,
		.nfds = 2,
	};

	if (!keep_has_room(keep))
		return false;
	keep_send(keep, &message);
	return keep_has_room(keep); /* else it waits: it may be lost with this process */
}

void keep_not(struct relay *relay)
{
	relay->record->flags &= (uint8_t)~RECORD_KEPT;
	relay->client.flags &= (uint8_t)~STREAM_KEPT;
	relay->server.flags &= (uint8_t)~STREAM_KEPT;
}

static void keep_refused(struct keep *keep, const struct message *message)
{
	size_t count;
	const struct msg_relay *relays = message_payload(message, K2W_REFUSED, &count);

	for (size_t i = 0; i < count; i++) {
		struct relay *relay = keep_find(keep, relays[i].record, relays[i].id);

		if (relay == NULL)
			continue;
		/* One that was let go of meanwhile comes back: K2W_BACK follows. */
		if (relay->keeping == KEEPING_KEPT)
			relay->keeping = KEEPING_REFUSED;
		if (relay->keeping == KEEPING_REFUSED || relay->keeping == KEEPING_LET_GO)
			keep_not(relay);
	}
}

static void on_keeper_message(struct channel *channel, struct message *message, void *arg)
{
	struct keep *keep = arg;

	(void)channel;
	switch (message->type) {
	case K2W_ADOPT:
		adopt_message(keep, message);
		break;
	case K2W_TAKEN:
		move_taken(keep, message);
		break;
	case K2W_REFUSED:
		keep_refused(keep, message);
		break;
	case K2W_BACK:
		move_back(keep, message);
		break;
	default:
		break; /* the channel lets no other in */
	}
}

/* Until the master says who the next one is. */
static void on_keeper_end(struct channel *channel, enum channel_end end, const char *why, void *arg)
{
	struct keep *keep = arg;

	if (end != CHANNEL_CLOSED)
		log_errorx("the line to the keeper: %s", why);
	channel_free(channel);
	keep->channel = NULL;
	keep->unsettled = true;
	pipes_keep(keep->relays->tools.pipes, NULL, NULL);
}

/* The turn's end, which follows, goes on with what waits. */
static void on_keeper_room(struct channel *channel, void *arg)
{
	(void)channel;
	(void)arg;
}

static void keep_line(struct keep *keep, int fd)
{
	const struct channel_handlers handlers = { on_keeper_message, on_keeper_end, keep,
		on_keeper_room };

	keep->channel = channel_new(keep->relays->base, fd, CHANNEL_KEPT, &handlers);
	channel_budget(keep->channel, KEEP_MESSAGES);
	keep->nadopted = 0;
	keep->pipes_due = true;
	pipes_keep(keep->relays->tools.pipes, keep_pipe, keep);
}

void relays_keeper(struct relays *relays, int fd)
{
	struct keep *keep = relays->keep;

	if (keep->channel != NULL)
		channel_drain(keep->channel);
	if (keep->channel != NULL)
		channel_free(keep->channel);
	keep->unsettled = true;
	/* Now, and not when all have settled: what is adopted on the new line is kept there. */
	move_unkeep(keep);
	keep_line(keep, fd);
}

void keep_send(struct keep *keep, struct message *message)
{
	message->slot = keep->relays->slot_number;
	message->generation = keep->relays->child->generation;
	if (keep->channel != NULL)
		channel_send(keep->channel, message);
}

bool keep_has_room(const struct keep *keep)
{
	return keep->channel != NULL && channel_has_room(keep->channel);
}

struct relay *keep_find(struct keep *keep, uint32_t record, uint64_t id)
{
	struct relay *relay;

	if (record >= keep->relays->slab_used)
		return NULL;
	relay = &keep->relays->slab[record];
	return relay->magic == RELAY_MAGIC && relay->record->id == id ? relay : NULL;
}

/* ------------------------------------------------------------------ deposit */

/* Not one of which only the server's side is left. */
bool keep_can_deposit(const struct relay *relay)
{
	return relay->client.fd >= 0;
}

static uint32_t keep_fds(struct relay *relay, int *fds)
{
	fds[0] = relay->client.fd;
	if (relay->server.fd < 0)
		return 1;
	fds[1] = relay->server.fd;
	return 2;
}

void keep_deposit(struct keep *keep, struct relay *const *relays, uint32_t count, bool moving)
{
	struct msg_deposit deposits[MESSAGE_BATCH];
	int fds[2 * MESSAGE_BATCH];
	struct message message = { .type = W2K_DEPOSIT, .payload = deposits, .fds = fds };

	MUST(count > 0 && count <= MESSAGE_BATCH);
	for (uint32_t i = 0; i < count; i++) {
		struct relay *relay = relays[i];
		uint32_t n = keep_fds(relay, fds + message.nfds);

		keep_end(relay);
		relay->keeping = KEEPING_KEPT;
		relay->record->flags |= RECORD_KEPT;
		relay->client.flags |= STREAM_KEPT | STREAM_COPIED;
		relay->server.flags |= STREAM_KEPT | STREAM_COPIED;
		message.nfds += n;
		deposits[i] = (struct msg_deposit){
			.record = relay->index,
			.flags = (n == 1 ? MSG_DEPOSIT_CLIENT_ONLY : 0U) |
				(moving ? MSG_DEPOSIT_MOVING : 0U),
			.id = relay->record->id,
		};
	}
	message.payload_bytes = count * sizeof(deposits[0]);
	keep_send(keep, &message);
}

static uint64_t keep_early_ms(const struct keep *keep)
{
	return keep->after_ms / 8 < KEEP_EARLY_MS ? keep->after_ms / 8 : KEEP_EARLY_MS;
}

static uint64_t keep_due_ms(const struct keep *keep, const struct relay *relay)
{
	return relay->begun_ms + keep->after_ms - keep_early_ms(keep);
}

void keep_wake(struct keep *keep, uint64_t ms)
{
	struct timeval tv = { (time_t)(ms / 1000), (suseconds_t)(ms % 1000 * 1000) };

	if (!event_pending(&keep->timer, EV_TIMEOUT, NULL))
		event_add(&keep->timer, &tv);
}

static void on_keep_timer(evutil_socket_t fd, short what, void *arg)
{
	struct keep *keep = arg;

	(void)fd;
	(void)what;
	keep->due = true;
	if (keep->leaving && keep->cursor_done) {
		keep->cursor_done = false;
		keep->cursor = 0;
	}
}

/* The turn's end, which follows, goes on. */
static void on_keep_pace(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	(void)arg;
}

/* The next of those that are old enough, off the list. */
static uint32_t keep_young_due(struct keep *keep, struct relay **batch, uint64_t now_ms)
{
	struct relay *relay;
	uint32_t n = 0;

	while (n < MESSAGE_BATCH && (relay = TAILQ_FIRST(&keep->young)) != NULL &&
		keep_due_ms(keep, relay) <= now_ms) {
		keep_end(relay);
		if (keep_can_deposit(relay))
			batch[n++] = relay;
	}
	return n;
}

static bool keep_turn_young(struct keep *keep)
{
	struct relay *batch[MESSAGE_BATCH];
	uint64_t now_ms = clock_coarse_ms();

	for (int i = 0; i < KEEP_BATCHES; i++) {
		uint32_t n;

		if (!keep_has_room(keep))
			return false; /* there will be, or another keeper */
		n = keep_young_due(keep, batch, now_ms);
		if (n == 0) {
			keep->due = false;
			if (!TAILQ_EMPTY(&keep->young))
				keep_wake(keep,
					keep_early_ms(keep) / 2 +
						keep_due_ms(keep, TAILQ_FIRST(&keep->young)) -
						now_ms);
			return false;
		}
		keep_deposit(keep, batch, n, false);
	}
	return true;
}

bool keep_turn(struct keep *keep)
{
	bool busy = false;

	adopt_answer(keep);
	if (keep->channel == NULL)
		return false;
	if (keep->pipes_due && keep_has_room(keep))
		keep->pipes_due = !pipes_deposit(keep->relays->tools.pipes);
	if (keep->due && !keep->unsettled)
		busy = keep_turn_young(keep);
	return move_turn(keep) || busy;
}

void keep_begin(struct relay *relay)
{
	struct keep *keep = relay->relays->keep;

	relay->begun_ms = clock_coarse_ms();
	if (keep->leaving && relay->index < keep->cursor) {
		keep->cursor = relay->index;
		keep->cursor_done = false;
	}
	if (keep->after_ms == CONF_FOREVER)
		return;
	if (keep->after_ms == 0 && !keep->unsettled && keep_has_room(keep)) {
		keep_deposit(keep, &relay, 1, false);
		return;
	}
	TAILQ_INSERT_TAIL(&keep->young, relay, waiting);
	relay->keeping = KEEPING_YOUNG;
	keep_wake(keep, keep->after_ms - keep_early_ms(keep) / 2);
}

void keep_end(struct relay *relay)
{
	if (relay->keeping != KEEPING_YOUNG)
		return;
	TAILQ_REMOVE(&relay->relays->keep->young, relay, waiting);
	relay->keeping = KEEPING_NOT;
}

/* ------------------------------------------------------------------ forget */

void keep_send_forget(struct keep *keep, const struct msg_relay *relays, uint32_t count)
{
	struct message message = {
		.type = W2K_FORGET,
		.payload = relays,
		.payload_bytes = count * sizeof(*relays),
	};

	if (count > 0)
		keep_send(keep, &message);
}

void keep_forget(struct keep *keep, struct relay_list *ended)
{
	struct msg_relay relays[MESSAGE_RELAYS_MAX];
	struct relay *relay;
	uint32_t n = 0;

	for (relay = TAILQ_FIRST(ended); relay != NULL; relay = TAILQ_NEXT(relay, link)) {
		if (relay->keeping != KEEPING_KEPT)
			continue;
		if (n == 0 && keep->channel != NULL && !keep_has_room(keep))
			return;
		relay->keeping = KEEPING_NOT;
		relays[n++] = (struct msg_relay){ .record = relay->index, .id = relay->record->id };
		if (n == MESSAGE_RELAYS_MAX) {
			keep_send_forget(keep, relays, n);
			n = 0;
		}
	}
	keep_send_forget(keep, relays, n);
}

/* ------------------------------------------------------------------ new and free */

struct keep *keep_new(struct relays *relays)
{
	struct keep *keep =
		memory_or_exit(calloc(1, sizeof(*keep)), "no memory for the line to the keeper");

	keep->relays = relays;
	keep->after_ms = relays->conf->global.keep_after_ms;
	TAILQ_INIT(&keep->young);
	TAILQ_INIT(&keep->gone);
	event_assign(&keep->timer, relays->base, -1, 0, on_keep_timer, keep);
	event_assign(&keep->pace, relays->base, -1, 0, on_keep_pace, keep);
	if (relays->child->keeper_fd >= 0)
		keep_line(keep, relays->child->keeper_fd);
	return keep;
}

void keep_free(struct keep *keep)
{
	channel_free(keep->channel);
	event_del(&keep->timer);
	event_del(&keep->pace);
	free(keep);
}
