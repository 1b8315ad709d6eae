/* proxyctl top without a terminal: the daemon's JSON (also from a hostile one) as rows, which of them are seen in which
 * order, which columns fit, and numbers as people read them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "master/proxyctl/terminal.h"
#include "master/proxyctl/top_columns.h"
#include "master/proxyctl/top_model.h"
#include "master/proxyctl/top_rows.h"

/* ------------------------------------------------------------------ the model */

static const char *const answers[QUESTIONS] = {
	[QUESTION_STATUS] =
		"{\"version\":\"1.2.3\",\"state\":\"serving\",\"pid\":7,\"uptime_s\":90,"
		"\"generation\":3,\"workers\":2,\"connections\":{\"active\":9,\"total\":50},"
		"\"moves\":{\"moved\":4,\"failed\":1,\"kept\":6},\"last_reload\":{\"at\":"
		"\"2026-01-31T23:59:59Z\",\"generation\":3,\"result\":\"refused\",\"message\":"
		"\"no\\u001b[2Jfile\"}}",
	[QUESTION_FRONTENDS] =
		"[{\"name\":\"web\",\"bind\":[\":80\"],\"active\":9,\"total\":50,\"refused\":2,"
		"\"failed\":1,\"bytes_in\":10,\"bytes_out\":20}]",
	[QUESTION_SERVERS] =
		"[{\"backend\":\"b\",\"server\":\"s2\",\"state\":\"up\",\"active\":3,\"total\":9,"
		"\"weight\":1,\"maxconn\":0},\n"
		"{\"backend\":\"b\",\"server\":\"s10\",\"state\":\"down\",\"active\":0,\"total\":8},\n"
		"{\"backend\":\"b\",\"server\":\"s1\",\"state\":\"maint\",\"active\":6,\"total\":7},\n"
		"{\"backend\":\"c\\u001b]0;x\\u0007\",\"server\":\"\xc3\xa4\",\"state\":\"nocheck\"}]",
	[QUESTION_WORKERS] = "[{\"slot\":0,\"pid\":11,\"state\":\"serving\",\"active\":3},"
			     "{\"slot\":1,\"pid\":12,\"state\":\"hung\",\"active\":6}]",
	[QUESTION_STATS] =
		"[{\"scope\":\"daemon\",\"name\":null,\"rate_1s\":5.5,\"rate_10s\":4},"
		"{\"scope\":\"frontend\",\"name\":\"web\",\"rate_1s\":2.5},"
		"{\"scope\":\"backend\",\"name\":\"b\",\"rate_1s\":99,\"queued\":8},"
		"{\"scope\":\"server\",\"name\":\"b/s1\",\"rate_1s\":1.5,\"connect_p99_us\":"
		"800,\"session_p99_ms\":null},"
		"{\"scope\":\"server\",\"name\":\"b/s2\",\"rate_1s\":7,\"connect_p99_us\":90},"
		"{\"scope\":\"server\",\"name\":\"b/gone\",\"rate_1s\":7},"
		"{\"scope\":\"worker\",\"name\":\"1\",\"rate_1s\":3},"
		"{\"scope\":\"worker\",\"name\":0,\"rate_1s\":1},"
		"{\"scope\":\"star\",\"name\":\"b/s2\",\"rate_1s\":1}, 7, null]",
};

static struct top_model *model_new(void)
{
	struct top_model *model = top_model_new();

	assert_non_null(model);
	for (enum top_question i = 0; i < QUESTIONS; i++)
		assert_int_equal(top_model_take(model, i, answers[i], strlen(answers[i])), 0);
	top_model_finish(model);
	return model;
}

static void assert_value(const struct top_row *row, enum top_value value, double expected)
{
	if (isnan(expected))
		assert_true(isnan(row->values[value]));
	else
		assert_true(fabs(row->values[value] - expected) < 1e-9);
}

