/* Each thing asked for is looked at by a timer: the records of all slots are looked through, their owners told once, and
 * again after they answered. What a record says is believed in nothing but that it is worth asking its worker.
 */
#include "master/change/closing.h"

#include <event2/event.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/queue.h>

#include "common/channel.h"
#include "common/clock.h"
#include "common/log.h"
#include "common/memory.h"
#include "common/shm.h"
#include "master/change/reload.h"
#include "master/children/supervisor.h"

#define CLOSING_LOOK_MS                                                                            \
	10 /* at first; doubles, for looking through a hundred thousand records takes some of that */
#define CLOSING_LOOK_MAX_MS 160
#define CLOSING_EMPTY       2

/* What was asked for. */
struct closing_ask {
	TAILQ_ENTRY(closing_ask) link;
	struct closing *closing; /* borrowed */
	struct msg_close what;
	struct reload_waiter *waiter; /* borrowed; NULL */
	struct event *timer;          /* owned */
	uint64_t until_ms;
	uint32_t look_ms;
	uint64_t closed; /* so far */
	/* of the last look */
	uint64_t left;
	uint32_t slot;  /* where one of them is */
	uint32_t empty; /* looks that found none, in a row: one may miss what moves meanwhile */
	bool seen;      /* there was one, ever */
	pid_t asked[SHM_SLOTS]; /* this worker has not answered; 0 */
};

struct closing {
	struct event_base *base;       /* borrowed */
	struct shm *shm;               /* borrowed */
	struct supervisor *supervisor; /* borrowed */
	uint32_t round;
	TAILQ_HEAD(, closing_ask) asks; /* owned */
};

/* ------------------------------------------------------------------ looking */

static bool closing_is_meant(const struct relay_record *record, const struct msg_close *what)
{
	if (record->id == 0 || record->state == RELAY_FREE || record->state == RELAY_CLOSING)
		return false;
	if (what->server == SHM_NONE)
		return record->id == what->id;
	return record->server == what->server && record->accepted_ms <= what->before_ms;
}

/* How many lie in a slot. */
static uint64_t closing_count(const struct closing_ask *ask, uint32_t slot)
{
	struct shm *shm = ask->closing->shm;
	const struct shm_slot *worker = shm_slot(shm, slot);
	uint32_t records = worker->records;
	uint64_t count = 0;

	if (worker->state == SLOT_FREE)
		return 0;
	if (records > shm_records(shm))
		records = shm_records(shm);
	for (uint32_t i = 0; i < records; i++)
		count += closing_is_meant(shm_record(shm, slot, i), &ask->what);
	return count;
}

static void closing_look(struct closing_ask *ask)
{
	struct closing *closing = ask->closing;

	ask->left = 0;
	for (uint32_t slot = 0; slot < shm_master(closing->shm)->slots; slot++) {
		uint64_t count = closing_count(ask, slot);

		/* It died: what it had is, or will be, another's. */
		if (ask->asked[slot] != supervisor_worker_pid(closing->supervisor, slot))
			ask->asked[slot] = 0;
		if (count == 0)
			continue;
		ask->left += count;
		ask->slot = slot;
		if (ask->asked[slot] == 0)
			ask->asked[slot] = supervisor_close(closing->supervisor, slot, &ask->what);
	}
	ask->seen = ask->seen || ask->left > 0;
	ask->empty = ask->left > 0 ? 0 : ask->empty + 1;
}

/* ------------------------------------------------------------------ the answer */

static void closing_end(struct closing_ask *ask)
{
	TAILQ_REMOVE(&ask->closing->asks, ask, link);
	event_free(ask->timer);
	free(ask);
}

static void closing_answer(struct closing_ask *ask, enum reload_result result, const char *format,
	...) PRINTF_LIKE(3, 4);
static void closing_answer(
	struct closing_ask *ask, enum reload_result result, const char *format, ...)
{
	char text[256];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	if (ask->waiter != NULL)
		ask->waiter->answer(ask->waiter, result, text);
	else if (result == RELOAD_REFUSED)
		log_warnx("%s", text);
	closing_end(ask);
}

static void closing_done(struct closing_ask *ask)
{
	if (ask->what.server != SHM_NONE)
		closing_answer(ask, RELOAD_DONE, "%" PRIu64 " sessions closed", ask->closed);
	else if (ask->closed > 0)
		closing_answer(ask, RELOAD_DONE, "session %" PRIu64 " closed", ask->what.id);
	else if (ask->seen)
		closing_answer(
			ask, RELOAD_DONE, "session %" PRIu64 " ended by itself", ask->what.id);
	else
		closing_answer(ask, RELOAD_REFUSED,
			"there is no session %" PRIu64 ": `show sessions` lists them",
			ask->what.id);
}

