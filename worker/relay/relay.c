/* The birth of a relay, its states and its end.
 */
#include "worker/relay/relay.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/child.h"
#include "common/clock.h"
#include "common/counts.h"
#include "common/histogram.h"
#include "common/log.h"
#include "worker/balance/retry.h"
#include "worker/relay/access_log.h"
#include "worker/relay/admit.h"
#include "worker/relay/impl.h"
#include "worker/relay/keep.h"
#include "worker/relay/queue.h"

#define CONNECT_FRESH_MS    100
#define RELAY_ID_SLOT_SHIFT 45 /* with SHM_SLOTS below 2^8 an id stays exact in JSON: under 2^53 */

static const struct {
	const char *letters;
	const char *text;
} close_reasons[] = {
#define CLOSE_REASON(name, letters, text) { letters, text },
#include "worker/relay/close_reasons.def"
#undef CLOSE_REASON
};

static const char *const state_names[] = {
#define RELAY_STATE(name, text) text,
#include "common/relay_states.def"
#undef RELAY_STATE
};

const char *close_reason_text(enum close_reason why)
{
	return close_reasons[why].text;
}

const char *close_reason_letters(enum close_reason why)
{
	return close_reasons[why].letters;
}

void relay_log_debug(const struct relay *relay, const char *format, ...)
{
	char text[256];
	va_list args;

	if (!log_enabled(LOG_LEVEL_DEBUG))
		return;
	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	log_debug(
		"#%llx %s: %s", (unsigned long long)relay->record->id, relay->frontend->name, text);
}

void relay_clear(struct relay *relay)
{
	relay->magic = RELAY_MAGIC;
	relay->client.fd = relay->server.fd = -1;
	relay->client.flags = relay->server.flags = 0;
	memset(&relay->up, 0, sizeof(relay->up));
	memset(&relay->down, 0, sizeof(relay->down));
	relay->up.number = &relay->record->up_pipe;
	relay->down.number = &relay->record->down_pipe;
	relay->timer.bucket = 0;
	relay->backend = NULL;
	relay->chosen = NULL;
	relay->service = NULL;
	relay->ntried = 0;
	relay->queued = false;
	relay->keeping = KEEPING_NOT;
}

void relay_count_server(struct relay *relay, int delta)
{
	const struct shm_count_id id = { SHM_COUNT_SERVER, relay->chosen->place };

	shm_active_add(relay->relays->shm, relay->relays->slot_number, &id, delta);
}

/* All but its id: it is nobody's yet. */
static void relay_write_record(struct relay *relay, const struct sockaddr_any *client)
{
	struct relay_record *record = relay->record;
	size_t len;
	const void *host = sockaddr_host_bytes(client, &len);

	record_change_begin(record);
	memset((char *)record + sizeof(record->sequence), 0,
		sizeof(*record) - sizeof(record->sequence));
	record->state = RELAY_CHOOSING;
	record->frontend = relay->frontend->place;
	record->server = SHM_NONE;
	record->backend = relay->backend != NULL ? relay->backend->place : SHM_NONE;
	record->generation = relay->relays->child->generation;
	record->accepted_ms = record->moved_ms = clock_now_ms();
	record->accepted_wall_ms = clock_wall_ms();
	record->wait_ms = record->connect_ms = RECORD_NEVER;
	record->client_family = len == 4 ? AF_INET : (uint8_t)client->u.sa.sa_family;
	record->client_port = sockaddr_port(client);
	memcpy(record->client_addr, host, len);
	if (relay->source_key != 0)
		record->flags |= RECORD_SOURCE_COUNTED;
	record->client_timeout_ms = relay->frontend->timeouts.client_ms;
	if (relay->backend != NULL)
		record->server_timeout_ms = relay->backend->timeouts.server_ms;
	record_change_end(record);
}

static void relay_start(struct relay *relay)
{
	if (relay->service != NULL) {
		serve_begin(relay);
		relay_set_state(relay, RELAY_SERVING);
		keep_begin(relay);
		relay_serve(relay);
		return;
	}
	retry_count(relay->relays->shm, relay->backend);
	relay_choose(relay);
}