static void test_answers_become_rows(void **state)
{
	struct top_model *model = model_new();
	const struct top_row *servers = model->lists[PANE_SERVERS].rows;
	const struct top_row *workers = model->lists[PANE_WORKERS].rows;

	(void)state;
	assert_string_equal(model->daemon.name, "1.2.3");
	assert_value(&model->daemon, VALUE_ACTIVE, 9);
	assert_value(&model->daemon, VALUE_MOVED, 4);
	assert_value(&model->daemon, VALUE_RATE_1S, 5.5);
	assert_value(&model->daemon, VALUE_RATE_60S, NAN);
	assert_int_equal(model->lists[PANE_FRONTENDS].n, 1);
	assert_value(&model->lists[PANE_FRONTENDS].rows[0], VALUE_RATE_1S, 2.5);
	assert_value(&model->lists[PANE_FRONTENDS].rows[0], VALUE_REFUSED, 2);
	assert_int_equal(model->lists[PANE_SERVERS].n, 4);
	assert_string_equal(servers[0].name, "b/s2");
	assert_string_equal(servers[1].state, "down");
	assert_value(&servers[0], VALUE_RATE_1S, 7);
	assert_value(&servers[0], VALUE_CONNECT_P99_US, 90);
	assert_value(&servers[1], VALUE_RATE_1S, NAN);
	assert_value(&servers[1], VALUE_QUEUED, 8);
	assert_value(&servers[2], VALUE_QUEUED, 8);
	assert_value(&servers[3], VALUE_QUEUED, NAN);
	assert_value(&servers[2], VALUE_CONNECT_P99_US, 800);
	assert_value(&servers[2], VALUE_SESSION_P99_MS, NAN);
	assert_int_equal(model->lists[PANE_WORKERS].n, 2);
	assert_string_equal(workers[1].name, "1");
	assert_value(&workers[0], VALUE_RATE_1S, 1);
	assert_value(&workers[1], VALUE_RATE_1S, 3);
	assert_value(&workers[0], VALUE_SHARE, 3.0 / 9);
	assert_value(&workers[1], VALUE_SHARE, 6.0 / 9);
	top_model_free(model);
}

static void test_no_text_of_the_daemon_is_raw(void **state)
{
	struct top_model *model = model_new();

	(void)state;
	assert_string_equal(model->reload, "2026-01-31T23:59:59Z refused: no?[2Jfile");
	assert_string_equal(model->lists[PANE_SERVERS].rows[3].name, "c?]0;x?/??");
	top_model_free(model);
}

static void test_what_is_no_answer_is_refused(void **state)
{
	static const struct {
		enum top_question question;
		const char *text;
	} cases[] = {
		{ QUESTION_STATUS, "" },
		{ QUESTION_STATUS, "[]" },
		{ QUESTION_STATUS, "error: refused" },
		{ QUESTION_STATUS, "{\"version\":" },
		{ QUESTION_SERVERS, "{\"error\":\"refused\"}" },
		{ QUESTION_SERVERS, "7" },
		{ QUESTION_STATS, "{\"error\":\"usage: \"}" },
	};
	static const char odd[] = "[7, null, [], {}, {\"slot\":\"x\"}, {\"slot\":1e300}, "
				  "{\"slot\":1,\"active\":\"many\",\"state\":5}]";
	char deep[5000];

	(void)state;
	for (size_t i = 0; i < NELEMS(cases); i++) {
		struct top_model *model = top_model_new();

		assert_int_equal(top_model_take(model, cases[i].question, cases[i].text,
					 strlen(cases[i].text)),
			-1);
		top_model_free(model);
	}
	/* Wrong in its pieces: what is known of them is nothing. */
	for (enum top_pane i = 0; i < PANES; i++) {
		struct top_model *model = top_model_new();

		assert_int_equal(
			top_model_take(model, QUESTION_FRONTENDS + i, odd, strlen(odd)), 0);
		top_model_finish(model);
		assert_int_equal(model->lists[i].n, 7);
		assert_value(&model->lists[i].rows[6], VALUE_ACTIVE, NAN);
		top_model_free(model);
	}
	memset(deep, '[', sizeof(deep));
	assert_int_equal(
		top_model_take(&(struct top_model){ 0 }, QUESTION_STATS, deep, sizeof(deep)), -1);
}

/* ------------------------------------------------------------------ rows */

/* The names in order, with blanks in between. */
static const char *order(const struct top_rows *rows, const struct top_list *list)
{
	static char text[512];

	text[0] = '\0';
	for (size_t i = 0; i < rows->n; i++) {
		const char *name = list->rows[rows->order[i]].name;

		snprintf(text + strlen(text), sizeof(text) - strlen(text), "%s%s", i > 0 ? " " : "",
			name);
	}
	return text;
}

