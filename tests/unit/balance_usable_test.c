/* Who can be chosen: what the operator wants, health, ejections, backup servers, panic, slowstart. */
#include "tests/unit/balance_bed.h"

#include <unistd.h>

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
	for (enum conf_balance balance = BALANCE_ROUNDROBIN; balance <= BALANCE_LATENCY;
		balance++) {
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
		"of the servers 1 down, 1 without an address, 2 of weight 0");
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

/* A row is a backend: r ready, d draining, m in maintenance, 0 of weight 0, x down, e ejected, and the same in
 * capitals for backup servers; then who serves in turn, and whether that is panic. */
static const struct {
	const char *servers;
	const char *picks;
	bool panic;
} backends[] = {
	{ "rrr", "abcabc", false },
	{ "rdr", "acac", false },
	{ "rmr", "acac", false },
	{ "r0r", "acac", false },
	{ "dmx0", "---", false },
	{ "rR", "aaa", false },
	{ "rrRR", "abab", false },
	{ "Rr", "bbb", false },
	{ "dR", "bbb", false },
	{ "mxR", "cc", false },
	{ "0RR", "bcbc", false },
	{ "eR", "bbb", false }, /* ejected counts as cannot */
	{ "exRX", "cc", false },
	{ "erE", "bb", false },
	{ "ex", "aa", true }, /* only an ejection keeps it from serving */
	{ "eex", "abab", true },
	{ "eE", "aa", true },
	{ "xE", "bb", true },
	{ "dEE", "bcbc", true },
	{ "RX", "aa", false },
};

static void bed_set(struct bed *bed, size_t server, char what)
{
	bed->conf.servers[server].backup = what >= 'A' && what <= 'Z';
	switch (what | 0x20) {
	case 'd':
		bed_admin(bed, server)->state = ADMIN_DRAIN;
		break;
	case 'm':
		bed_admin(bed, server)->state = ADMIN_MAINT;
		break;
	case '0':
		bed_admin(bed, server)->weight = 0;
		break;
	case 'x':
		bed_health(bed, server, HEALTH_DOWN);
		break;
	case 'e':
		bed_shared(bed, server)->ejected_until_ms = bed->ask.now_ms + 1000;
		break;
	default:
		break;
	}
}

static void test_tiers(void **state)
{
	(void)state;
	for (size_t i = 0; i < NELEMS(backends); i++) {
		size_t n = strlen(backends[i].servers);
		struct bed bed;

		bed_open(&bed, BALANCE_ROUNDROBIN, n, NULL);
		for (size_t s = 0; s < n; s++)
			bed_set(&bed, s, backends[i].servers[s]);
		expect_picks(&bed, backends[i].picks);
		assert_int_equal(bed_backend(&bed)->panic, backends[i].panic);
		bed_close(&bed);
	}
}

/* What the operator changes while it runs is seen with the next epoch. */
static void test_admin_at_run_time(void **state)
{
	struct bed bed;

	(void)state;
	bed_open(&bed, BALANCE_ROUNDROBIN, 2, NULL);
	expect_picks(&bed, "abab");
	bed_admin(&bed, 0)->weight = 3;
	bed_changed(&bed);
	expect_picks(&bed, "aabaaaba");
	bed_admin(&bed, 0)->state = ADMIN_DRAIN;
	bed_changed(&bed);
	expect_picks(&bed, "bbb");
	bed_admin(&bed, 1)->state = 77; /* no state that we know */
	bed_changed(&bed);
	expect_picks(&bed, "--");
	bed_admin(&bed, 0)->state = ADMIN_READY;
	bed_admin(&bed, 0)->weight = UINT32_MAX;
	bed_changed(&bed);
	expect_picks(&bed, "aa");
	bed_close(&bed);
}

/* ------------------------------------------------------------------ panic */

/* What is said on stderr meanwhile: how often this text is in it. */
static int stderr_begin(FILE **file_r)
{
	int saved = dup(STDERR_FILENO);

	*file_r = tmpfile();
	assert_non_null(*file_r);
	fflush(stderr);
	dup2(fileno(*file_r), STDERR_FILENO);
	return saved;
}

static int stderr_end(int saved, FILE *file, const char *text)
{
	char line[512];
	int lines = 0;

	fflush(stderr);
	dup2(saved, STDERR_FILENO);
	close(saved);
	rewind(file);
	while (fgets(line, sizeof(line), file) != NULL)
		lines += strstr(line, text) != NULL;
	fclose(file);
	return lines;
}

