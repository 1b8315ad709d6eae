/* The keeper, from its workers' and its master's ends. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>

#include "tests/unit/keeper_bed.h"
#include "tests/unit/loopback.h"

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
	for (uint32_t i = 0; i < 20; i++)
		fake_deposit(a, i, 1000 + i, 0);
	bed_run();
	/* more than is read in one turn: the master is heard before all of it */
	fake_forget(a, 0, 1000);
	for (uint32_t i = 20; i < 101; i++)
		fake_deposit(a, i, 1000 + i, 0);
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

/* What the dead one never had relayed, or ended before it died, is nobody's. */
static void drops_what_had_ended(void **state)
{
	struct fake *a = bed_worker(0);
	struct fake *b = bed_worker(1);

	(void)state;
	fake_deposit(a, 0, 10, 0);
	fake_deposit(a, 1, 11, 0);
	bed_run();
	fake_record(0, 0, 0);
	fake_die(a);
	BED_ROUTE(0, 1);
	bed_give(0);
	bed_run();
	assert_int_equal(b->adopts, 1);
	assert_int_equal(b->adopt[0].id, 11);
	assert_int_equal(bed_kept(), 1);
}

static void waits_for_an_adopter(void **state)
{
	struct fake *a = bed_worker(0);
	struct fake *b;

	(void)state;
	fake_deposit(a, 0, 10, 0);
	fake_die(a);
	bed_give(0);
	bed_run();
	assert_int_equal(bed.boss.given, 0);
	b = bed_worker(1);
	BED_ROUTE(0, 1);
	bed_run();
	assert_int_equal(b->adopts, 1);
	fake_answer(b, 0, MSG_ADOPTED, 0);
	bed_run();
	assert_int_equal(bed.boss.given, 1);
	/* asked again, and of one that never had any */
	bed_give(0);
	bed_give(4);
	bed_run();
	assert_int_equal(bed.boss.given, 3);
	assert_int_equal(bed.boss.last_given.from, 4);
	assert_int_equal(bed.boss.last_given.moved, 0);
}

/* Three of a dead one's given to b: one confirmed, one adopted but not said so, one not even read. */
static void decides_for_a_dead_adopter(void **state)
{
	struct fake *a = bed_worker(0);
	struct fake *b = bed_worker(1);
	struct fake *c = bed_worker(2);
	struct relay_record *half;

	(void)state;
	for (uint32_t i = 0; i < 4; i++)
		fake_deposit(a, i, 100 + i, 0);
	fake_die(a);
	BED_ROUTE(0, 1);
	bed_give(0);
	bed_run();
	assert_int_equal(b->adopts, 4);
	fake_answer(b, 0, MSG_ADOPTED, 10);
	fake_record(1, 11, 101);
	half = fake_record(1, 12, 102);
	record_change_begin(half); /* it died over writing it */
	fake_die(b);
	BED_ROUTE(0, 2);
	BED_ROUTE(1, 2);
	bed_give(1);
	bed_run();
	assert_int_equal(c->adopts, 4);
	for (unsigned i = 0; i < 4; i++) {
		const struct msg_adopt *adopt = &c->adopt[i];

		assert_int_equal(adopt->slot, adopt->id <= 101 ? 1 : 0);
		assert_int_equal(
			adopt->record, adopt->id <= 101 ? adopt->id - 90 : adopt->id - 100);
		fake_answer(c, i, MSG_ADOPTED, i);
	}
	bed_run();
	assert_int_equal(bed.boss.given, 2);
	assert_int_equal(bed_kept(), 4);
	assert_int_equal(shm_keeper(bed.shm)->moved, 6);
}

/* The same, of an owner that lives: it hears that the adopter had it. */
static void decides_for_a_living_owner(void **state)
{
	struct fake *a = bed_worker(0);
	struct fake *b = bed_worker(1);
	struct fake *c = bed_worker(2);

	(void)state;
	fake_deposit(a, 0, 100, 0);
	fake_deposit(a, 1, 101, 0);
	BED_ROUTE(0, 1);
	fake_let_go(a, 0, 100);
	fake_let_go(a, 1, 101);
	bed_run();
	assert_int_equal(b->adopts, 2);
	fake_record(1, 0, 100);
	fake_die(b);
	bed_run();
	assert_int_equal(a->taken, 0); /* its process may still be at it */
	BED_ROUTE(0, 2);
	BED_ROUTE(1, 2);
	bed_give(1);
	bed_run();
	assert_int_equal(a->taken, 1);
	assert_int_equal(a->last_taken.id, 100);
	assert_int_equal(c->adopts, 2);
}

/* ------------------------------------------------------------------ refusals */

