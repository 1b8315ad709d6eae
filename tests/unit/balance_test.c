/* Which server takes the next connection: every algorithm, several workers at once. */
#include "tests/unit/balance_bed.h"

#include <time.h>

#include "common/clock.h"
#include "worker/balance/latency.h"

/* ------------------------------------------------------------------ sequences */

static const struct {
	enum conf_balance balance;
	uint32_t weights[4];
	uint32_t active[4];
	const char *picks;
} sequences[] = {
	{ BALANCE_ROUNDROBIN, { 1, 1, 1 }, { 0 }, "abcabcabc" },
	{ BALANCE_ROUNDROBIN, { 7, 7, 7 }, { 0 }, "abcabc" },
	{ BALANCE_ROUNDROBIN, { 1 }, { 0 }, "aaa" },
	{ BALANCE_ROUNDROBIN, { 5, 1, 1 }, { 0 }, "aabacaaaabacaa" },
	{ BALANCE_ROUNDROBIN, { 50, 10, 10 }, { 0 }, "aabacaaaabacaa" },
	{ BALANCE_ROUNDROBIN, { 2, 1 }, { 0 }, "abaaba" },
	{ BALANCE_ROUNDROBIN, { 1, 1, 1, 1 }, { 9, 9, 9, 9 }, "abcdabcd" },
	{ BALANCE_LEASTCONN, { 1, 1, 1 }, { 5, 1, 3 }, "bbbb" },
	{ BALANCE_LEASTCONN, { 1, 1, 1 }, { 0 }, "abcabc" },
	{ BALANCE_LEASTCONN, { 1, 1, 1, 1 }, { 2, 1, 2, 1 }, "bdbdbd" },
	{ BALANCE_LEASTCONN, { 1, 4 }, { 1, 3 }, "bbb" },
	{ BALANCE_LEASTCONN, { 1, 4 }, { 1, 5 }, "aaa" },
	{ BALANCE_LEASTCONN, { 1, 4 }, { 1, 4 }, "abab" },
	{ BALANCE_FIRST, { 1, 1, 1 }, { 9, 0, 0 }, "aaaa" },
	/* No source bytes: in turn. */
	{ BALANCE_SOURCE, { 1, 1, 1 }, { 0 }, "abcabc" },
	{ BALANCE_MAGLEV, { 1, 1, 1 }, { 0 }, "abcabc" },
	/* Nobody was measured. */
	{ BALANCE_LATENCY, { 1, 1, 1 }, { 0 }, "abcabc" },
	{ BALANCE_LATENCY, { 1, 1, 1 }, { 5, 1, 3 }, "bbbb" },
	{ BALANCE_LATENCY, { 1, 4 }, { 0 }, "bbbb" },
};

static void test_sequences(void **state)
{
	(void)state;
	for (size_t i = 0; i < NELEMS(sequences); i++) {
		struct bed bed;
		size_t n = 0;

		while (n < 4 && sequences[i].weights[n] != 0)
			n++;
		bed_open(&bed, sequences[i].balance, n, sequences[i].weights);
		for (size_t s = 0; s < n; s++)
			bed_shared(&bed, s)->active = sequences[i].active[s];
		expect_picks(&bed, sequences[i].picks);
		bed_close(&bed);
	}
}

/* 5, 1, 3: the 1, then the 1 again (it is 2 now), then the two that are equal in turn. */
static void test_leastconn_counts(void **state)
{
	static const uint32_t active[] = { 5, 1, 3 };
	struct bed bed;

	(void)state;
	bed_open(&bed, BALANCE_LEASTCONN, 3, NULL);
	for (size_t i = 0; i < 3; i++)
		bed_shared(&bed, i)->active = active[i];
	expect_picks(&bed, "b");
	bed_shared(&bed, 1)->active = 2;
	expect_picks(&bed, "b");
	bed_shared(&bed, 1)->active = 3;
	expect_picks(&bed, "cbcb");
	bed_close(&bed);
}

