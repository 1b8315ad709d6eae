/* Passive health: who is ejected, for how long, and who never is. */
#include "tests/unit/balance_bed.h"

#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

static uint32_t failed(struct bed *bed, uint32_t server, uint64_t after_ms)
{
	return passive_failed(&bed->conf, bed->shm, server, bed->ask.now_ms + after_ms);
}

static void worked(struct bed *bed, uint32_t server, uint64_t after_ms)
{
	passive_worked(&bed->conf, bed->shm, server, bed->ask.now_ms + after_ms);
}

static bool ejected(struct bed *bed, uint32_t server, uint64_t after_ms)
{
	return passive_ejected(&bed->conf, bed->shm, server, bed->ask.now_ms + after_ms);
}

static void test_ejection(void **state)
{
	struct bed bed;

	(void)state;
	bed_open(&bed, BALANCE_ROUNDROBIN, 2, NULL);
	expect_picks(&bed, "ab");
	assert_int_equal(failed(&bed, 0, 0), 0);
	assert_int_equal(failed(&bed, 0, 1), 0);
	assert_false(ejected(&bed, 0, 1));
	assert_int_equal(failed(&bed, 0, 2), 5000);
	assert_true(ejected(&bed, 0, 5001));
	bed.ask.now_ms += 5001;
	expect_picks(&bed, "bbb");

	/* Its time runs out, and nobody had to say so. */
	bed.ask.now_ms += 1;
	assert_false(ejected(&bed, 0, 0));
	expect_picks(&bed, "baba");
	bed_close(&bed);
}

static void test_failures_are_counted_within_the_window(void **state)
{
	struct bed bed;

	(void)state;
	bed_open(&bed, BALANCE_ROUNDROBIN, 2, NULL);
	assert_int_equal(failed(&bed, 0, 0), 0);
	assert_int_equal(failed(&bed, 0, 9999), 0);
	assert_int_equal(failed(&bed, 0, 10000), 0); /* a new window */
	assert_int_equal(failed(&bed, 0, 10001), 0);
	worked(&bed, 0, 10001);
	assert_int_equal(failed(&bed, 0, 10002), 0);
	assert_int_equal(failed(&bed, 0, 10003), 0);
	assert_int_equal(failed(&bed, 0, 10004), 5000);

	/* What was under way fails as well: that is nothing new. */
	for (uint64_t i = 0; i < 100; i++)
		assert_int_equal(failed(&bed, 0, 10005 + i), 0);
	assert_true(ejected(&bed, 0, 15003));
	assert_false(ejected(&bed, 0, 15004));
	assert_int_equal(failed(&bed, 0, 15004), 0);
	assert_int_equal(failed(&bed, 0, 15005), 0);
	assert_int_equal(failed(&bed, 0, 15006), 10000);

	bed.conf.passive.max_fails = 0;
	for (int i = 0; i < 20; i++)
		assert_int_equal(failed(&bed, 1, 0), 0);
	assert_false(ejected(&bed, 1, 0));
	bed_close(&bed);
}

static void test_each_time_is_twice_as_long(void **state)
{
	static const uint32_t times_ms[] = { 5000, 10000, 20000, 40000, 80000, 160000, 160000,
		160000 };
	struct bed bed;

	(void)state;
	bed_open(&bed, BALANCE_ROUNDROBIN, 2, NULL);
	for (size_t i = 0; i < NELEMS(times_ms); i++) {
		assert_int_equal(bed_eject(&bed, 0), times_ms[i]);
		bed.ask.now_ms += times_ms[i];
		worked(&bed, 0, 9999); /* not yet a whole window */
	}

	/* A failure in the window, though it did not eject, and the window begins anew. */
	assert_int_equal(failed(&bed, 0, 5000), 0);
	worked(&bed, 0, 10000);
	worked(&bed, 0, 14999);
	assert_int_equal(bed_shared(&bed, 0)->ejections, NELEMS(times_ms));
	worked(&bed, 0, 15000);
	assert_int_equal(bed_shared(&bed, 0)->ejections, 0);
	bed.ask.now_ms += 15000;
	assert_int_equal(bed_eject(&bed, 0), 5000);

	/* It cannot become for ever. */
	bed.ask.now_ms += 5000;
	bed.conf.passive.eject_ms = UINT32_MAX / 2 + 1;
	assert_int_equal(bed_eject(&bed, 0), UINT32_MAX);
	bed_close(&bed);
}