static void closing_late(struct closing_ask *ask)
{
	char who[64];
	const char *name = supervisor_who(ask->closing->supervisor, ask->slot, who, sizeof(who));

	closing_answer(ask, RELOAD_REFUSED,
		"%" PRIu64 " sessions closed, %" PRIu64 " not in %d s: %s %s", ask->closed,
		ask->left, CLOSING_WAIT_MS / 1000, name,
		ask->asked[ask->slot] != 0 ? "does not answer, and closes them when it goes on"
					   : "has them, they are on the move");
}

static bool closing_waits(const struct closing_ask *ask)
{
	for (uint32_t i = 0; i < SHM_SLOTS; i++) {
		if (ask->asked[i] != 0)
			return true;
	}
	return false;
}

static void on_closing_timer(evutil_socket_t fd, short what, void *arg)
{
	struct closing_ask *ask = arg;
	struct timeval next = { 0 };
	const bool late = clock_now_ms() >= ask->until_ms;

	(void)fd;
	(void)what;
	closing_look(ask);
	if (late && ask->left > 0) {
		closing_late(ask);
		return;
	}
	if (late || (ask->empty >= CLOSING_EMPTY && !closing_waits(ask))) {
		closing_done(ask);
		return;
	}
	next.tv_usec = (suseconds_t)ask->look_ms * 1000;
	if (ask->look_ms < CLOSING_LOOK_MAX_MS)
		ask->look_ms *= 2;
	evtimer_add(ask->timer, &next);
}

void closing_heard(struct closing *closing, uint32_t slot, const struct msg_round *answer)
{
	static const struct timeval now = { 0 };
	struct closing_ask *ask;

	if (closing == NULL || slot >= SHM_SLOTS)
		return;
	TAILQ_FOREACH(ask, &closing->asks, link) {
		if (ask->what.round != answer->round)
			continue;
		ask->asked[slot] = 0;
		ask->closed += answer->count;
		/* What answered with none has none any more, or not yet: no hurry. */
		if (answer->count > 0 && !closing_waits(ask))
			evtimer_add(ask->timer, &now);
		return;
	}
}

/* ------------------------------------------------------------------ what is asked for */

static void closing_begin(
	struct closing *closing, const struct msg_close *what, struct reload_waiter *waiter)
{
	static const struct timeval now = { 0 };
	struct closing_ask *ask = memory_or_exit(calloc(1, sizeof(*ask)), "closing");

	ask->closing = closing;
	ask->what = *what;
	ask->what.round = ++closing->round;
	ask->waiter = waiter;
	ask->look_ms = CLOSING_LOOK_MS;
	ask->until_ms = clock_now_ms() + CLOSING_WAIT_MS;
	ask->timer = memory_or_exit(evtimer_new(closing->base, on_closing_timer, ask), "closing");
	TAILQ_INSERT_TAIL(&closing->asks, ask, link);
	evtimer_add(ask->timer, &now);
}

void closing_relay(struct closing *closing, uint64_t id, struct reload_waiter *waiter)
{
	const struct msg_close what = { .server = SHM_NONE, .id = id };

	closing_begin(closing, &what, waiter);
}

void closing_server(struct closing *closing, uint32_t place, struct reload_waiter *waiter)
{
	const struct msg_close what = { .server = place, .before_ms = clock_now_ms() };

	closing_begin(closing, &what, waiter);
}

void closing_forget(struct closing *closing, struct reload_waiter *waiter)
{
	struct closing_ask *ask;

	TAILQ_FOREACH(ask, &closing->asks, link) {
		if (ask->waiter == waiter)
			ask->waiter = NULL;
	}
}

void closing_stop(struct closing *closing)
{
	struct closing_ask *ask;

	while ((ask = TAILQ_FIRST(&closing->asks)) != NULL)
		closing_answer(ask, RELOAD_REFUSED, "proxyd stops");
}

struct closing *closing_new(struct event_base *base, struct shm *shm, struct supervisor *supervisor)
{
	struct closing *closing = memory_or_exit(calloc(1, sizeof(*closing)), "closing");

	closing->base = base;
	closing->shm = shm;
	closing->supervisor = supervisor;
	TAILQ_INIT(&closing->asks);
	supervisor_set_closing(supervisor, closing);
	return closing;
}

void closing_free(struct closing *closing)
{
	struct closing_ask *ask;
	struct closing_ask *next;

	if (closing == NULL)
		return;
	for (ask = TAILQ_FIRST(&closing->asks); ask != NULL; ask = next) {
		next = TAILQ_NEXT(ask, link);
		event_free(ask->timer);
		free(ask);
	}
	free(closing);
}
