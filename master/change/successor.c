/* The keeper is replaced while it lives: by one of our own binary that is filled by it. Workers notice nothing. What there
 * is to say to a keeper meanwhile is held back, for neither may hear it before it is certain which of them stays.
 */
#include <event2/event.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/channel.h"
#include "common/clock.h"
#include "common/log.h"
#include "common/memory.h"
#include "master/children/process.h"

#define SUCCESSOR_LOOK_MS 20
#define SUCCESSOR_ALL_MS  10000 /* until K2M_FILLED */
#define SUCCESSOR_STOP_MS 2000  /* for the old one, once it was told that it has a successor */

/* A message that waits. */
struct held {
	STAILQ_ENTRY(held) link;
	enum message_type type;
	size_t payload_bytes;
	size_t nfds;
	void *payload; /* owned */
	int *fds;      /* owned, and what they stand for */
};

struct successor {
	struct event *timer; /* owned */
	bool wanted;
	bool filling;
	uint64_t until_ms;
	STAILQ_HEAD(held_list, held) held;
};

static void successor_look_again(struct successor *successor)
{
	const struct timeval again = clock_timeval(SUCCESSOR_LOOK_MS);

	evtimer_add(successor->timer, &again);
}

/* ------------------------------------------------------------------ held back */

static struct held *held_copy(const struct message *message)
{
	struct held *held = memory_or_exit(calloc(1, sizeof(*held)), "a keeper's successor");

	held->type = message->type;
	held->payload_bytes = message->payload_bytes;
	held->nfds = message->nfds;
	held->payload = memory_or_exit(malloc(message->payload_bytes + 1), "a keeper's successor");
	held->fds = memory_or_exit(calloc(message->nfds + 1, sizeof(int)), "a keeper's successor");
	if (message->payload_bytes > 0)
		memcpy(held->payload, message->payload, message->payload_bytes);
	for (size_t i = 0; i < message->nfds; i++)
		held->fds[i] = fcntl(message->fds[i], F_DUPFD_CLOEXEC, 3);
	return held;
}

static bool held_is_whole(const struct held *held)
{
	for (size_t i = 0; i < held->nfds; i++) {
		if (held->fds[i] < 0)
			return false;
	}
	return true;
}

static void held_send(struct supervisor *supervisor, struct held *held)
{
	const struct message message = {
		.type = held->type,
		.slot = supervisor->keeper->slot,
		.generation = supervisor->keeper->generation,
		.payload = held->payload,
		.payload_bytes = held->payload_bytes,
		.fds = held->fds,
		.nfds = held->nfds,
	};

	if (!process_alive(supervisor->keeper))
		return;
	if (held_is_whole(held))
		channel_send(supervisor->keeper->channel, &message);
	else
		log_errorx("%s was not said to the keeper: no more open files",
			message_type_name(held->type));
}

/* To the one that is the keeper now; send: or to nobody. */
static void successor_release(struct supervisor *supervisor, bool send)
{
	struct successor *successor = supervisor->successor;
	struct held *held;

	while ((held = STAILQ_FIRST(&successor->held)) != NULL) {
		STAILQ_REMOVE_HEAD(&successor->held, link);
		if (send)
			held_send(supervisor, held);
		for (size_t i = 0; i < held->nfds; i++)
			orphans_close(&held->fds[i]);
		free(held->fds);
		free(held->payload);
		free(held);
	}
}

bool successor_holds(struct supervisor *supervisor, const struct message *message)
{
	struct successor *successor = supervisor->successor;
	struct held *held;

	if (!successor->filling)
		return false;
	held = held_copy(message);
	STAILQ_INSERT_TAIL(&successor->held, held, link);
	return true;
}

/* ------------------------------------------------------------------ its life */

static void successor_send(struct process *keeper, enum message_type type, int fd)
{
	const struct message message = {
		.type = type,
		.slot = keeper->slot,
		.generation = keeper->generation,
		.fds = &fd,
		.nfds = 1,
	};

	channel_send(keeper->channel, &message);
}

static void successor_failed(struct supervisor *supervisor, const char *why)
{
	struct successor *successor = supervisor->successor;

	if (!successor->filling)
		return;
	if (!supervisor->stopping)
		log_warnx("the keeper is not replaced: %s; the one before goes on", why);
	successor->filling = false;
	evtimer_del(successor->timer);
	if (process_alive(supervisor->spare))
		process_kill(supervisor->spare);
	successor_release(supervisor, true);
}

