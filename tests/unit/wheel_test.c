/* The timer wheel: nothing fires early (but what is over a minute away), nothing late, nothing is lost. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <event2/event.h>
#include <stdbool.h>
#include <stdlib.h>
#include <time.h>

#include "common/clock.h"
#include "common/must.h"
#include "worker/relay/wheel.h"

struct timer {
	struct wheel_entry entry;
	uint64_t deadline_ms;
	uint64_t fired_ms;
};

#define TIMERS 200

static unsigned fired;

static void on_fire(struct wheel_entry *entry, uint64_t now_ms)
{
	struct timer *timer = (struct timer *)(void *)entry;

	assert_int_equal(timer->fired_ms, 0);
	timer->fired_ms = now_ms;
	fired++;
}

static void run_until_fired(struct event_base *base, unsigned count, unsigned most_ms)
{
	uint64_t end_ms = clock_now_ms() + most_ms;

	while (fired < count && clock_now_ms() < end_ms) {
		if (event_base_loop(base, EVLOOP_ONCE) != 0)
			break;
	}
}

static void test_each_fires_in_its_time(void **state)
{
	struct event_base *base = event_base_new();
	struct wheel *wheel = wheel_new(base, on_fire);
	struct timer *timers = calloc(TIMERS, sizeof(*timers));
	unsigned late = 0;

	(void)state;
	fired = 0;
	for (unsigned i = 0; i < TIMERS; i++) {
		timers[i].deadline_ms = clock_now_ms() + (unsigned)rand() % 700;
		wheel_add(wheel, &timers[i].entry, timers[i].deadline_ms);
	}
	run_until_fired(base, TIMERS, 3000);
	assert_int_equal(fired, TIMERS);
	for (unsigned i = 0; i < TIMERS; i++) {
		assert_true(timers[i].fired_ms >= timers[i].deadline_ms);
		late += timers[i].fired_ms > timers[i].deadline_ms + 100; /* a busy machine */
	}
	assert_true(late < TIMERS / 4);
	wheel_free(wheel);
	event_base_free(base);
	free(timers);
}

static void test_an_earlier_deadline_wins_a_later_one_waits(void **state)
{
	struct event_base *base = event_base_new();
	struct wheel *wheel = wheel_new(base, on_fire);
	struct timer timer = { .fired_ms = 0 };
	uint64_t start_ms = clock_now_ms();

	(void)state;
	fired = 0;
	wheel_add(wheel, &timer.entry, start_ms + 20000);
	wheel_add(wheel, &timer.entry, start_ms + 60);
	wheel_add(wheel, &timer.entry, start_ms + 30000); /* lazy: stays where it is */
	run_until_fired(base, 1, 3000);
	assert_int_equal(fired, 1);
	assert_true(timer.fired_ms >= start_ms + 60);
	assert_true(timer.fired_ms < start_ms + 2000);
	wheel_free(wheel);
	event_base_free(base);
}

static void test_removed_ones_do_not_fire(void **state)
{
	struct event_base *base = event_base_new();
	struct wheel *wheel = wheel_new(base, on_fire);
	struct timer gone = { .fired_ms = 0 };
	struct timer stays = { .fired_ms = 0 };

	(void)state;
	fired = 0;
	wheel_add(wheel, &gone.entry, clock_now_ms() + 30);
	wheel_add(wheel, &stays.entry, clock_now_ms() + 90);
	wheel_del(wheel, &gone.entry);
	wheel_del(wheel, &gone.entry);
	run_until_fired(base, 1, 3000);
	assert_int_equal(gone.fired_ms, 0);
	assert_true(stays.fired_ms > 0);
	/* An empty wheel asks for no wake-up. */
	assert_int_equal(event_base_get_num_events(base, EVENT_BASE_COUNT_ADDED), 0);
	wheel_free(wheel);
	event_base_free(base);
}

/* After a long sleep with nothing in it, the hand is moved to now. */
static void test_a_wheel_that_stood_still_goes_on(void **state)
{
	struct event_base *base = event_base_new();
	struct wheel *wheel = wheel_new(base, on_fire);
	struct timer timer = { .fired_ms = 0 };

	(void)state;
	for (int i = 0; i < 3; i++) {
		uint64_t start_ms;

		struct timespec nap = { 0, 150000000 };
		nanosleep(&nap, NULL);
		fired = 0;
		timer.fired_ms = 0;
		start_ms = clock_now_ms();
		wheel_add(wheel, &timer.entry, start_ms + 40);
		run_until_fired(base, 1, 3000);
		assert_int_equal(fired, 1);
		assert_true(timer.fired_ms >= start_ms + 40 && timer.fired_ms < start_ms + 1000);
	}
	wheel_free(wheel);
	event_base_free(base);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_each_fires_in_its_time),
		cmocka_unit_test(test_an_earlier_deadline_wins_a_later_one_waits),
		cmocka_unit_test(test_removed_ones_do_not_fire),
		cmocka_unit_test(test_a_wheel_that_stood_still_goes_on),
	};

	return cmocka_run_group_tests_name("wheel", tests, NULL, NULL);
}