/* Whichever worker accepts, the turn goes on. */
static void test_workers_share_the_turn(void **state)
{
	static const uint32_t weights[] = { 3, 2, 1 };
	static const char *const one[] = { "abcabcabcabc", "abacbaabacba" };

	(void)state;
	for (size_t weighted = 0; weighted < 2; weighted++) {
		struct balancer *workers[4];
		struct bed bed;

		bed_open(&bed, BALANCE_ROUNDROBIN, 3, weighted ? weights : NULL);
		for (size_t w = 0; w < NELEMS(workers); w++)
			workers[w] = balancer_new(&bed.conf, bed.shm, w);
		for (size_t i = 0; one[weighted][i] != '\0'; i++) {
			size_t w = (i * 7 + i / 3) % NELEMS(workers);

			assert_int_equal(
				balancer_pick(workers[w], &bed.ask), one[weighted][i] - 'a');
		}
		for (size_t w = 0; w < NELEMS(workers); w++)
			balancer_free(workers[w]);
		bed_close(&bed);
	}
}

/* ------------------------------------------------------------------ shares */

/* Over PICKS picks every server's share is within 2 % of what its weight says, and 3 picks, as the rarest
 * comes but 40 times. */
enum shares {
	SHARES_EXACT,
	SHARES_HELD,   /* what is picked stays active */
	SHARES_RANDOM, /* is allowed its statistics: four standard deviations */
};

static void expect_shares(struct bed *bed, enum shares shares)
{
	size_t n = bed->conf.nservers;
	uint32_t *counts = calloc(n, sizeof(*counts));
	double sum = 0;

	for (size_t i = 0; i < n; i++)
		sum += bed_admin(bed, i)->weight;
	for (int i = 0; i < PICKS; i++) {
		int pick = bed_pick(bed);

		assert_in_range(pick, 0, n - 1);
		counts[pick]++;
		if (shares == SHARES_HELD)
			bed_shared(bed, (size_t)pick)->active++;
	}
	for (size_t i = 0; i < n; i++) {
		double due = PICKS * bed_admin(bed, i)->weight / sum;
		double off = counts[i] > due ? counts[i] - due : due - counts[i];

		if (shares == SHARES_RANDOM ? off * off > 16 * due : off > 0.02 * due + 3)
			fail_msg("%s: server %zu of %zu: %u picks, %.1f are due",
				conf_balance_name(bed->conf.balance), i, n, counts[i], due);
	}
	free(counts);
}

static const struct {
	enum conf_balance balance;
	enum shares shares;
	size_t most; /* servers; 0: any number */
} share_cases[] = {
	{ BALANCE_ROUNDROBIN, SHARES_EXACT, 0 }, { BALANCE_LEASTCONN, SHARES_HELD, 0 },
	{ BALANCE_RANDOM, SHARES_RANDOM, 0 },
	{ BALANCE_LATENCY, SHARES_HELD, 16 }, /* of more it draws two */
};

static void test_shares(void **state)
{
	static const size_t sizes[] = { 2, 3, 10, 16, 100, 1000 };

	(void)state;
	for (size_t i = 0; i < NELEMS(sizes) * NELEMS(share_cases) * 2; i++) {
		size_t n = sizes[i / 2 % NELEMS(sizes)];
		size_t at = i / 2 / NELEMS(sizes);
		uint32_t weights[1000];
		struct bed bed;

		if (share_cases[at].most > 0 && n > share_cases[at].most)
			continue;
		for (size_t s = 0; s < n; s++)
			weights[s] = i % 2 ? 1 : (uint32_t)(s * 37 % 256) + 1;
		bed_open(&bed, share_cases[at].balance, n, weights);
		if (share_cases[at].shares == SHARES_RANDOM)
			bed.conf.random_draws = 1;
		expect_shares(&bed, share_cases[at].shares);
		bed_close(&bed);
	}
}

static void test_random_takes_the_less_busy(void **state)
{
	struct bed bed;
	int busy = 0;

	(void)state;
	bed_open(&bed, BALANCE_RANDOM, 10, NULL);
	for (size_t i = 0; i < 10; i++)
		bed_shared(&bed, i)->active = i < 5 ? 10 : 1;
	for (int i = 0; i < 10000; i++)
		busy += bed_pick(&bed) < 5;
	/* Both draws of two hit the busy half in a quarter of all picks. */
	assert_in_range(busy, 2300, 2700);
	bed_close(&bed);
}

static void test_random_differs_between_processes(void **state)
{
	struct bed bed;
	struct balancer *other;
	int same = 0;

	(void)state;
	bed_open(&bed, BALANCE_RANDOM, 100, NULL);
	other = balancer_new(&bed.conf, bed.shm, 43);
	for (int i = 0; i < 1000; i++)
		same += bed_pick(&bed) == balancer_pick(other, &bed.ask);
	assert_in_range(same, 0, 50);
	balancer_free(other);
	bed_close(&bed);
}

