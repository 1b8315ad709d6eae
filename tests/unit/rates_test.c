/* From samples to rates and curves. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "common/rates.h"
#include "common/snapshot.h"

#define T 1000000 /* a beginning, in the middle of nothing: a multiple of a step */

static struct shm_history history;

static void begin(uint64_t before_ms)
{
	memset(&history, 0, sizeof(history));
	rates_begin(&history, before_ms);
}

static void sample(uint64_t at_ms, uint64_t connections, uint32_t p99_us)
{
	const struct history_sample one = {
		.at_ms = at_ms,
		.connections = connections,
		.bytes_in = connections * 10,
		.bytes_out = connections * 1000,
	};

	rates_sample(&history, &one, at_ms / HISTORY_STEP_MS, p99_us);
}

static void assert_rate(double got, double want)
{
	assert_true(fabs(got - want) < 1e-9);
}

/* Samples a second apart: how many connections came in each; what the windows say after the last. */
static const struct {
	const char *what;
	unsigned seconds; /* in which `first` came each, after `late` of which `last` did */
	uint64_t first;
	unsigned late;
	uint64_t last;
	double rate_1s, rate_10s, rate_60s;
} cases[] = {
	{ "the first second: before it there was nothing", 1, 60, 0, 0, 60, 6, 1 },
	{ "as many for a minute", 60, 5, 0, 0, 5, 5, 5 },
	{ "for longer than samples are kept", 500, 7, 0, 0, 7, 7, 7 },
	{ "a burst of a second, nine seconds ago", 70, 0, 1, 30, 30, 3, 0.5 },
	{ "silence after that is silence", 70, 100, 10, 0, 0, 0, 83.333333333333329 },
	{ "nothing at all", 100, 0, 0, 0, 0, 0, 0 },
};

static void test_windows(void **state)
{
	(void)state;
	for (size_t i = 0; i < NELEMS(cases); i++) {
		struct rates rates;
		uint64_t connections = 0;
		uint64_t at_ms = T;

		begin(at_ms);
		for (unsigned s = 0; s < cases[i].seconds; s++)
			sample(at_ms += 1000, connections += cases[i].first, 0);
		for (unsigned s = 0; s < cases[i].late; s++)
			sample(at_ms += 1000, connections += cases[i].last, 0);
		rates_windows(&history, &rates);
		print_message("%s\n", cases[i].what);
		assert_rate(rates.windows[RATES_1S].connections, cases[i].rate_1s);
		assert_rate(rates.windows[RATES_10S].connections, cases[i].rate_10s);
		assert_rate(rates.windows[RATES_60S].connections, cases[i].rate_60s);
		assert_rate(rates.windows[RATES_10S].bytes_in, cases[i].rate_10s * 10);
		assert_rate(rates.windows[RATES_60S].bytes_out / 1000, cases[i].rate_60s);
	}
}

static void test_a_late_timer_makes_no_wave(void **state)
{
	struct rates rates;

	(void)state;
	begin(T);
	/* 1000 a second, whenever the samples are taken. */
	sample(T + 1000, 1000, 0);
	sample(T + 2350, 2350, 0);
	sample(T + 3010, 3010, 0);
	rates_windows(&history, &rates);
	assert_rate(rates.windows[RATES_1S].connections, 1000);
}

static void test_no_samples_for_a_while(void **state)
{
	struct rates rates;

	(void)state;
	begin(T);
	for (unsigned s = 1; s <= 60; s++)
		sample(T + s * 1000, s * 10, 0);
	/* The master was dead for 40 s in which 4000 came. */
	sample(T + 100000, 4600, 77);
	rates_windows(&history, &rates);
	assert_rate(rates.windows[RATES_1S].connections, 100);
	assert_rate(rates.windows[RATES_10S].connections, 100);
	/* 12 steps that were seen, 8 that were not: all 20 are told. */
	for (unsigned i = 40; i < 60; i++) {
		const struct history_step *step = rates_step(&history, i);

		assert_int_equal(step->ms, HISTORY_STEP_MS);
		assert_int_equal(step->connections, i < 52 ? 50 : 500);
		assert_int_equal(step->p99_us, i < 52 ? 0 : 77);
	}
	assert_int_equal(rates_step(&history, 39)->ms, 0);
}

