/* One keeper fills another. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>

#include "tests/unit/keeper_bed.h"

static struct child next_child;
static struct keeper *next;
static struct boss next_boss;

static int setup(void **state)
{
	int pair[2];

	(void)state;
	bed_begin(-1);
	log_set_level(LOG_LEVEL_NONE);
	next_child = bed.child;
	assert_int_equal(channel_pair(pair), 0);
	next_child.channel_fd = pair[1];
	bed_boss(&next_boss, pair[0]);
	next = keeper_new(bed.base, &next_child);
	bed_run();
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	log_set_level(LOG_LEVEL_WARN);
	if (next != NULL)
		keeper_free(next);
	channel_free(next_boss.line);
	bed_end();
	return 0;
}

static void hand_over(void)
{
	int pair[2];

	assert_int_equal(channel_pair(pair), 0);
	bed_say(bed.boss.line, M2K_HAND_OVER, NULL, 0, &pair[0], 1);
	bed_say(next_boss.line, M2K_INHERIT, NULL, 0, &pair[1], 1);
	close(pair[0]);
	close(pair[1]);
}

/* Until the old one is through, which exits then: and so does its master's line to it. */
static void run_hand_over(void)
{
	int code = -1;

	for (unsigned i = 0; i < 2000 && !keeper_over(bed.keeper, &code); i++)
		event_base_loop(bed.base, EVLOOP_ONCE);
	assert_true(keeper_over(bed.keeper, &code));
	assert_int_equal(code, 0);
	keeper_free(bed.keeper);
	bed.keeper = NULL;
	bed_run();
	assert_int_equal(next_boss.filled, 1);
	/* from now on the new one's is the line to the keeper */
	assert_null(bed.boss.line);
	bed.boss.line = next_boss.line;
	next_boss.line = NULL;
}

static void a_successor_has_all(void **state)
{
	struct fake *a = bed_worker(0);
	struct fake *b = bed_worker(1);
	struct fake *c = bed_worker(2);
	struct fake *d = bed_worker(3);
	const struct msg_pipe what = { .number = 5 };
	int pipe_fds[2];
	char byte = 'x';

	(void)state;
	assert_int_equal(pipe2(pipe_fds, O_CLOEXEC), 0);
	assert_int_equal(write(pipe_fds[1], &byte, 1), 1);
	for (uint32_t i = 0; i < 200; i++) {
		fake_deposit(a, i, 1000 + i, i % 2 == 0 ? 0 : MSG_DEPOSIT_CLIENT_ONLY);
		if (i % 32 == 31)
			bed_run();
	}
	fake_let_go(a, 100, 1100); /* it has no route */
	fake_deposit(c, 0, 30, 0);
	fake_deposit(d, 7, 40, 0);
	BED_SAY(d->line, W2K_PIPE, what, pipe_fds, 2);
	close(pipe_fds[0]);
	close(pipe_fds[1]);
	fake_record(3, 7, 40)->up_pipe = 6;
	BED_ROUTE(2, 1);
	fake_let_go(c, 0, 30);
	fake_die(d);
	bed_give(3); /* nobody to give it to */
	bed_run();
	assert_int_equal(b->adopts, 1); /* and has not answered */

	hand_over();
	/* in the lines meanwhile */
	fake_deposit(b, 9, 50, 0);
	fake_forget(a, 0, 1000);
	run_hand_over();
	fake_answer(b, 0, MSG_ADOPTED, 1);
	bed_run();
	assert_int_equal(a->ends + b->ends + c->ends, 0);
	assert_int_equal(c->taken, 1);
	assert_int_equal(bed_kept(), 199 + 1 + 1 + 1);
	assert_int_equal(next_boss.given, 0);

	/* what waited is given by the new one, from the pipe too */
	next_boss.line = NULL;
	BED_ROUTE(0, 1);
	BED_ROUTE(3, 1);
	bed_run();
	assert_int_equal(b->adopts, 3);
	for (unsigned i = 1; i < 3; i++) {
		if (b->adopt[i].slot == 0) {
			assert_int_equal(b->adopt[i].id, 1100);
		} else {
			assert_int_equal(b->adopt[i].id, 40);
			assert_int_equal(
				b->adopt[i].fds, MSG_FD_CLIENT | MSG_FD_SERVER | MSG_FD_UP_PIPE);
			assert_int_equal(read(b->fds[i][2], &byte, 1), 1);
		}
		fake_answer(b, i, MSG_ADOPTED, 20 + i);
	}
	bed_run();
	assert_int_equal(next_boss.given, 1);
	assert_int_equal(next_boss.last_given.from, 3);
	assert_int_equal(next_boss.last_given.moved, 1);
	/* a dead one's are all there, the ends of its sockets as they were */
	fake_die(a);
	bed_give(0);
	bed_run();
	assert_int_equal(b->adopts, 3 + 198);
	assert_int_equal(b->adopt[3].fds,
		b->adopt[3].record % 2 == 0 ? MSG_FD_CLIENT | MSG_FD_SERVER : MSG_FD_CLIENT);
}