/* ------------------------------------------------------------------ tried */

/* A server whose connect failed is left out while there is another; when all were tried one of them is
 * chosen again. */
static void test_tried(void **state)
{
	static const uint32_t weights[] = { 200, 1, 1, 3 };
	static const uint32_t tried[] = { 0, 3, 1, 2 };

	(void)state;
	for (enum conf_balance balance = BALANCE_ROUNDROBIN; balance <= BALANCE_LATENCY;
		balance++) {
		for (size_t n = 1; n <= 4; n++) {
			struct bed bed;

			bed_open(&bed, balance, 4, weights);
			for (uint32_t i = 0; i < 500; i++) {
				struct balance_ask ask = { .source = i % 2 ? &i : NULL,
					.source_bytes = i % 2 ? sizeof(i) : 0,
					.tried = tried,
					.ntried = n,
					.now_ms = 1 };
				int pick = balancer_pick(bed.balancer, &ask);

				assert_in_range(pick, 0, 3);
				for (size_t t = 0; n < 4 && t < n; t++)
					assert_int_not_equal(pick, tried[t]);
			}
			bed_close(&bed);
		}
	}
}

/* 1 is dead: who was sent there goes on to 2, and the next client is not sent to 2 again. */
static void test_tried_keeps_the_turn(void **state)
{
	static const uint32_t tried[] = { 0 };
	struct bed bed;

	(void)state;
	bed_open(&bed, BALANCE_ROUNDROBIN, 3, NULL);
	expect_picks(&bed, "a");
	assert_int_equal(bed_pick_but(&bed, tried, 1), 1);
	expect_picks(&bed, "c");
	assert_int_equal(bed_pick_but(&bed, tried, 1), 1); /* its turn was a's */
	expect_picks(&bed, "c");
	bed_close(&bed);
}

/* Far too many servers for a schedule, nearly all of the weight tried. */
static void test_tried_without_a_schedule(void **state)
{
	static const uint32_t tried[] = { 0, 1, 2, 3, 4, 5, 6, 7 };
	uint32_t weights[5000];
	struct bed bed;

	(void)state;
	for (size_t i = 0; i < NELEMS(weights); i++)
		weights[i] = i < 8 ? 256 : i == 4000 ? 255 : 0;
	for (size_t i = 8; i < 40; i++)
		weights[i] = 251;
	bed_open(&bed, BALANCE_ROUNDROBIN, NELEMS(weights), weights);
	for (int i = 0; i < 1000; i++)
		assert_true(bed_pick_but(&bed, tried, NELEMS(tried)) >= 8);
	bed_close(&bed);
}

/* ------------------------------------------------------------------ maxconn */

/* Every algorithm fills every server up to its maxconn and no further, then says so. */
static void test_full(void **state)
{
	static const uint32_t weights[] = { 200, 1, 1, 3 };
	static const uint32_t maxconns[] = { 3, 7, 1, 9 };
	static const uint32_t tried[] = { 1 };

	(void)state;
	for (enum conf_balance balance = BALANCE_ROUNDROBIN; balance <= BALANCE_LATENCY;
		balance++) {
		struct bed bed;

		bed_open(&bed, balance, 4, weights);
		for (size_t i = 0; i < 4; i++)
			bed_admin(&bed, i)->maxconn = maxconns[i];
		for (uint32_t i = 0; i < 3 + 7 + 1 + 9; i++) {
			int pick = i % 2 ? bed_pick(&bed) : bed_pick_source(&bed, i);

			assert_in_range(pick, 0, 3);
			assert_true(bed_shared(&bed, (size_t)pick)->active++ < maxconns[pick]);
		}
		expect_picks(&bed, "!!");
		assert_int_equal(bed_pick_source(&bed, 7), BALANCE_FULL);
		assert_int_equal(bed_pick_but(&bed, tried, 1), BALANCE_FULL);

		/* One is free: it serves, though it was tried. */
		bed_shared(&bed, 1)->active--;
		expect_picks(&bed, "bbb");
		assert_int_equal(bed_pick_but(&bed, tried, 1), 1);

		/* The limit was raised, then taken away. */
		bed_shared(&bed, 1)->active++;
		bed_admin(&bed, 2)->maxconn = 2;
		bed_changed(&bed);
		expect_picks(&bed, "ccc");
		bed_admin(&bed, 2)->maxconn = 0;
		bed_changed(&bed);
		bed_shared(&bed, 2)->active = 1000000;
		expect_picks(&bed, "ccc");
		bed_close(&bed);
	}
}