static void test_steps(void **state)
{
	(void)state;
	begin(T);
	for (unsigned s = 1; s <= 299; s++)
		sample(T + s * 1000, s * s, s);
	assert_int_equal(rates_step(&history, 0)->ms, 0);
	sample(T + 300000, 90000, 300);
	/* Oldest first, each with its own five seconds, and the quantile that was told at its end. */
	for (unsigned i = 0; i < HISTORY_STEPS; i++) {
		const struct history_step *step = rates_step(&history, i);
		const uint64_t from = i * 5;
		const uint64_t to = from + 5;

		assert_int_equal(step->ms, HISTORY_STEP_MS);
		assert_int_equal(step->connections, to * to - from * from);
		assert_int_equal(step->bytes_out, step->connections * 1000);
		assert_int_equal(step->p99_us, to);
	}
	/* And the oldest goes for the next. */
	sample(T + 305000, 90001, 1);
	assert_int_equal(rates_step(&history, 0)->p99_us, 10);
	assert_int_equal(rates_step(&history, 59)->connections, 1);
}

static void test_a_gap_longer_than_everything(void **state)
{
	(void)state;
	begin(T);
	sample(T + 1000, 1, 0);
	sample(T + 3600000, 720 * 3 + 1, 9);
	for (unsigned i = 0; i < HISTORY_STEPS; i++) {
		assert_int_equal(rates_step(&history, i)->ms, HISTORY_STEP_MS);
		assert_in_range(rates_step(&history, i)->connections, 3, 4);
	}
}

static void test_no_samples_no_rates(void **state)
{
	struct rates rates;

	(void)state;
	memset(&history, 0, sizeof(history));
	rates_windows(&history, &rates);
	assert_rate(rates.windows[RATES_60S].connections, 0);
	assert_rate(rates_per_second(5, 0), 0);
}

/* ------------------------------------------------------------------ quantiles of what is new */

static void test_a_snapshot_tells_what_is_new(void **state)
{
	static struct histogram_shared h;
	struct snapshot snapshot = { 0 };
	struct histogram new;

	(void)state;
	memset(&h, 0, sizeof(h));
	memset(&new, 0, sizeof(new));
	assert_int_equal(snapshot_take(&snapshot, &h, &new), 0);
	for (unsigned i = 0; i < 1000; i++)
		histogram_shared_record(&h, 50);
	assert_int_equal(snapshot_take(&snapshot, &h, &new), 1000);
	assert_int_equal(histogram_quantile_us(&new, 990), 50);

	memset(&new, 0, sizeof(new));
	for (unsigned i = 0; i < 10; i++)
		histogram_shared_record(&h, 20);
	histogram_shared_record(&h, 50);
	histogram_shared_record(&h, 7000);
	assert_int_equal(snapshot_take(&snapshot, &h, &new), 12);
	assert_int_equal(new.buckets[20], 10);
	assert_int_equal(new.buckets[50], 1);
	assert_true(histogram_quantile_us(&new, 1000) > 6790);
	memset(&new, 0, sizeof(new));
	assert_int_equal(snapshot_take(&snapshot, &h, &new), 0);
	snapshot_deinit(&snapshot);
}

static void test_halves_keep_the_quantiles(void **state)
{
	static struct histogram_shared h;
	static struct histogram sum;

	(void)state;
	for (unsigned i = 0; i < 1000; i++)
		histogram_shared_record(&h, i);
	histogram_shared_halve(&h, 1000);
	assert_int_equal(h.count, 1000);
	h.buckets[40] = UINT32_MAX - 1000;
	h.count = UINT32_MAX - 1;
	histogram_shared_halve(&h, 1U << 31);
	assert_in_range(h.count, (1U << 31) - 1000, (1U << 31) + 1000);
	histogram_shared_merge(&sum, &h);
	assert_int_equal(histogram_quantile_us(&sum, 500), 40);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_windows),
		cmocka_unit_test(test_a_late_timer_makes_no_wave),
		cmocka_unit_test(test_no_samples_for_a_while),
		cmocka_unit_test(test_steps),
		cmocka_unit_test(test_a_gap_longer_than_everything),
		cmocka_unit_test(test_no_samples_no_rates),
		cmocka_unit_test(test_a_snapshot_tells_what_is_new),
		cmocka_unit_test(test_halves_keep_the_quantiles),
	};

	return cmocka_run_group_tests_name("rates", tests, NULL, NULL);
}
