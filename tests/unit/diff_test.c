/* What is different between two configurations; and how relays are dealt out.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/must.h"
#include "conf/conf.h"
#include "conf/diff.h"
#include "conf/load.h"
#include "master/children/route.h"

static const char before[] = "global: {workers: 2}\n"
			     "frontends:\n"
			     "  a: {bind: ':80', backend: x, tcp: {backlog: 10}}\n"
			     "  b: {bind: ':81', backend: y}\n"
			     "backends:\n"
			     "  x: {servers: {s: '10.0.0.1:1', t: '10.0.0.2:1'}}\n"
			     "  y: {servers: {s: '10.0.0.3:1'}}\n";

static struct conf *load(const char *text)
{
	struct conf_errors errors = { 0 };
	struct conf *conf = conf_load_text("test", text, strlen(text), NULL, &errors);

	conf_errors_print(&errors, stderr);
	assert_non_null(conf);
	return conf;
}

/* One line for each entry: "changed server x/s address". */
static void assert_diff(const char *from, const char *to, const char *expected)
{
	static const char *const hows[] = { "added", "removed", "changed" };
	static const char *const whats[] = { "global", "frontend", "backend", "server" };
	struct conf *a = load(from);
	struct conf *b = load(to);
	struct conf_diff *diff = conf_diff(a, b);
	char text[2048] = "";

	for (size_t i = 0; i < diff->count; i++) {
		const struct conf_diff_entry *entry = &diff->entries[i];
		size_t len = strlen(text);

		snprintf(text + len, sizeof(text) - len, "%s %s %s %s\n", hows[entry->how],
			whats[entry->what], entry->name, entry->keys);
		assert_true(entry->how != DIFF_REMOVED || entry->frontend != NULL ||
			entry->backend != NULL);
	}
	assert_string_equal(text, expected);
	conf_diff_free(diff);
	conf_free(a);
	conf_free(b);
}

static void test_diff(void **state)
{
	static const struct {
		const char *to;
		const char *expected;
	} cases[] = {
		{ before, "" },
		/* written in another way and in another order */
		{ "backends:\n"
		  "  y: {servers: {s: {address: '10.0.0.3:1', weight: 1}}}\n"
		  "  x: {servers: {s: '10.0.0.1:1', t: '10.0.0.2:1'}, retries: 3}\n"
		  "frontends:\n"
		  "  b: {bind: ':81', backend: y}\n"
		  "  a: {bind: [':80'], backend: x, tcp: {backlog: 10}}\n"
		  "global: {workers: 2, bind_retry: 0}\n",
			"" },
		{ "global: {workers: 3, log: {level: debug}}\n"
		  "frontends:\n"
		  "  a: {bind: ':80', backend: x, tcp: {backlog: 11}, timeouts: {client: 2m}}\n"
		  "  c: {bind: ':81', backend: x}\n"
		  "backends:\n"
		  "  x: {servers: {s: '10.0.0.9:1', u: '10.0.0.2:1'}, balance: first}\n",
			"changed global  workers, log.level\n"
			"changed frontend a tcp.backlog, timeouts.client\n"
			"added frontend c \n"
			"removed frontend b \n"
			"changed backend x balance\n"
			"changed server x/s address\n"
			"added server x/u \n"
			"removed server x/t \n"
			"removed backend y \n"
			"removed server y/s \n" },
		{ "global: {workers: 2}\n"
		  "frontends:\n"
		  "  a: {bind: ':80', backend: x, tcp: {backlog: 10}}\n"
		  "  b: {bind: ':81', backend: y}\n"
		  "backends:\n"
		  "  x: {servers: {t: '10.0.0.2:1', s: '10.0.0.1:1'}}\n"
		  "  y: {servers: {s: '10.0.0.3:1'}}\n",
			"changed backend x servers (their order)\n" },
	};

	(void)state;
	for (size_t i = 0; i < NELEMS(cases); i++)
		assert_diff(before, cases[i].to, cases[i].expected);
}

static void test_worst(void **state)
{
	struct conf *a =
		load("global: {user: nobody}\nfrontends: {f: {bind: ':1', service: echo}}");
	struct conf *b = load("global: {workers: 9, log: {level: debug}}\n"
			      "frontends: {f: {bind: ':1', service: echo}}");
	struct conf_diff *diff = conf_diff(a, b);

	(void)state;
	assert_int_equal(diff->count, 1);
	assert_int_equal(diff->entries[0].change, CHANGE_RESTART);
	assert_string_equal(diff->entries[0].worst, "user");
	conf_diff_free(diff);
	conf_free(a);
	conf_free(b);
}

/* ------------------------------------------------------------------ routes */

static void test_route_fill(void **state)
{
	struct route_target targets[] = { { 5, 0 }, { 6, 300 }, { 7, 0 } };
	struct msg_route route = { .from = 1 };
	size_t to[8] = { 0 };

	(void)state;
	route_fill(&route, targets, NELEMS(targets), 640, 0);
	assert_int_equal(route.count, MESSAGE_ROUTE_MAX);
	for (size_t i = 0; i < route.count; i++)
		to[route.to[i]]++;
	/* 940 in all: 313 each. */
	assert_in_range(targets[0].relays, 310, 320);
	assert_in_range(targets[1].relays, 300, 320);
	assert_in_range(targets[2].relays, 310, 320);
	assert_in_range(to[6], 1, 2);
	route_fill(&route, targets, 0, 640, 0);
	assert_int_equal(route.count, 0);
	/* Of nothing: still everybody may get what comes late. */
	targets[0].relays = targets[1].relays = targets[2].relays = 7;
	route_fill(&route, targets, NELEMS(targets), 0, 1);
	assert_int_equal(route.to[0], 6);
	assert_int_equal(route.to[1], 7);
	assert_int_equal(route.to[2], 5);
}

static void test_route_even_out(void **state)
{
	static const struct {
		uint64_t relays[4];
		size_t nmoves;
		uint32_t moved;
		uint32_t spread_pct;
	} cases[] = {
		{ { 0, 0, 0, 0 }, 0, 0, 0 },
		{ { 5, 5, 5, 5 }, 0, 0, 0 },
		{ { 5, 6, 5, 5 }, 0, 0, 14 },
		{ { 100, 0, 0, 0 }, 1, 75, 300 },
		{ { 100, 100, 0, 0 }, 2, 100, 100 },
		{ { 1000, 10, 490, 500 }, 1, 500, 100 },
	};

	(void)state;
	for (size_t i = 0; i < NELEMS(cases); i++) {
		struct route_target workers[4];
		struct route_move moves[SHM_WORKERS_MAX];
		uint32_t moved = 0;
		size_t nmoves;

		for (uint32_t w = 0; w < 4; w++)
			workers[w] = (struct route_target){ w, cases[i].relays[w] };
		assert_int_equal(route_spread_pct(workers, 4), cases[i].spread_pct);
		nmoves = route_even_out(workers, 4, moves);
		assert_int_equal(nmoves, cases[i].nmoves);
		for (size_t m = 0; m < nmoves; m++)
			moved += moves[m].count;
		assert_int_equal(moved, cases[i].moved);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_diff),
		cmocka_unit_test(test_worst),
		cmocka_unit_test(test_route_fill),
		cmocka_unit_test(test_route_even_out),
	};

	return cmocka_run_group_tests_name("diff", tests, NULL, NULL);
}
