/* Workers that tell the keeper what cannot be, or what it did not ask. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/unit/keeper_bed.h"

static void lie_record(struct fake *a)
{
	const struct msg_deposit deposit = { .record = BED_RECORDS, .id = 1 };
	int pair[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
	BED_SAY(a->line, W2K_DEPOSIT, deposit, pair, 2);
	close(pair[0]);
	close(pair[1]);
}

static void lie_fds(struct fake *a)
{
	const struct msg_deposit deposit = { .record = 1, .id = 1 };
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	BED_SAY(a->line, W2K_DEPOSIT, deposit, &fd, 1);
	close(fd);
}

static void lie_no_socket(struct fake *a)
{
	const struct msg_deposit deposit = {
		.record = 1, .id = 1, .flags = MSG_DEPOSIT_CLIENT_ONLY
	};
	int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);

	BED_SAY(a->line, W2K_DEPOSIT, deposit, &fd, 1);
	close(fd);
}

static void lie_flags(struct fake *a)
{
	const struct msg_deposit deposit = { .record = 1, .id = 1, .flags = 64 };

	BED_SAY(a->line, W2K_DEPOSIT, deposit, NULL, 0);
}

static void lie_id(struct fake *a)
{
	const struct msg_deposit deposit = { .record = 1 };

	BED_SAY(a->line, W2K_DEPOSIT, deposit, NULL, 0);
}

static void lie_pipe(struct fake *a)
{
	const struct msg_pipe pipe = { .number = 1 };
	int pair[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
	BED_SAY(a->line, W2K_PIPE, pipe, pair, 2);
	close(pair[0]);
	close(pair[1]);
}

static void lie_forget(struct fake *a)
{
	fake_forget(a, UINT32_MAX, 1);
}

static void lie_let_go(struct fake *a)
{
	fake_let_go(a, BED_RECORDS, 1);
}

static void lie_adopted_slot(struct fake *a)
{
	const struct msg_adopted answer = { .from_slot = SHM_SLOTS, .id = 1 };

	BED_SAY(a->line, W2K_ADOPTED, answer, NULL, 0);
}

static void lie_adopted_record(struct fake *a)
{
	const struct msg_adopted answer = { .from_slot = 1, .id = 1, .record = BED_RECORDS };

	BED_SAY(a->line, W2K_ADOPTED, answer, NULL, 0);
}

static void lie_adopted_result(struct fake *a)
{
	const struct msg_adopted answer = { .from_slot = 1, .id = 1, .result = 77 };

	BED_SAY(a->line, W2K_ADOPTED, answer, NULL, 0);
}

static void lie_garbage(struct fake *a)
{
	char text[] = "GET / HTTP/1.1";

	assert_true(send(channel_fd(a->line), text, sizeof(text), 0) > 0);
}

/* Its process is ended, as the master ends one; what it had is others'. */
static void ends_a_liar(void **state)
{
	static void (*const lies[])(struct fake *) = { lie_record, lie_fds, lie_no_socket,
		lie_flags, lie_id, lie_pipe, lie_forget, lie_let_go, lie_adopted_slot,
		lie_adopted_record, lie_adopted_result, lie_garbage };
	struct fake *b = bed_worker(1);

	(void)state;
	log_set_level(LOG_LEVEL_NONE);
	for (unsigned i = 0; i < NELEMS(lies); i++) {
		struct fake *a;
		int status;

		bed.pids[0] = bed_process();
		a = bed_worker_of(&bed.boss, 0, bed.pids[0]);
		fake_deposit(a, 0, 10 + i, 0);
		lies[i](a);
		bed_run();
		assert_int_equal(a->ends, 1);
		assert_int_equal(waitpid(bed.pids[0], &status, 0), bed.pids[0]);
		bed.pids[0] = 0;
		assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
		BED_ROUTE(0, 1);
		bed_give(0);
		bed_run();
		assert_int_equal(b->adopts, i + 1);
		fake_answer(b, i, MSG_ADOPTED, i);
		bed_run();
		assert_int_equal(bed.boss.given, i + 1);
	}
	assert_int_equal(b->ends, 0);
	log_set_level(LOG_LEVEL_WARN);
}

/* Answers to what it was never asked, or not any more, change nothing. */
static void ignores_what_is_not_its(void **state)
{
	struct fake *a = bed_worker(0);
	struct fake *b = bed_worker(1);
	struct fake *c = bed_worker(2);

	(void)state;
	fake_deposit(a, 0, 10, 0);
	BED_ROUTE(0, 1);
	fake_let_go(a, 0, 10);
	bed_run();
	c->adopt[0] = b->adopt[0];
	fake_answer(c, 0, MSG_ADOPTED, 0);
	log_set_level(LOG_LEVEL_NONE);
	fake_forget(a, 0, 10);     /* it is under way */
	fake_deposit(a, 0, 10, 0); /* the same */
	fake_let_go(a, 0, 10);
	bed_run();
	log_set_level(LOG_LEVEL_WARN);
	assert_int_equal(a->taken, 0);
	assert_int_equal(a->refused, 1);
	assert_int_equal(c->ends + a->ends, 0);
	fake_answer(b, 0, MSG_ADOPTED, 0);
	fake_answer(b, 0, MSG_ADOPTED, 1);
	bed_run();
	assert_int_equal(a->taken, 1);
	assert_int_equal(bed_kept(), 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(ends_a_liar, bed_setup, bed_teardown),
		cmocka_unit_test_setup_teardown(ignores_what_is_not_its, bed_setup, bed_teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
