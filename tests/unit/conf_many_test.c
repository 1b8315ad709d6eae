/* Configurations of many objects, and texts that stand for more than there is room for: how many, and how long it takes.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "common/shm.h"
#include "conf/cidrs.h"
#include "conf/conf.h"
#include "conf/load.h"
#include "tests/unit/conf_texts.h"

static double seconds(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static char *many_servers(size_t n, bool forward)
{
	struct out out;

	out_open(&out);
	fputs(forward ? "frontends:\n  a:\n    bind: ':80'\n    forward:\n"
		      : "frontends: {a: {bind: ':80', backend: b}}\nbackends:\n  b:\n    servers:\n",
		out.file);
	for (size_t i = 0; i < n; i++)
		if (forward)
			fprintf(out.file, "      - 10.%zu.%zu.%zu:80\n", i >> 16, i >> 8 & 255,
				i & 255);
		else
			fprintf(out.file, "      s%zu: 10.%zu.%zu.%zu:80\n", i, i >> 16,
				i >> 8 & 255, i & 255);
	return out_close(&out);
}

/* Well under a second; the limit leaves room for sanitizers and a busy machine. */
static void test_many_servers(void **state)
{
	(void)state;
	for (int forward = 0; forward <= 1; forward++) {
		char *text = many_servers(10000, forward);
		double start = seconds(), took;
		struct conf *conf = load_good(text);

		took = seconds() - start;
		assert_int_equal(conf->backends[0].nservers, 10000);
		print_message("10,000 servers in %.0f ms\n", took * 1000);
		assert_true(took < 2.0);
		conf_free(conf);
		free(text);
	}
}

/* As long as lists of abusers are, and what is dumped of it is read again. */
static void test_many_networks(void **state)
{
	struct conf *conf;
	double start, took;
	struct out out;
	char *text;

	(void)state;
	out_open(&out);
	fputs("frontends:\n  a:\n    bind: ':80'\n    service: echo\n    deny:\n", out.file);
	for (unsigned i = 0; i < 100000; i++)
		fprintf(out.file, "      - 10.%u.%u.0/30\n", i >> 8 & 255, i & 255);
	out_close(&out);
	start = seconds();
	conf = load_good(out.text);
	took = seconds() - start;
	print_message("100,000 networks in %.0f ms\n", took * 1000);
	assert_true(took < 3.0);
	assert_int_equal(cidrs_count(conf->frontends[0].deny), 100000);
	assert_true(is_in(conf->frontends[0].deny, "10.255.255.3"));
	assert_false(is_in(conf->frontends[0].deny, "10.255.255.4"));
	start = seconds();
	text = dump(conf);
	assert_dump_loads("networks", text);
	assert_true(seconds() - start < 6.0);
	conf_free(conf);
	free(text);
	free(out.text);
}

static void test_many_frontends(void **state)
{
	struct out out;
	struct conf *conf;
	double start;

	(void)state;
	out_open(&out);
	fputs("backends: {b: {servers: {s: ':1'}}}\nfrontends:\n", out.file);
	for (unsigned i = 0; i < SHM_FRONTENDS_MAX; i++)
		fprintf(out.file, "  f%u: {bind: '127.0.%u.%u:80', backend: b}\n", i, i >> 8,
			i & 255);
	out_close(&out);
	start = seconds();
	conf = load_good(out.text);
	assert_true(seconds() - start < 5.0);
	assert_int_equal(conf->nfrontends, SHM_FRONTENDS_MAX);
	conf_free(conf);
	free(out.text);
}