static void test_rows_are_sorted_by_any_column(void **state)
{
	static const struct {
		char key; /* '\0': as they stand there */
		bool reversed;
		const char *order;
	} cases[] = {
		{ '\0', false, "b/s2 b/s10 b/s1 c?]0;x?/??" },
		{ '\0', true, "c?]0;x?/?? b/s1 b/s10 b/s2" },
		{ 'N', false, "b/s1 b/s2 b/s10 c?]0;x?/??" },
		{ 'N', true, "c?]0;x?/?? b/s10 b/s2 b/s1" },
		{ 'S', false, "b/s10 b/s1 c?]0;x?/?? b/s2" },
		/* Numbers go down, and what is unknown is last either way. */
		{ 'A', false, "b/s1 b/s2 b/s10 c?]0;x?/??" },
		{ 'A', true, "b/s10 b/s2 b/s1 c?]0;x?/??" },
		{ 'P', false, "b/s1 b/s2 b/s10 c?]0;x?/??" },
		{ 'P', true, "b/s2 b/s1 b/s10 c?]0;x?/??" },
	};
	struct top_model *model = model_new();
	const struct top_list *list = &model->lists[PANE_SERVERS];
	struct top_rows rows;

	(void)state;
	for (size_t i = 0; i < NELEMS(cases); i++) {
		top_rows_init(&rows, PANE_SERVERS);
		assert_int_equal(top_rows_sort_by(&rows, cases[i].key), cases[i].key != '\0');
		rows.reversed = cases[i].reversed;
		assert_int_equal(top_rows_arrange(&rows, list), 0);
		assert_string_equal(order(&rows, list), cases[i].order);
		top_rows_deinit(&rows);
	}
	top_rows_init(&rows, PANE_SERVERS);
	assert_false(top_rows_sort_by(&rows, 'Z'));
	top_rows_sort_step(&rows, -1);
	top_rows_sort_step(&rows, 1);
	assert_int_equal(rows.sort, 0);
	top_rows_sort_step(&rows, 1);
	assert_int_equal(rows.sort, 1);
	top_model_free(model);
}

static void test_a_filter_looks_at_names_and_states(void **state)
{
	static const struct {
		const char *filter;
		const char *order;
	} cases[] = {
		{ "S1", "b/s10 b/s1" },
		{ "DOWN", "b/s10" },
		{ "b/", "b/s2 b/s10 b/s1" },
		{ "nothing", "" },
	};
	struct top_model *model = model_new();
	const struct top_list *list = &model->lists[PANE_SERVERS];
	struct top_rows rows;

	(void)state;
	for (size_t i = 0; i < NELEMS(cases); i++) {
		top_rows_init(&rows, PANE_SERVERS);
		snprintf(rows.filter, sizeof(rows.filter), "%s", cases[i].filter);
		assert_int_equal(top_rows_arrange(&rows, list), 0);
		assert_string_equal(order(&rows, list), cases[i].order);
		/* Of nothing nothing is selected, and nothing moves. */
		top_rows_move(&rows, list, 5);
		top_rows_scroll(&rows, 5);
		assert_int_equal(top_rows_selected(&rows, list) == NULL, rows.n == 0);
		top_rows_deinit(&rows);
	}
	top_model_free(model);
}

static void test_the_selected_row_stays_selected(void **state)
{
	struct top_model *model = model_new();
	struct top_list *list = &model->lists[PANE_SERVERS];
	struct top_rows rows;

	(void)state;
	top_rows_init(&rows, PANE_SERVERS);
	assert_int_equal(top_rows_arrange(&rows, list), 0);
	assert_string_equal(top_rows_selected(&rows, list)->name, "b/s2");
	top_rows_move(&rows, list, 1);
	assert_string_equal(top_rows_selected(&rows, list)->name, "b/s10");
	assert_true(top_rows_sort_by(&rows, 'N'));
	assert_int_equal(top_rows_arrange(&rows, list), 0);
	assert_int_equal(rows.at, 2);
	assert_string_equal(top_rows_selected(&rows, list)->name, "b/s10");
	top_rows_move(&rows, list, 100);
	assert_int_equal(rows.at, 3);
	top_rows_scroll(&rows, 2);
	assert_int_equal(rows.first, 2);
	top_rows_move(&rows, list, -100);
	top_rows_scroll(&rows, 2);
	assert_int_equal(rows.at, 0);
	assert_int_equal(rows.first, 0);
	/* It is gone: what stands in its place is. */
	top_rows_move(&rows, list, 3);
	list->n = 2;
	assert_int_equal(top_rows_arrange(&rows, list), 0);
	assert_int_equal(rows.at, 1);
	assert_string_equal(top_rows_selected(&rows, list)->name, "b/s10");
	top_rows_scroll(&rows, 2);
	assert_int_equal(rows.first, 0);
	top_rows_deinit(&rows);
	top_model_free(model);
}