static void test_panic_is_said_once(void **state)
{
	struct balancer *workers[4];
	struct bed bed;
	FILE *file;
	int saved;

	(void)state;
	bed_open(&bed, BALANCE_ROUNDROBIN, 2, NULL);
	bed_set(&bed, 0, 'e');
	bed_health(&bed, 1, HEALTH_DOWN);
	saved = stderr_begin(&file);
	for (size_t w = 0; w < NELEMS(workers); w++)
		workers[w] = balancer_new(&bed.conf, bed.shm, w);
	for (int i = 0; i < 20; i++) {
		bed_changed(&bed);
		for (size_t w = 0; w < NELEMS(workers); w++)
			assert_int_equal(balancer_pick(workers[w], &bed.ask), 0);
	}
	assert_int_equal(stderr_end(saved, file, "no server is left but ejected ones"), 1);
	assert_int_equal(bed_backend(&bed)->panic, 1);

	/* Its time is over: not a word of it anywhere, and panic is too. */
	bed.ask.now_ms += 1000;
	for (size_t w = 0; w < NELEMS(workers); w++)
		assert_int_equal(balancer_pick(workers[w], &bed.ask), 0);
	assert_int_equal(bed_backend(&bed)->panic, 0);

	bed_set(&bed, 0, 'e');
	bed_changed(&bed);
	expect_picks(&bed, "a");
	assert_int_equal(bed_backend(&bed)->panic, 1);
	bed_health(&bed, 0, HEALTH_DOWN);
	expect_picks(&bed, "-");
	assert_int_equal(bed_backend(&bed)->panic, 0);
	for (size_t w = 0; w < NELEMS(workers); w++)
		balancer_free(workers[w]);
	bed_close(&bed);
}

/* ------------------------------------------------------------------ slowstart */

/* The share of the second server, in percent of what the first one gets. */
static uint32_t second_pct(struct bed *bed)
{
	uint32_t counts[2] = { 0 };

	for (int i = 0; i < PICKS; i++) {
		int pick = bed_pick(bed);

		counts[pick]++;
		if (bed->conf.balance == BALANCE_LEASTCONN || bed->conf.balance == BALANCE_LATENCY)
			bed_shared(bed, (size_t)pick)->active++;
	}
	for (size_t i = 0; i < 2; i++)
		bed_shared(bed, i)->active = 0;
	return counts[1] * 100 / counts[0];
}

static void test_slowstart(void **state)
{
	static const struct {
		uint64_t at_ms;
		uint32_t least_pct;
		uint32_t most_pct;
	} ramp[] = {
		{ 0, 4, 6 },
		{ 2500, 22, 29 },
		{ 5000, 47, 53 },
		{ 7500, 70, 77 },
		{ 9999, 90, 96 },
		{ 10500, 98, 102 },
	};
	static const enum conf_balance balances[] = { BALANCE_ROUNDROBIN, BALANCE_LEASTCONN,
		BALANCE_RANDOM, BALANCE_LATENCY };
	static const uint32_t weights[] = { 20, 20 };

	(void)state;
	for (size_t b = 0; b < NELEMS(balances); b++) {
		struct bed bed;

		bed_open(&bed, balances[b], 2, weights);
		bed.conf.slowstart_ms = 10000;
		bed.conf.random_draws = 1;
		bed_health(&bed, 1, HEALTH_UP);
		for (size_t i = 0; i < NELEMS(ramp); i++) {
			bed.ask.now_ms = 1000000 + ramp[i].at_ms;
			assert_in_range(second_pct(&bed), ramp[i].least_pct, ramp[i].most_pct);
		}
		bed_close(&bed);
	}
}

