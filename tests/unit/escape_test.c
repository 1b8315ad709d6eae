/* Text from outside made harmless. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "common/escape.h"
#include "common/must.h"

#define CASE(in, out)                                                                              \
	{                                                                                          \
		in, sizeof(in) - 1, out                                                            \
	}

static const struct {
	const char *in;
	size_t in_len;
	const char *out;
} cases[] = {
	CASE("", ""),
	CASE("plain text /~", "plain text /~"),
	CASE("a\nb\rc\td\be\ff", "a\\nb\\rc\\td\\be\\ff"),
	CASE("\"\\", "\\\"\\\\"),
	CASE("\0\x1b[31m\x7f", "\\u0000\\u001b[31m\\u007f"),
	CASE("gr\xc3\xbc\xc3\x9f \xe2\x82\xac \xf0\x9f\x98\x80",
		"gr\xc3\xbc\xc3\x9f \xe2\x82\xac \xf0\x9f\x98\x80"),
	CASE("\xc2\x9b\xc2\xa0", "\\u009b\xc2\xa0"), /* a control of one character: CSI */
	CASE("\xff\xfe", "\\u00ff\\u00fe"),
	CASE("\x80x", "\\u0080x"),
	CASE("\xc0\xaf", "\\u00c0\\u00af"),                       /* overlong */
	CASE("\xe0\x80\xaf", "\\u00e0\\u0080\\u00af"),            /* overlong */
	CASE("\xf0\x80\x80\xaf", "\\u00f0\\u0080\\u0080\\u00af"), /* overlong */
	CASE("\xed\xa0\x80", "\\u00ed\\u00a0\\u0080"),            /* surrogate */
	CASE("\xf4\x90\x80\x80", "\\u00f4\\u0090\\u0080\\u0080"), /* above U+10FFFF */
	CASE("\xe2\x82", "\\u00e2\\u0082"),                       /* ends early */
	CASE("\xc3", "\\u00c3"),
	CASE("\xe2\x82z", "\\u00e2\\u0082z"),
};

static void test_cases(void **state)
{
	char out[128];

	(void)state;
	for (size_t i = 0; i < NELEMS(cases); i++) {
		size_t len = escape_json(cases[i].in, cases[i].in_len, out, sizeof(out));

		assert_string_equal(out, cases[i].out);
		assert_int_equal(len, strlen(cases[i].out));
	}
}

static void test_cut_at_whole_characters(void **state)
{
	const char in[] = "a\xe2\x82\xac\x01z";
	/* The length of the output for every size of the buffer. */
	const size_t want[] = { 0, 0, 1, 1, 1, 4, 4, 4, 4, 4, 4, 10, 11, 11 };
	char out[32];

	(void)state;
	for (size_t bytes = 1; bytes < NELEMS(want); bytes++) {
		memset(out, 'X', sizeof(out));
		assert_int_equal(escape_json(in, sizeof(in) - 1, out, bytes), want[bytes]);
		assert_int_equal(out[want[bytes]], '\0');
		assert_int_equal(out[bytes], 'X');
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_cases),
		cmocka_unit_test(test_cut_at_whole_characters),
	};

	return cmocka_run_group_tests_name("escape", tests, NULL, NULL);
}