static void asks_all_then_gives_back(void **state)
{
	struct fake *a = bed_worker(0);
	struct fake *b = bed_worker(1);
	struct fake *c = bed_worker(2);

	(void)state;
	fake_deposit(a, 0, 10, 0);
	BED_ROUTE(0, 1, 1, 1, 2);
	fake_let_go(a, 0, 10);
	bed_run();
	assert_int_equal(b->adopts, 1);
	fake_answer(b, 0, MSG_ADOPT_NO_ROOM, 0);
	bed_run();
	assert_int_equal(b->adopts, 1);
	assert_int_equal(c->adopts, 1);
	fake_answer(c, 0, MSG_ADOPT_NO_ROOM, 0);
	bed_run();
	assert_int_equal(b->adopts + c->adopts, 2);
	assert_int_equal(a->back, 1);
	assert_int_equal(a->last_back.record, 0);
	assert_int_equal(a->last_back.id, 10);
	assert_int_equal(bed_kept(), 1);
	/* and again, as often as it likes */
	fake_let_go(a, 0, 10);
	bed_run();
	assert_int_equal(b->adopts + c->adopts, 3);
}

/* Nobody is left who could: the peers hear so although other copies of the sockets are open. */
static void aborts_what_nobody_takes(void **state)
{
	struct fake *a = bed_worker(0);
	struct fake *b = bed_worker(1);
	int client[2];
	int fds[2];
	int local[2];
	char byte;

	(void)state;
	loopback_pair(&client[1], &client[0]);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, local), 0);
	fds[0] = client[1];
	fds[1] = local[1];
	fake_deposit_fds(a, 0, 10, 0, fds);
	fake_die(a);
	BED_ROUTE(0, 1);
	bed_give(0);
	bed_run();
	fake_answer(b, 0, MSG_ADOPT_NO_ROOM, 0);
	bed_run();
	assert_int_equal(bed.boss.given, 1);
	assert_int_equal(bed.boss.last_given.lost, 1);
	assert_int_equal(shm_keeper(bed.shm)->lost, 1);
	assert_int_equal(recv(client[0], &byte, 1, MSG_DONTWAIT), -1);
	assert_int_equal(errno, ECONNRESET);
	assert_int_equal(recv(local[0], &byte, 1, MSG_DONTWAIT), 0);
	for (unsigned i = 0; i < 2; i++) {
		close(client[i]);
		close(local[i]);
	}
}

/* An adopter that does not answer gets no more than its share; the others get the rest. */
static void is_not_held_up_by_a_slow_one(void **state)
{
	struct fake *a = bed_worker(0);
	struct fake *b = bed_worker(1);
	struct fake *c = bed_worker(2);

	(void)state;
	for (uint32_t i = 0; i < 1000; i++) {
		fake_deposit(a, i, 1000 + i, 0);
		if (i % 32 == 31)
			bed_run();
	}
	fake_die(a);
	BED_ROUTE(0, 1, 2);
	bed_give(0);
	bed_run();
	assert_int_equal(b->adopts, 320);
	assert_int_equal(c->adopts, 320);
	for (unsigned done = 0; done < c->adopts; done++) {
		fake_answer(c, done, MSG_ADOPTED, done);
		bed_run();
	}
	assert_int_equal(b->adopts, 320);
	assert_int_equal(c->adopts, 680);
	assert_int_equal(bed.boss.given, 0);
	/* one that dies is no different */
	fake_die(b);
	BED_ROUTE(1, 2);
	bed_give(1);
	bed_run();
	assert_int_equal(c->adopts, 1000);
}

/* ------------------------------------------------------------------ pipes */

static void passes_pipes_on(void **state)
{
	struct fake *a = bed_worker(0);
	struct fake *b = bed_worker(1);
	const struct msg_pipe what = { .number = 70 };
	const struct msg_pipe unused = { .number = 3 };
	struct relay_record *record;
	int pipe_fds[2];
	char byte = 'x';

	(void)state;
	assert_int_equal(pipe2(pipe_fds, O_CLOEXEC), 0);
	BED_SAY(a->line, W2K_PIPE, unused, pipe_fds, 2);
	BED_SAY(a->line, W2K_PIPE, what, pipe_fds, 2);
	BED_SAY(a->line, W2K_PIPE, what, pipe_fds, 2); /* the same number again */
	assert_int_equal(write(pipe_fds[1], &byte, 1), 1);
	close(pipe_fds[0]);
	close(pipe_fds[1]);
	fake_deposit(a, 0, 10, MSG_DEPOSIT_CLIENT_ONLY);
	fake_deposit(a, 1, 11, 0);
	record = fake_record(0, 0, 10);
	record->down_pipe = 71;
	record->up_pipe = 500; /* never deposited */
	fake_die(a);
	BED_ROUTE(0, 1);
	bed_give(0);
	bed_run();
	assert_int_equal(b->adopts, 2);
	assert_int_equal(b->adopt[0].fds, MSG_FD_CLIENT | MSG_FD_DOWN_PIPE);
	assert_int_equal(read(b->fds[0][4], &byte, 1), 1);
	assert_int_equal(b->adopt[1].fds, MSG_FD_CLIENT | MSG_FD_SERVER);
}

