/* Once a second, everything's history: of thousands of servers in portions, and no page of what nobody uses. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <event2/event.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "common/clock.h"
#include "common/rates.h"
#include "common/shm.h"
#include "common/sums.h"
#include "master/views/sampler.h"

#define SLOTS 8
#define T     1000000

struct bed {
	struct event_base *base;
	struct shm *shm;
	struct sampler *sampler;
};

static struct bed bed_new(uint32_t backends, uint32_t servers)
{
	const char *error = NULL;
	struct bed bed = { .base = event_base_new(), .shm = shm_create(64, &error) };
	char name[32];

	assert_non_null(bed.shm);
	assert_int_equal(shm_place(bed.shm, SHM_FRONTEND, "front"), 0);
	for (uint32_t b = 0; b < backends; b++) {
		snprintf(name, sizeof(name), "b%u", b);
		assert_int_equal(shm_place(bed.shm, SHM_BACKEND, name), b);
	}
	for (uint32_t s = 0; s < servers; s++) {
		snprintf(name, sizeof(name), "b%u/%u", s % backends, s);
		assert_int_equal(shm_place(bed.shm, SHM_SERVER, name), s);
		shm_belongs(bed.shm, s % backends, s);
	}
	for (uint32_t i = 0; i < SLOTS; i++)
		shm_slot_use(bed.shm, i);
	bed.sampler = sampler_new(bed.base, bed.shm);
	return bed;
}

static void bed_free(struct bed *bed)
{
	sampler_free(bed->sampler);
	shm_free(bed->shm);
	event_base_free(bed->base);
}

/* A whole round; returns how many turns of the loop it took, longest_us_r how long the longest was. */
static unsigned round_at(struct bed *bed, uint64_t now_ms, uint64_t *longest_us_r)
{
	unsigned turns = 0;
	bool more = true;

	*longest_us_r = 0;
	while (more) {
		uint64_t begun_us = clock_now_us();

		more = sampler_turn(bed->sampler, now_ms);
		turns++;
		if (clock_now_us() - begun_us > *longest_us_r)
			*longest_us_r = clock_now_us() - begun_us;
	}
	return turns;
}

static void connect_one(struct bed *bed, uint32_t slot, uint32_t server, uint64_t us)
{
	struct shm_slot *worker = shm_slot(bed->shm, slot);

	shm_count(&worker->frontends[0].total, 1);
	shm_count(&worker->servers[server].total, 1);
	shm_count(&worker->servers[server].bytes_in, 100);
	shm_count(&worker->frontends[0].bytes_in, 100);
	histogram_shared_record(&shm_shared(bed->shm)->connect[server], us);
}

static double rate_of(struct bed *bed, enum history_of of, uint32_t place, unsigned window)
{
	struct shm_history history;
	struct rates rates;

	assert_true(history_read(bed->shm, of, place, &history));
	rates_windows(&history, &rates);
	return rates.windows[window].connections;
}

static void test_everything_above_a_connection_sees_it(void **state)
{
	struct bed bed = bed_new(2, 4);
	struct shm_history history;
	uint64_t us;

	(void)state;
	round_at(&bed, T, &us);
	assert_false(history_read(bed.shm, HISTORY_DAEMON, 0, &history));
	for (unsigned i = 0; i < 30; i++)
		connect_one(&bed, i % 3, i % 2 * 2, 40); /* servers 0 and 2, both of b0 */
	round_at(&bed, T + 1000, &us);
	assert_int_equal((int)rate_of(&bed, HISTORY_DAEMON, 0, RATES_1S), 30);
	assert_int_equal((int)rate_of(&bed, HISTORY_FRONTEND, 0, RATES_10S), 3);
	assert_int_equal((int)rate_of(&bed, HISTORY_SERVER, 0, RATES_1S), 15);
	assert_int_equal((int)rate_of(&bed, HISTORY_BACKEND, 0, RATES_1S), 30);
	assert_int_equal((int)rate_of(&bed, HISTORY_WORKER, 2, RATES_1S), 10);
	assert_false(history_read(bed.shm, HISTORY_SERVER, 1, &history));
	assert_false(history_read(bed.shm, HISTORY_BACKEND, 1, &history));
	assert_false(history_read(bed.shm, HISTORY_WORKER, 5, &history));
	round_at(&bed, T + 2000, &us);
	assert_int_equal((int)rate_of(&bed, HISTORY_DAEMON, 0, RATES_1S), 0);
	assert_int_equal((int)rate_of(&bed, HISTORY_DAEMON, 0, RATES_10S), 3);
	bed_free(&bed);
}

