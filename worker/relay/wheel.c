/* One bucket per tick of 16 ms, a bitmap of those that hold entries, one libevent timer for the next of
 * them: a worker whose relays are idle sleeps until a bucket is due.
 */
#include "worker/relay/wheel.h"

#include <event2/event.h>
#include <event2/event_struct.h>
#include <stdbool.h>
#include <stdlib.h>

#include "common/clock.h"
#include "common/memory.h"
#include "common/must.h"

#define WHEEL_TICK_MS 16
#define WHEEL_BUCKETS 4096
#define WHEEL_WORDS   (WHEEL_BUCKETS / 64)

LIST_HEAD(wheel_bucket, wheel_entry);

struct wheel {
	struct event timer;
	wheel_fire_fn *fire;
	uint64_t done_tick;  /* every bucket up to this tick has fired */
	uint64_t armed_tick; /* 0: the timer is not set */
	uint64_t filled[WHEEL_WORDS];
	struct wheel_bucket buckets[WHEEL_BUCKETS];
};

/* The first tick after done_tick whose bucket holds something, 0 when none does. */
static uint64_t wheel_next(const struct wheel *wheel)
{
	uint64_t tick = wheel->done_tick + 1;
	uint64_t end = wheel->done_tick + WHEEL_BUCKETS;

	while (tick <= end) {
		unsigned bucket = tick % WHEEL_BUCKETS;
		uint64_t word = wheel->filled[bucket / 64] >> (bucket % 64);

		if (word != 0) {
			tick += (unsigned)__builtin_ctzll(word);
			return tick <= end ? tick : 0;
		}
		tick += 64 - bucket % 64;
	}
	return 0;
}

static void wheel_arm(struct wheel *wheel, uint64_t tick)
{
	uint64_t now = clock_now_ms();
	uint64_t due = (tick + 1) * WHEEL_TICK_MS;
	uint64_t wait = due > now ? due - now : 0;
	struct timeval tv = { (time_t)(wait / 1000), (suseconds_t)(wait % 1000 * 1000) };

	wheel->armed_tick = tick;
	event_add(&wheel->timer, &tv);
}

static void wheel_fire_bucket(struct wheel *wheel, unsigned bucket, uint64_t now_ms)
{
	struct wheel_bucket due;
	struct wheel_entry *entry;

	/* Onto a list of its own: what fires may come back into this very bucket. */
	LIST_INIT(&due);
	while ((entry = LIST_FIRST(&wheel->buckets[bucket])) != NULL) {
		LIST_REMOVE(entry, link);
		LIST_INSERT_HEAD(&due, entry, link);
	}
	wheel->filled[bucket / 64] &= ~(1ULL << (bucket % 64));
	while ((entry = LIST_FIRST(&due)) != NULL) {
		LIST_REMOVE(entry, link);
		entry->bucket = 0;
		wheel->fire(entry, now_ms);
	}
}

static void on_wheel_timer(evutil_socket_t fd, short what, void *arg)
{
	struct wheel *wheel = arg;
	uint64_t now_ms = clock_now_ms();
	uint64_t now_tick = now_ms / WHEEL_TICK_MS;
	uint64_t tick;

	(void)fd;
	(void)what;
	wheel->armed_tick = 0;
	while ((tick = wheel_next(wheel)) != 0 && tick < now_tick) {
		wheel->done_tick = tick;
		wheel_fire_bucket(wheel, tick % WHEEL_BUCKETS, now_ms);
	}
	if (now_tick > wheel->done_tick + 1)
		wheel->done_tick = now_tick - 1;
	tick = wheel_next(wheel);
	if (tick != 0)
		wheel_arm(wheel, tick);
}

struct wheel *wheel_new(struct event_base *base, wheel_fire_fn *fire)
{
	struct wheel *wheel = memory_or_exit(calloc(1, sizeof(*wheel)), "no memory for timers");

	wheel->fire = fire;
	wheel->done_tick = clock_now_ms() / WHEEL_TICK_MS;
	for (unsigned i = 0; i < WHEEL_BUCKETS; i++)
		LIST_INIT(&wheel->buckets[i]);
	event_assign(&wheel->timer, base, -1, 0, on_wheel_timer, wheel);
	return wheel;
}

void wheel_free(struct wheel *wheel)
{
	if (wheel == NULL)
		return;
	event_del(&wheel->timer);
	free(wheel);
}

void wheel_add(struct wheel *wheel, struct wheel_entry *entry, uint64_t deadline_ms)
{
	uint64_t tick = deadline_ms / WHEEL_TICK_MS;
	uint64_t idle_since = wheel->done_tick;
	unsigned bucket;

	/* With nothing in the wheel its hand stood still. */
	if (wheel->armed_tick == 0 && wheel_next(wheel) == 0)
		idle_since = wheel->done_tick = clock_now_ms() / WHEEL_TICK_MS - 1;
	if (tick <= idle_since)
		tick = idle_since + 1;
	if (tick > idle_since + WHEEL_BUCKETS - 1)
		tick = idle_since + WHEEL_BUCKETS - 1;
	bucket = tick % WHEEL_BUCKETS;
	if (entry->bucket != 0) {
		unsigned steps = (entry->bucket - 1 + WHEEL_BUCKETS -
					 (unsigned)(idle_since % WHEEL_BUCKETS)) %
			WHEEL_BUCKETS;

		if (idle_since + steps <= tick)
			return;
		wheel_del(wheel, entry);
	}
	LIST_INSERT_HEAD(&wheel->buckets[bucket], entry, link);
	wheel->filled[bucket / 64] |= 1ULL << (bucket % 64);
	entry->bucket = bucket + 1;
	if (wheel->armed_tick == 0 || tick < wheel->armed_tick)
		wheel_arm(wheel, tick);
}

void wheel_del(struct wheel *wheel, struct wheel_entry *entry)
{
	unsigned bucket = entry->bucket - 1;

	if (entry->bucket == 0)
		return;
	LIST_REMOVE(entry, link);
	entry->bucket = 0;
	if (LIST_EMPTY(&wheel->buckets[bucket]))
		wheel->filled[bucket / 64] &= ~(1ULL << (bucket % 64));
}