static void test_backup_servers_do_not_stand_in_for_full_ones(void **state)
{
	struct bed bed;

	(void)state;
	bed_open(&bed, BALANCE_FIRST, 2, NULL);
	bed.conf.servers[1].backup = true;
	bed_admin(&bed, 0)->maxconn = 1;
	expect_picks(&bed, "a");
	bed_shared(&bed, 0)->active = 1;
	expect_picks(&bed, "!");
	bed_close(&bed);
}

/* Of many servers all but one are full. */
static void test_full_of_many(void **state)
{
	(void)state;
	for (enum conf_balance balance = BALANCE_ROUNDROBIN; balance <= BALANCE_LATENCY;
		balance++) {
		struct bed bed;

		bed_open(&bed, balance, 3000, NULL);
		for (size_t i = 0; i < 3000; i++) {
			bed_admin(&bed, i)->maxconn = 1;
			bed_shared(&bed, i)->active = i != 1234;
		}
		for (uint32_t i = 0; i < 50; i++)
			assert_int_equal(bed_pick_source(&bed, i), 1234);
		assert_int_equal(bed_pick(&bed), 1234);
		bed_shared(&bed, 1234)->active = 1;
		assert_int_equal(bed_pick(&bed), BALANCE_FULL);
		bed_close(&bed);
	}
}

/* ------------------------------------------------------------------ latency */

static void observe(struct bed *bed, uint32_t server, uint64_t us)
{
	latency_observe(&bed->conf, bed->shm, server, us, bed->ask.now_ms);
}

static void test_latency_rises_at_once_and_fades(void **state)
{
	struct shm_shared_server *server;
	struct bed bed;

	(void)state;
	bed_open(&bed, BALANCE_LATENCY, 2, NULL);
	server = bed_shared(&bed, 0);
	observe(&bed, 0, 1000);
	assert_int_equal(server->latency_us, 1000);
	observe(&bed, 0, 50000);
	assert_int_equal(server->latency_us, 50000);
	observe(&bed, 0, 1000); /* no time has passed: no news */
	assert_int_equal(server->latency_us, 50000);
	bed.ask.now_ms += 10000; /* a third is left, and of the new one two thirds count */
	observe(&bed, 0, 1000);
	assert_in_range(server->latency_us, 18390 + 630, 18395 + 635);
	bed.ask.now_ms -= 5; /* another process's clock */
	observe(&bed, 0, 30000);
	assert_int_equal(server->latency_us, 30000);
	observe(&bed, 0, UINT64_MAX);
	assert_int_equal(server->latency_us, UINT32_MAX);

	bed.conf.balance = BALANCE_FIRST;
	observe(&bed, 1, 1000);
	assert_int_equal(bed_shared(&bed, 1)->latency_us, 0);
	bed_close(&bed);
}

static void test_latency_picks(void **state)
{
	struct bed bed;

	(void)state;
	bed_open(&bed, BALANCE_LATENCY, 3, NULL);
	observe(&bed, 0, 4000);
	observe(&bed, 1, 1000);
	observe(&bed, 2, 16000);
	expect_picks(&bed, "bbb");
	bed_shared(&bed, 1)->active = 3; /* four times 1 ms, as much as a */
	expect_picks(&bed, "abab");
	bed_shared(&bed, 1)->active = 4;
	expect_picks(&bed, "aaa");
	bed_shared(&bed, 0)->active = 3;
	expect_picks(&bed, "bbb");
	bed_shared(&bed, 1)->active = 100;
	bed_shared(&bed, 0)->active = 100;
	expect_picks(&bed, "ccc");

	/* After a while without news nobody is known to be slow. */
	for (size_t i = 0; i < 3; i++)
		bed_shared(&bed, i)->active = 0;
	expect_picks(&bed, "bbb");
	bed.ask.now_ms += 120000;
	expect_picks(&bed, "cabcab");
	bed_close(&bed);
}

