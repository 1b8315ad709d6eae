/* The same client to the same server: source and maglev. */
#include "tests/unit/balance_bed.h"

#include <math.h>

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

/* ------------------------------------------------------------------ maglev */

/* 64 servers are the most that source looks through. */
static const struct {
	enum conf_balance balance;
	size_t n;
} tables[] = {
	{ BALANCE_MAGLEV, 1 },
	{ BALANCE_MAGLEV, 2 },
	{ BALANCE_MAGLEV, 4 },
	{ BALANCE_MAGLEV, 10 },
	{ BALANCE_MAGLEV, 100 },
	{ BALANCE_SOURCE, 65 },
};

/* Within 2 % of what the weights say, and what the clients' addresses happen to be. */
static void test_maglev_shares(void **state)
{
	(void)state;
	for (size_t i = 0; i < NELEMS(tables) * 2; i++) {
		size_t n = tables[i / 2].n;
		uint32_t counts[100] = { 0 };
		uint32_t weights[100];
		double sum = 0;
		struct bed bed;

		for (size_t s = 0; s < n; s++) {
			weights[s] = i % 2 ? 1 : (uint32_t)(s * 37 % 256) + 10;
			sum += weights[s];
		}
		bed_open(&bed, tables[i / 2].balance, n, weights);
		for (uint32_t client = 0; client < PICKS; client++)
			counts[bed_pick_source(&bed, client)]++;
		for (size_t s = 0; s < n; s++) {
			double due = PICKS * weights[s] / sum;

			if (fabs(counts[s] - due) > 0.02 * due + 4 * sqrt(due))
				fail_msg("server %zu of %zu: %u clients, %.1f are due", s, n,
					counts[s], due);
		}
		bed_close(&bed);
	}
}

/* How many of a hundred clients of the others moved when the one at gone went down. */
static double moved_pct(struct bed *bed, int gone, int *before)
{
	uint32_t others = 0;
	uint32_t moved = 0;

	bed_health(bed, (size_t)gone, HEALTH_DOWN);
	for (uint32_t i = 0; i < PICKS; i++) {
		int now = bed_pick_source(bed, i);

		assert_int_not_equal(now, gone);
		if (before[i] == gone)
			continue;
		others++;
		moved += now != before[i];
	}
	bed_health(bed, (size_t)gone, HEALTH_UP);
	for (uint32_t i = 0; i < PICKS; i++)
		assert_int_equal(bed_pick_source(bed, i), before[i]);
	return others > 0 ? 100.0 * moved / others : 0;
}

static void test_maglev_moves_few(void **state)
{
	int *before = calloc(PICKS, sizeof(*before));
	double worst = 0;

	(void)state;
	for (int weighted = 0; weighted < 2; weighted++) {
		uint32_t weights[10];
		struct bed bed;

		for (uint32_t i = 0; i < 10; i++)
			weights[i] = weighted ? 1 + i * i : 1;
		bed_open(&bed, BALANCE_MAGLEV, 10, weights);
		for (uint32_t i = 0; i < PICKS; i++)
			before[i] = bed_pick_source(&bed, i);
		for (int gone = 0; gone < 10; gone++) {
			double pct = moved_pct(&bed, gone, before);

			if (pct > worst)
				worst = pct;
		}
		bed_close(&bed);
	}
	printf("maglev: one of 10 servers gone moves at most %.1f %% of the others' clients\n",
		worst);
	assert_true(worst < 15);
	free(before);
}

/* Another machine has the same servers in another order, at other places. */
static void expect_the_same_elsewhere(const uint32_t *weights)
{
	static const uint32_t order[] = { 3, 0, 4, 2, 1 };
	struct bed here;
	struct bed there;

	bed_open(&here, BALANCE_MAGLEV, 5, weights);
	bed_open(&there, BALANCE_MAGLEV, 5, NULL);
	for (size_t i = 0; i < 5; i++) {
		there.conf.servers[i].name = here.names[order[i]];
		there.conf.servers[i].place += 50;
	}
	for (size_t i = 0; i < 5; i++)
		bed_admin(&there, i)->weight = weights[order[i]];
	bed_renew(&there);
	for (uint32_t i = 0; i < PICKS; i++)
		assert_string_equal(here.conf.servers[bed_pick_source(&here, i)].name,
			there.conf.servers[bed_pick_source(&there, i)].name);
	bed_close(&here);
	bed_close(&there);
}

static void test_maglev_is_the_same_everywhere(void **state)
{
	static const uint32_t equal[] = { 5, 5, 5, 5, 5 };
	static const uint32_t weighted[] = { 1, 7, 256, 3, 3 };

	(void)state;
	expect_the_same_elsewhere(equal);
	expect_the_same_elsewhere(weighted);
}

/* A change of weight is seen, and a change that is none to the table leaves it alone. */
static void test_maglev_follows_weights(void **state)
{
	struct bed bed;
	uint32_t first = 0;

	(void)state;
	bed_open(&bed, BALANCE_MAGLEV, 2, NULL);
	bed_pick(&bed);
	bed_admin(&bed, 0)->weight = 3;
	bed_changed(&bed);
	for (uint32_t i = 0; i < PICKS; i++)
		first += bed_pick_source(&bed, i) == 0;
	assert_in_range(first, 74000, 76000);
	bed_changed(&bed);
	bed_admin(&bed, 0)->weight = 0;
	bed_changed(&bed);
	for (uint32_t i = 0; i < 100; i++)
		assert_int_equal(bed_pick_source(&bed, i), 1);
	bed_close(&bed);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_source_moves_only_its_own),
		cmocka_unit_test(test_source_equal_and_weighted_agree),
		cmocka_unit_test(test_maglev_shares),
		cmocka_unit_test(test_maglev_moves_few),
		cmocka_unit_test(test_maglev_is_the_same_everywhere),
		cmocka_unit_test(test_maglev_follows_weights),
	};

	return cmocka_run_group_tests_name("balance by source", tests, NULL, NULL);
}
