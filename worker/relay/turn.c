/* A relay at work: both directions are run, and what their ends mean is decided here.
 */
#include <errno.h>
#include <linux/sockios.h>
#include <sys/ioctl.h>

#include "common/clock.h"
#include "worker/balance/passive.h"
#include "worker/relay/impl.h"

/* A reset before the answer speaks against a server that was asked something; after more than this it was given
 * something, and many programs end an upload with a reset. */
#define TURN_REQUEST_BYTES 65536

static enum pump_result turn_up(struct relay *relay)
{
	struct relays *relays = relay->relays;
	struct relay_record *record = relay->record;
	uint64_t before = record->bytes_in;
	enum pump_result result = pump_run(&relay->up, &relay->client, &relay->server,
		&relays->tools, &record->bytes_in, &record->up_pipe_bytes);
	uint64_t moved = record->bytes_in - before;

	if (moved > 0) {
		relay_touch(relay);
		shm_count(&relays->slot->frontends[record->frontend].bytes_in, moved);
		shm_count(&relays->slot->servers[record->server].bytes_in, moved);
	}
	return result;
}

/* It answered, or ended in order without an answer. */
static void turn_server_works(struct relay *relay)
{
	passive_worked(relay->backend, relay->relays->shm,
		(uint32_t)(relay->chosen - relay->backend->servers), clock_coarse_ms());
}

static enum pump_result turn_down(struct relay *relay)
{
	struct relays *relays = relay->relays;
	struct relay_record *record = relay->record;
	uint64_t before = record->bytes_out;
	enum pump_result result = pump_run(&relay->down, &relay->server, &relay->client,
		&relays->tools, &record->bytes_out, &record->down_pipe_bytes);
	uint64_t moved = record->bytes_out - before;

	if (moved > 0) {
		if (before == 0)
			turn_server_works(relay);
		relay_touch(relay);
		shm_count(&relays->slot->frontends[record->frontend].bytes_out, moved);
		shm_count(&relays->slot->servers[record->server].bytes_out, moved);
	}
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

/* Returns false when the relay is no longer relaying. */
static bool turn_direction(struct relay *relay, bool up)
{
	uint8_t flow = up ? relay->record->up_flow : relay->record->down_flow;
	enum pump_result result;

	if (flow == FLOW_DONE)
		return true;
	result = up ? turn_up(relay) : turn_down(relay);
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

static bool linger_done(struct relay *relay, const struct stream *side)
{
	bool is_client = side == &relay->client;
	uint32_t limit_ms = is_client ? relay->frontend->timeouts.client_fin_ms
				      : relay->backend->timeouts.server_fin_ms;
	int queued = 0;

	if ((side->flags & STREAM_UNIX) || ioctl(side->fd, SIOCOUTQ, &queued) < 0 || queued == 0)
		return true;
	return limit_ms != 0 && clock_now_ms() - relay->since_ms > limit_ms;
}

void relay_reset_to(struct relay *relay, struct stream *side, enum close_reason why)
{
	if (why == CLOSE_SERVER_RESET && relay->record->bytes_out == 0 &&
		relay->record->bytes_in <= TURN_REQUEST_BYTES)
		relay_server_failed(relay, ECONNRESET);
	relay->since_ms = clock_now_ms();
	relay->why = (uint8_t)why;
	stream_abort(side == &relay->client ? &relay->server : &relay->client);
	if (linger_done(relay, side))
		relay_close(relay, why);
	else
		relay_set_state(relay, RELAY_LINGERING);
}

void relay_linger(struct relay *relay)
{
	const struct stream *side = relay->client.fd >= 0 ? &relay->client : &relay->server;

	if (linger_done(relay, side))
		relay_close(relay, (enum close_reason)relay->why);
	else
		relay_timer_set(relay);
}
