/* Counters that change together are together, whenever their worker is killed; and what died with it is counted once, also
 * when the master dies while it reaps.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/counts.h"
#include "common/shm.h"
#include "common/sums.h"

#define RECORDS 16

static struct shm *make(void)
{
	const char *error = NULL;
	struct shm *shm = shm_create(RECORDS, &error);

	assert_non_null(shm);
	assert_int_equal(shm_place(shm, SHM_FRONTEND, "f"), 0);
	assert_int_equal(shm_place(shm, SHM_SERVER, "b/s"), 0);
	shm_slot_use(shm, 1);
	return shm;
}

static struct journal_change change_of(struct shm *shm)
{
	struct shm_slot *slot = shm_slot(shm, 1);

	return (struct journal_change){ .slot = slot, .journal = &slot->journal };
}

/* What a worker does with a relay: it begins, moves bytes, and ends; its record is free again. */
static void relay_life(struct shm *shm, uint32_t index, uint64_t id)
{
	struct journal_change change = change_of(shm);
	struct shm_slot *slot = shm_slot(shm, 1);
	struct relay_record *record = shm_record(shm, 1, index);

	memset(record, 0, sizeof(*record));
	journal_add(&change, &slot->accepted, 1);
	journal_add(&change, &slot->frontends[0].total, 1);
	journal_set(&change, &record->id, id);
	journal_commit(&change);
	for (uint64_t bytes = 1; bytes < 4; bytes++) {
		journal_set(&change, &record->bytes_in, record->bytes_in + bytes);
		journal_add(&change, &slot->frontends[0].bytes_in, bytes);
		journal_add(&change, &slot->servers[0].bytes_in, bytes);
		journal_commit(&change);
	}
	if (id % 3 == 0)
		return; /* the next one in its place finds it as if it had been let go */
	journal_add(&change, &slot->frontends[0].ended, 1);
	journal_set(&change, &record->ended, 1);
	journal_commit(&change);
	record->id = 0;
}

/* Those that stay are taken away before their place is used again. */
static void relay_leave(struct shm *shm, uint32_t index)
{
	struct journal_change change = change_of(shm);
	struct relay_record *record = shm_record(shm, 1, index);

	if (record->id == 0)
		return;
	journal_add(&change, &shm_slot(shm, 1)->frontends[0].let_go, 1);
	journal_set(&change, &record->id, 0);
	journal_commit(&change);
}

static pid_t start_worker(struct shm *shm)
{
	pid_t pid = fork();

	if (pid != 0)
		return pid;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	shm_slot(shm, 1)->records = RECORDS;
	for (uint64_t id = 1;; id++) {
		relay_leave(shm, id % RECORDS);
		relay_life(shm, id % RECORDS, id);
	}
}

static void kill_it(pid_t pid)
{
	int status;

	kill(pid, SIGKILL);
	assert_int_equal(waitpid(pid, &status, 0), pid);
}

static void assert_balanced(struct shm *shm)
{
	const struct shm_slot *slot = shm_slot(shm, 1);
	const struct shm_frontend_counters *front = &slot->frontends[0];
	uint64_t active = 0;

	for (uint32_t i = 0; i < RECORDS; i++)
		active += shm_record(shm, 1, i)->id != 0 && shm_record(shm, 1, i)->ended == 0;
	assert_int_equal(slot->accepted, front->total);
	assert_int_equal(front->total, front->ended + front->let_go + front->died + active);
	assert_int_equal(front->bytes_in, slot->servers[0].bytes_in);
}

static void test_kills_at_any_instant(void **state)
{
	struct shm *shm = make();
	unsigned pending = 0;

	(void)state;
	for (unsigned round = 0; round < 1000; round++) {
		pid_t pid = start_worker(shm);

		usleep(100 + (useconds_t)(rand() % 400));
		kill_it(pid);
		pending += shm_slot(shm, 1)->journal.pending != 0;
		shm_slot_died(shm, 1);
		assert_int_equal(shm_slot(shm, 1)->journal.pending, 0);
		assert_balanced(shm);
		shm_slot_reap(shm, 1);
		assert_balanced(shm);
	}
	print_message("%u of 1000 in the middle of a change\n", pending);
	assert_true(pending > 10);
	shm_free(shm);
}

/* The master, too: the next one goes on where it was. */
static void test_kills_of_the_master(void **state)
{
	struct shm *shm = make();
	struct shm_frontend_sum sum;
	uint64_t relays = 0;

	(void)state;
	for (unsigned round = 0; round < 300; round++) {
		pid_t master;

		shm_slot(shm, 1)->records = RECORDS;
		for (uint32_t i = 0; i < RECORDS; i++) {
			relay_life(shm, i, 3);
			relays++;
		}
		master = fork();
		if (master == 0) {
			(void)shm_slot_reap(shm, 1);
			pause();
		}
		/* At most as long as it takes. */
		for (volatile unsigned spin = (unsigned)rand() % 20000; spin > 0; spin--)
			;
		kill_it(master);
		shm_slot_reap(shm, 1);
		assert_balanced(shm);
	}
	shm_sum_frontend(shm, 0, &sum);
	assert_int_equal(sum.total, relays);
	assert_int_equal(sum.lost, relays);
	shm_free(shm);
}

/* A worker that was taken over may have written anything there. */
static void test_nonsense_is_not_done(void **state)
{
	static const struct {
		uint64_t pending;
		uint64_t at;
	} cases[] = { { 1, UINT64_MAX - 7 }, { 1, 12 }, { UINT64_MAX, 0 }, { JOURNAL_MOST + 1, 0 },
		{ 1, UINT64_C(1) << 40 } };
	struct shm *shm = make();
	struct journal *journal = &shm_slot(shm, 1)->journal;

	(void)state;
	for (size_t i = 0; i < NELEMS(cases); i++) {
		shm_slot(shm, 1)->heartbeat_ms = 5;
		for (unsigned k = 0; k < JOURNAL_MOST; k++)
			journal->writes[k] = (struct journal_write){ cases[i].at, 77 };
		journal->pending = cases[i].pending;
		shm_slot_died(shm, 1);
		assert_int_equal(shm_slot(shm, 1)->heartbeat_ms, 5);
		assert_int_equal(journal->pending, 0);
	}
	shm_free(shm);
}

/* Adopted ones are not lost, whoever dies; what is lost never goes back. */
static void test_lost_is_what_nobody_adopted(void **state)
{
	struct shm *shm = make();
	struct shm_slot *dead = shm_slot(shm, 1);
	struct shm_slot *other = shm_slot(shm, 0);
	struct shm_frontend_sum sum;

	(void)state;
	dead->records = RECORDS;
	for (uint32_t i = 0; i < 10; i++)
		relay_life(shm, i, 3);
	other->frontends[0].adopted = 7;
	shm_slot_died(shm, 1);
	shm_slot_reap(shm, 1);
	shm_sum_frontend(shm, 0, &sum);
	assert_int_equal(sum.total, 10);
	assert_int_equal(sum.lost, 3);
	/* One is on its way: adopted, and not yet let go. */
	other->frontends[0].adopted = 8;
	shm_sum_lost(shm, 0);
	shm_sum_frontend(shm, 0, &sum);
	assert_int_equal(sum.lost, 3);
	shm_free(shm);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_kills_at_any_instant),
		cmocka_unit_test(test_kills_of_the_master),
		cmocka_unit_test(test_nonsense_is_not_done),
		cmocka_unit_test(test_lost_is_what_nobody_adopted),
	};

	return cmocka_run_group_tests_name("journal", tests, NULL, NULL);
}