static void test_the_screen_is_shared(void **state)
{
	static const struct {
		size_t rows;
		size_t needed[PANES];
		enum top_pane front;
		size_t heights[PANES];
	} cases[] = {
		{ 16, { 3, 1000, 2 }, PANE_SERVERS, { 3, 11, 2 } },
		{ 16, { 3, 1000, 2 }, PANE_FRONTENDS, { 3, 11, 2 } },
		{ 16, { 500, 1000, 64 }, PANE_SERVERS, { 3, 10, 3 } },
		{ 16, { 500, 1000, 64 }, PANE_WORKERS, { 3, 3, 10 } },
		{ 50, { 3, 10, 4 }, PANE_SERVERS, { 3, 10, 4 } },
		{ 3, { 0, 10, 0 }, PANE_SERVERS, { 0, 3, 0 } },
		{ 6, { 9, 9, 9 }, PANE_SERVERS, { 2, 2, 2 } },
	};
	size_t heights[PANES];

	(void)state;
	for (size_t i = 0; i < NELEMS(cases); i++) {
		top_rows_share(cases[i].rows, cases[i].needed, cases[i].front, heights);
		for (size_t j = 0; j < PANES; j++)
			assert_int_equal(heights[j], cases[i].heights[j]);
	}
}

/* ------------------------------------------------------------------ columns */

static void test_columns_fit_every_terminal(void **state)
{
	bool shown[TOP_COLUMNS_MAX];
	size_t n, name_width;

	(void)state;
	for (enum top_pane pane = 0; pane < PANES; pane++) {
		const struct top_column *columns = top_columns(pane, &n);

		assert_true(n <= TOP_COLUMNS_MAX);
		for (size_t width = 40; width <= 300; width++) {
			size_t total;

			top_columns_fit(pane, width, shown, &name_width);
			assert_true(shown[0] && name_width >= TOP_NAME_LEAST);
			total = name_width;
			for (size_t i = 1; i < n; i++)
				total += shown[i] ? columns[i].width + 1U : 0;
			assert_int_equal(total, width);
		}
		for (size_t i = 0; i < n; i++)
			assert_true(shown[i]);
	}
}

