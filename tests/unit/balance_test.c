/* Which server takes the next connection: every algorithm, health, ejection, several workers at once. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/must.h"
#include "common/shm.h"
#include "conf/conf.h"
#include "worker/balance/balance.h"
#include "worker/balance/passive.h"

#define PICKS 100000

/* A backend made by hand over shared memory of its own. */
struct bed {
	struct shm *shm;
	struct conf_backend conf;
	char (*names)[24];
	struct sockaddr_any addr;
	struct balancer *balancer;
	struct balance_ask ask;
};

static void bed_open(struct bed *bed, enum conf_balance balance, size_t n, const uint32_t *weights)
{
	const char *error;

	memset(bed, 0, sizeof(*bed));
	bed->shm = shm_create(16, &error);
	assert_non_null(bed->shm);
	assert_int_equal(sockaddr_from_literal("127.0.0.1", 80, &bed->addr), 0);
	bed->conf.name = "b";
	bed->conf.place = 7;
	bed->conf.balance = balance;
	bed->conf.random_draws = 2;
	bed->conf.passive =
		(struct conf_passive){ .max_fails = 3, .window_ms = 10000, .eject_ms = 5000 };
	bed->conf.nservers = n;
	bed->conf.servers = calloc(n + 1, sizeof(*bed->conf.servers));
	bed->names = calloc(n + 1, sizeof(*bed->names));
	for (size_t i = 0; i < n; i++) {
		snprintf(bed->names[i], sizeof(bed->names[i]), "s%zu", i);
		bed->conf.servers[i] = (struct conf_server){
			.name = bed->names[i],
			.place = (uint32_t)i + 100,
			.weight = weights != NULL ? weights[i] : 1,
			.naddrs = 1,
			.addrs = &bed->addr,
		};
	}
	bed->balancer = balancer_new(&bed->conf, bed->shm, 42);
	bed->ask.now_ms = 1000000;
}

static void bed_close(struct bed *bed)
{
	balancer_free(bed->balancer);
	shm_free(bed->shm);
	free(bed->conf.servers);
	free(bed->names);
}

static void bed_active(struct bed *bed, size_t server, uint32_t active)
{
	shm_shared(bed->shm)->servers[bed->conf.servers[server].place].active = active;
}

static void bed_health(struct bed *bed, size_t server, enum health health)
{
	shm_checker(bed->shm)->servers[bed->conf.servers[server].place].health = health;
	shm_shared(bed->shm)->backends[bed->conf.place].epoch++;
}

static int bed_pick(struct bed *bed)
{
	return balancer_pick(bed->balancer, &bed->ask);
}

static int bed_pick_but(struct bed *bed, const uint32_t *tried, size_t ntried)
{
	struct balance_ask ask = bed->ask;

	ask.tried = tried;
	ask.ntried = ntried;
	return balancer_pick(bed->balancer, &ask);
}

static int bed_pick_source(struct bed *bed, uint32_t client)
{
	struct balance_ask ask = bed->ask;

	ask.source = &client;
	ask.source_bytes = sizeof(client);
	return balancer_pick(bed->balancer, &ask);
}

/* The next picks are these servers, "a" for the first. */
static void expect_picks(struct bed *bed, const char *picks)
{
	char got[64] = "";

	for (size_t i = 0; picks[i] != '\0'; i++) {
		int pick = bed_pick(bed);

		got[i] = pick == BALANCE_NOBODY ? '-' : (char)('a' + pick);
	}
	assert_string_equal(got, picks);
}

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
	{ BALANCE_SOURCE, { 1, 1, 1 }, { 0 }, "abcabc" }, /* no source bytes: in turn */
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
			bed_active(&bed, s, sequences[i].active[s]);
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
		bed_active(&bed, i, active[i]);
	expect_picks(&bed, "b");
	bed_active(&bed, 1, 2);
	expect_picks(&bed, "b");
	bed_active(&bed, 1, 3);
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

/* Over PICKS picks every server's share is within 2 % of what its weight says (and 3 picks, as the
 * rarest comes but 40 times); random is allowed its statistics: four standard deviations. */