/* So many servers, this percentage: at most that many of them, whoever fails. */
static void test_most_that_are_ejected(void **state)
{
	static const struct {
		size_t servers;
		uint32_t pct;
		uint32_t most;
	} cases[] = {
		{ 1, 50, 0 },
		{ 1, 100, 0 },
		{ 2, 50, 1 },
		{ 2, 1, 1 },
		{ 2, 100, 1 },
		{ 3, 50, 1 },
		{ 3, 67, 2 },
		{ 3, 100, 2 },
		{ 10, 50, 5 },
		{ 10, 5, 1 },
		{ 10, 0, 0 },
		{ 10, 100, 9 },
		{ 1000, 33, 330 },
	};

	(void)state;
	for (size_t i = 0; i < NELEMS(cases); i++) {
		uint32_t n = 0;
		struct bed bed;

		bed_open(&bed, BALANCE_ROUNDROBIN, cases[i].servers, NULL);
		bed.conf.passive.max_ejected_pct = cases[i].pct;
		for (uint32_t s = 0; s < cases[i].servers; s++) {
			bed_eject(&bed, s);
			n += ejected(&bed, s, 0);
		}
		assert_int_equal(n, cases[i].most);
		assert_int_not_equal(bed_pick(&bed), BALANCE_NOBODY);
		assert_int_equal(bed_backend(&bed)->panic, 0);

		/* The next ones, when the first ones are back. */
		bed.ask.now_ms += 5000;
		if (n > 0)
			assert_int_not_equal(bed_eject(&bed, (uint32_t)cases[i].servers - 1), 0);
		bed_close(&bed);
	}
}

/* The last one that works stays, whatever the others are. */
static void test_the_last_one_stays(void **state)
{
	struct bed bed;

	(void)state;
	bed_open(&bed, BALANCE_ROUNDROBIN, 6, NULL);
	bed.conf.passive.max_ejected_pct = 100;
	bed_health(&bed, 1, HEALTH_DOWN);
	bed_admin(&bed, 2)->state = ADMIN_DRAIN;
	bed_admin(&bed, 3)->weight = 0;
	bed.conf.servers[4].naddrs = 0;
	assert_int_equal(bed_eject(&bed, 5), 5000);
	assert_int_equal(bed_eject(&bed, 0), 0);
	expect_picks(&bed, "aaa");

	/* A backup server that works is one that works. */
	bed_admin(&bed, 2)->state = ADMIN_READY;
	bed.conf.servers[2].backup = true;
	assert_int_equal(bed_eject(&bed, 0), 5000);
	expect_picks(&bed, "ccc");
	assert_int_equal(bed_eject(&bed, 2), 0);
	bed_close(&bed);
}

/* One is ejected, then the other goes down: panic. */
static void test_ejected_ones_serve_when_nobody_else_does(void **state)
{
	struct bed bed;

	(void)state;
	bed_open(&bed, BALANCE_ROUNDROBIN, 3, NULL);
	bed.conf.passive.max_ejected_pct = 100;
	assert_int_equal(bed_eject(&bed, 0), 5000);
	bed.ask.now_ms += 1000;
	assert_int_equal(bed_eject(&bed, 1), 5000);
	expect_picks(&bed, "ccc");
	bed_health(&bed, 2, HEALTH_DOWN);
	expect_picks(&bed, "baba");
	bed.ask.now_ms += 4000; /* the first one's time is over, not the second's */
	expect_picks(&bed, "aa");
	bed.ask.now_ms += 1000;
	expect_picks(&bed, "baba");
	bed_health(&bed, 2, HEALTH_UP);
	expect_picks(&bed, "bcabc");
	bed_close(&bed);
}

/* ------------------------------------------------------------------ several workers at once */

#define RACERS  2
#define ROUNDS  1000
#define SERVERS 2000 /* all but the racers' are down: to look at them takes long enough to meet */

/* All servers fail in the same instant, each seen by another worker. The cursor is the barrier. */
static void racer(struct bed *bed, uint32_t server)
{
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	for (uint64_t round = 1; round <= ROUNDS; round++) {
		while (bed_backend(bed)->cursor < round)
			sched_yield();
		(void)failed(bed, server, 0);
		bed_backend(bed)->budget_all++;
	}
	_exit(0);
}

/* Returns how many are ejected afterwards. */
static uint32_t race_round(struct bed *bed, uint64_t round)
{
	uint32_t n = 0;

	bed_backend(bed)->budget_all = 0;
	for (uint32_t i = 0; i < RACERS; i++) {
		bed_shared(bed, i)->ejected_until_ms = 0;
		bed_shared(bed, i)->ejections = 0;
	}
	bed_backend(bed)->cursor = round;
	while (bed_backend(bed)->budget_all < RACERS)
		sched_yield();
	for (uint32_t i = 0; i < RACERS; i++)
		n += ejected(bed, i, 0);
	return n;
}

