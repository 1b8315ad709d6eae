/* A relay worker: its loop, what the master tells it, its heartbeat, and its end.
 */
#include <event2/event.h>
#include <event2/event_struct.h>
#include <inttypes.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#include "common/channel.h"
#include "common/child.h"
#include "common/clock.h"
#include "common/log.h"
#include "common/shm.h"
#include "conf/conf.h"
#include "worker/relay/listener.h"
#include "worker/relay/poller.h"
#include "worker/relay/relay.h"

#define WORKER_BEATS 5 /* per heartbeat_timeout */

struct worker {
	const struct child *child; /* borrowed */
	struct event_base *base;
	struct poller *poller;
	struct channel *channel; /* NULL once the master is gone */
	struct shm_slot *slot;
	struct relays *relays;
	struct listeners *listeners;
	struct event heartbeat;
	struct event drain_over;
	struct event term;
	bool draining; /* or leaving: no listeners, it ends with its last relay */
	bool stop;
};

static void worker_send(struct worker *worker, struct message *message)
{
	message->slot = worker->child->slot;
	message->generation = worker->child->generation;
	if (worker->channel != NULL)
		channel_send(worker->channel, message);
}

static void on_heartbeat(evutil_socket_t fd, short what, void *arg)
{
	struct worker *worker = arg;

	(void)fd;
	(void)what;
	atomic_store_explicit(&worker->slot->heartbeat_ms, clock_now_ms(), memory_order_relaxed);
	relays_count_lost(worker->relays);
}

static void on_drain_over(evutil_socket_t fd, short what, void *arg)
{
	struct worker *worker = arg;

	(void)fd;
	(void)what;
	if (relays_active(worker->relays) > 0)
		log_warnx("drain_timeout ran out, %u relays closed", relays_active(worker->relays));
	relays_close_all(worker->relays, CLOSE_DRAINED);
	worker->stop = true;
}

/* Accepts no more and ends with its last relay, or in drain_ms. leave: others take what they can. */
static void worker_end(struct worker *worker, uint32_t drain_ms, bool leave)
{
	struct timeval tv = clock_timeval(drain_ms);

	if (!worker->draining) {
		listeners_drain(worker->listeners);
		log_info("%s %u relays", leave ? "leaving with" : "draining",
			relays_active(worker->relays));
	}
	worker->draining = true;
	relays_leave(worker->relays, leave);
	atomic_store_explicit(&worker->slot->state, SLOT_DRAINING, memory_order_relaxed);
	if (drain_ms == CONF_FOREVER)
		event_del(&worker->drain_over);
	else
		event_add(&worker->drain_over, &tv);
}

static void worker_drain(struct worker *worker, uint32_t drain_ms)
{
	worker_end(worker, drain_ms, false);
}

/* For an orphan, or one worker alone; the master says it by a message. */
static void on_term(evutil_socket_t fd, short what, void *arg)
{
	struct worker *worker = arg;

	(void)fd;
	(void)what;
	if (!worker->draining)
		worker_drain(worker, worker->child->conf->global.drain_timeout_ms);
}

static void worker_take_listeners(struct worker *worker, const struct message *message)
{
	size_t count;
	const struct msg_listener *listeners = message_payload(message, M2W_LISTENERS, &count);

	for (size_t i = 0; i < count; i++) {
		const struct conf_frontend *frontend =
			relays_frontend(worker->relays, listeners[i].frontend);
		int fd = message->fds[i];

		if (frontend == NULL || worker->draining)
			continue; /* the channel closes what is left in fds */
		message->fds[i] = -1;
		if (listeners_add(worker->listeners, listeners[i].id, fd, frontend) < 0)
			log_error("listener %" PRIu32 " of frontend %s cannot be used",
				listeners[i].id, frontend->name);
	}
}

static void worker_release(struct worker *worker, const struct message *message)
{
	size_t count;
	const struct msg_listener *listeners = message_payload(message, M2W_RELEASE, &count);
	struct message answer = {
		.type = W2M_RELEASED,
		.payload = listeners,
		.payload_bytes = count * sizeof(*listeners),
	};

	for (size_t i = 0; i < count; i++) {
		if (listeners[i].flags & MSG_LISTENER_LAST)
			listeners_empty(worker->listeners, listeners[i].id);
		else
			(void)listeners_release(worker->listeners, listeners[i].id);
	}
	worker_send(worker, &answer);
}

static void worker_keeper(struct worker *worker, struct message *message)
{
	struct message answer = { .type = W2M_KEEPER };

	relays_keeper(worker->relays, message->fds[0]);
	message->fds[0] = -1;
	worker_send(worker, &answer);
}