/* ------------------------------------------------------------------ limits */

static struct rlimit limit_before;

static int setup_small(void **state)
{
	struct rlimit limit;

	assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit_before), 0);
	limit = limit_before;
	limit.rlim_cur = 512; /* 80 to keep, 128 more to pass on, 304 that stay free */
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
	return bed_setup(state);
}

static int teardown_small(void **state)
{
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit_before), 0);
	return bed_teardown(state);
}

static void refuses_when_it_is_full(void **state)
{
	struct fake *a = bed_worker(0);
	struct fake *b = bed_worker(1);
	unsigned kept;

	(void)state;
	log_set_level(LOG_LEVEL_NONE);
	for (uint32_t i = 0; i < 60; i++)
		fake_deposit(a, i, 100 + i, 0);
	bed_run();
	kept = (unsigned)bed_kept();
	assert_in_range(kept, 10, 40);
	assert_int_equal(a->refused, 60 - kept);
	assert_int_equal(shm_keeper(bed.shm)->refused, 60 - kept);
	assert_int_equal(a->last_refused.record, 59);
	assert_int_equal(a->last_refused.id, 159);

	/* what is on the move passes through */
	fake_deposit(a, 59, 159, MSG_DEPOSIT_MOVING);
	fake_let_go(a, 59, 159);
	BED_ROUTE(0, 1);
	bed_run();
	assert_int_equal(b->adopts, 1);
	fake_answer(b, 0, MSG_ADOPTED, 0);
	bed_run();
	assert_int_equal(a->taken, 1);
	assert_int_equal(b->refused, 1);
	assert_int_equal(b->last_refused.record, 0);
	assert_int_equal(bed_kept(), kept);
	/* there is room again */
	fake_forget(a, 0, 100);
	fake_deposit(b, 0, 159, 0);
	bed_run();
	assert_int_equal(bed_kept(), kept);
	assert_int_equal(b->refused, 1);
	log_set_level(LOG_LEVEL_WARN);
}

/* Nor does what passes through take the last fds: any message can still be read. */
static void refuses_also_what_passes_through(void **state)
{
	struct fake *a = bed_worker(0);
	unsigned kept;

	(void)state;
	log_set_level(LOG_LEVEL_NONE);
	for (uint32_t i = 0; i < 200; i++) {
		fake_deposit(a, i, 1000 + i, MSG_DEPOSIT_MOVING);
		if (i % 32 == 31)
			bed_run();
	}
	bed_run();
	kept = (unsigned)bed_kept();
	assert_in_range(kept, 50, 104);
	assert_int_equal(a->refused, 200 - kept);
	/* it had let it go before it heard of that */
	fake_let_go(a, 199, 1199);
	bed_run();
	assert_int_equal(a->back, 1);
	assert_int_equal(a->last_back.id, 1199);
	log_set_level(LOG_LEVEL_WARN);
}

/* ------------------------------------------------------------------ ends */

static void clears_a_slot_that_is_used_again(void **state)
{
	unsigned before = bed_count_fds();
	struct fake *a = bed_worker(0);
	const struct msg_child gone = { .slot = 0, .role = CHILD_WORKER, .pid = getpid() };

	(void)state;
	log_set_level(LOG_LEVEL_NONE);
	fake_deposit(a, 0, 10, 0);
	fake_die(a);
	BED_SAY(bed.boss.line, M2K_GONE, gone, NULL, 0);
	bed_run();
	assert_int_equal(bed_kept(), 1);
	a = bed_worker(0);
	bed_run();
	log_set_level(LOG_LEVEL_WARN);
	fake_deposit(a, 5, 11, 0);
	fake_forget(a, 5, 11);
	bed_run();
	assert_int_equal(bed_kept(), 0);
	fake_die(a);
	BED_SAY(bed.boss.line, M2K_GONE, gone, NULL, 0);
	bed_run();
	assert_int_equal(bed_count_fds(), before);
}

