/* The shared memory: places by name, rights by role, and counts that stay true when a worker dies. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/counts.h"
#include "common/shm.h"

static struct shm *make(uint32_t records)
{
	const char *error = NULL;
	struct shm *shm = shm_create(records, &error);

	assert_non_null(shm);
	return shm;
}

static void test_same_name_same_place(void **state)
{
	struct shm *shm = make(16);
	uint32_t a = shm_place(shm, SHM_SERVER, "web/a");
	uint32_t b = shm_place(shm, SHM_SERVER, "web/b");

	(void)state;
	assert_int_equal(a, 0);
	assert_int_equal(b, 1);
	assert_int_equal(shm_place(shm, SHM_SERVER, "web/a"), a);
	assert_int_equal(shm_place(shm, SHM_BACKEND, "web/a"), 0);
	assert_int_equal(shm_placed(shm, SHM_SERVER), 2);
	assert_string_equal(shm_name(shm, SHM_SERVER, b), "web/b");
	shm_free(shm);
}

static void test_places_run_out(void **state)
{
	struct shm *shm = make(16);
	char name[32];

	(void)state;
	for (int i = 0; i < SHM_FRONTENDS_MAX; i++) {
		snprintf(name, sizeof(name), "f%d", i);
		assert_int_equal(shm_place(shm, SHM_FRONTEND, name), i);
	}
	assert_int_equal(shm_place(shm, SHM_FRONTEND, "one more"), SHM_NONE);
	assert_int_equal(shm_place(shm, SHM_FRONTEND, "f7"), 7);
	shm_free(shm);
}

/* Runs act in a child restricted to role; returns the signal that ended it, 0 when it lived. */
static int signal_of(struct shm *shm, enum shm_role role, void (*act)(struct shm *shm))
{
	int status;
	pid_t pid = fork();

	if (pid == 0) {
		signal(SIGSEGV, SIG_DFL);
		if (shm_restrict(shm, role, 1) < 0)
			_exit(1);
		act(shm);
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return WIFSIGNALED(status) ? WTERMSIG(status) : 0;
}

static void write_own_slot(struct shm *shm)
{
	shm_slot(shm, 1)->heartbeat_ms = 1;
	shm_record(shm, 1, 0)->id = 1;
}

static void write_other_slot(struct shm *shm)
{
	shm_slot(shm, 2)->heartbeat_ms = 1;
}

static void write_master(struct shm *shm)
{
	shm_master(shm)->generation = 1;
}

static void write_checker(struct shm *shm)
{
	shm_checker(shm)->heartbeat_ms = 1;
}

static void write_shared(struct shm *shm)
{
	shm_shared(shm)->active = 1;
}

static void write_own_carry(struct shm *shm)
{
	shm_carry(shm, 1)->bytes[CARRY_BYTES - 1] = 1;
}

static void write_other_carry(struct shm *shm)
{
	shm_carry(shm, 2)->bytes[0] = 1;
}

static void read_other_carry(struct shm *shm)
{
	(void)*(volatile char *)shm_carry(shm, 2)->bytes;
}

static void read_last_carry(struct shm *shm)
{
	(void)*(volatile char *)(shm_carry(shm, SHM_SLOTS - 1)->bytes + CARRY_BYTES - 1);
}

static void test_a_role_touches_only_its_own(void **state)
{
	static const struct {
		enum shm_role role;
		void (*act)(struct shm *shm);
		bool allowed;
	} cases[] = {
		{ SHM_WORKER, write_own_slot, true },
		{ SHM_WORKER, write_shared, true },
		{ SHM_WORKER, write_other_slot, false },
		{ SHM_WORKER, write_master, false },
		{ SHM_WORKER, write_checker, false },
		{ SHM_CHECKER, write_checker, true },
		{ SHM_CHECKER, write_shared, true },
		{ SHM_CHECKER, write_own_slot, false },
		{ SHM_READER, write_shared, false },
		{ SHM_WORKER, write_own_carry, true },
		{ SHM_WORKER, read_other_carry, true },
		{ SHM_WORKER, write_other_carry, false },
		{ SHM_CHECKER, read_other_carry, false },
		{ SHM_KEEPER, read_other_carry, false },
		{ SHM_READER, read_other_carry, false },
		{ SHM_READER, read_last_carry, false },
	};
	struct shm *shm = make(16);

	(void)state;
	for (size_t i = 0; i < NELEMS(cases); i++)
		assert_int_equal(
			signal_of(shm, cases[i].role, cases[i].act) == 0, cases[i].allowed);
	shm_free(shm);
}

/* Workers that count up and down as fast as they can are killed at random instants; afterwards the shared
 * count is what the living hold, every time. */
static void count(struct shm *shm, uint32_t slot, uint32_t server, int delta)
{
	const struct shm_count_id id = { SHM_COUNT_SERVER, server };

	shm_active_add(shm, slot, &id, delta);
}

static pid_t start_counter(struct shm *shm, uint32_t slot)
{
	pid_t pid = fork();

	if (pid == 0) {
		for (unsigned i = 0;; i++) {
			count(shm, slot, i % 3, 1);
			if (i % 8 != 0)
				count(shm, slot, i % 3, -1);
			if (i % 1000 == 999) {
				for (unsigned s = 0; s < 3; s++) {
					while (shm_slot(shm, slot)->servers[s].active > 0)
						count(shm, slot, s, -1);
				}
			}
		}
	}
	return pid;
}

static void test_counts_survive_kills(void **state)
{
	struct shm *shm = make(16);
	pid_t pids[3];

	(void)state;
	for (uint32_t i = 0; i < 3; i++) {
		char name[8];

		snprintf(name, sizeof(name), "b/%u", i);
		(void)shm_place(shm, SHM_SERVER, name);
		shm_slot_use(shm, i);
		pids[i] = start_counter(shm, i);
	}
	for (unsigned round = 0; round < 300; round++) {
		uint32_t victim = round % 3;

		usleep(200 + (useconds_t)(rand() % 800));
		kill(pids[victim], SIGKILL);
		waitpid(pids[victim], NULL, 0);
		shm_slot_reap(shm, victim);
		pids[victim] = start_counter(shm, victim);
	}
	for (uint32_t i = 0; i < 3; i++) {
		kill(pids[i], SIGKILL);
		waitpid(pids[i], NULL, 0);
	}
	for (uint32_t i = 0; i < 3; i++)
		shm_slot_reap(shm, i);
	for (uint32_t i = 0; i < 3; i++)
		assert_int_equal(shm_shared(shm)->servers[i].active, 0);
	shm_free(shm);
}

static void test_reap_clears_records(void **state)
{
	const struct shm_count_id daemon_id = { SHM_COUNT_DAEMON, 0 };
	struct shm *shm = make(16);
	struct shm_slot *slot = shm_slot(shm, 5);

	(void)state;
	shm_slot_use(shm, 5);
	shm_record(shm, 5, 2)->id = 7;
	shm_record(shm, 5, 3)->id = 8;
	slot->records = 4;
	slot->accepted = 100;
	shm_slot_use(shm, 6);
	for (uint32_t i = 0; i < 5; i++)
		shm_active_add(shm, i < 2 ? 5 : 6, &daemon_id, 1);
	assert_int_equal(shm_slot_reap(shm, 5), 2);
	assert_int_equal(shm_record(shm, 5, 2)->id, 0);
	assert_int_equal(shm_shared(shm)->active, 3);
	assert_int_equal(slot->accepted, 100);
	shm_free(shm);
}

/* However many ask at once, and whoever dies meanwhile, the limit holds. */
static pid_t start_reserver(struct shm *shm, uint32_t slot, _Atomic uint32_t *over)
{
	const struct shm_count_id id = { SHM_COUNT_SERVER, 0 };
	pid_t pid = fork();

	if (pid == 0) {
		for (;;) {
			if (!shm_active_reserve(shm, slot, &id, 10))
				continue;
			if (shm_shared(shm)->servers[0].active > 10)
				*over = 1;
			if (rand() % 4 != 0)
				shm_active_add(shm, slot, &id, -1);
			if (shm_slot(shm, slot)->servers[0].active > 5)
				shm_active_add(shm, slot, &id, -1);
		}
	}
	return pid;
}

static void test_a_limit_holds_over_all_workers(void **state)
{
	struct shm *shm = make(16);
	_Atomic uint32_t *over = &shm_shared(shm)->servers[7].fails; /* any shared word */
	pid_t pids[4];

	(void)state;
	(void)shm_place(shm, SHM_SERVER, "b/s");
	for (uint32_t i = 0; i < 4; i++) {
		shm_slot_use(shm, i);
		pids[i] = start_reserver(shm, i, over);
	}
	for (unsigned round = 0; round < 100; round++) {
		uint32_t victim = round % 4;

		usleep(1000);
		kill(pids[victim], SIGKILL);
		waitpid(pids[victim], NULL, 0);
		shm_slot_reap(shm, victim);
		pids[victim] = start_reserver(shm, victim, over);
	}
	for (uint32_t i = 0; i < 4; i++) {
		kill(pids[i], SIGKILL);
		waitpid(pids[i], NULL, 0);
	}
	for (uint32_t i = 0; i < 4; i++)
		shm_slot_reap(shm, i);
	assert_int_equal(*over, 0);
	assert_int_equal(shm_shared(shm)->servers[0].active, 0);
	shm_free(shm);
}

/* What a worker that was taken over writes must not lead the master out of bounds. */
static void test_reap_bounds_what_it_reads(void **state)
{
	struct shm *shm = make(16);

	(void)state;
	shm_slot_use(shm, 0);
	shm_slot(shm, 0)->records = UINT32_MAX;
	assert_int_equal(shm_slot_reap(shm, 0), 0);
	shm_free(shm);
}

/* Another process finds all of it through the fd. */
static void test_attach(void **state)
{
	struct shm *shm = make(16);
	const char *error = NULL;
	struct shm *other;

	(void)state;
	assert_int_equal(shm_place(shm, SHM_SERVER, "b/s"), 0);
	shm_record(shm, 3, 15)->id = 4711;
	other = shm_attach(dup(shm_fd(shm)), &error);
	assert_non_null(other);
	assert_int_equal(shm_records(other), 16);
	assert_string_equal(shm_name(other, SHM_SERVER, 0), "b/s");
	assert_int_equal(shm_record(other, 3, 15)->id, 4711);
	shm_free(shm);
	shm_slot(other, 1)->state = SLOT_SERVING;
	shm_free(other);
}

static int memory(unsigned seals)
{
	int fd = memfd_create("other", MFD_ALLOW_SEALING);

	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, 1 << 20), 0);
	assert_int_equal(fcntl(fd, F_ADD_SEALS, seals), 0);
	return fd;
}

