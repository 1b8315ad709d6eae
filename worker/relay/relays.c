/* All relays of a worker: the slab that they live in, what they share, and what happens between two turns of the loop.
 */
#include "common/memory.h"
#include "worker/relay/relay.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include "common/channel.h"
#include "common/child.h"
#include "common/clock.h"
#include "common/log.h"
#include "common/sink.h"
#include "worker/relay/down.h"
#include "worker/relay/impl.h"
#include "worker/relay/keep.h"
#include "worker/relay/places.h"
#include "worker/relay/queue.h"

/* Next to the relays' own: channel, epoll, log, clock, a few of the C library's. */
#define RELAYS_RESERVED_FDS 16
#define RELAYS_MOST_PIPES   128

static void *relays_map(size_t bytes)
{
	void *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
		MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (memory == MAP_FAILED) {
		log_fatal("no memory for relays");
		exit(EXIT_CODE_FAILED);
	}
	return memory;
}

static unsigned relays_fd_limit(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) < 0 || limit.rlim_cur > UINT32_MAX)
		return UINT32_MAX;
	return (unsigned)limit.rlim_cur;
}

static unsigned relays_most_pipes(void)
{
	unsigned most = relays_fd_limit() / 64;

	return most < RELAYS_MOST_PIPES ? most : RELAYS_MOST_PIPES;
}

void relays_reserve_fds(struct relays *relays, unsigned fds)
{
	unsigned limit = relays_fd_limit();
	unsigned adopted = limit / 8 < CHANNEL_FDS_MAX ? limit / 8 : CHANNEL_FDS_MAX;
	unsigned reserved = fds + RELAYS_RESERVED_FDS + 2 * relays_most_pipes();

	if (relays->child->keeper_fd >= 0)
		reserved += adopted; /* those of one message, before they are anyone's */
	relays->most = limit > reserved + 2 ? (limit - reserved) / 2 : 1;
	if (relays->most > relays->slab_size)
		relays->most = relays->slab_size;
	atomic_store_explicit(&relays->slot->room, relays->most, memory_order_relaxed);
}

static uint16_t relays_first_local_port(void)
{
	FILE *file = fopen("/proc/sys/net/ipv4/ip_local_port_range", "re");
	char line[64] = "";
	unsigned long first;

	if (file == NULL)
		return 1;
	if (fgets(line, sizeof(line), file) == NULL)
		line[0] = '\0';
	fclose(file);
	first = strtoul(line, NULL, 10);
	return first > 0 && first <= UINT16_MAX ? (uint16_t)first : 1;
}

static void relays_make_balancers(struct relays *relays)
{
	const struct conf *conf = relays->conf;

	relays->balancers = calloc(conf->nbackends + 1, sizeof(struct balancer *));
	if (relays->balancers == NULL) {
		log_fatal("no memory for backends");
		exit(EXIT_CODE_FAILED);
	}
	for (size_t i = 0; i < conf->nbackends; i++) {
		uint64_t seed = clock_now_us() ^ ((uint64_t)getpid() << 32) ^ i;

		relays->balancers[i] = balancer_new(&conf->backends[i], relays->shm, seed);
	}
}

struct relays *relays_new(struct event_base *base, struct poller *poller, const struct child *child)
{
	struct relays *relays = memory_or_exit(calloc(1, sizeof(*relays)), "no memory for relays");

	relays->child = child;
	relays->conf = child->conf;
	relays->shm = child->shm;
	relays->slot_number = child->slot;
	relays->slot = shm_slot(child->shm, child->slot);
	relays->base = base;
	relays->poller = poller;
	relays->wheel = wheel_new(base, on_relay_timer);
	relays->tools.scratch = relays_map(PUMP_SCRATCH_BYTES);
	relays->tools.carry = shm_carry(child->shm, child->slot);
	carry_end(relays->tools.carry);
	relays->tools.pipes = pipes_new(relays_most_pipes());
	relays->answer = relays_map(PUMP_SCRATCH_BYTES);
	relays->first_local_port = relays_first_local_port();
	relays->slab_size = shm_records(child->shm);
	relays->slab = relays_map(relays->slab_size * sizeof(struct relay));
	relays->access_log = child->access_log;
	relays->access_format = child->conf->global.access_log.format;
	TAILQ_INIT(&relays->free);
	TAILQ_INIT(&relays->run);
	TAILQ_INIT(&relays->ended);
	relays_make_balancers(relays);
	relays->queues = queues_new(relays);
	relays->down_watch = down_watch_new(relays);
	relays->places = places_new(relays->conf);
	relays->keep = keep_new(relays);
	relays_reserve_fds(relays, 0);
	return relays;
}

void relays_free(struct relays *relays)
{
	for (size_t i = 0; i < relays->conf->nbackends; i++)
		balancer_free(relays->balancers[i]);
	free(relays->balancers);
	queues_free(relays->queues);
	down_watch_free(relays->down_watch);
	keep_free(relays->keep);
	places_free(relays->places);
	wheel_free(relays->wheel);
	pipes_free(relays->tools.pipes);
	munmap(relays->tools.scratch, PUMP_SCRATCH_BYTES);
	munmap(relays->answer, PUMP_SCRATCH_BYTES);
	munmap(relays->slab, relays->slab_size * sizeof(struct relay));
	free(relays);
}

bool relays_have_room(const struct relays *relays)
{
	return relays->active < relays->most;
}

void relays_on_room(struct relays *relays, void (*on_room)(void *arg), void *arg)
{
	relays->on_room = on_room;
	relays->on_room_arg = arg;
}

