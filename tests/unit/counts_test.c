/* A limit holds over all workers together, exactly, and also when they are killed at any instant. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/counts.h"
#include "common/shm.h"

#define WORKERS 4
#define MOST    10

static const struct shm_count_id counted = { SHM_COUNT_SERVER, 0 };

static uint32_t shared_active(struct shm *shm)
{
	return shm_shared(shm)->servers[0].active;
}

static struct shm *make(void)
{
	const char *error = NULL;
	struct shm *shm = shm_create(16, &error);

	assert_non_null(shm);
	assert_int_equal(shm_place(shm, SHM_SERVER, "b/0"), 0);
	for (uint32_t i = 0; i < WORKERS; i++)
		shm_slot_use(shm, i);
	return shm;
}

static void test_reserve(void **state)
{
	struct shm *shm = make();

	(void)state;
	for (uint32_t i = 0; i < MOST; i++)
		assert_true(shm_active_reserve(shm, i % WORKERS, &counted, MOST));
	for (uint32_t i = 0; i < WORKERS; i++)
		assert_false(shm_active_reserve(shm, i, &counted, MOST));
	assert_true(shm_active_reserve(shm, 0, &counted, MOST + 1));
	assert_true(shm_active_reserve(shm, 0, &counted, 0));
	assert_int_equal(shared_active(shm), MOST + 2);
	assert_int_equal(shm_slot_reap(shm, 0), 0);
	assert_int_equal(shared_active(shm), 7);
	assert_true(shm_active_reserve(shm, 1, &counted, MOST));
	shm_free(shm);
}

/* Takes as much as it gets and gives some of it back, for ever. Exits with 1 when it sees more than may be. */
static pid_t start_greedy(struct shm *shm, uint32_t slot)
{
	pid_t pid = fork();
	uint32_t held = 0;

	if (pid != 0)
		return pid;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	for (uint32_t i = 0;; i++) {
		while (shm_active_reserve(shm, slot, &counted, MOST)) {
			held++;
			if (shared_active(shm) > MOST)
				_exit(1);
		}
		for (; held > i % 3; held--)
			shm_active_add(shm, slot, &counted, -1);
	}
}

static void test_limit_survives_kills(void **state)
{
	struct shm *shm = make();
	pid_t pids[WORKERS];

	(void)state;
	for (uint32_t i = 0; i < WORKERS; i++)
		pids[i] = start_greedy(shm, i);
	for (uint32_t round = 0; round < 300; round++) {
		uint32_t victim = round % WORKERS;
		int status;

		usleep(200 + (useconds_t)(rand() % 800));
		assert_true(shared_active(shm) <= MOST);
		kill(pids[victim], SIGKILL);
		assert_int_equal(waitpid(pids[victim], &status, 0), pids[victim]);
		assert_true(WIFSIGNALED(status));
		shm_slot_reap(shm, victim);
		pids[victim] = start_greedy(shm, victim);
	}
	for (uint32_t i = 0; i < WORKERS; i++) {
		kill(pids[i], SIGKILL);
		waitpid(pids[i], NULL, 0);
	}
	for (uint32_t i = 0; i < WORKERS; i++)
		shm_slot_reap(shm, i);
	assert_int_equal(shared_active(shm), 0);
	shm_free(shm);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_reserve),
		cmocka_unit_test(test_limit_survives_kills),
	};

	return cmocka_run_group_tests_name("counts", tests, NULL, NULL);
}