static void test_attach_refuses_what_is_none(void **state)
{
	const unsigned seals = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL;
	struct shm *shm = make(16);
	/* Anything after the magic, each alone. The header has 4 byte numbers up to record_bytes. */
	const size_t header_bytes = 8 + 8 * 4 + 2 * 8;
	const char *error;
	int fd;

	(void)state;
	assert_null(shm_attach(open("/dev/null", O_RDWR), &error));
	assert_null(shm_attach(memory(0), &error));
	assert_string_equal(error, "it is not sealed shared memory");
	assert_null(shm_attach(memory(seals), &error));
	assert_string_equal(error, "it is not proxyd's shared memory");
	for (size_t at = 0; at < header_bytes; at += 4) {
		uint32_t was;
		uint32_t bad;

		assert_int_equal(pread(shm_fd(shm), &was, sizeof(was), (off_t)at), sizeof(was));
		bad = was ^ 0x80000001;
		assert_int_equal(pwrite(shm_fd(shm), &bad, sizeof(bad), (off_t)at), sizeof(bad));
		fd = dup(shm_fd(shm));
		error = NULL;
		assert_null(shm_attach(fd, &error));
		assert_non_null(error);
		assert_int_equal(fcntl(fd, F_GETFD), -1);
		assert_int_equal(pwrite(shm_fd(shm), &was, sizeof(was), (off_t)at), sizeof(was));
	}
	shm_free(shm);
}

