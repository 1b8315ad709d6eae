/* A relay at work: both directions are run, and what their ends mean is decided here.
 */
#include <errno.h>
#include <linux/sockios.h>
#include <netinet/tcp.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include "common/clock.h"
#include "worker/balance/passive.h"
#include "worker/relay/impl.h"

/* A reset before the answer speaks against a server that was asked something; after more than this it was given
 * something, and many programs end an upload with a reset. */
#define TURN_REQUEST_BYTES 65536

/* In the record, its frontend and its server, all three or none. What was moved and is in none, the kernel knows, and who
 * adopts the relay counts it. */
static void turn_count(struct relay *relay, bool up, uint64_t moved)
{
	struct shm_slot *slot = relay->relays->slot;
	struct relay_record *record = relay->record;
	struct shm_frontend_counters *frontend = &slot->frontends[record->frontend];
	struct shm_server_counters *server = &slot->servers[record->server];
	struct journal_change change = { .slot = slot, .journal = &slot->journal };

	if (up) {
		journal_set(&change, &record->bytes_in, record->bytes_in + moved);
		journal_add(&change, &frontend->bytes_in, moved);
		journal_add(&change, &server->bytes_in, moved);
	} else {
		journal_set(&change, &record->bytes_out, record->bytes_out + moved);
		journal_add(&change, &frontend->bytes_out, moved);
		journal_add(&change, &server->bytes_out, moved);
	}
	journal_commit(&change);
	record->moved_ms = relay->relays->now_ms;
}

/* It answered, or ended in order without an answer. */
static void turn_server_works(struct relay *relay)
{
	passive_worked(relay->backend, relay->relays->shm,
		(uint32_t)(relay->chosen - relay->backend->servers), clock_coarse_ms());
}

static enum pump_result turn_flow(struct relay *relay, bool up)
{
	struct relay_record *record = relay->record;
	const uint64_t before = up ? record->bytes_in : record->bytes_out;
	struct pump_books books = {
		.relay = record->id,
		.forwarded = before,
		.in_pipe = up ? &record->up_pipe_bytes : &record->down_pipe_bytes,
		.up = up,
	};
	enum pump_result result =
		pump_run(up ? &relay->up : &relay->down, up ? &relay->client : &relay->server,
			up ? &relay->server : &relay->client, &relay->relays->tools, &books);

	if (books.forwarded == before)
		return result;
	pump_answered(up ? &relay->down : &relay->up);
	if (!up && before == 0)
		turn_server_works(relay);
	turn_count(relay, up, books.forwarded - before);
	return result;
}

/* The reader's end was passed on, or nothing can be passed on any more. */
static void turn_flow_done(struct relay *relay, bool up)
{
	if (up)
		relay->record->up_flow = FLOW_DONE;
	else
		relay->record->down_flow = FLOW_DONE;
}

static void turn_ended(struct relay *relay, bool up, enum pump_result result)
{
	struct stream *from = up ? &relay->client : &relay->server;
	struct stream *to = up ? &relay->server : &relay->client;
	uint8_t other = up ? relay->record->down_flow : relay->record->up_flow;

	if (result == PUMP_FIN && (from->flags & STREAM_RESET))
		result = PUMP_FROM_RESET;
	if (result == PUMP_FROM_RESET) {
		relay_reset_to(relay, to, up ? CLOSE_CLIENT_RESET : CLOSE_SERVER_RESET);
		return;
	}
	if (result == PUMP_TO_RESET) /* the kernel said so, and will not again */
		relay->record->resets |= up ? RECORD_SERVER : RECORD_CLIENT;
	record_order();
	turn_flow_done(relay, up);
	if (result == PUMP_TO_RESET) {
		/* What the writer sent before it was reset still waits in its queue: the other direction
		 * brings that, meets the reset there and passes it on. */
		to->flags |= STREAM_READABLE;
		if (other == FLOW_DONE)
			relay_reset_to(relay, from, up ? CLOSE_SERVER_RESET : CLOSE_CLIENT_RESET);
		else
			relay_queue(relay);
		return;
	}
	if (other == FLOW_DONE) {
		if (relay->record->bytes_out == 0)
			turn_server_works(relay);
		relay_close(relay, CLOSE_NORMAL); /* which sends the second FIN */
		return;
	}
	stream_fin(to);
	relay_timer_set(relay);
}