/* Nobody bumps the epoch meanwhile, the share grows all the same, and never falls. */
static void test_slowstart_goes_by_the_clock(void **state)
{
	struct bed bed;
	uint32_t last = 0;
	uint32_t steps = 0;

	(void)state;
	bed_open(&bed, BALANCE_ROUNDROBIN, 2, NULL);
	bed.conf.slowstart_ms = 4000;
	bed.ask.now_ms = 1000037;
	bed_health(&bed, 1, HEALTH_UP);
	bed.ask.now_ms -= 3; /* another process's clock */
	for (int i = 0; i < 500; i++) {
		uint32_t second = 0;

		for (int p = 0; p < 1000; p++)
			second += bed_pick(&bed) == 1;
		/* The sequence goes on where it was, not from its beginning. */
		assert_true(second + 12 >= last);
		if (second > last + 12)
			steps++;
		if (second > last)
			last = second;
		bed.ask.now_ms += 10;
	}
	assert_in_range(last, 499, 520);
	assert_in_range(steps, 10, 21);
	bed_close(&bed);
}

/* Neither where it would move clients, nor for a server that is not checked or was up for long. */
static void test_slowstart_not(void **state)
{
	static const enum conf_balance balances[] = { BALANCE_SOURCE, BALANCE_MAGLEV };
	struct bed bed;

	(void)state;
	for (size_t b = 0; b < NELEMS(balances); b++) {
		uint32_t second = 0;

		bed_open(&bed, balances[b], 2, NULL);
		bed.conf.slowstart_ms = 10000;
		bed_health(&bed, 1, HEALTH_UP);
		for (uint32_t i = 0; i < 10000; i++)
			second += bed_pick_source(&bed, i) == 1;
		assert_in_range(second, 4700, 5300);
		bed_close(&bed);
	}
	bed_open(&bed, BALANCE_ROUNDROBIN, 2, NULL);
	bed.conf.slowstart_ms = 10000;
	bed_health(&bed, 0, HEALTH_UP);
	bed.ask.now_ms += 10000;
	bed_health(&bed, 1, HEALTH_NOCHECK);
	expect_picks(&bed, "ababab");
	bed_close(&bed);
}

/* All came up together: they are equals. */
static void test_slowstart_of_all(void **state)
{
	struct bed bed;

	(void)state;
	bed_open(&bed, BALANCE_ROUNDROBIN, 3, NULL);
	bed.conf.slowstart_ms = 1; /* shorter than any step */
	for (size_t i = 0; i < 3; i++)
		bed_health(&bed, i, HEALTH_UP);
	expect_picks(&bed, "abcabc");
	bed.conf.slowstart_ms = 60000;
	bed_changed(&bed);
	expect_picks(&bed, "abcabc");
	bed_close(&bed);
}

/* Instances of a name: chosen while they have an address, with the weight and rank of their SRV record. */
static void test_instances(void **state)
{
	struct bed bed;
	struct instance instance = { .weight = 2 };
	int of_b = 0;
	char why[128];

	(void)state;
	bed_open(&bed, BALANCE_ROUNDROBIN, 3, NULL);
	for (size_t i = 0; i < 3; i++) {
		bed.conf.servers[i].dynamic = true;
		bed.conf.servers[i].naddrs = 0;
		bed.conf.servers[i].weight = 1;
	}
	bed_renew(&bed);
	expect_picks(&bed, "--");
	assert_string_equal(balancer_nobody_why(bed.balancer, why, sizeof(why)),
		"no name of its servers has an address");
	instance.addr = bed.addr;
	instance_write(bed.shm, bed.conf.servers[1].place, &instance);
	instance.weight = 1;
	instance_write(bed.shm, bed.conf.servers[2].place, &instance);
	bed_changed(&bed);
	for (int i = 0; i < 6; i++)
		of_b += bed_pick(&bed) == 1;
	assert_int_equal(of_b, 4);
	instance.backup = true;
	instance_write(bed.shm, bed.conf.servers[2].place, &instance);
	bed_changed(&bed);
	expect_picks(&bed, "bbb");
	bed_health(&bed, 1, HEALTH_DOWN);
	expect_picks(&bed, "cc");
	bed_close(&bed);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_health),
		cmocka_unit_test(test_weight_0_and_no_address),
		cmocka_unit_test(test_nobody),
		cmocka_unit_test(test_tiers),
		cmocka_unit_test(test_admin_at_run_time),
		cmocka_unit_test(test_panic_is_said_once),
		cmocka_unit_test(test_slowstart),
		cmocka_unit_test(test_slowstart_goes_by_the_clock),
		cmocka_unit_test(test_slowstart_not),
		cmocka_unit_test(test_slowstart_of_all),
		cmocka_unit_test(test_instances),
	};

	return cmocka_run_group_tests_name("who can be chosen", tests, NULL, NULL);
}
