/* Which interval holds in which state, and what jitter makes of it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/must.h"
#include "conf/conf.h"
#include "worker/checker/schedule.h"
#include "worker/checker/state.h"

static const struct {
	const char *what;
	uint32_t fastinter_ms;
	uint32_t downinter_ms;
	struct check_state state;
	uint32_t interval_ms;
} rows[] = {
	{ "up", 100, 9000, { HEALTH_UP, 0, 5 }, 2000 },
	{ "up, the last check was bad", 100, 9000, { HEALTH_UP, 1, 5 }, 100 },
	{ "down", 100, 9000, { HEALTH_DOWN, 0, 5 }, 9000 },
	{ "down, the last check was good", 100, 9000, { HEALTH_DOWN, 1, 5 }, 100 },
	{ "fastinter 0", 0, 9000, { HEALTH_UP, 1, 5 }, 2000 },
	{ "fastinter 0 while down", 0, 9000, { HEALTH_DOWN, 1, 5 }, 2000 },
	{ "downinter 0", 100, 0, { HEALTH_DOWN, 0, 5 }, 2000 },
	{ "both 0", 0, 0, { HEALTH_DOWN, 1, 5 }, 2000 },
};

static void test_rows(void **state)
{
	(void)state;
	for (size_t i = 0; i < NELEMS(rows); i++) {
		struct conf_check conf = { .inter_ms = 2000,
			.fastinter_ms = rows[i].fastinter_ms,
			.downinter_ms = rows[i].downinter_ms };
		uint32_t interval_ms = schedule_interval_ms(&conf, &rows[i].state, UINT64_MAX);

		if (interval_ms != rows[i].interval_ms)
			fail_msg("%s: %u ms", rows[i].what, interval_ms);
	}
}

static void test_jitter_only_adds(void **state)
{
	struct conf_check conf = { .inter_ms = 1000, .spread_pct = 10 };
	struct check_state up = { HEALTH_UP, 0, 1 };
	uint64_t random = 7;
	uint64_t sum = 0;
	uint32_t least = UINT32_MAX;
	uint32_t most = 0;

	(void)state;
	for (int i = 0; i < 100000; i++) {
		uint32_t ms = schedule_interval_ms(&conf, &up, schedule_random(&random));

		sum += ms;
		least = ms < least ? ms : least;
		most = ms > most ? ms : most;
	}
	assert_int_equal(least, 1000);
	assert_int_equal(most, 1100);
	assert_in_range(sum / 100000, 1049, 1051);
}

static void test_longest(void **state)
{
	struct conf_check conf = { .inter_ms = 86400000, .spread_pct = 50 };
	struct check_state up = { HEALTH_UP, 0, 1 };

	(void)state;
	assert_int_equal(schedule_interval_ms(&conf, &up, UINT64_MAX), 129600000);
	assert_int_equal(schedule_interval_ms(&conf, &up, 0), 86400000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rows),
		cmocka_unit_test(test_jitter_only_adds),
		cmocka_unit_test(test_longest),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
