/* From states to events. A backend whose servers all change at once is one event, not a thousand.
 */
#include "master/views/observer.h"

#include <event2/event.h>
#include <stdlib.h>

#include "common/check_result.h"
#include "common/child.h"
#include "common/clock.h"
#include "common/events.h"
#include "common/log.h"
#include "common/server_state.h"
#include "common/shm.h"

#define OBSERVER_EVERY_MS 250
#define OBSERVER_EACH_MOST                                                                         \
	4 /* servers of one backend that come to one state at once: more are one event */

/* What shm_master.server_seen has: 0 is never seen, else 1 + a state, or that it is ejected. */
#define SEEN_EJECTED (1 + SERVER_STATES)
#define SEEN_KINDS   (2 + SERVER_STATES)

/* What shm_master.backend_seen has. */
enum { BACKEND_UNSEEN, BACKEND_SERVES, BACKEND_EMPTY };

struct observer {
	struct shm *shm;     /* borrowed */
	struct event *timer; /* owned */
};

static uint32_t observer_look(struct shm *shm, uint32_t place, uint64_t now_ms)
{
	const enum server_state state = server_state(shm, place);

	if ((state == SERVER_STATE_UP || state == SERVER_STATE_NOCHECK) &&
		server_is_ejected(shm, place, now_ms))
		return SEEN_EJECTED;
	return 1 + state;
}

static const char *observer_text(uint32_t seen)
{
	static const char *const texts[SEEN_KINDS] = {
		[1 + SERVER_STATE_UP] = "up",
		[1 + SERVER_STATE_DOWN] = "down",
		[1 + SERVER_STATE_DRAIN] = "draining",
		[1 + SERVER_STATE_MAINT] = "in maintenance",
		[1 + SERVER_STATE_NOCHECK] = "ready, without a check",
		[1 + SERVER_STATE_ABSENT] = "gone: its name has fewer addresses",
		[SEEN_EJECTED] = "ejected for a while: connects to it fail",
	};

	return texts[seen];
}

static enum event_level observer_level(uint32_t seen)
{
	switch (seen) {
	case 1 + SERVER_STATE_UP:
	case 1 + SERVER_STATE_NOCHECK:
		return EVENT_GOOD;
	case 1 + SERVER_STATE_DOWN:
		return EVENT_BAD;
	case SEEN_EJECTED:
		return EVENT_WARN;
	default:
		return EVENT_INFO;
	}
}

/* The first look, a first good check, and a name's other addresses are nothing to tell. */
static bool observer_is_news(uint32_t before, uint32_t now)
{
	if (before == now || now == 1 + SERVER_STATE_ABSENT)
		return false;
	if (before == 0 || before == 1 + SERVER_STATE_NOCHECK || before == 1 + SERVER_STATE_ABSENT)
		return observer_level(now) != EVENT_GOOD;
	return true;
}

/* When: of what the checker found that is known, of all else it was just now. */
static uint64_t observer_wall_ms(struct shm *shm, uint32_t place, uint32_t seen)
{
	const uint64_t changed_ms = shm_checker(shm)->servers[place].last_change_ms;
	const uint64_t now_ms = clock_now_ms();
	const uint64_t wall_ms = clock_wall_ms();

	if ((seen != 1 + SERVER_STATE_UP && seen != 1 + SERVER_STATE_DOWN) || changed_ms == 0 ||
		changed_ms > now_ms || now_ms - changed_ms > 60000)
		return wall_ms;
	return wall_ms - (now_ms - changed_ms);
}

static void observer_tell_server(struct shm *shm, uint32_t place, uint32_t seen)
{
	const struct shm_health *health = &shm_checker(shm)->servers[place];
	const struct event_what what = {
		.kind = EVENT_SERVER,
		.level = observer_level(seen),
		.object = shm_name(shm, SHM_SERVER, place),
	};
	const uint64_t wall_ms = observer_wall_ms(shm, place, seen);
	char why[128];

	if (seen == 1 + SERVER_STATE_DOWN && health->checks > 0)
		events_add_at(shm, wall_ms, &what, "down: %s",
			check_result_describe(health->result, health->detail, why, sizeof(why)));
	else
		events_add_at(shm, wall_ms, &what, "%s", observer_text(seen));
}

/* ------------------------------------------------------------------ a backend */

