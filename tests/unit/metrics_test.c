/* How metrics are written: what a label may hold, and what the buckets of a histogram have.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <event2/buffer.h>

#include "worker/admin/metrics.h"

static char *written(struct evbuffer *out)
{
	const size_t len = evbuffer_get_length(out);
	char *text = calloc(1, len + 1);

	assert_non_null(text);
	evbuffer_remove(out, text, len);
	return text;
}

static void assert_written(struct evbuffer *out, const char *expected)
{
	char *text = written(out);

	assert_string_equal(text, expected);
	free(text);
}

static void test_labels(void **state)
{
	const struct metric_label none[] = { { NULL, NULL } };
	const struct metric_label strange[] = { { "a", "\"quoted\" \\ back\nline" }, { "b", "" },
		{ NULL, NULL } };
	struct evbuffer *out = evbuffer_new();

	(void)state;
	metric_count(out, "m", NULL, 1);
	assert_written(out, "m 1\n");
	metric_count(out, "m", none, UINT64_MAX);
	assert_written(out, "m 18446744073709551615\n");
	metric_count(out, "m", strange, 0);
	assert_written(out, "m{a=\"\\\"quoted\\\" \\\\ back\\nline\",b=\"\"} 0\n");
	metric_ms(out, "s", NULL, 61007);
	assert_written(out, "s 61.007\n");
	evbuffer_free(out);
}

/* The number of a bucket in what was written. */
static unsigned bucket(const char *text, const char *le)
{
	char name[64];
	const char *at;

	snprintf(name, sizeof(name), "h_bucket{l=\"v\",le=\"%s\"} ", le);
	at = strstr(text, name);
	if (at == NULL)
		fail_msg("no %s in %s", name, text);
	return (unsigned)strtoul(at + strlen(name), NULL, 10);
}

static void test_histogram(void **state)
{
	static const uint64_t bounds_us[] = { 500, 1000, 1000000 };
	static const uint64_t durations_us[] = { 0, 400, 499, 900, 2000, 500000, 990000, 5000000 };
	const struct metric_label label = { "l", "v" };
	static struct histogram histogram;
	struct evbuffer *out = evbuffer_new();
	char *text;

	(void)state;
	for (size_t i = 0; i < NELEMS(durations_us); i++)
		histogram_record(&histogram, durations_us[i]);
	metric_histogram(out, "h", &label, &histogram, bounds_us, NELEMS(bounds_us));
	text = written(out);
	/* 499 shares its bucket with 500 and more, which is not certainly below. */
	assert_in_range(bucket(text, "0.0005"), 2, 3);
	assert_int_equal(bucket(text, "0.001"), 4);
	assert_in_range(bucket(text, "1"), 6, 7);
	assert_int_equal(bucket(text, "+Inf"), 8);
	assert_non_null(strstr(text, "h_sum{l=\"v\"} 6.493799\n"));
	assert_non_null(strstr(text, "h_count{l=\"v\"} 8\n"));
	free(text);
	evbuffer_free(out);
}

/* No bucket is above what is really below its bound, nor below those 3 % shorter. */
static void test_histogram_bounds(void **state)
{
	static const uint64_t bounds_us[] = { 500, 2500, 10000, 250000 };
	static const char *const names[] = { "0.0005", "0.0025", "0.01", "0.25" };
	const struct metric_label label = { "l", "v" };
	static struct histogram histogram;
	struct evbuffer *out = evbuffer_new();
	char *text;

	(void)state;
	for (uint64_t us = 0; us < 300000; us++)
		histogram_record(&histogram, us);
	metric_histogram(out, "h", &label, &histogram, bounds_us, NELEMS(bounds_us));
	text = written(out);
	for (size_t i = 0; i < NELEMS(bounds_us); i++)
		assert_in_range(bucket(text, names[i]), bounds_us[i] * 96 / 100, bounds_us[i] + 1);
	free(text);
	evbuffer_free(out);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_labels),
		cmocka_unit_test(test_histogram),
		cmocka_unit_test(test_histogram_bounds),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
