/* The queues of a worker, and its part of those of the daemon.
 */
#include "worker/relay/queue.h"

#include <event2/event.h>
#include <event2/event_struct.h>
#include <stdlib.h>

#include "common/clock.h"
#include "common/log.h"
#include "common/memory.h"
#include "worker/relay/impl.h"

#define QUEUE_PASS_US 20000 /* how long the one whose turn it is may leave a server unused */

static const struct timeval queue_poll = { 0, 4000 };

struct queue {
	const struct conf_backend *backend;
	struct relay_list waiting;
	uint32_t count;
	bool limited; /* some server has a maxconn */
	uint64_t
		passed_us; /* since when there was room that was not ours to take; 0: there was none */
	bool look;
};

struct queues {
	struct relays *relays; /* borrowed */
	struct event poll;     /* pending while anyone waits here */
	uint32_t count;        /* over all backends */
	bool look;
	struct queue all[];
};

static void on_queue_poll(evutil_socket_t fd, short what, void *arg)
{
	struct queues *queues = arg;

	(void)fd;
	(void)what;
	for (size_t i = 0; i < queues->relays->conf->nbackends; i++)
		queues->all[i].look = queues->all[i].count > 0;
	queues->look = true;
}

struct queues *queues_new(struct relays *relays)
{
	const struct conf *conf = relays->conf;
	struct queues *queues = memory_or_exit(
		calloc(1, sizeof(*queues) + conf->nbackends * sizeof(queues->all[0])),
		"no memory for queues");

	queues->relays = relays;
	event_assign(&queues->poll, relays->base, -1, EV_PERSIST, on_queue_poll, queues);
	for (size_t i = 0; i < conf->nbackends; i++) {
		queues->all[i].backend = &conf->backends[i];
		TAILQ_INIT(&queues->all[i].waiting);
		for (size_t k = 0; k < conf->backends[i].nservers; k++)
			queues->all[i].limited |= conf->backends[i].servers[k].maxconn != 0;
	}
	return queues;
}

void queues_free(struct queues *queues)
{
	event_del(&queues->poll);
	free(queues);
}

static struct queue *queue_of(struct relays *relays, const struct conf_backend *backend)
{
	return &relays->queues->all[backend - relays->conf->backends];
}

/* What others are told: how many wait here, and since when the first. */
static void queue_publish(struct relays *relays, const struct queue *queue)
{
	struct shm_backend_counters *counters = &relays->slot->backends[queue->backend->place];
	const struct relay *first = TAILQ_FIRST(&queue->waiting);

	atomic_store_explicit(&counters->queued, queue->count, memory_order_relaxed);
	atomic_store_explicit(
		&counters->first_us, first != NULL ? first->queued_us : 0, memory_order_relaxed);
}

static uint64_t queue_total(struct relays *relays, const struct conf_backend *backend)
{
	uint32_t slots = shm_master(relays->shm)->slots;
	uint64_t total = 0;

	for (uint32_t i = 0; i < slots && i < SHM_SLOTS; i++)
		total += atomic_load_explicit(
			&shm_slot(relays->shm, i)->backends[backend->place].queued,
			memory_order_relaxed);
	return total;
}

bool queue_is_waited_for(struct relays *relays, const struct conf_backend *backend)
{
	const struct queue *queue = queue_of(relays, backend);

	return queue->count > 0 || (queue->limited && queue_total(relays, backend) > 0);
}

void queue_join(struct relay *relay)
{
	static struct log_rate rate;
	struct relays *relays = relay->relays;
	struct queue *queue = queue_of(relays, relay->backend);

	if (relay->backend->maxqueue != 0 &&
		queue_total(relays, relay->backend) >= relay->backend->maxqueue) {
		shm_count(&relays->slot->backends[relay->backend->place].queue_full, 1);
		if (log_rate_ok(&rate))
			log_warnx("frontend %s: backend %s: every server has its maxconn and %u "
				  "clients wait, client closed%s",
				relay->frontend->name, relay->backend->name,
				relay->backend->maxqueue, log_rate_note(&rate));
		relay_close(relay, CLOSE_QUEUE_FULL);
		return;
	}
	relay->queued_us = clock_now_us();
	relay->since_ms = relay->queued_us / 1000;
	TAILQ_INSERT_TAIL(&queue->waiting, relay, waiting);
	queue->count++;
	queue_publish(relays, queue);
	if (relays->queues->count++ == 0)
		event_add(&relays->queues->poll, &queue_poll);
	relay_set_state(relay, RELAY_QUEUED);
}

void queue_leave(struct relay *relay)
{
	struct relays *relays = relay->relays;
	struct queue *queue = queue_of(relays, relay->backend);

	TAILQ_REMOVE(&queue->waiting, relay, waiting);
	queue->count--;
	queue_publish(relays, queue);
	if (--relays->queues->count == 0)
		event_del(&relays->queues->poll);
}

void queue_look(struct relays *relays, const struct conf_backend *backend)
{
	struct queue *queue = queue_of(relays, backend);

	if (queue->count == 0)
		return;
	queue->look = true;
	relays->queues->look = true;
}

/* Whether nobody in another worker waits longer. */
static bool queue_is_our_turn(struct relays *relays, const struct queue *queue)
{
	const struct relay *first = TAILQ_FIRST(&queue->waiting);
	uint32_t slots = shm_master(relays->shm)->slots;

	for (uint32_t i = 0; i < slots && i < SHM_SLOTS; i++) {
		uint64_t theirs_us = atomic_load_explicit(
			&shm_slot(relays->shm, i)->backends[queue->backend->place].first_us,
			memory_order_relaxed);

		if (i != relays->slot_number && theirs_us != 0 && theirs_us < first->queued_us)
			return false;
	}
	return true;
}

/* Room is there. Ours, or left unused for long enough by whose turn it is? */
static bool queue_may_take(struct relays *relays, struct queue *queue)
{
	uint64_t now_us;

	if (queue_is_our_turn(relays, queue))
		return true;
	now_us = clock_now_us();
	if (queue->passed_us == 0)
		queue->passed_us = now_us;
	return now_us - queue->passed_us > QUEUE_PASS_US;
}

static void queue_turn(struct relays *relays, struct queue *queue)
{
	struct relay *first;

	queue->look = false;
	while ((first = TAILQ_FIRST(&queue->waiting)) != NULL) {
		int server = relay_pick(first);

		if (server == BALANCE_FULL) {
			queue->passed_us = 0;
			return;
		}
		if (server >= 0 && !queue_may_take(relays, queue))
			return;
		queue->passed_us = 0;
		/* When someone was quicker it stays first. */
		if (!relay_take_server(first, server))
			return;
	}
}

void queues_turn(struct queues *queues)
{
	if (!queues->look)
		return;
	queues->look = false;
	for (size_t i = 0; i < queues->relays->conf->nbackends; i++) {
		if (queues->all[i].look)
			queue_turn(queues->relays, &queues->all[i]);
	}
}