static void test_numbers_fit_their_columns(void **state)
{
	static const struct {
		enum top_form form;
		double value;
		const char *text;
	} cases[] = {
		{ FORM_COUNT, 0, "0" },
		{ FORM_COUNT, 99999, "99999" },
		{ FORM_COUNT, 100000, "100k" },
		{ FORM_COUNT, 1234567, "1.2M" },
		{ FORM_COUNT, 999999, "1.0M" },
		{ FORM_COUNT, NAN, "-" },
		{ FORM_COUNT, -1, "-" },
		{ FORM_COUNT, 1e19, "10.0E" },
		{ FORM_LIMIT, 0, "-" },
		{ FORM_LIMIT, 12, "12" },
		{ FORM_RATE, 0, "0.0" },
		{ FORM_RATE, 99.94, "99.9" },
		{ FORM_RATE, 99.96, "100" },
		{ FORM_RATE, 9999, "9999" },
		{ FORM_RATE, 12345, "12.3k" },
		{ FORM_RATE, 123456, "123k" },
		{ FORM_BYTES, 1023, "1023" },
		{ FORM_BYTES, 1024, "1.0k" },
		{ FORM_BYTES, 1024 * 1023.6, "1.0M" },
		{ FORM_BYTES, 1e9, "954M" },
		{ FORM_US, 0, "0us" },
		{ FORM_US, 999, "999us" },
		{ FORM_US, 999.9, "1.0ms" },
		{ FORM_US, 9949, "9.9ms" },
		{ FORM_US, 120000, "120ms" },
		{ FORM_US, 999600, "1.0s" },
		{ FORM_US, 100e6, "100s" },
		{ FORM_MS, 1500, "1.5s" },
		{ FORM_SECONDS, 59, "59s" },
		{ FORM_SECONDS, 185, "3m05s" },
		{ FORM_SECONDS, 7980, "2h13m" },
		{ FORM_SECONDS, 371000, "4d07h" },
		{ FORM_SECONDS, 86400.0 * 400, "400d" },
		{ FORM_PLAIN, 4194304, "4194304" },
	};
	char buf[TOP_CELL_MAX];

	(void)state;
	for (size_t i = 0; i < NELEMS(cases); i++)
		assert_string_equal(top_format(cases[i].form, cases[i].value, buf), cases[i].text);
	for (double value = 1; value < 1e18; value *= 1.07) {
		assert_true(strlen(top_format(FORM_COUNT, value, buf)) <= 5);
		assert_true(strlen(top_format(FORM_RATE, value, buf)) <= 5);
		assert_true(strlen(top_format(FORM_BYTES, value, buf)) <= 5);
		if (value < 3e13)
			assert_true(strlen(top_format(FORM_US, value, buf)) <= 5);
		if (value < 1e9)
			assert_true(strlen(top_format(FORM_SECONDS, value, buf)) <= 6);
	}
}

static void test_a_bar_is_as_long_as_its_share(void **state)
{
	char buf[TOP_CELL_MAX];

	(void)state;
	assert_string_equal(top_format_bar(0, 15, buf), "             0%");
	assert_string_equal(top_format_bar(0.5, 15, buf), "|||||       50%");
	assert_string_equal(top_format_bar(1, 15, buf), "|||||||||| 100%");
	assert_string_equal(top_format_bar(7, 15, buf), "|||||||||| 100%");
	assert_string_equal(top_format_bar(NAN, 15, buf), "             0%");
}

/* ------------------------------------------------------------------ the terminal */

static void test_only_text_and_colours_reach_a_terminal(void **state)
{
	static const struct {
		bool color;
		const char *text;
		const char *shown;
	} cases[] = {
		{ true, "a\tb\n", "a\tb\n" },
		{ true, "\033[31mred\033[0m", "\033[31mred\033[0m" },
		{ false, "\033[31mred", "?[31mred" },
		{ true, "\033[2Jx", "?Jx" },
		{ true, "\033]0;t\007", "?]0;t?" },
		{ true, "\033\033[1m", "?\033[1m" },
		{ true, "\033[111111111111111111m", "?1111m" },
		{ true, "\033", "?" },
		{ true, "\302\233A\303\244\302\244", "?A\303\244\302\244" },
		{ true, "\r\b\177", "???" },
	};

	(void)state;
	for (size_t i = 0; i < NELEMS(cases); i++) {
		/* In one piece, and byte by byte. */
		for (size_t step = 1; step <= 64; step += 63) {
			const char *text = cases[i].text;
			struct terminal_filter filter = { .color = cases[i].color };
			char *shown;
			size_t len;
			FILE *to = open_memstream(&shown, &len);

			for (size_t at = 0; at < strlen(text); at += step)
				terminal_write(&filter, text + at, strnlen(text + at, step), to);
			terminal_end(&filter, to);
			fclose(to);
			assert_string_equal(shown, cases[i].shown);
			free(shown);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_answers_become_rows),
		cmocka_unit_test(test_no_text_of_the_daemon_is_raw),
		cmocka_unit_test(test_what_is_no_answer_is_refused),
		cmocka_unit_test(test_rows_are_sorted_by_any_column),
		cmocka_unit_test(test_a_filter_looks_at_names_and_states),
		cmocka_unit_test(test_the_selected_row_stays_selected),
		cmocka_unit_test(test_the_screen_is_shared),
		cmocka_unit_test(test_columns_fit_every_terminal),
		cmocka_unit_test(test_numbers_fit_their_columns),
		cmocka_unit_test(test_a_bar_is_as_long_as_its_share),
		cmocka_unit_test(test_only_text_and_colours_reach_a_terminal),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
