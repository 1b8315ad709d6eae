/* A relay without a server side: a built-in service answers. The request stays in the receive queue until
 * the whole answer was sent, however slowly the client reads.
 *
 * The record is true at any instant, for who adopts it after a SIGKILL. bytes_in and bytes_out are those at the beginning
 * of the answer under way: what the kernel consumed beyond is nothing or all of its input, what it was given beyond is
 * how much of the answer went out. `next` is complete before the input is dropped.
 */
#include "worker/relay/impl.h"

#define SERVE_BUDGET 16 /* answers a turn */

struct serve_states {
	struct service_state now;
	struct service_state next; /* once the input of the answer under way was dropped */
};

_Static_assert(sizeof(struct serve_states) <= RECORD_PROTOCOL_BYTES, "fits the record");

static struct serve_states *serve_states(struct relay_record *record)
{
	return (struct serve_states *)(void *)record->protocol;
}

static struct service_state *serve_state(struct relay *relay)
{
	return &serve_states(relay->record)->now;
}

static void serve_count(struct relay *relay, uint64_t in, uint64_t out)
{
	struct shm_slot *slot = relay->relays->slot;
	struct shm_frontend_counters *counters = &slot->frontends[relay->record->frontend];
	struct relay_record *record = relay->record;
	struct journal_change change = { .slot = slot, .journal = &slot->journal };

	journal_set(&change, &record->counted.in, record->counted.in + in);
	journal_set(&change, &record->counted.out, record->counted.out + out);
	journal_add(&change, &counters->bytes_in, in);
	journal_add(&change, &counters->bytes_out, out);
	journal_commit(&change);
	relay_touch(relay);
}

/* The answer is out and its input dropped: the next state is the one. */
static void serve_commit(struct relay_record *record)
{
	struct serve_states *states = serve_states(record);
	uint32_t in = states->now.unit_bytes;
	uint32_t out = states->now.sent_bytes;

	states->now.body_left = states->next.body_left;
	states->now.flags = states->next.flags;
	states->now.finish = states->next.finish;
	record_order();
	states->now.unit_bytes = 0;
	record_order();
	states->now.sent_bytes = 0;
	record->bytes_in += in;
	record->bytes_out += out;
}

/* A FIN goes out; what the client still says is read away, so that no reset overtakes the answer. */
static void serve_finish(struct relay *relay)
{
	relay->record->down_flow = FLOW_DONE;
	stream_fin(&relay->client);
	relay_timer_set(relay);
}

static void serve_ended(struct relay *relay, ssize_t peeked)
{
	if (peeked == STREAM_BROKEN || (relay->client.flags & STREAM_RESET))
		relay_close(relay, CLOSE_CLIENT_RESET);
	else
		relay_close(relay,
			relay->record->down_flow == FLOW_DONE ? CLOSE_SERVICE : CLOSE_NORMAL);
}

/* Sends what is left of the answer. Returns true when all of it is out. */
static bool serve_send(struct relay *relay, const struct service_output *out)
{
	struct service_state *state = serve_state(relay);
	ssize_t n;

	if (out->len == state->sent_bytes)
		return true;
	n = stream_send(
		&relay->client, out->bytes + state->sent_bytes, out->len - state->sent_bytes);
	if (n == STREAM_BROKEN)
		relay_close(relay, CLOSE_CLIENT_RESET);
	if (n < 0)
		return false;
	state->sent_bytes += (uint32_t)n;
	serve_count(relay, 0, (uint64_t)n);
	return out->len == state->sent_bytes;
}