static void expect_shares(struct bed *bed, bool random)
{
	size_t n = bed->conf.nservers;
	uint32_t *counts = calloc(n, sizeof(*counts));
	double sum = 0;

	for (size_t i = 0; i < n; i++)
		sum += bed->conf.servers[i].weight;
	for (int i = 0; i < PICKS; i++) {
		int pick = bed_pick(bed);

		assert_in_range(pick, 0, n - 1);
		counts[pick]++;
	}
	for (size_t i = 0; i < n; i++) {
		double due = PICKS * bed->conf.servers[i].weight / sum;
		double off = counts[i] > due ? counts[i] - due : due - counts[i];

		if (random ? off * off > 16 * due : off > 0.02 * due + 3)
			fail_msg("server %zu of %zu: %u picks, %.1f are due", i, n, counts[i], due);
	}
	free(counts);
}

static void test_shares(void **state)
{
	static const size_t sizes[] = { 2, 3, 10, 100, 1000 };

	(void)state;
	for (size_t i = 0; i < NELEMS(sizes); i++) {
		uint32_t *weights = calloc(sizes[i], sizeof(*weights));
		struct bed bed;

		for (size_t s = 0; s < sizes[i]; s++)
			weights[s] = (uint32_t)(s * 37 % 256) + 1;
		bed_open(&bed, BALANCE_ROUNDROBIN, sizes[i], weights);
		expect_shares(&bed, false);
		bed_close(&bed);
		bed_open(&bed, BALANCE_RANDOM, sizes[i], weights);
		bed.conf.random_draws = 1;
		expect_shares(&bed, true);
		bed_close(&bed);
		free(weights);
	}
}