static void worker_close(struct worker *worker, struct message *message)
{
	const struct msg_close *what = message_payload(message, M2W_CLOSE, NULL);
	const struct msg_round done = {
		.round = what->round,
		.count = relays_kill(worker->relays, what),
	};
	struct message answer = {
		.type = W2M_CLOSED, .payload = &done, .payload_bytes = sizeof(done)
	};

	if (done.count > 0)
		log_info("relays closed by the operator: %" PRIu32, done.count);
	worker_send(worker, &answer);
}

static void worker_log(struct worker *worker, struct message *message)
{
	const struct msg_round done = { .round = relays_log(worker->relays, message) };
	struct message answer = {
		.type = C2M_LOG, .payload = &done, .payload_bytes = sizeof(done)
	};

	worker_send(worker, &answer);
}

static void on_message(struct channel *channel, struct message *message, void *arg)
{
	struct worker *worker = arg;
	const struct msg_stop *stop;
	const struct msg_shed *shed;

	(void)channel;
	switch (message->type) {
	case M2C_STOP:
		stop = message_payload(message, M2C_STOP, NULL);
		worker_drain(worker, stop->drain_ms);
		break;
	case M2W_LEAVE:
		stop = message_payload(message, M2W_LEAVE, NULL);
		worker_end(worker, stop->drain_ms, true);
		break;
	case M2W_SHED:
		shed = message_payload(message, M2W_SHED, NULL);
		relays_shed(worker->relays, shed->count);
		break;
	case M2W_CLOSE:
		worker_close(worker, message);
		break;
	case M2C_LOG:
		worker_log(worker, message);
		break;
	case M2W_KEEPER:
		worker_keeper(worker, message);
		break;
	case M2W_SETTLE:
		relays_settle(worker->relays);
		break;
	case M2W_LISTENERS:
		worker_take_listeners(worker, message);
		break;
	case M2W_RELEASE:
		worker_release(worker, message);
		break;
	default:
		break; /* for the keeper: the master sends none of those here */
	}
}

/* Until a next master can adopt its orphans, they free the port and finish what they have. */
static void on_channel_end(
	struct channel *channel, enum channel_end end, const char *why, void *arg)
{
	struct worker *worker = arg;

	(void)end;
	log_errorx("the master is gone (%s)", why);
	channel_free(channel);
	worker->channel = NULL;
	worker_drain(worker, worker->child->conf->global.drain_timeout_ms);
}

static void worker_init(struct worker *worker, const struct child *child)
{
	const struct channel_handlers handlers = { on_message, on_channel_end, worker, NULL };

	worker->base = poller_event_base();
	worker->poller = poller_new(worker->base);
	worker->child = child;
	worker->slot = shm_slot(child->shm, child->slot);
	worker->channel = channel_new(worker->base, child->channel_fd, CHANNEL_CHILD, &handlers);
	worker->relays = relays_new(worker->base, worker->poller, child);
	worker->listeners = listeners_new(worker->base, worker->poller, worker->relays);
	event_assign(&worker->heartbeat, worker->base, -1, EV_PERSIST, on_heartbeat, worker);
	event_assign(&worker->drain_over, worker->base, -1, 0, on_drain_over, worker);
	event_assign(&worker->term, worker->base, SIGTERM, EV_SIGNAL | EV_PERSIST, on_term, worker);
}

static void worker_start(struct worker *worker)
{
	uint32_t beat_ms = worker->child->conf->global.heartbeat_timeout_ms / WORKER_BEATS;
	struct timeval tv = clock_timeval(beat_ms);
	struct msg_ready ready = { .pid = getpid() };
	struct message message = {
		.type = C2M_READY, .payload = &ready, .payload_bytes = sizeof(ready)
	};

	event_add(&worker->term, NULL);
	event_add(&worker->heartbeat, &tv);
	on_heartbeat(-1, 0, worker);
	atomic_store_explicit(&worker->slot->state, SLOT_SERVING, memory_order_relaxed);
	worker_send(worker, &message);
}

static void worker_deinit(struct worker *worker)
{
	listeners_free(worker->listeners);
	relays_free(worker->relays);
	if (worker->channel != NULL)
		channel_free(worker->channel);
	event_del(&worker->heartbeat);
	event_del(&worker->drain_over);
	event_del(&worker->term);
	poller_free(worker->poller);
	event_base_free(worker->base);
}

int worker_main(const struct child *child)
{
	struct worker worker = { .stop = false };
	bool busy = false;

	worker_init(&worker, child);
	worker_start(&worker);
	while (!worker.stop && !(worker.draining && relays_active(worker.relays) == 0)) {
		event_base_loop(worker.base, busy ? EVLOOP_ONCE | EVLOOP_NONBLOCK : EVLOOP_ONCE);
		busy = relays_turn_end(worker.relays);
	}
	worker_deinit(&worker);
	return EXIT_CODE_OK;
}
