/* Lines put together piece by piece. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "common/line.h"

static void expect(const struct line *line, const char *buf, const char *text)
{
	assert_int_equal(line->at - buf, strlen(text));
	assert_memory_equal(buf, text, strlen(text));
}

static void test_pieces(void **state)
{
	char buf[100];
	struct line line;

	(void)state;
	line_begin(&line, buf, sizeof(buf));
	line_text(&line, "a");
	line_char(&line, ' ');
	line_uint(&line, 0);
	line_char(&line, ' ');
	line_milli(&line, 7);
	line_milli(&line, 70);
	line_milli(&line, 999);
	line_char(&line, ' ');
	line_hex(&line, 0xdeadbeef01);
	line_text(&line, "");
	expect(&line, buf, "a 0 007070999 deadbeef01");
}

static void test_numbers_as_printf_has_them(void **state)
{
	static const int64_t numbers[] = { 0, 1, -1, 9, 10, -10, 99, 100, 1234567890, INT64_MAX,
		INT64_MIN, INT64_MIN + 1 };
	char buf[100];
	char text[100];
	struct line line;

	(void)state;
	for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
		line_begin(&line, buf, sizeof(buf));
		line_int(&line, numbers[i]);
		line_char(&line, ' ');
		line_uint(&line, (uint64_t)numbers[i]);
		line_char(&line, ' ');
		line_hex(&line, (uint64_t)numbers[i]);
		snprintf(text, sizeof(text), "%" PRId64 " %" PRIu64 " %" PRIx64, numbers[i],
			(uint64_t)numbers[i], (uint64_t)numbers[i]);
		expect(&line, buf, text);
	}
}

static void test_cut_off(void **state)
{
	char buf[8] = "xxxxxxx";
	struct line line;

	(void)state;
	line_begin(&line, buf, 5);
	line_text(&line, "abc");
	line_uint(&line, 12345);
	line_char(&line, '!');
	line_milli(&line, 1);
	line_int(&line, -1);
	expect(&line, buf, "abc12");
	assert_string_equal(buf + 5, "xx");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_pieces),
		cmocka_unit_test(test_numbers_as_printf_has_them),
		cmocka_unit_test(test_cut_off),
	};

	return cmocka_run_group_tests_name("line", tests, NULL, NULL);
}
