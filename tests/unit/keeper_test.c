/* The keeper, from its workers' and its master's ends. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/unit/keeper_bed.h"

static int setup(void **state)
{
	(void)state;
	bed_begin(-1);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	bed_end();
	return 0;
}

/* ------------------------------------------------------------------ keep, forget */

static void keeps_and_forgets(void **state)
{
	struct fake *a = bed_worker(0);
	unsigned before = bed_count_fds();

	(void)state;
	fake_deposit(a, 7, 70, 0);
	fake_deposit(a, 8, 80, MSG_DEPOSIT_CLIENT_ONLY);
	bed_run();
	assert_int_equal(bed_kept(), 2);
	assert_int_equal(bed_count_fds(), before + 3);

	fake_forget(a, 7, 71); /* another relay's */
	fake_forget(a, 9, 90);
	bed_run();
	assert_int_equal(bed_kept(), 2);
	fake_forget(a, 7, 70);
	fake_forget(a, 8, 80);
	bed_run();
	assert_int_equal(bed_kept(), 0);
	assert_int_equal(bed_count_fds(), before);
}

/* ------------------------------------------------------------------ a planned move */

static void moves(void **state)
{
	struct fake *a = bed_worker(0);
	struct fake *b = bed_worker(1);

	(void)state;
	fake_deposit(a, 3, 30, 0);
	BED_ROUTE(0, 1);
	bed_run();
	assert_int_equal(b->adopts, 0); /* it was not let go */
	fake_let_go(a, 3, 30);
	bed_run();
	assert_int_equal(b->adopts, 1);
	assert_int_equal(b->adopt[0].slot, 0);
	assert_int_equal(b->adopt[0].record, 3);
	assert_int_equal(b->adopt[0].id, 30);
	assert_int_equal(b->adopt[0].fds, MSG_FD_CLIENT | MSG_FD_SERVER);
	assert_int_equal(a->taken, 0);

	fake_answer(b, 0, MSG_ADOPTED, 5);
	bed_run();
	assert_int_equal(a->taken, 1);
	assert_int_equal(a->last_taken.record, 3);
	assert_int_equal(a->last_taken.id, 30);
	assert_int_equal(bed_kept(), 1);
	assert_int_equal(shm_keeper(bed.shm)->moved, 1);
	/* it is b's now */
	fake_forget(a, 3, 30);
	bed_run();
	assert_int_equal(bed_kept(), 1);
	fake_forget(b, 5, 30);
	bed_run();
	assert_int_equal(bed_kept(), 0);
}

static void waits_for_a_route(void **state)
{
	struct fake *a = bed_worker(0);
	struct fake *b = bed_worker(1);

	(void)state;
	fake_deposit(a, 3, 30, 0);
	fake_let_go(a, 3, 30);
	bed_run();
	assert_int_equal(a->back, 0);
	BED_ROUTE(0, 5); /* nobody is there */
	bed_run();
	assert_int_equal(a->back, 0);
	BED_ROUTE(0, 5, 1);
	bed_run();
	assert_int_equal(b->adopts, 1);
}

/* ------------------------------------------------------------------ a dead worker */

static void gives_what_a_dead_one_had(void **state)
{
	struct fake *a = bed_worker(0);
	struct fake *b = bed_worker(1);
	struct fake *c = bed_worker(2);

	(void)state;
	for (uint32_t i = 0; i < 100; i++)
		fake_deposit(a, i, 1000 + i, 0);
	bed_run();
	/* not read yet when the master speaks */
	fake_deposit(a, 100, 1100, 0);
	fake_forget(a, 0, 1000);
	fake_die(a);
	BED_ROUTE(0, 1, 2);
	bed_give(0);
	bed_run();
	assert_int_equal(b->adopts, 50);
	assert_int_equal(c->adopts, 50);
	assert_int_equal(b->messages, 2); /* in batches */
	assert_int_equal(bed.boss.given, 0);
	for (unsigned i = 0; i < 50; i++) {
		fake_answer(b, i, MSG_ADOPTED, i);
		fake_answer(c, i, i == 0 ? MSG_ADOPT_UNPROVEN : MSG_ADOPTED, i);
	}
	bed_run();
	assert_int_equal(bed.boss.given, 1);
	assert_int_equal(bed.boss.last_given.from, 0);
	assert_int_equal(bed.boss.last_given.moved, 99);
	assert_int_equal(bed.boss.last_given.lost, 1);
	assert_int_equal(bed_kept(), 99);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(keeps_and_forgets, setup, teardown),
		cmocka_unit_test_setup_teardown(moves, setup, teardown),
		cmocka_unit_test_setup_teardown(waits_for_a_route, setup, teardown),
		cmocka_unit_test_setup_teardown(gives_what_a_dead_one_had, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