/* Of an event for one direction the other has nothing to do. */
static bool turn_can_do(const struct pump *pump, const struct stream *from)
{
	return (from->flags & STREAM_READABLE) != 0 || pump->pipe != NULL;
}

/* Returns false when the relay is no longer relaying. */
static bool turn_direction(struct relay *relay, bool up)
{
	struct stream *from = up ? &relay->client : &relay->server;
	uint8_t flow = up ? relay->record->up_flow : relay->record->down_flow;
	enum pump_result result;

	if (flow == FLOW_DONE || !turn_can_do(up ? &relay->up : &relay->down, from))
		return true;
	result = turn_flow(relay, up);
	if (result == PUMP_BUDGET)
		relay_queue(relay);
	else if (result != PUMP_BLOCKED)
		turn_ended(relay, up, result);
	return relay_state(relay) == RELAY_RELAYING;
}

void relay_turn(struct relay *relay)
{
	if (turn_direction(relay, true))
		(void)turn_direction(relay, false);
}

/* ------------------------------------------------------------------ the end by a reset */

/* Its peer reset it, or is gone: the kernel goes on counting as queued what it has thrown away. */
static bool linger_is_closed(const struct stream *side)
{
	uint8_t state = 0; /* the first member of struct tcp_info */
	socklen_t len = sizeof(state);

	return getsockopt(side->fd, IPPROTO_TCP, TCP_INFO, &state, &len) < 0 || state == TCP_CLOSE;
}

static bool linger_done(struct relay *relay, const struct stream *side)
{
	bool is_client = side == &relay->client;
	uint32_t limit_ms = is_client ? relay->frontend->timeouts.client_fin_ms
				      : relay->backend->timeouts.server_fin_ms;
	int queued = 0;

	if ((side->flags & STREAM_UNIX) || ioctl(side->fd, SIOCOUTQ, &queued) < 0 || queued == 0 ||
		linger_is_closed(side))
		return true;
	return limit_ms != 0 && clock_now_ms() - relay->since_ms > limit_ms;
}

void relay_reset_to(struct relay *relay, struct stream *side, enum close_reason why)
{
	bool is_client = side == &relay->client;

	if (why == CLOSE_SERVER_RESET && relay->record->bytes_out == 0 &&
		relay->record->bytes_in <= TURN_REQUEST_BYTES)
		relay_server_failed(relay, ECONNRESET);
	relay->since_ms = clock_now_ms();
	relay->record->why = (uint8_t)why;
	relay->record->aborts = is_client ? RECORD_SERVER : RECORD_CLIENT;
	record_order();
	relay_set_state(relay, RELAY_LINGERING);
	record_order();
	stream_abort(is_client ? &relay->server : &relay->client);
	if (linger_done(relay, side))
		relay_close(relay, why);
}

void relay_linger(struct relay *relay)
{
	const struct stream *side = relay->client.fd >= 0 ? &relay->client : &relay->server;

	if (linger_done(relay, side))
		relay_close(relay, (enum close_reason)relay->record->why);
	else
		relay_timer_set(relay);
}

/* ------------------------------------------------------------------ adopted */

/* Both directions had ended when the worker died, before it could end the relay. */
static void turn_both_ended(struct relay *relay)
{
	if (relay->record->resets & RECORD_CLIENT)
		relay_reset_to(relay, &relay->server, CLOSE_CLIENT_RESET);
	else if (relay->record->resets & RECORD_SERVER)
		relay_reset_to(relay, &relay->client, CLOSE_SERVER_RESET);
	else
		relay_close(relay, CLOSE_NORMAL);
}

void relay_resume(struct relay *relay)
{
	struct relay_record *record = relay->record;

	if (relay_state(relay) == RELAY_CLOSING) {
		relay_finish(relay);
		return;
	}
	/* An end that was noted may not have been sent. To send it twice is to send it once. */
	if (record->up_flow == FLOW_DONE && relay->server.fd >= 0)
		stream_fin(&relay->server);
	if (record->down_flow == FLOW_DONE && relay->client.fd >= 0)
		stream_fin(&relay->client);
	relay_timer_set(relay);
	if (relay_state(relay) == RELAY_RELAYING && record->up_flow == FLOW_DONE &&
		record->down_flow == FLOW_DONE)
		turn_both_ended(relay);
	else
		relay_run(relay);
}
