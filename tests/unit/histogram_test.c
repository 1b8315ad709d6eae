/* Buckets and quantiles. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "common/histogram.h"
#include "common/must.h"

static const struct {
	uint64_t us;
	unsigned bucket;
} buckets[] = {
	{ 0, 0 },
	{ 1, 1 },
	{ 63, 63 },
	{ 64, 64 },
	{ 65, 64 },
	{ 66, 65 },
	{ 127, 95 },
	{ 128, 96 },
	{ 131, 96 },
	{ 132, 97 },
	{ (1ull << 34) - 1, 959 },
	{ 1ull << 34, 959 },
	{ UINT64_MAX, 959 },
};

static void test_buckets(void **state)
{
	(void)state;
	for (size_t i = 0; i < NELEMS(buckets); i++)
		assert_int_equal(histogram_bucket(buckets[i].us), buckets[i].bucket);
}

static void test_buckets_follow_each_other(void **state)
{
	(void)state;
	for (unsigned i = 0; i < HISTOGRAM_BUCKETS; i++) {
		uint64_t start = histogram_bucket_start_us(i);
		uint64_t next = histogram_bucket_start_us(i + 1);

		assert_true(next > start);
		assert_int_equal(histogram_bucket(start), i);
		assert_int_equal(histogram_bucket(next - 1), i);
		/* At most 1/32 wide: what the promised 3 % rest on. */
		assert_true(start < 64 || (next - start) * 32 <= start);
	}
	assert_true(histogram_bucket_start_us(HISTOGRAM_BUCKETS - 1) > 3600ull * 1000000);
}

static void test_quantiles(void **state)
{
	static struct histogram h;
	const unsigned permilles[] = { 1, 10, 500, 900, 990, 999, 1000 };

	(void)state;
	memset(&h, 0, sizeof(h));
	assert_int_equal(histogram_quantile_us(&h, 500), 0);
	for (uint64_t us = 1; us <= 100000; us++)
		histogram_record(&h, us);
	for (size_t i = 0; i < NELEMS(permilles); i++) {
		int64_t exact = (int64_t)permilles[i] * 100;
		int64_t got = (int64_t)histogram_quantile_us(&h, permilles[i]);

		assert_true(llabs(got - exact) * 100 <= exact * 3);
	}
	assert_int_equal(h.count, 100000);
	assert_int_equal(h.sum_us, 100000ull * 100001 / 2);
}

static void test_one_value_is_every_quantile(void **state)
{
	static struct histogram h;

	(void)state;
	memset(&h, 0, sizeof(h));
	histogram_record(&h, 17);
	assert_int_equal(histogram_quantile_us(&h, 0), 17);
	assert_int_equal(histogram_quantile_us(&h, 500), 17);
	assert_int_equal(histogram_quantile_us(&h, 1000), 17);
}

static void test_merge(void **state)
{
	static struct histogram a, b, sum;

	(void)state;
	memset(&a, 0, sizeof(a));
	memset(&b, 0, sizeof(b));
	memset(&sum, 0, sizeof(sum));
	for (int i = 0; i < 90; i++)
		histogram_record(&a, 10);
	for (int i = 0; i < 10; i++)
		histogram_record(&b, 1000);
	histogram_merge(&sum, &a);
	histogram_merge(&sum, &b);
	assert_int_equal(sum.count, 100);
	assert_int_equal(sum.sum_us, 90 * 10 + 10 * 1000);
	assert_int_equal(histogram_quantile_us(&sum, 900), 10);
	assert_true(histogram_quantile_us(&sum, 910) > 970);
	assert_int_equal(a.count, 90);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_buckets),
		cmocka_unit_test(test_buckets_follow_each_other),
		cmocka_unit_test(test_quantiles),
		cmocka_unit_test(test_one_value_is_every_quantile),
		cmocka_unit_test(test_merge),
	};

	return cmocka_run_group_tests_name("histogram", tests, NULL, NULL);
}