uint32_t relays_active(const struct relays *relays)
{
	return relays->active;
}

const struct conf_frontend *relays_frontend(const struct relays *relays, uint32_t place)
{
	return places_frontend(relays->places, place);
}

struct relay *relay_take(struct relays *relays)
{
	struct relay *relay = TAILQ_FIRST(&relays->free);

	if (relay != NULL) {
		TAILQ_REMOVE(&relays->free, relay, link);
	} else {
		if (relays->slab_used == relays->slab_size)
			return NULL;
		relay = &relays->slab[relays->slab_used];
		relay->index = relays->slab_used++;
		atomic_store_explicit(
			&relays->slot->records, relays->slab_used, memory_order_relaxed);
	}
	relay->relays = relays;
	relay->record = shm_record(relays->shm, relays->slot_number, relay->index);
	return relay;
}

void relay_queue(struct relay *relay)
{
	if (relay->queued)
		return;
	relay->queued = true;
	TAILQ_INSERT_TAIL(&relay->relays->run, relay, link);
	relay->relays->nrun++;
}

void relay_unqueue(struct relay *relay)
{
	if (!relay->queued)
		return;
	relay->queued = false;
	TAILQ_REMOVE(&relay->relays->run, relay, link);
	relay->relays->nrun--;
}

static void relays_run_queued(struct relays *relays)
{
	struct relay *relay;

	/* As many as wait now; those that are queued again wait for the next turn. */
	for (uint32_t n = relays->nrun; n > 0 && (relay = TAILQ_FIRST(&relays->run)) != NULL; n--) {
		relay_unqueue(relay);
		relay_run(relay);
	}
}

void relay_give(struct relay *relay)
{
	record_change_begin(relay->record);
	relay->record->id = 0;
	relay->record->state = RELAY_FREE;
	record_change_end(relay->record);
	relay->magic = 0;
	TAILQ_INSERT_HEAD(&relay->relays->free, relay, link);
}

/* The keeper is told first: who finds its record gone must find nothing there. */
static void relays_free_ended(struct relays *relays)
{
	struct relay *relay;
	struct relay *next;

	keep_forget(relays->keep, &relays->ended);
	for (relay = TAILQ_FIRST(&relays->ended); relay != NULL; relay = next) {
		next = TAILQ_NEXT(relay, link);
		if (relay->keeping == KEEPING_KEPT)
			continue; /* not told yet */
		TAILQ_REMOVE(&relays->ended, relay, link);
		relay_give(relay);
	}
}

bool relays_turn_end(struct relays *relays)
{
	bool busy;

	relays_run_queued(relays);
	queues_turn(relays->queues);
	busy = keep_turn(relays->keep);
	relays_free_ended(relays);
	if (relays->access_log != NULL)
		sink_flush(relays->access_log);
	if (relays->on_room != NULL && relays_have_room(relays))
		relays->on_room(relays->on_room_arg);
	return busy || !TAILQ_EMPTY(&relays->run);
}

static bool relays_is_meant(const struct relay *relay, const struct msg_close *what)
{
	const struct relay_record *record = relay->record;

	if (relay->magic != RELAY_MAGIC || relay->keeping == KEEPING_LET_GO ||
		relay_state(relay) == RELAY_CLOSING)
		return false;
	if (what->server == SHM_NONE)
		return record->id == what->id;
	return relay->chosen != NULL && relay->chosen->place == what->server &&
		record->accepted_ms <= what->before_ms;
}

static enum close_reason relays_kill_reason(const struct relay *relay)
{
	switch (relay_state(relay)) {
	case RELAY_QUEUED:
		return CLOSE_KILLED_QUEUED;
	case RELAY_CHOOSING:
	case RELAY_CONNECTING:
		return CLOSE_KILLED_CONNECTING;
	case RELAY_RELAYING:
	case RELAY_SERVING:
	case RELAY_LINGERING:
	case RELAY_CLOSING:
	case RELAY_FREE:
	case RELAY_STATES:
		break;
	}
	return CLOSE_KILLED;
}

uint32_t relays_kill(struct relays *relays, const struct msg_close *what)
{
	uint32_t count = 0;

	for (uint32_t i = 0; i < relays->slab_used; i++) {
		struct relay *relay = &relays->slab[i];

		if (!relays_is_meant(relay, what))
			continue;
		relay_close(relay, relays_kill_reason(relay));
		count++;
	}
	shm_count(&relays->slot->killed, count);
	if (relays->access_log != NULL)
		sink_flush(relays->access_log);
	return count;
}

void relays_count_lost(struct relays *relays)
{
	uint64_t lost = log_lost();

	if (relays->access_log != NULL)
		lost += sink_lost(relays->access_log);
	shm_count(&relays->slot->log_lost, lost - relays->log_lost);
	relays->log_lost = lost;
}

uint32_t relays_log(struct relays *relays, struct message *message)
{
	const bool had = relays->access_log != NULL;
	uint32_t round;

	relays_count_lost(relays);
	round = child_log(message, &relays->access_log, &relays->access_format);
	/* A log that ended takes its count with it. */
	if (had && relays->access_log == NULL)
		relays->log_lost = log_lost();
	return round;
}

void relays_close_all(struct relays *relays, enum close_reason why)
{
	for (uint32_t i = 0; i < relays->slab_used; i++) {
		struct relay *relay = &relays->slab[i];

		if (relay->magic == RELAY_MAGIC && relay->keeping != KEEPING_LET_GO)
			relay_close(relay, why);
	}
	relays_free_ended(relays);
	if (relays->access_log != NULL)
		sink_flush(relays->access_log);
}