/* Not let in, or no room after all. A reset tells the client that it was no regular end. */
static void relay_refuse(struct relays *relays, const struct relay_accepted *accepted)
{
	const struct linger at_once = { 1, 0 };

	setsockopt(accepted->fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
	close(accepted->fd);
	admit_release(relays, accepted->frontend);
}

/* One more was accepted, and it is seen what became of it: *also, in our slot, is value. */
static void relay_count_accepted(
	struct relays *relays, const struct conf_frontend *frontend, void *also, uint64_t value)
{
	struct shm_slot *slot = relays->slot;
	struct journal_change change = { .slot = slot, .journal = &slot->journal };

	journal_add(&change, &slot->accepted, 1);
	journal_add(&change, &slot->frontends[frontend->place].total, 1);
	journal_set(&change, also, value);
	journal_commit(&change);
}

static void relay_count_refused(
	struct relays *relays, const struct conf_frontend *frontend, enum refusal why)
{
	_Atomic uint64_t *refused = &relays->slot->frontends[frontend->place].refused[why];

	relay_count_accepted(
		relays, frontend, refused, atomic_load_explicit(refused, memory_order_relaxed) + 1);
}

/* With its id the record counts. */
static void relay_count_begun(struct relay *relay)
{
	struct relays *relays = relay->relays;
	uint64_t number = atomic_load_explicit(&relays->slot->next_id, memory_order_relaxed) + 1;

	atomic_store_explicit(&relays->slot->next_id, number, memory_order_relaxed);
	relay_count_accepted(relays, relay->frontend, &relay->record->id,
		((uint64_t)(relays->slot_number + 1) << RELAY_ID_SLOT_SHIFT) | number);
}

static void relay_begin(
	struct relay *relay, const struct relay_accepted *accepted, uint64_t source_key)
{
	relay_clear(relay);
	relay->frontend = accepted->frontend;
	relay->backend = accepted->frontend->backend;
	relay->local_port = accepted->local_port;
	relay->source_key = source_key;
	if (relay->backend == NULL)
		relay->service = service_find(accepted->frontend->service);
	relay_write_record(relay, accepted->client);
	relay_count_begun(relay);
	relay->relays->active++;
	if (relay->backend != NULL)
		shm_count(&relay->relays->slot->backends[relay->backend->place].active, 1);
}

void relay_accept(struct relays *relays, const struct relay_accepted *accepted)
{
	static struct log_rate rate;
	uint8_t flags = STREAM_WRITABLE;
	struct relay *relay;
	enum refusal why;
	uint64_t key;

	why = admit_client(relays, accepted->frontend, accepted->client, &key);
	if (why != REFUSALS) {
		relay_count_refused(relays, accepted->frontend, why);
		relay_refuse(relays, accepted);
		return;
	}
	relay = relay_take(relays);
	if (relay == NULL) {
		relay_count_refused(relays, accepted->frontend, REFUSED_RESOURCE);
		admit_leave(relays, key);
		relay_refuse(relays, accepted);
		return;
	}
	relay_begin(relay, accepted, key);
	if (sockaddr_is_unix(accepted->client))
		flags |= STREAM_UNIX;
	else if (!accepted->frontend->tcp.mptcp)
		flags |= STREAM_PLAIN;
	if (stream_open(&relay->client, relays->poller, accepted->fd, flags, on_client_event) < 0) {
		if (log_rate_ok(&rate))
			log_warn("frontend %s: cannot watch a connection%s", relay->frontend->name,
				log_rate_note(&rate));
		relay_close(relay, CLOSE_RESOURCE);
		return;
	}
	relay_start(relay);
}

void relay_set_state(struct relay *relay, enum relay_state state)
{
	relay_log_debug(relay, "%s, was %s", state_names[state], state_names[relay->record->state]);
	relay->record->state = (uint8_t)state;
	relay_timer_set(relay);
}

void relay_touch(struct relay *relay)
{
	relay->relays->now_ms = relay->record->moved_ms = clock_coarse_ms();
}

/* A side whose data did not all arrive must not look as if it had ended well. */
static uint8_t relay_aborts(const struct relay *relay, enum close_reason why)
{
	uint8_t aborts = 0;

	if (why == CLOSE_CLIENT_RESET || why == CLOSE_SERVER_RESET || why == CLOSE_SERVER_DOWN)
		return RECORD_CLIENT | RECORD_SERVER;
	if (why == CLOSE_KILLED || why == CLOSE_KILLED_CONNECTING || why == CLOSE_KILLED_QUEUED)
		return RECORD_CLIENT | RECORD_SERVER;
	if (why == CLOSE_NORMAL)
		return 0;
	if (relay->chosen != NULL && stream_has_more(&relay->client))
		aborts |= RECORD_SERVER;
	if (stream_has_more(&relay->server))
		aborts |= RECORD_CLIENT;
	return aborts;
}

static void relay_close_stream(struct stream *stream, bool aborts)
{
	if (aborts)
		stream_abort(stream);
	else
		stream_close(stream);
}

static enum failure relay_failure(enum close_reason why)
{
	switch (why) {
	case CLOSE_NO_SERVER:
		return FAILED_NO_SERVER;
	case CLOSE_CONNECT_FAILED:
		return FAILED_CONNECT;
	case CLOSE_CONNECT_TIMEOUT:
		return FAILED_CONNECT_TIMEOUT;
	case CLOSE_QUEUE_TIMEOUT:
		return FAILED_QUEUE_TIMEOUT;
	case CLOSE_QUEUE_FULL:
		return FAILED_QUEUE_FULL;
	case CLOSE_CLIENT_GONE:
	case CLOSE_CLIENT_GONE_QUEUED:
		return FAILED_CLIENT_GONE;
	case CLOSE_KILLED:
	case CLOSE_KILLED_CONNECTING:
	case CLOSE_KILLED_QUEUED:
		return FAILED_KILLED;
	case CLOSE_NORMAL:
	case CLOSE_CLIENT_RESET:
	case CLOSE_SERVER_RESET:
	case CLOSE_CLIENT_TIMEOUT:
	case CLOSE_SERVER_TIMEOUT:
	case CLOSE_SERVER_DOWN:
	case CLOSE_RESOURCE:
	case CLOSE_SERVICE:
	case CLOSE_DRAINED:
	case CLOSE_REASONS:
		break;
	}
	return FAILED_OTHER;
}

/* How it ended is one of three. */
static _Atomic uint64_t *relay_end_counter(const struct relay *relay, enum close_reason why)
{
	const struct relay_record *record = relay->record;
	struct shm_frontend_counters *counters = &relay->relays->slot->frontends[record->frontend];

	if (why == CLOSE_RESOURCE)
		return &counters->refused[REFUSED_RESOURCE];
	if (relay->service == NULL && record->connect_ms == RECORD_NEVER)
		return &counters->failed[relay_failure(why)];
	return &counters->ended;
}

/* Before anybody sees that it ended; once, also when its worker dies after that. */
static void relay_count_end(struct relay *relay, enum close_reason why)
{
	struct shm_slot *slot = relay->relays->slot;
	struct relay_record *record = relay->record;
	struct journal_change change = { .slot = slot, .journal = &slot->journal };
	_Atomic uint64_t *counter = relay_end_counter(relay, why);

	journal_add(&change, counter, 1);
	journal_set(&change, &record->ended, 1);
	journal_commit(&change);
	if (counter == &slot->frontends[record->frontend].ended)
		histogram_record(&slot->session[record->frontend],
			(clock_now_ms() - record->accepted_ms) * 1000);
}

void relay_uncount(struct relay *relay)
{
	struct relays *relays = relay->relays;

	if (relay->chosen != NULL) {
		relay_count_server(relay, -1);
		queue_look(relays, relay->backend);
	}
	relays->active--;
	if (relay->backend != NULL)
		shm_count(&relays->slot->backends[relay->backend->place].active, UINT64_MAX);
	admit_leave(relays, relay->source_key);
	admit_release(relays, relay->frontend);
}

void relay_close(struct relay *relay, enum close_reason why)
{
	struct relay_record *record = relay->record;

	MUST(relay->magic == RELAY_MAGIC && relay->keeping != KEEPING_LET_GO);
	if (relay_state(relay) == RELAY_CLOSING)
		return;
	if (relay->service != NULL)
		serve_end(relay);
	if (relay_state(relay) == RELAY_QUEUED)
		queue_leave(relay);
	record->aborts = relay_aborts(relay, why);
	record->why = (uint8_t)why;
	record_order();
	record->state = RELAY_CLOSING;
	record_order();
	relay_finish(relay);
}

void relay_finish(struct relay *relay)
{
	struct relays *relays = relay->relays;
	enum close_reason why = (enum close_reason)relay->record->why;

	if (relay->record->ended == 0) {
		if (relays->access_log != NULL)
			access_log_relay(relay, why);
		relay_count_end(relay, why);
	}
	relay_log_debug(relay, "%s", close_reason_text(why));
	relay_close_stream(&relay->server, (relay->record->aborts & RECORD_SERVER) != 0);
	relay_close_stream(&relay->client, (relay->record->aborts & RECORD_CLIENT) != 0);
	pump_end(&relay->up, &relays->tools);
	pump_end(&relay->down, &relays->tools);
	relay_uncount(relay);
	keep_end(relay);
	wheel_del(relays->wheel, &relay->timer);
	relay_unqueue(relay);
	TAILQ_INSERT_TAIL(&relays->ended, relay, link);
}

/* While there is no server the client may talk, and even end its side: all that is read later. Only when it
 * reset the connection there is nobody left to connect for. A connect that has just begun is not worth the question:
 * its client's first bytes come now. */
static void relay_look_for_client(struct relay *relay)
{
	enum relay_state state = relay_state(relay);

	if (state == RELAY_CONNECTING && clock_coarse_ms() < relay->since_ms + CONNECT_FRESH_MS)
		return;
	if (stream_ended(&relay->client) && (relay->client.flags & STREAM_RESET))
		relay_close(relay,
			state == RELAY_QUEUED ? CLOSE_CLIENT_GONE_QUEUED : CLOSE_CLIENT_GONE);
}

void relay_run(struct relay *relay)
{
	/* A turn with many busy relays on a busy machine is long, but not hung: a beat for each of them. */
	relay->relays->now_ms = clock_coarse_ms();
	atomic_store_explicit(
		&relay->relays->slot->heartbeat_ms, relay->relays->now_ms, memory_order_relaxed);
	switch (relay_state(relay)) {
	case RELAY_RELAYING:
		relay_turn(relay);
		break;
	case RELAY_SERVING:
		relay_serve(relay);
		break;
	case RELAY_LINGERING:
		relay_linger(relay);
		break;
	case RELAY_CHOOSING:
	case RELAY_QUEUED:
	case RELAY_CONNECTING:
		relay_look_for_client(relay);
		break;
	case RELAY_FREE:
	case RELAY_CLOSING:
	case RELAY_STATES:
		MUST(false);
	}
}

void on_client_event(struct poller_watch *watch, uint32_t events)
{
	struct relay *relay =
		(struct relay *)(void *)((char *)watch - offsetof(struct relay, client.watch));

	MUST(relay->magic == RELAY_MAGIC);
	stream_note(&relay->client, events);
	relay_run(relay);
}

void on_server_event(struct poller_watch *watch, uint32_t events)
{
	struct relay *relay =
		(struct relay *)(void *)((char *)watch - offsetof(struct relay, server.watch));

	MUST(relay->magic == RELAY_MAGIC);
	stream_note(&relay->server, events);
	if (relay_state(relay) == RELAY_CONNECTING)
		relay_connect_event(relay, events);
	else
		relay_run(relay);
}