static void test_random_takes_the_less_busy(void **state)
{
	struct bed bed;
	int busy = 0;

	(void)state;
	bed_open(&bed, BALANCE_RANDOM, 10, NULL);
	for (size_t i = 0; i < 10; i++)
		bed_active(&bed, i, i < 5 ? 10 : 1);
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

/* ------------------------------------------------------------------ source */

static void test_source_moves_only_its_own(void **state)
{
	static const uint32_t weights[] = { 1, 2, 3, 4 };
	uint32_t counts[4] = { 0 };
	int before[PICKS / 10];
	struct bed bed;

	(void)state;
	for (int weighted = 0; weighted < 2; weighted++) {
		bed_open(&bed, BALANCE_SOURCE, 4, weighted ? weights : NULL);
		for (uint32_t i = 0; i < NELEMS(before); i++) {
			before[i] = bed_pick_source(&bed, i);
			assert_int_equal(before[i], bed_pick_source(&bed, i));
			if (weighted)
				counts[before[i]]++;
		}
		bed_health(&bed, 1, HEALTH_DOWN);
		for (uint32_t i = 0; i < NELEMS(before); i++) {
			int now = bed_pick_source(&bed, i);

			assert_int_not_equal(now, 1);
			assert_true(now == before[i] || before[i] == 1);
		}
		bed_health(&bed, 1, HEALTH_UP);
		for (uint32_t i = 0; i < NELEMS(before); i++)
			assert_int_equal(bed_pick_source(&bed, i), before[i]);
		bed_close(&bed);
	}
	for (uint32_t i = 0; i < 4; i++)
		assert_in_range(counts[i], (i + 1) * 900, (i + 1) * 1100);
}

/* The shortcut for equal weights chooses as the general search does. */
static void test_source_equal_and_weighted_agree(void **state)
{
	static const uint32_t weights[] = { 5, 5, 5, 5, 1 };
	struct bed equal;
	struct bed weighted;

	(void)state;
	bed_open(&equal, BALANCE_SOURCE, 4, weights);
	bed_open(&weighted, BALANCE_SOURCE, 5, weights);
	for (uint32_t i = 0; i < 10000; i++) {
		int pick = bed_pick_source(&weighted, i);

		assert_true(pick == 4 || pick == bed_pick_source(&equal, i));
	}
	bed_close(&equal);
	bed_close(&weighted);
}

/* ------------------------------------------------------------------ who can be chosen */

static void test_health(void **state)
{
	struct bed bed;

	(void)state;
	bed_open(&bed, BALANCE_ROUNDROBIN, 3, NULL);
	expect_picks(&bed, "abc");
	bed_health(&bed, 1, HEALTH_DOWN);
	expect_picks(&bed, "caca");
	bed_health(&bed, 1, HEALTH_UP);
	expect_picks(&bed, "bcab");
	for (size_t i = 0; i < 3; i++)
		bed_health(&bed, i, HEALTH_DOWN);
	expect_picks(&bed, "--");
	bed_health(&bed, 2, HEALTH_UP);
	expect_picks(&bed, "cc");
	bed_close(&bed);
}

static void test_weight_0_and_no_address(void **state)
{
	static const uint32_t weights[] = { 0, 1, 1 };
	static const uint32_t tried[] = { 1 };
	struct bed bed;

	(void)state;
	for (enum conf_balance balance = BALANCE_ROUNDROBIN; balance <= BALANCE_SOURCE; balance++) {
		bed_open(&bed, balance, 3, weights);
		bed.conf.servers[2].naddrs = 0;
		expect_picks(&bed, "bbbb");
		assert_int_equal(bed_pick_but(&bed, tried, 1), 1);
		assert_int_equal(bed_pick_source(&bed, 12345), 1);
		bed_close(&bed);
	}
}

static void test_nobody(void **state)
{
	static const uint32_t weights[] = { 0, 1, 1, 0 };
	char why[200];
	struct bed bed;

	(void)state;
	bed_open(&bed, BALANCE_ROUNDROBIN, 0, NULL);
	assert_int_equal(bed_pick(&bed), BALANCE_NOBODY);
	assert_string_equal(
		balancer_nobody_why(bed.balancer, why, sizeof(why)), "the backend has no server");
	bed_close(&bed);

	bed_open(&bed, BALANCE_LEASTCONN, 4, weights);
	bed_health(&bed, 1, HEALTH_DOWN);
	bed.conf.servers[2].naddrs = 0;
	assert_int_equal(bed_pick(&bed), BALANCE_NOBODY);
	assert_string_equal(balancer_nobody_why(bed.balancer, why, sizeof(why)),
		"of the servers 2 of weight 0, 1 without an address, 1 down");
	balancer_nobody_why(bed.balancer, why, 10);
	assert_string_equal(why, "of the se");
	bed_close(&bed);

	bed_open(&bed, BALANCE_FIRST, 3, NULL);
	for (size_t i = 0; i < 3; i++)
		bed_health(&bed, i, HEALTH_DOWN);
	assert_int_equal(bed_pick(&bed), BALANCE_NOBODY);
	assert_string_equal(
		balancer_nobody_why(bed.balancer, why, sizeof(why)), "all 3 servers are down");
	bed_close(&bed);
}

/* A server whose connect failed is left out while there is another; when all were tried one of them is
 * chosen again. */
static void test_tried(void **state)
{
	static const uint32_t weights[] = { 200, 1, 1, 3 };
	static const uint32_t tried[] = { 0, 3, 1, 2 };

	(void)state;
	for (enum conf_balance balance = BALANCE_ROUNDROBIN; balance <= BALANCE_SOURCE; balance++) {
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

/* ------------------------------------------------------------------ passive health */

static void test_ejection(void **state)
{
	struct bed bed;
	uint64_t now_ms = 1000000;

	(void)state;
	bed_open(&bed, BALANCE_ROUNDROBIN, 2, NULL);
	expect_picks(&bed, "ab");
	assert_false(passive_failed(&bed.conf, bed.shm, 0, now_ms));
	assert_false(passive_failed(&bed.conf, bed.shm, 0, now_ms + 1));
	assert_false(passive_ejected(&bed.conf, bed.shm, 0, now_ms + 1));
	assert_true(passive_failed(&bed.conf, bed.shm, 0, now_ms + 2));
	assert_true(passive_ejected(&bed.conf, bed.shm, 0, now_ms + 5001));
	bed.ask.now_ms = now_ms + 5001;
	expect_picks(&bed, "bbb");

	/* Its time runs out, and nobody had to say so. */
	assert_false(passive_ejected(&bed.conf, bed.shm, 0, now_ms + 5002));
	bed.ask.now_ms = now_ms + 5002;
	expect_picks(&bed, "baba");
	bed_close(&bed);
}

static void test_ejected_ones_serve_when_nobody_else_does(void **state)
{
	struct bed bed;

	(void)state;
	bed_open(&bed, BALANCE_ROUNDROBIN, 3, NULL);
	bed_health(&bed, 2, HEALTH_DOWN);
	for (uint32_t server = 0; server < 2; server++) {
		bed.ask.now_ms += 1000;
		for (int i = 0; i < 3; i++)
			assert_int_equal(
				passive_failed(&bed.conf, bed.shm, server, bed.ask.now_ms), i == 2);
	}
	expect_picks(&bed, "abab");
	bed.ask.now_ms += 4000; /* the first one's time is over, not the second's */
	expect_picks(&bed, "aa");
	bed.ask.now_ms += 1000;
	expect_picks(&bed, "abab");
	bed_health(&bed, 2, HEALTH_UP);
	expect_picks(&bed, "bcabc");
	bed_close(&bed);
}

static void test_failures_are_counted_within_the_window(void **state)
{
	struct bed bed;
	uint64_t now_ms = 1000000;

	(void)state;
	bed_open(&bed, BALANCE_ROUNDROBIN, 2, NULL);
	assert_false(passive_failed(&bed.conf, bed.shm, 0, now_ms));
	assert_false(passive_failed(&bed.conf, bed.shm, 0, now_ms + 9999));
	assert_false(passive_failed(&bed.conf, bed.shm, 0, now_ms + 10000)); /* a new window */
	assert_false(passive_failed(&bed.conf, bed.shm, 0, now_ms + 10001));
	passive_worked(&bed.conf, bed.shm, 0);
	assert_false(passive_failed(&bed.conf, bed.shm, 0, now_ms + 10002));
	assert_false(passive_failed(&bed.conf, bed.shm, 0, now_ms + 10003));
	assert_true(passive_failed(&bed.conf, bed.shm, 0, now_ms + 10004));

	/* It goes on failing: ejected for longer, but that is said only once. */
	for (uint64_t i = 0; i < 6; i++)
		assert_false(passive_failed(&bed.conf, bed.shm, 0, now_ms + 11000 + i));
	assert_true(passive_ejected(&bed.conf, bed.shm, 0, now_ms + 15999));

	bed.conf.passive.max_fails = 0;
	for (int i = 0; i < 20; i++)
		assert_false(passive_failed(&bed.conf, bed.shm, 1, now_ms));
	assert_false(passive_ejected(&bed.conf, bed.shm, 1, now_ms));
	bed_close(&bed);
}

/* ------------------------------------------------------------------ cost */

static void test_cost(void **state)
{
	uint32_t *weights = calloc(10000, sizeof(*weights));

	(void)state;
	for (size_t i = 0; i < 10000; i++)
		weights[i] = (uint32_t)(i * 37 % 256) + 1;
	for (enum conf_balance balance = BALANCE_ROUNDROBIN; balance <= BALANCE_SOURCE; balance++) {
		int picks =
			balance == BALANCE_LEASTCONN || balance == BALANCE_SOURCE ? 2000 : 200000;
		struct bed bed;
		uint64_t began_us;
		uint64_t rebuilt_us;

		bed_open(&bed, balance, 10000, weights);
		began_us = clock_now_us();
		bed_pick(&bed);
		rebuilt_us = clock_now_us();
		for (int i = 0; i < picks; i++)
			(void)!bed_pick_source(&bed, (uint32_t)i);
		printf("10000 servers, %s: %.0f ns a pick, %llu us to rebuild\n",
			conf_balance_name(balance),
			(double)(clock_now_us() - rebuilt_us) * 1000 / picks,
			(unsigned long long)(rebuilt_us - began_us));
		bed_close(&bed);
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
		cmocka_unit_test(test_source_moves_only_its_own),
		cmocka_unit_test(test_source_equal_and_weighted_agree),
		cmocka_unit_test(test_health),
		cmocka_unit_test(test_weight_0_and_no_address),
		cmocka_unit_test(test_nobody),
		cmocka_unit_test(test_tried),
		cmocka_unit_test(test_tried_keeps_the_turn),
		cmocka_unit_test(test_tried_without_a_schedule),
		cmocka_unit_test(test_ejection),
		cmocka_unit_test(test_ejected_ones_serve_when_nobody_else_does),
		cmocka_unit_test(test_failures_are_counted_within_the_window),
		cmocka_unit_test(test_cost),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
