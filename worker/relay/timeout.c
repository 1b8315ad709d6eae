/* When a relay has waited for too long, for each of its states. Activity only notes the time; one entry in
 * the wheel looks at it when it fires.
 */
#include "common/clock.h"
#include "worker/relay/impl.h"

#define LINGER_LOOK_MS 20
/* Before a server whose connect just failed is tried again, when there is no other. */
#define CHOOSE_AGAIN_MS 250

static uint32_t timeout_shorter(uint32_t a, uint32_t b)
{
	if (a == 0 || (b != 0 && b < a))
		return b;
	return a;
}

/* How long a relay may be idle; 0: for ever. */
static uint32_t timeout_idle_ms(const struct relay *relay)
{
	const struct conf_frontend_timeouts *front = &relay->frontend->timeouts;
	const struct conf_backend_timeouts *back = &relay->backend->timeouts;

	if (relay->record->up_flow == FLOW_DONE)
		return back->server_fin_ms != 0 ? back->server_fin_ms : back->server_ms;
	if (relay->record->down_flow == FLOW_DONE)
		return front->client_fin_ms != 0 ? front->client_fin_ms : front->client_ms;
	return timeout_shorter(front->client_ms, back->server_ms);
}

/* 0: no timeout in this state. */
static uint64_t timeout_deadline_ms(const struct relay *relay)
{
	uint32_t span = 0;

	switch (relay_state(relay)) {
	case RELAY_CHOOSING:
		return relay->chosen != NULL ? relay->since_ms + CHOOSE_AGAIN_MS : 0;
	case RELAY_QUEUED:
		span = relay->backend->timeouts.queue_ms;
		return span != 0 ? relay->since_ms + span : 0;
	case RELAY_CONNECTING:
		span = relay->backend->timeouts.connect_ms;
		return span != 0 ? relay->since_ms + span : 0;
	case RELAY_RELAYING:
		span = timeout_idle_ms(relay);
		break;
	case RELAY_SERVING:
		span = relay->frontend->timeouts.client_ms;
		if (relay->record->down_flow == FLOW_DONE)
			span = timeout_shorter(span, relay->frontend->timeouts.client_fin_ms);
		break;
	case RELAY_LINGERING:
		return clock_now_ms() + LINGER_LOOK_MS;
	case RELAY_FREE:
	case RELAY_CLOSING:
	case RELAY_STATES:
		return 0;
	}
	return span != 0 ? relay->record->moved_ms + span : 0;
}

/* Whose fault it is: a side whose queue is full does not read; else the one with the shorter timeout had
 * to speak. */
static enum close_reason timeout_reason(const struct relay *relay)
{
	const struct relay_record *record = relay->record;

	if (record->up_flow == FLOW_DONE)
		return CLOSE_SERVER_TIMEOUT;
	if (record->down_flow == FLOW_DONE || (relay->client.flags & STREAM_WRITABLE) == 0)
		return CLOSE_CLIENT_TIMEOUT;
	if ((relay->server.flags & STREAM_WRITABLE) == 0)
		return CLOSE_SERVER_TIMEOUT;
	if (relay->frontend->timeouts.client_ms != 0 &&
		timeout_idle_ms(relay) == relay->frontend->timeouts.client_ms)
		return CLOSE_CLIENT_TIMEOUT;
	return CLOSE_SERVER_TIMEOUT;
}

void relay_timer_set(struct relay *relay)
{
	uint64_t deadline_ms = timeout_deadline_ms(relay);

	if (deadline_ms != 0)
		wheel_add(relay->relays->wheel, &relay->timer, deadline_ms);
}

void on_relay_timer(struct wheel_entry *entry, uint64_t now_ms)
{
	struct relay *relay =
		(struct relay *)(void *)((char *)entry - offsetof(struct relay, timer));
	uint64_t deadline_ms = timeout_deadline_ms(relay);

	MUST(relay->magic == RELAY_MAGIC);
	if (relay_state(relay) == RELAY_LINGERING) {
		relay_linger(relay);
		return;
	}
	if (deadline_ms == 0)
		return;
	if (now_ms < deadline_ms) {
		wheel_add(relay->relays->wheel, entry, deadline_ms);
		return;
	}
	switch (relay_state(relay)) {
	case RELAY_CHOOSING:
	case RELAY_CONNECTING:
		relay_connect_timeout(relay);
		break;
	case RELAY_QUEUED:
		relay_close(relay, CLOSE_QUEUE_TIMEOUT);
		break;
	case RELAY_RELAYING:
		relay_close(relay, timeout_reason(relay));
		break;
	case RELAY_SERVING:
		relay_close(relay, CLOSE_CLIENT_TIMEOUT);
		break;
	case RELAY_FREE:
	case RELAY_LINGERING:
	case RELAY_CLOSING:
	case RELAY_STATES:
		MUST(false);
	}
}