/* A server that nobody measured gets one connection, and no more until that one told its time. */
static void test_latency_of_a_new_server(void **state)
{
	struct bed bed;

	(void)state;
	bed_open(&bed, BALANCE_LATENCY, 3, NULL);
	observe(&bed, 0, 4000);
	observe(&bed, 1, 4000);
	expect_picks(&bed, "c");
	bed_shared(&bed, 2)->active = 1;
	expect_picks(&bed, "abab");
	observe(&bed, 2, 500);
	expect_picks(&bed, "ccc");
	bed_close(&bed);
}

/* Of many: two draws, so a slow server gets but what is drawn for it twice. */
static void test_latency_of_many(void **state)
{
	struct bed bed;
	int slow = 0;

	(void)state;
	bed_open(&bed, BALANCE_LATENCY, 100, NULL);
	for (uint32_t i = 0; i < 100; i++)
		observe(&bed, i, i < 20 ? 100000 : 1000);
	for (int i = 0; i < 10000; i++)
		slow += bed_pick(&bed) < 20;
	assert_in_range(slow, 300, 500);
	bed_close(&bed);
}

/* ------------------------------------------------------------------ cost */

#define COST_SERVERS 10000
#define COST_BATCHES 200
#define COST_PICKS   1000
#define COST_MOST_NS 1000

static uint64_t cpu_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
	return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

/* CPU time of a pick, in the best of some batches: others use the machine, and its caches, too. */
static double cost_ns(struct bed *bed)
{
	double best = 1e9;

	for (int batch = 0; batch < COST_BATCHES; batch++) {
		const uint64_t began_ns = cpu_ns();
		double ns;

		for (int i = 0; i < COST_PICKS; i++)
			(void)!bed_pick_source(bed, (uint32_t)(batch * COST_PICKS + i));
		ns = (double)(cpu_ns() - began_ns) / COST_PICKS;
		if (ns < best)
			best = ns;
	}
	return best;
}

static void cost_of(enum conf_balance balance, const uint32_t *weights, bool half_full)
{
	struct bed bed;
	uint64_t began_us;
	uint64_t rebuilt_us;
	double ns;

	bed_open(&bed, balance, COST_SERVERS, weights);
	for (size_t i = 0; half_full && i < COST_SERVERS; i++) {
		bed_admin(&bed, i)->maxconn = 1;
		bed_shared(&bed, i)->active = i % 2;
	}
	began_us = clock_now_us();
	bed_pick(&bed);
	rebuilt_us = clock_now_us() - began_us;
	ns = cost_ns(&bed);
	printf("10000 servers, %s%s%s: %.0f ns a pick, %llu us to rebuild\n",
		conf_balance_name(balance), weights != NULL ? ", weights" : "",
		half_full ? ", half of them full" : "", ns, (unsigned long long)rebuilt_us);
#ifndef __SANITIZE_ADDRESS__
	assert_true(ns < COST_MOST_NS);
#endif
	bed_close(&bed);
}

static void test_cost(void **state)
{
	uint32_t *weights = calloc(COST_SERVERS, sizeof(*weights));

	(void)state;
	for (size_t i = 0; i < COST_SERVERS; i++)
		weights[i] = (uint32_t)(i * 37 % 256) + 1;
	for (enum conf_balance balance = BALANCE_ROUNDROBIN; balance <= BALANCE_LATENCY;
		balance++) {
		cost_of(balance, NULL, false);
		cost_of(balance, weights, false);
		cost_of(balance, weights, true);
	}
	free(weights);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_sequences),
		cmocka_unit_test(test_leastconn_counts),
		cmocka_unit_test(test_workers_share_the_turn),
		cmocka_unit_test(test_shares),
		cmocka_unit_test(test_random_takes_the_less_busy),
		cmocka_unit_test(test_random_differs_between_processes),
		cmocka_unit_test(test_tried),
		cmocka_unit_test(test_tried_keeps_the_turn),
		cmocka_unit_test(test_tried_without_a_schedule),
		cmocka_unit_test(test_full),
		cmocka_unit_test(test_backup_servers_do_not_stand_in_for_full_ones),
		cmocka_unit_test(test_full_of_many),
		cmocka_unit_test(test_latency_rises_at_once_and_fades),
		cmocka_unit_test(test_latency_picks),
		cmocka_unit_test(test_latency_of_a_new_server),
		cmocka_unit_test(test_latency_of_many),
		cmocka_unit_test(test_cost),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