static void test_workers_do_not_eject_the_last_together(void **state)
{
	pid_t pids[RACERS];
	struct bed bed;

	(void)state;
	bed_open(&bed, BALANCE_ROUNDROBIN, SERVERS, NULL);
	for (size_t i = RACERS; i < SERVERS; i++)
		bed_health(&bed, i, HEALTH_DOWN);
	bed.conf.passive.max_ejected_pct = 100;
	bed.conf.passive.max_fails = 1;
	for (uint32_t i = 0; i < RACERS; i++) {
		pids[i] = fork();
		if (pids[i] == 0)
			racer(&bed, i);
	}
	for (uint64_t round = 1; round <= ROUNDS; round++)
		assert_in_range(race_round(&bed, round), 0, RACERS - 1);
	for (uint32_t i = 0; i < RACERS; i++)
		assert_int_equal(waitpid(pids[i], NULL, 0), pids[i]);
	bed_close(&bed);
}

/* ------------------------------------------------------------------ what works */

static int pick_proven(struct bed *bed, const uint32_t *tried, size_t ntried)
{
	struct balance_ask ask = bed->ask;

	ask.tried = tried;
	ask.ntried = ntried;
	return balancer_pick_proven(bed->balancer, &ask);
}

static void connected(struct bed *bed, uint32_t server, uint64_t after_ms)
{
	passive_connected(&bed->conf, bed->shm, server, bed->ask.now_ms + after_ms);
}

static void test_proven(void **state)
{
	struct bed bed;

	(void)state;
	bed_open(&bed, BALANCE_ROUNDROBIN, 2, NULL);
	assert_false(passive_proven(&bed.conf, bed.shm, 0, bed.ask.now_ms));
	connected(&bed, 0, 0);
	assert_true(passive_proven(&bed.conf, bed.shm, 0, bed.ask.now_ms));
	assert_true(passive_proven(&bed.conf, bed.shm, 0, bed.ask.now_ms + 9999));
	assert_false(passive_proven(&bed.conf, bed.shm, 0, bed.ask.now_ms + 10000));
	/* In the same millisecond nobody knows which was first. */
	(void)failed(&bed, 0, 0);
	assert_false(passive_proven(&bed.conf, bed.shm, 0, bed.ask.now_ms));
	/* At once, however little time has passed. */
	connected(&bed, 0, 1);
	assert_true(passive_proven(&bed.conf, bed.shm, 0, bed.ask.now_ms + 1));
	/* Also where nothing is ejected. */
	bed.conf.passive.max_fails = 0;
	(void)failed(&bed, 0, 2);
	assert_false(passive_proven(&bed.conf, bed.shm, 0, bed.ask.now_ms + 2));
	bed_close(&bed);
}

static void test_a_retry_goes_to_what_works(void **state)
{
	static const enum conf_balance balances[] = { BALANCE_ROUNDROBIN, BALANCE_LEASTCONN,
		BALANCE_RANDOM, BALANCE_FIRST, BALANCE_SOURCE, BALANCE_MAGLEV, BALANCE_LATENCY };
	const uint32_t first = 0;
	const uint32_t third = 2;

	(void)state;
	for (size_t i = 0; i < NELEMS(balances); i++) {
		struct bed bed;

		bed_open(&bed, balances[i], 4, NULL);
		assert_int_equal(pick_proven(&bed, &first, 1), BALANCE_NOBODY);
		connected(&bed, 2, 0);
		for (int n = 0; n < 20; n++)
			assert_int_equal(pick_proven(&bed, &first, 1), 2);
		assert_int_equal(pick_proven(&bed, &third, 1), BALANCE_NOBODY);
		bed_admin(&bed, 2)->maxconn = 1;
		bed_shared(&bed, 2)->active = 1;
		bed_changed(&bed);
		assert_int_equal(pick_proven(&bed, &first, 1), BALANCE_NOBODY);
		bed_close(&bed);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_ejection),
		cmocka_unit_test(test_failures_are_counted_within_the_window),
		cmocka_unit_test(test_each_time_is_twice_as_long),
		cmocka_unit_test(test_most_that_are_ejected),
		cmocka_unit_test(test_the_last_one_stays),
		cmocka_unit_test(test_ejected_ones_serve_when_nobody_else_does),
		cmocka_unit_test(test_workers_do_not_eject_the_last_together),
		cmocka_unit_test(test_proven),
		cmocka_unit_test(test_a_retry_goes_to_what_works),
	};

	return cmocka_run_group_tests_name("passive health", tests, NULL, NULL);
}