static void successor_begin(struct supervisor *supervisor)
{
	struct successor *successor = supervisor->successor;

	successor->wanted = false;
	successor->until_ms = clock_now_ms() + SUCCESSOR_ALL_MS;
	supervisor->spare->home = supervisor->serving;
	supervisor->spare->slot = 0;
	process_spawn(supervisor->spare);
	if (process_alive(supervisor->spare))
		return;
	/* It is not tried again by itself: that is for a keeper that is needed. */
	evtimer_del(supervisor->spare->respawn);
	supervisor->spare->state = PROCESS_GONE;
}

void successor_born(struct supervisor *supervisor)
{
	struct successor *successor = supervisor->successor;
	int fds[2];

	successor->filling = true;
	successor_look_again(successor);
	if (channel_pair(fds) < 0) {
		successor_failed(supervisor, "no line between the two");
		return;
	}
	successor_send(supervisor->spare, M2K_INHERIT, fds[0]);
	successor_send(supervisor->keeper, M2K_HAND_OVER, fds[1]);
	close(fds[0]);
	close(fds[1]);
}

int successor_filled(struct supervisor *supervisor)
{
	struct successor *successor = supervisor->successor;
	struct process *before = supervisor->keeper;

	if (!successor->filling)
		return supervisor->spare->state == PROCESS_GONE ? -1 : 0;
	supervisor->keeper = supervisor->spare;
	supervisor->spare = before;
	successor->filling = false;
	evtimer_del(successor->timer);
	before->ending = true;
	before->end_by_ms = clock_now_ms() + SUCCESSOR_STOP_MS;
	log_info("the keeper is pid %d now", (int)supervisor->keeper->pid);
	successor_release(supervisor, true);
	/* Where there was no room for listeners. */
	keeping_listeners(supervisor);
	return 0;
}

void successor_ended(struct supervisor *supervisor)
{
	successor_failed(supervisor, "its successor ended");
}

void successor_look(struct supervisor *supervisor)
{
	struct successor *successor = supervisor->successor;

	if (successor->filling && process_alive(supervisor->spare))
		channel_drain(supervisor->spare->channel);
	if (!successor->filling)
		return;
	/* All is said anew to the next one. */
	successor->filling = false;
	evtimer_del(successor->timer);
	successor_release(supervisor, false);
	process_kill(supervisor->spare);
}

void successor_want(struct supervisor *supervisor)
{
	struct successor *successor = supervisor->successor;

	if (supervisor->stopping || successor->filling)
		return;
	successor->wanted = true;
	successor_look_again(successor);
}

bool successor_is_pending(const struct supervisor *supervisor)
{
	return supervisor->successor->wanted || supervisor->successor->filling;
}

bool successor_is_filling(const struct supervisor *supervisor)
{
	return supervisor->successor->filling;
}

void successor_give_up(struct supervisor *supervisor, const char *why)
{
	supervisor->successor->wanted = false;
	successor_failed(supervisor, why);
	evtimer_del(supervisor->successor->timer);
}

static void on_successor_timer(evutil_socket_t fd, short what, void *arg)
{
	struct supervisor *supervisor = arg;
	struct successor *successor = supervisor->successor;

	(void)fd;
	(void)what;
	if (successor->filling && clock_now_ms() >= successor->until_ms)
		successor_failed(supervisor, "its successor is not filled in time");
	else if (successor->wanted && supervisor_is_quiet(supervisor))
		successor_begin(supervisor);
	if (successor->filling || successor->wanted)
		successor_look_again(successor);
}

void successor_init(struct supervisor *supervisor)
{
	struct successor *successor =
		memory_or_exit(calloc(1, sizeof(*successor)), "a keeper's successor");

	STAILQ_INIT(&successor->held);
	successor->timer =
		supervisor_event(evtimer_new(supervisor->base, on_successor_timer, supervisor));
	supervisor->successor = successor;
}

void successor_deinit(struct supervisor *supervisor)
{
	successor_release(supervisor, false);
	event_free(supervisor->successor->timer);
	free(supervisor->successor);
}