/* One unit: its input was peeked. Returns true when it was answered whole. */
static bool serve_answer(struct relay *relay, const struct service_input *in)
{
	struct service_state *state = serve_state(relay);
	struct service_state *next = &serve_states(relay->record)->next;
	struct service_output out = { .bytes = relay->relays->answer, .max = PUMP_SCRATCH_BYTES };

	relay->service->answer(state, in, &out);
	if (out.consumed == 0) {
		/* More is needed: an edge tells when it comes, unless none can. */
		relay->client.flags &= (uint8_t)~STREAM_READABLE;
		if (stream_ended(&relay->client) || in->full)
			serve_ended(relay, 0);
		else if (relay->record->bytes_in > 0)
			stream_make_room(
				&relay->client); /* a first request cannot be short of it */
		return false;
	}
	state->unit_bytes = (uint32_t)out.consumed;
	if (!serve_send(relay, &out))
		return false;
	/* Before the drop, which on a Unix socket uses the same memory. */
	*next = *state;
	if (relay->service->answered != NULL)
		relay->service->answered(next, in);
	next->finish = out.close;
	stream_drop(&relay->client, relay->relays->tools.scratch, out.consumed);
	serve_commit(relay->record);
	serve_count(relay, out.consumed, 0);
	if (out.consumed < in->len)
		relay->client.flags |= STREAM_READABLE; /* and no edge tells of it */
	if (out.close)
		serve_finish(relay);
	return true;
}

/* Returns true to go on at once. */
static bool serve_step(struct relay *relay)
{
	struct stream *client = &relay->client;
	char *scratch = relay->relays->tools.scratch;
	uint32_t unit = serve_state(relay)->unit_bytes;
	size_t want = unit != 0 ? unit : PUMP_SCRATCH_BYTES;
	struct service_input in = {
		.frontend = relay->frontend,
		.port = relay->local_port,
		.bytes = scratch,
	};
	ssize_t peeked;

	if ((client->flags & STREAM_READABLE) == 0)
		return false;
	if ((client->flags & STREAM_WRITABLE) == 0 && relay->record->down_flow != FLOW_DONE)
		return false;
	peeked = stream_peek(client, scratch, want);
	if (peeked == STREAM_AGAIN)
		return false;
	if (peeked <= 0) {
		serve_ended(relay, peeked);
		return false;
	}
	if (relay->record->down_flow == FLOW_DONE) {
		stream_drop(client, scratch, (size_t)peeked);
		return true;
	}
	in.len = (size_t)peeked;
	in.full = in.len == PUMP_SCRATCH_BYTES;
	return serve_answer(relay, &in);
}

void relay_serve(struct relay *relay)
{
	if (serve_state(relay)->finish && relay->record->down_flow != FLOW_DONE)
		serve_finish(relay); /* its worker died in between */
	for (int i = 0; i < SERVE_BUDGET; i++) {
		if (!serve_step(relay))
			return;
	}
	relay_queue(relay);
}

/* ------------------------------------------------------------------ begin, end, and between two workers */

void serve_begin(struct relay *relay)
{
	serve_state(relay)->service = (uint16_t)relay->frontend->service;
}

/* What went out of an answer that was not finished counts as well. */
void serve_end(struct relay *relay)
{
	relay->record->bytes_out += serve_state(relay)->sent_bytes;
	serve_state(relay)->sent_bytes = 0;
}

enum conf_service serve_which(const struct relay_record *record)
{
	return (enum conf_service)((const struct serve_states *)(const void *)record->protocol)
		->now.service;
}

uint64_t serve_sent(const struct relay_record *record)
{
	const struct serve_states *states = (const void *)record->protocol;

	return record->bytes_out + states->now.sent_bytes;
}

bool serve_can_move(const struct relay *relay)
{
	const struct serve_states *states = (const void *)relay->record->protocol;

	return states->now.sent_bytes == 0 || relay->frontend->service != SERVICE_HTTP;
}

const char *serve_restore(struct relay_record *record, uint64_t consumed, uint64_t sent)
{
	struct service_state *now = &serve_states(record)->now;

	if (consumed < record->bytes_in || sent < record->bytes_out)
		return "bytes are missing";
	if (now->unit_bytes != 0 && consumed == record->bytes_in) {
		if (sent - record->bytes_out > PUMP_SCRATCH_BYTES)
			return "more was answered than an answer has";
		now->sent_bytes = (uint32_t)(sent - record->bytes_out);
		return NULL;
	}
	if (now->unit_bytes != 0 && consumed != record->bytes_in + now->unit_bytes)
		return "a part of a request is missing";
	if (now->unit_bytes != 0)
		serve_commit(record);
	now->sent_bytes = 0;
	record->bytes_in = consumed;
	record->bytes_out = sent;
	return NULL;
}