/* What its servers came to be in this look. */
struct observed {
	uint32_t changed[SEEN_KINDS];
	uint32_t current;
	uint32_t usable;
};

static void observer_count(
	struct shm *shm, uint32_t backend, uint64_t now_ms, struct observed *observed_r)
{
	const struct shm_master *master = shm_master(shm);

	*observed_r = (struct observed){ 0 };
	for (uint32_t i = shm_first_server(shm, backend); i != SHM_NONE;
		i = shm_next_server(shm, i)) {
		uint32_t now;

		if (!shm_place_is_current(shm, SHM_SERVER, i))
			continue;
		now = observer_look(shm, i, now_ms);
		observed_r->current++;
		observed_r->usable += server_is_usable(shm, i);
		if (observer_is_news(master->server_seen[i], now))
			observed_r->changed[now]++;
	}
}

static void observer_note(
	struct shm *shm, uint32_t backend, uint64_t now_ms, const struct observed *observed)
{
	struct shm_master *master = shm_master(shm);

	for (uint32_t i = shm_first_server(shm, backend); i != SHM_NONE;
		i = shm_next_server(shm, i)) {
		const uint32_t before = master->server_seen[i];
		uint32_t now = 0;

		if (shm_place_is_current(shm, SHM_SERVER, i))
			now = observer_look(shm, i, now_ms);
		if (before == now)
			continue;
		master->server_seen[i] = now;
		if (now != 0 && observer_is_news(before, now) &&
			observed->changed[now] <= OBSERVER_EACH_MOST)
			observer_tell_server(shm, i, now);
	}
}

static void observer_tell_many(struct shm *shm, uint32_t backend, const struct observed *observed)
{
	for (uint32_t seen = 1; seen < SEEN_KINDS; seen++) {
		const struct event_what what = {
			.kind = EVENT_BACKEND,
			.level = observer_level(seen),
			.object = shm_name(shm, SHM_BACKEND, backend),
		};

		if (observed->changed[seen] > OBSERVER_EACH_MOST)
			events_add(shm, &what, "%u servers at once: %s", observed->changed[seen],
				observer_text(seen));
	}
}

/* Whether a client can be served at all. */
static void observer_tell_usable(struct shm *shm, uint32_t backend, const struct observed *observed)
{
	_Atomic uint32_t *seen = &shm_master(shm)->backend_seen[backend];
	const uint32_t before = *seen;
	const uint32_t now = observed->usable > 0 ? BACKEND_SERVES : BACKEND_EMPTY;
	struct event_what what = {
		.kind = EVENT_BACKEND,
		.level = EVENT_BAD,
		.object = shm_name(shm, SHM_BACKEND, backend),
	};

	if (observed->current == 0 || before == now)
		return;
	*seen = now;
	if (now == BACKEND_EMPTY) {
		events_add(shm, &what, "no server is left: clients are turned away");
	} else if (before == BACKEND_EMPTY) {
		what.level = EVENT_GOOD;
		events_add(shm, &what, "serves again");
	}
}

static void on_observer_timer(evutil_socket_t fd, short what, void *arg)
{
	struct observer *observer = arg;
	const uint64_t now_ms = clock_now_ms();
	const uint32_t backends = shm_placed(observer->shm, SHM_BACKEND);

	(void)fd;
	(void)what;
	for (uint32_t i = 0; i < backends; i++) {
		struct observed observed;

		observer_count(observer->shm, i, now_ms, &observed);
		observer_note(observer->shm, i, now_ms, &observed);
		observer_tell_many(observer->shm, i, &observed);
		observer_tell_usable(observer->shm, i, &observed);
	}
}

struct observer *observer_new(struct event_base *base, struct shm *shm)
{
	static const struct timeval every = { .tv_usec = OBSERVER_EVERY_MS * 1000 };
	struct observer *observer = calloc(1, sizeof(*observer));

	if (observer != NULL) {
		observer->shm = shm;
		observer->timer = event_new(base, -1, EV_PERSIST, on_observer_timer, observer);
	}
	if (observer == NULL || observer->timer == NULL || event_add(observer->timer, &every) < 0) {
		log_fatal("observer");
		exit(EXIT_CODE_FAILED);
	}
	return observer;
}

void observer_free(struct observer *observer)
{
	if (observer == NULL)
		return;
	event_free(observer->timer);
	free(observer);
}