static void outlives_the_master(void **state)
{
	struct fake *a = bed_worker(0);
	struct fake *b = bed_worker(1);
	int code;

	(void)state;
	log_set_level(LOG_LEVEL_NONE);
	fake_deposit(a, 0, 10, 0);
	BED_ROUTE(0, 1);
	bed_run();
	channel_free(bed.boss.line);
	bed.boss.line = NULL;
	bed_run();
	assert_false(keeper_over(bed.keeper, &code));
	/* the route is still good */
	fake_let_go(a, 0, 10);
	bed_run();
	assert_int_equal(b->adopts, 1);
	fake_die(a);
	bed_run();
	assert_false(keeper_over(bed.keeper, &code));
	fake_die(b);
	bed_run();
	assert_true(keeper_over(bed.keeper, &code));
	assert_int_equal(code, 0);
	log_set_level(LOG_LEVEL_WARN);
}

static void stops_at_once(void **state)
{
	const struct msg_stop stop = { .drain_ms = UINT32_MAX };
	struct fake *a = bed_worker(0);
	int code;

	(void)state;
	fake_deposit(a, 0, 10, 0);
	BED_SAY(bed.boss.line, M2C_STOP, stop, NULL, 0);
	bed_run();
	assert_true(keeper_over(bed.keeper, &code));
	assert_int_equal(code, 0);
}

static void beats(void **state)
{
	struct shm_keeper *pages = shm_keeper(bed.shm);
	uint64_t first = pages->heartbeat_ms;

	(void)state;
	assert_true(first > 0);
	for (unsigned i = 0; i < 200 && pages->heartbeat_ms == first; i++)
		event_base_loop(bed.base, EVLOOP_ONCE);
	assert_in_range(pages->heartbeat_ms, first + 50, first + 300);
}

/* keeper_main itself, with no more of the shared memory than a keeper may write. */
static void runs_as_a_process(void **state)
{
	const struct msg_stop stop = { .drain_ms = 0 };
	struct child child = bed.child;
	struct boss boss;
	struct fake *a;
	struct fake *b;
	int pair[2];
	int status;
	pid_t pid;

	(void)state;
	assert_int_equal(channel_pair(pair), 0);
	pid = fork();
	if (pid == 0) {
		child.channel_fd = dup2(pair[1], 500);
		close_range(3, 499, 0);
		_exit(shm_restrict(bed.shm, SHM_KEEPER, 0) < 0 ? 99 : keeper_main(&child));
	}
	close(pair[1]);
	bed_boss(&boss, pair[0]);
	a = bed_worker_of(&boss, 0, 0);
	b = bed_worker_of(&boss, 1, 0);
	{
		const struct msg_route route = { .from = 0, .count = 1, .to = { 1 } };
		const struct msg_slot slot = { .slot = 0 };

		fake_deposit(a, 0, 10, 0);
		fake_let_go(a, 0, 10);
		fake_deposit(a, 1, 11, 0);
		BED_SAY(boss.line, M2K_ROUTE, route, NULL, 0);
		BED_SAY(boss.line, M2K_GIVE, slot, NULL, 0);
	}
	for (unsigned i = 0; i < 2000 && b->adopts < 2; i++) {
		bed_run();
		usleep(1000);
	}
	assert_int_equal(b->adopts, 2);
	fake_answer(b, 0, MSG_ADOPTED, 0);
	fake_answer(b, 1, MSG_ADOPT_NO_ROOM, 0);
	for (unsigned i = 0; i < 2000 && boss.given == 0; i++) {
		bed_run();
		usleep(1000);
	}
	assert_int_equal(boss.given, 1);
	assert_int_equal(boss.last_given.moved, 1);
	assert_int_equal(boss.last_given.lost, 1);
	BED_SAY(boss.line, M2C_STOP, stop, NULL, 0);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
	channel_free(boss.line);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, bed_setup, bed_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(keeps_and_forgets),
		TEST(moves),
		TEST(waits_for_a_route),
		TEST(gives_what_a_dead_one_had),
		TEST(drops_what_had_ended),
		TEST(waits_for_an_adopter),
		TEST(decides_for_a_dead_adopter),
		TEST(decides_for_a_living_owner),
		TEST(asks_all_then_gives_back),
		TEST(aborts_what_nobody_takes),
		TEST(is_not_held_up_by_a_slow_one),
		TEST(passes_pipes_on),
		cmocka_unit_test_setup_teardown(
			refuses_when_it_is_full, setup_small, teardown_small),
		cmocka_unit_test_setup_teardown(
			refuses_also_what_passes_through, setup_small, teardown_small),
		TEST(clears_a_slot_that_is_used_again),
		TEST(outlives_the_master),
		TEST(stops_at_once),
		TEST(beats),
		TEST(runs_as_a_process),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