/* It dies before it has all: the old one goes on, and heard what was said meanwhile. */
static void goes_on_without_a_successor(void **state)
{
	struct fake *a = bed_worker(0);
	struct fake *b = bed_worker(1);
	int pair[2];
	int code;
	char bytes[64];

	(void)state;
	for (unsigned round = 0; round < 3; round++) {
		uint32_t id = 10 + round;

		fake_deposit(a, round, id, 0);
		bed_run();
		assert_int_equal(channel_pair(pair), 0);
		bed_say(bed.boss.line, M2K_HAND_OVER, NULL, 0, &pair[0], 1);
		close(pair[0]);
		if (round == 1) {
			event_base_loop(bed.base, EVLOOP_NONBLOCK);
			event_base_loop(bed.base, EVLOOP_NONBLOCK);
		}
		if (round == 2) {
			/* it reads all, and dies before it can say so */
			bed_run();
			while (recv(pair[1], bytes, sizeof(bytes), MSG_DONTWAIT) > 0)
				;
			bed_run();
		}
		fake_let_go(a, round, id);
		close(pair[1]);
		bed_run();
		assert_false(keeper_over(bed.keeper, &code));
		assert_int_equal(b->adopts, round);
		BED_ROUTE(0, 1);
		bed_run();
		assert_int_equal(b->adopts, round + 1);
		fake_answer(b, round, MSG_ADOPTED, round);
		bed_run();
		assert_int_equal(a->taken, round + 1);
		bed_route(0, 0, (const uint32_t[]){ 0 });
		bed_run();
	}
	assert_int_equal(a->ends + b->ends, 0);
}

/* Half of it is nothing: that keeper is replaced by one that the workers fill. */
static void exits_when_the_old_one_dies(void **state)
{
	const uint32_t header[4] = { M2K_ROUTE, sizeof(struct msg_route), 0, 0 };
	char bytes[sizeof(header) + sizeof(struct msg_route)] = { 0 };
	int pair[2];
	int code;

	(void)state;
	assert_int_equal(channel_pair(pair), 0);
	bed_say(next_boss.line, M2K_INHERIT, NULL, 0, &pair[1], 1);
	close(pair[1]);
	bed_run();
	memcpy(bytes, header, sizeof(header));
	assert_int_equal(send(pair[0], bytes, sizeof(bytes), 0), sizeof(bytes));
	bed_run();
	assert_false(keeper_over(next, &code));
	close(pair[0]);
	bed_run();
	assert_true(keeper_over(next, &code));
	assert_int_equal(code, EXIT_CODE_FAILED);
	assert_int_equal(next_boss.filled, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_successor_has_all, setup, teardown),
		cmocka_unit_test_setup_teardown(goes_on_without_a_successor, setup, teardown),
		cmocka_unit_test_setup_teardown(exits_when_the_old_one_dies, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