static uint32_t newest_p99(struct bed *bed, enum history_of of, uint32_t place)
{
	struct shm_history history;

	assert_true(history_read(bed->shm, of, place, &history));
	return rates_step(&history, HISTORY_STEPS - 1)->p99_us;
}

static void test_quantiles_are_of_their_step_alone(void **state)
{
	struct bed bed = bed_new(1, 2);
	uint64_t us;

	(void)state;
	round_at(&bed, T, &us);
	for (unsigned i = 0; i < 1000; i++)
		connect_one(&bed, 0, 0, 60);
	round_at(&bed, T + 5000, &us); /* its first sample is that of the end of a step */
	assert_int_equal(newest_p99(&bed, HISTORY_SERVER, 0), 60);
	connect_one(&bed, 1, 0, 20);
	connect_one(&bed, 1, 1, 10);
	round_at(&bed, T + 6000, &us);
	round_at(&bed, T + 10000, &us);
	assert_int_equal(newest_p99(&bed, HISTORY_SERVER, 0), 20);
	assert_int_equal(newest_p99(&bed, HISTORY_SERVER, 1), 10);
	assert_int_equal(newest_p99(&bed, HISTORY_BACKEND, 0), 20);
	assert_int_equal(newest_p99(&bed, HISTORY_DAEMON, 0), 20);
	round_at(&bed, T + 15000, &us);
	assert_int_equal(newest_p99(&bed, HISTORY_SERVER, 0), 0);
	bed_free(&bed);
}

/* Another master goes on with the history, and what was before it is not its first step's. */
static void test_another_master_goes_on(void **state)
{
	struct bed bed = bed_new(1, 1);
	uint64_t us;

	(void)state;
	round_at(&bed, T, &us);
	for (unsigned i = 0; i < 1000; i++)
		connect_one(&bed, 0, 0, 60);
	round_at(&bed, T + 1000, &us);
	sampler_free(bed.sampler);
	bed.sampler = sampler_new(bed.base, bed.shm);
	connect_one(&bed, 0, 0, 60);
	round_at(&bed, T + 2000, &us);
	assert_int_equal((int)rate_of(&bed, HISTORY_SERVER, 0, RATES_1S), 1);
	assert_int_equal((int)rate_of(&bed, HISTORY_SERVER, 0, RATES_10S), 100);
	connect_one(&bed, 0, 0, 30);
	round_at(&bed, T + 5000, &us);
	assert_int_equal(newest_p99(&bed, HISTORY_SERVER, 0), 30);
	bed_free(&bed);
}

static uint64_t pages_of(struct shm *shm)
{
	struct stat st;

	assert_int_equal(fstat(shm_fd(shm), &st), 0);
	return (uint64_t)st.st_blocks * 512 / 4096;
}

static void test_thousands_of_servers(void **state)
{
	struct bed bed = bed_new(100, 10000);
	uint64_t before, us, round_us, all_us;
	unsigned turns;

	(void)state;
	round_at(&bed, T, &us);
	before = pages_of(bed.shm);
	for (unsigned i = 1; i < 20; i++)
		round_at(&bed, T + i * 1000, &us);
	assert_int_equal(pages_of(bed.shm), before);
	for (uint32_t i = 0; i < 10000; i++)
		connect_one(&bed, i % SLOTS, i, 100);
	round_at(&bed, T + 20000, &us);
	/* One of history, one of connect times, and some for what they have in common. */
	assert_in_range(pages_of(bed.shm) - before, 20000, 21000);
	all_us = clock_now_us();
	turns = round_at(&bed, T + 21000, &us);
	round_us = clock_now_us() - all_us;
	assert_in_range(turns, 40, 60);
	print_message("10000 servers, %d slots: a round %llu us, %u turns, the longest %llu us\n",
		SLOTS, (unsigned long long)round_us, turns, (unsigned long long)us);
	for (uint32_t i = 0; i < 10000; i++)
		connect_one(&bed, i % SLOTS, i, 100);
	all_us = clock_now_us();
	turns = round_at(&bed, T + 25000, &us);
	print_message("the end of a step: %llu us, %u turns, the longest %llu us\n",
		(unsigned long long)(clock_now_us() - all_us), turns, (unsigned long long)us);
	assert_in_range(turns, 40 + 10000 / 32, 60 + 10000 / 32 + 100);
	bed_free(&bed);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_everything_above_a_connection_sees_it),
		cmocka_unit_test(test_quantiles_are_of_their_step_alone),
		cmocka_unit_test(test_another_master_goes_on),
		cmocka_unit_test(test_thousands_of_servers),
	};

	return cmocka_run_group_tests_name("sampler", tests, NULL, NULL);
}