/* A slot is one worker's until its relays are others', and then the lowest free one again. */
static void test_slots_are_taken_and_freed(void **state)
{
	struct shm *shm = make(16);

	(void)state;
	for (uint32_t i = 0; i < SHM_SLOTS; i++)
		assert_int_equal(shm_slot_take(shm), i);
	assert_int_equal(shm_slot_take(shm), SHM_NONE);
	shm_slot_died(shm, 7);
	assert_int_equal(shm_slot(shm, 7)->state, SLOT_DEAD);
	assert_int_equal(shm_slot_take(shm), SHM_NONE);
	shm_slot_reap(shm, 9);
	shm_slot_reap(shm, 7);
	assert_int_equal(shm_slot_take(shm), 7);
	assert_int_equal(shm_slot_take(shm), 9);
	assert_int_equal(shm_slot_take(shm), SHM_NONE);
	assert_int_equal(shm_master(shm)->slots, SHM_SLOTS);
	shm_free(shm);
}

static long memory_kb(const struct shm *shm)
{
	struct stat st;

	assert_int_equal(fstat(shm_fd(shm), &st), 0);
	return st.st_blocks / 2;
}

/* Slots that were used once cost nothing when they are free again. */
static void test_reaped_records_cost_no_memory(void **state)
{
	struct shm *shm = make(4096);
	long before;

	(void)state;
	shm_slot_use(shm, 0);
	shm_slot_reap(shm, 0);
	before = memory_kb(shm);
	for (uint32_t i = 0; i < 4096; i++)
		shm_record(shm, 0, i)->id = i + 1;
	shm_slot(shm, 0)->records = 4096;
	assert_in_range(memory_kb(shm), before + 1024, before + 1100);
	assert_int_equal(shm_slot_reap(shm, 0), 4096);
	assert_in_range(memory_kb(shm), 0, before + 8);
	assert_int_equal(shm_record(shm, 0, 4095)->id, 0);
	shm_free(shm);
}

