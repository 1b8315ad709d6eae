/* The search for expected bytes, held against memmem over the whole, at every split. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "common/must.h"
#include "worker/checker/expect.h"

#define BYTES(text) (text), sizeof(text) - 1

static const struct {
	const char *wanted;
	size_t wanted_len;
	const char *bytes;
	size_t len;
	enum expect_verdict verdict;
} rows[] = {
	{ BYTES("+PONG"), BYTES("+PONG\r\n"), EXPECT_FOUND },
	{ BYTES("+PONG"), BYTES("-NOAUTH Authentication required.\r\n"), EXPECT_MORE },
	{ BYTES("220 "), BYTES("220 mail ESMTP\r\n"), EXPECT_FOUND },
	{ BYTES("end"), BYTES("it stands at the end"), EXPECT_FOUND },
	{ BYTES("end"), BYTES("it stands at the en"), EXPECT_MORE },
	{ BYTES("a"), BYTES("bbbbba"), EXPECT_FOUND },
	{ BYTES("aab"), BYTES("aaab"), EXPECT_FOUND },
	{ BYTES("aab"), BYTES("aaaaaaaaab"), EXPECT_FOUND },
	{ BYTES("abab"), BYTES("abaabab"), EXPECT_FOUND },
	{ BYTES("abacabad"), BYTES("abacabacabacabad"), EXPECT_FOUND },
	{ BYTES("abacabad"), BYTES("abacabacabacabac"), EXPECT_MORE },
	{ BYTES("\0\0\1"), BYTES("\0\0\0\0\1"), EXPECT_FOUND },
	{ BYTES("\0"), BYTES("text"), EXPECT_MORE },
	{ BYTES("\xff\xfe"), BYTES("\xff\xff\xfe"), EXPECT_FOUND },
	{ BYTES("longer than what comes"), BYTES("longer"), EXPECT_MORE },
	{ BYTES("x"), BYTES(""), EXPECT_MORE },
	{ BYTES(""), BYTES(""), EXPECT_FOUND },
	{ BYTES(""), BYTES("anything"), EXPECT_FOUND },
};

static enum expect_verdict feed_split(
	const struct expect *expect, const char *bytes, size_t len, size_t first, size_t second)
{
	size_t ends[] = { first, second, len };
	enum expect_verdict verdict = EXPECT_MORE;
	struct expect_search search;
	size_t start = 0;

	expect_begin(&search);
	for (size_t i = 0; i < NELEMS(ends) && verdict == EXPECT_MORE; i++) {
		size_t piece_len = ends[i] - start;
		uint8_t *piece = malloc(piece_len);

		assert_true(piece != NULL || piece_len == 0);
		if (piece_len > 0)
			memcpy(piece, bytes + start, piece_len);
		verdict = expect_feed(expect, &search, piece, piece_len);
		free(piece);
		start = ends[i];
	}
	return verdict;
}

static void test_rows_at_every_split(void **state)
{
	(void)state;
	for (size_t i = 0; i < NELEMS(rows); i++) {
		struct expect *expect =
			expect_new((const uint8_t *)rows[i].wanted, rows[i].wanted_len);

		assert_non_null(expect);
		for (size_t first = 0; first <= rows[i].len; first++) {
			for (size_t second = first; second <= rows[i].len; second++) {
				enum expect_verdict verdict = feed_split(
					expect, rows[i].bytes, rows[i].len, first, second);

				if (verdict != rows[i].verdict)
					fail_msg("row %zu at %zu, %zu: verdict %d", i, first,
						second, verdict);
			}
		}
		expect_free(expect);
	}
}

/* Few different letters, so that beginnings repeat: where naive searches that keep no text go wrong. */
static void test_against_memmem(void **state)
{
	uint32_t random = 1;

	(void)state;
	for (int round = 0; round < 20000; round++) {
		char wanted[8];
		char bytes[24];
		size_t wanted_len = 1 + (size_t)(round % 8);
		struct expect *expect;
		enum expect_verdict verdict;

		for (size_t i = 0; i < wanted_len; i++)
			wanted[i] = (char)('a' + ((random = random * 1664525 + 1013904223) >> 31));
		for (size_t i = 0; i < sizeof(bytes); i++)
			bytes[i] = (char)('a' + ((random = random * 1664525 + 1013904223) >> 31));
		expect = expect_new((const uint8_t *)wanted, wanted_len);
		assert_non_null(expect);
		verdict = feed_split(expect, bytes, sizeof(bytes), (size_t)(round % 24), 24);
		assert_int_equal(verdict == EXPECT_FOUND,
			memmem(bytes, sizeof(bytes), wanted, wanted_len) != NULL);
		expect_free(expect);
	}
}

/* "needle" after `before` other bytes, in pieces of 1000. */
static enum expect_verdict needle_after(size_t before)
{
	struct expect *expect = expect_new((const uint8_t *)"needle", 6);
	size_t len = before + 6;
	uint8_t *bytes = malloc(len);
	enum expect_verdict verdict = EXPECT_MORE;
	struct expect_search search;

	assert_true(expect != NULL && bytes != NULL);
	memset(bytes, 'n', before);
	memcpy(bytes + before, "needle", 6);
	expect_begin(&search);
	for (size_t fed = 0; fed < len && verdict == EXPECT_MORE; fed += 1000)
		verdict = expect_feed(
			expect, &search, bytes + fed, len - fed < 1000 ? len - fed : 1000);
	free(bytes);
	expect_free(expect);
	return verdict;
}

static void test_bound(void **state)
{
	(void)state;
	assert_int_equal(needle_after(EXPECT_MAX_BYTES - 6), EXPECT_FOUND);
	assert_int_equal(needle_after(EXPECT_MAX_BYTES - 5), EXPECT_MISSING);
	assert_int_equal(needle_after(EXPECT_MAX_BYTES), EXPECT_MISSING);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rows_at_every_split),
		cmocka_unit_test(test_against_memmem),
		cmocka_unit_test(test_bound),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