/* As many wrong references as there is room for frontends: all are found, in a short time. */
static void test_many_errors(void **state)
{
	struct conf_errors errors = { 0 };
	struct out out;
	double start;

	(void)state;
	out_open(&out);
	fputs("backends:\n", out.file);
	for (unsigned i = 0; i < 4000; i++)
		fprintf(out.file, "  backend-%u: {servers: {s: ':1'}}\n", i);
	fputs("frontends:\n", out.file);
	for (unsigned i = 0; i < 4000; i++)
		fprintf(out.file, "  f%u: {bind: ':%u', backend: backend_%u}\n", i, i + 1, i);
	out_close(&out);
	start = seconds();
	assert_null(load(out.text, &errors));
	assert_true(seconds() - start < 5.0);
	assert_int_equal(errors.count, 4000);
	assert_string_equal(errors.lines[0],
		"test:4003:29: there is no backend `backend_0`, did you mean "
		"`backend-0`?");
	conf_errors_free(&errors);
	free(out.text);
}

static void test_too_many(void **state)
{
	char *text = many_servers(SHM_SERVERS_MAX + 5, false);
	struct out out;

	(void)state;
	assert_bad(text, "test:32773:7: too many servers: there is room for 32768\n");
	free(text);
	text = many_servers(SHM_SERVERS_MAX + 5, true);
	assert_bad(text, "test:5:7: too many addresses: there is room for 32768\n");
	free(text);
	out_open(&out);
	fputs("frontends:\n", out.file);
	for (unsigned i = 1; i <= SHM_FRONTENDS_MAX + 2; i++)
		fprintf(out.file, "  f%u: {bind: ':%u', service: echo}\n", i, i);
	assert_bad(out_close(&out), "test:4098:3: too many frontends: there is room for 4096\n");
	free(out.text);
	out_open(&out);
	fputs("frontends: {f: {bind: ':1', service: echo}}\nbackends:\n", out.file);
	for (unsigned i = 1; i <= SHM_BACKENDS_MAX + 2; i++)
		fprintf(out.file, "  b%u: {servers: {s: ':1'}}\n", i);
	assert_bad(out_close(&out), "test:4099:3: too many backends: there is room for 4096\n");
	free(out.text);
}

/* A few lines of aliases that stand for a billion servers. */
static void test_alias_bomb(void **state)
{
	double start = seconds();
	struct out out;
	char *errors;

	(void)state;
	out_open(&out);
	fputs("frontends: {f: {bind: ':1', service: echo}}\nbackends:\n  b: {servers: &s {",
		out.file);
	for (unsigned i = 0; i < 10000; i++)
		fprintf(out.file, "s%u: ':1', ", i);
	fputs("}}\n", out.file);
	for (unsigned i = 0; i < 3000; i++)
		fprintf(out.file, "  b%u: {servers: *s}\n", i);
	errors = load_bad(out_close(&out));
	assert_non_null(strstr(errors, "too many servers"));
	assert_true(seconds() - start < 5.0);
	free(errors);
	free(out.text);
}

/* A few lines of aliases that stand for four hundred million networks. */
static void test_alias_networks(void **state)
{
	double start = seconds();
	struct out out;
	char *errors;

	(void)state;
	out_open(&out);
	fputs("frontends:\n  f: {bind: ':1', service: echo, allow: &n [", out.file);
	for (unsigned i = 0; i < 100000; i++)
		fputs("10.0.0.0/8, ", out.file);
	fputs("]}\n", out.file);
	for (unsigned i = 2; i < 4000; i++)
		fprintf(out.file, "  f%u: {bind: ':%u', service: echo, allow: *n}\n", i, i);
	errors = load_bad(out_close(&out));
	assert_string_equal(errors, "test:2:41: too many networks: there is room for 2000000\n");
	assert_true(seconds() - start < 10.0);
	free(errors);
	free(out.text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_many_servers),
		cmocka_unit_test(test_many_networks),
		cmocka_unit_test(test_many_frontends),
		cmocka_unit_test(test_many_errors),
		cmocka_unit_test(test_too_many),
		cmocka_unit_test(test_alias_bomb),
		cmocka_unit_test(test_alias_networks),
	};

	return cmocka_run_group_tests_name("conf_many", tests, NULL, NULL);
}