/* What the current configuration has. */
static void test_places_of_a_generation(void **state)
{
	struct shm *shm = make(16);
	uint32_t gone = shm_place(shm, SHM_SERVER, "b/gone");
	uint32_t stays = shm_place(shm, SHM_SERVER, "b/stays");

	(void)state;
	shm_master(shm)->generation = 1;
	shm_place_stays(shm, SHM_SERVER, gone, 1);
	shm_place_stays(shm, SHM_SERVER, stays, 1);
	assert_true(shm_place_is_current(shm, SHM_SERVER, gone));
	shm_place_stays(shm, SHM_SERVER, stays, 2);
	assert_true(shm_place_is_current(shm, SHM_SERVER, gone));
	shm_master(shm)->generation = 2;
	assert_false(shm_place_is_current(shm, SHM_SERVER, gone));
	assert_true(shm_place_is_current(shm, SHM_SERVER, stays));
	assert_false(shm_place_is_current(shm, SHM_SERVER, SHM_NONE));
	shm_free(shm);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_same_name_same_place),
		cmocka_unit_test(test_places_run_out),
		cmocka_unit_test(test_a_role_touches_only_its_own),
		cmocka_unit_test(test_counts_survive_kills),
		cmocka_unit_test(test_reap_clears_records),
		cmocka_unit_test(test_a_limit_holds_over_all_workers),
		cmocka_unit_test(test_reap_bounds_what_it_reads),
		cmocka_unit_test(test_attach),
		cmocka_unit_test(test_attach_refuses_what_is_none),
		cmocka_unit_test(test_slots_are_taken_and_freed),
		cmocka_unit_test(test_reaped_records_cost_no_memory),
		cmocka_unit_test(test_places_of_a_generation),
	};

	return cmocka_run_group_tests_name("shm", tests, NULL, NULL);
}
