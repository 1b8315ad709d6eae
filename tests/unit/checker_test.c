/* Rise and fall: what a row of good and bad checks makes of a server. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "common/must.h"
#include "worker/checker/state.h"

/* `results` is a check each: + good, - bad. `healths` is what holds after each: U or D, small where that
 * check did not change it. */
static const struct {
	const char *what;
	uint32_t rise;
	uint32_t fall;
	const char *results;
	const char *healths;
} rows[] = {
	{ "good from the start", 2, 3, "++++", "uuuu" },
	{ "on probation the first bad check counts", 2, 3, "-", "D" },
	{ "and rise brings it back", 2, 3, "-++", "DdU" },
	{ "probation ends with the first check", 2, 3, "+---", "uuuD" },
	{ "also after it came back", 2, 3, "-++---", "DdUuuD" },
	{ "a good one in between starts the row anew", 2, 3, "+--+--+---", "uuuuuuuuuD" },
	{ "a bad one in between as well", 3, 3, "-++-++-+++", "DddddddddU" },
	{ "rise 1, fall 1", 1, 1, "+-+--++", "uDUDdUu" },
	{ "flapping faster than rise and fall", 2, 2, "+-+-+-+-", "uuuuuuuu" },
	{ "fall 5", 1, 5, "+----+-----", "uuuuuuuuuuD" },
};

static void test_rows(void **state)
{
	(void)state;
	for (size_t i = 0; i < NELEMS(rows); i++) {
		struct check_state check = { .health = HEALTH_NOCHECK };
		char got[32] = "";

		check_state_begin(&check, TARGET_CHECKED);
		assert_int_equal(check.health, HEALTH_UP);
		for (size_t c = 0; rows[i].results[c] != '\0'; c++) {
			bool good = rows[i].results[c] == '+';
			bool changed = check_state_step(&check, good, rows[i].rise, rows[i].fall);
			bool up = check.health == HEALTH_UP;

			got[c] = (char)(changed ? (up ? 'U' : 'D') : (up ? 'u' : 'd'));
			assert_int_equal(check.checks, c + 1);
		}
		if (strcmp(got, rows[i].healths) != 0)
			fail_msg("%s: %s gave %s, not %s", rows[i].what, rows[i].results, got,
				rows[i].healths);
	}
}

static void test_streak(void **state)
{
	struct check_state check = { .health = HEALTH_UP, .checks = 9 };

	(void)state;
	check_state_step(&check, false, 2, 3);
	assert_int_equal(check.streak, 1);
	check_state_step(&check, false, 2, 3);
	assert_int_equal(check.streak, 2);
	check_state_step(&check, true, 2, 3);
	assert_int_equal(check.streak, 0);
}

static void test_checks_stay_at_their_maximum(void **state)
{
	struct check_state check = { .health = HEALTH_UP, .checks = UINT32_MAX };

	(void)state;
	assert_false(check_state_step(&check, false, 2, 3));
	assert_int_equal(check.checks, UINT32_MAX);
}

static const struct {
	const char *what;
	struct check_state found;
	enum check_target target;
	struct check_state begun;
} begins[] = {
	{ "never seen", { HEALTH_NOCHECK, 0, 0 }, TARGET_CHECKED, { HEALTH_UP, 0, 0 } },
	{ "no check", { HEALTH_NOCHECK, 0, 0 }, TARGET_UNCHECKED, { HEALTH_NOCHECK, 0, 0 } },
	{ "no address", { HEALTH_NOCHECK, 0, 0 }, TARGET_UNRESOLVED, { HEALTH_DOWN, 0, 0 } },
	{ "a predecessor's up", { HEALTH_UP, 1, 7 }, TARGET_CHECKED, { HEALTH_UP, 1, 7 } },
	{ "a predecessor's down", { HEALTH_DOWN, 1, 7 }, TARGET_CHECKED, { HEALTH_DOWN, 1, 7 } },
	{ "it has an address now", { HEALTH_DOWN, 0, 0 }, TARGET_CHECKED, { HEALTH_UP, 0, 0 } },
	{ "its check is gone", { HEALTH_DOWN, 1, 7 }, TARGET_UNCHECKED, { HEALTH_NOCHECK, 0, 0 } },
	{ "its address is gone", { HEALTH_UP, 1, 7 }, TARGET_UNRESOLVED, { HEALTH_DOWN, 0, 0 } },
};

static void test_begin(void **state)
{
	(void)state;
	for (size_t i = 0; i < NELEMS(begins); i++) {
		struct check_state check = begins[i].found;

		check_state_begin(&check, begins[i].target);
		if (check.health != begins[i].begun.health ||
			check.streak != begins[i].begun.streak ||
			check.checks != begins[i].begun.checks)
			fail_msg("%s: health %d, streak %u, checks %u", begins[i].what,
				check.health, check.streak, check.checks);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rows),
		cmocka_unit_test(test_streak),
		cmocka_unit_test(test_checks_stay_at_their_maximum),
		cmocka_unit_test(test_begin),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
