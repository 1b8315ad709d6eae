/* The ring of events: the last of them, whole, and nothing that is not there.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "common/clock.h"
#include "common/events.h"
#include "common/shm.h"

static struct shm *memory(void)
{
	const char *error = NULL;
	struct shm *shm = shm_create(64, &error);

	assert_non_null(shm);
	return shm;
}

static const struct event_what what = { EVENT_SERVER, EVENT_BAD, "app/a" };

static void test_none(void **state)
{
	struct shm *shm = memory();
	struct event_record record;

	(void)state;
	assert_int_equal(events_last(shm), 0);
	assert_int_equal(events_first(shm), 0);
	assert_false(events_read(shm, 0, &record));
	assert_false(events_read(shm, 1, &record));
	assert_false(events_read(shm, EVENTS_MAX, &record));
	shm_free(shm);
}

static void test_one(void **state)
{
	struct shm *shm = memory();
	const uint64_t before = clock_wall_ms();
	struct event_record record;

	(void)state;
	events_add(shm, &what, "down: %s", "cannot connect");
	assert_int_equal(events_first(shm), 1);
	assert_int_equal(events_last(shm), 1);
	assert_true(events_read(shm, 1, &record));
	assert_in_range(record.wall_ms, before, clock_wall_ms());
	assert_string_equal(event_kind_name(record.kind), "server");
	assert_string_equal(event_level_name(record.level), "bad");
	assert_string_equal(record.object, "app/a");
	assert_string_equal(record.text, "down: cannot connect");
	events_add_at(shm, 42, &what, "x");
	assert_true(events_read(shm, 2, &record));
	assert_int_equal(record.wall_ms, 42);
	shm_free(shm);
}

/* Whoever was overtaken by the writer gets nothing, not another one. */
static void test_wraps(void **state)
{
	struct shm *shm = memory();
	struct event_record record;
	char text[16];

	(void)state;
	for (unsigned i = 1; i <= 2 * EVENTS_MAX + 7; i++)
		events_add(shm, &what, "%u", i);
	assert_int_equal(events_last(shm), 2 * EVENTS_MAX + 7);
	assert_int_equal(events_first(shm), EVENTS_MAX + 8);
	for (uint64_t number = 1; number <= 2 * EVENTS_MAX + 9; number++) {
		const bool there = number >= events_first(shm) && number <= events_last(shm);

		assert_int_equal(events_read(shm, number, &record), there);
		snprintf(text, sizeof(text), "%u", (unsigned)number);
		if (there)
			assert_string_equal(record.text, text);
	}
	shm_free(shm);
}

static void test_long_and_strange(void **state)
{
	struct shm *shm = memory();
	char name[2 * EVENT_OBJECT_MAX];
	char text[2 * EVENT_TEXT_MAX];
	const struct event_what about = { EVENT_OPERATOR, EVENT_INFO, name };
	struct event_record record;

	(void)state;
	memset(name, 'n', sizeof(name) - 1);
	memset(text, 't', sizeof(text) - 1);
	name[sizeof(name) - 1] = text[sizeof(text) - 1] = '\0';
	events_add(shm, &about, "%s", text);
	assert_true(events_read(shm, 1, &record));
	assert_int_equal(strlen(record.object), EVENT_OBJECT_MAX - 1);
	assert_int_equal(strlen(record.text), EVENT_TEXT_MAX - 1);
	assert_string_equal(event_kind_name(4711), "unknown");
	assert_string_equal(event_level_name(4711), "unknown");

	/* One that is being written, by a master that was killed. */
	shm_master(shm)->events.ring[1].sequence = 1;
	assert_false(events_read(shm, 1, &record));
	shm_free(shm);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_none),
		cmocka_unit_test(test_one),
		cmocka_unit_test(test_wraps),
		cmocka_unit_test(test_long_and_strange),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
