/* The configuration: golden files, values, and errors that need more than a file.
 * The golden files lie in tests/conf; with CONF_GOLDEN_UPDATE=1 the answers are written instead.
 */
#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/must.h"
#include "common/shm.h"
#include "conf/conf.h"
#include "conf/load.h"
#include "conf/table.h"
#include "tests/unit/conf_texts.h"

#define GOLDEN   "tests/conf"
#define EXAMPLES "conf/examples"

/* The predecessor's file cannot say how many workers: the answers must not depend on the machine. */
static const struct conf_overrides two_workers = { .workers = "2" };

/* ------------------------------------------------------------------ golden files */

static char *slurp(const char *path)
{
	FILE *file = fopen(path, "r");
	struct out out;
	int c;

	if (file == NULL)
		return NULL;
	out_open(&out);
	while ((c = getc(file)) != EOF)
		putc(c, out.file);
	fclose(file);
	return out_close(&out);
}

static void assert_golden(const char *file, const char *suffix, const char *text)
{
	size_t stem = strcspn(file, ".");
	char path[512];
	char *expected;
	FILE *to;

	snprintf(path, sizeof(path), "%.*s%s", (int)stem, file, suffix);
	if (getenv("CONF_GOLDEN_UPDATE") != NULL) {
		to = fopen(path, "w");
		assert_non_null(to);
		fputs(text, to);
		fclose(to);
		return;
	}
	expected = slurp(path);
	if (expected == NULL)
		fail_msg("%s is missing", path);
	if (strcmp(expected, text) != 0)
		fail_msg("%s: expected\n%s\ngot\n%s", file, expected, text);
	free(expected);
}

static void golden_ok(const char *file)
{
	bool apps = strncmp(file, "apps", 4) == 0;
	struct conf_errors errors = { 0 };
	struct conf *conf = conf_load_file(file, apps ? &two_workers : NULL, &errors);
	char *text;

	conf_errors_print(&errors, stderr);
	if (conf == NULL)
		fail_msg("%s does not load", file);
	text = dump(conf);
	assert_golden(file, ".out", text);
	assert_dump_loads(file, text);
	free(text);
	conf_free(conf);
}

static void golden_bad(const char *file)
{
	struct conf_errors errors = { 0 };
	struct out out;

	if (conf_load_file(file, NULL, &errors) != NULL)
		fail_msg("%s loads", file);
	out_open(&out);
	conf_errors_print(&errors, out.file);
	out_close(&out);
	assert_golden(file, ".err", out.text);
	free(out.text);
	conf_errors_free(&errors);
}

static void example_ok(const char *file)
{
	struct conf_errors errors = { 0 };
	struct conf *conf = conf_load_file(file, NULL, &errors);
	char *text;

	conf_errors_print(&errors, stderr);
	if (conf == NULL)
		fail_msg("the example %s does not load", file);
	text = dump(conf);
	assert_dump_loads(file, text);
	free(text);
	conf_free(conf);
}

static char root[4096];

/* Also after a test that failed in another directory. */
static int back_to_root(void **state)
{
	(void)state;
	return chdir(root);
}

/* From within the directory, so that messages name the file alone. */
static size_t each_file(const char *directory, void (*test)(const char *file))
{
	struct dirent *entry;
	size_t n = 0;
	DIR *dir;

	assert_int_equal(chdir(directory), 0);
	dir = opendir(".");
	assert_non_null(dir);
	while ((entry = readdir(dir)) != NULL) {
		const char *suffix = strrchr(entry->d_name, '.');

		if (suffix != NULL &&
			(strcmp(suffix, ".yaml") == 0 || strcmp(suffix, ".json") == 0)) {
			test(entry->d_name);
			n++;
		}
	}
	closedir(dir);
	return n;
}

static void test_golden_ok(void **state)
{
	(void)state;
	assert_true(each_file(GOLDEN "/ok", golden_ok) >= 15);
}

static void test_golden_bad(void **state)
{
	(void)state;
	assert_true(each_file(GOLDEN "/bad", golden_bad) >= 30);
}

static void test_examples(void **state)
{
	(void)state;
	assert_true(each_file(EXAMPLES, example_ok) >= 5);
}

/* ------------------------------------------------------------------ values */

static void test_values(void **state)
{
	struct conf *conf =
		load_good("global: {drain_timeout: 0, log: {level: 7}}\n"
			  "frontends:\n"
			  "  a: {bind: ':80', backend: z, timeouts: {client: 0}}\n"
			  "  b: {bind: ':81-82', forward: ['[::1]:1', 'unix:/x', 'h:2']}\n"
			  "backends:\n"
			  "  z: {servers: {s: '127.0.0.1:3'}}\n");
	const struct conf_frontend *a = &conf->frontends[0], *b = &conf->frontends[1];
	char text[SOCKADDR_TEXT_MAX];

	(void)state;
	assert_int_equal(conf->global.drain_timeout_ms, CONF_FOREVER);
	assert_int_equal(conf->global.log.level, LOG_LEVEL_NONE);
	assert_in_range(conf->global.workers, 1, SHM_WORKERS_MAX);
	assert_int_equal(conf->nfrontends, 2);
	assert_int_equal(conf->nbackends, 2);
	assert_ptr_equal(a->backend, &conf->backends[0]);
	assert_ptr_equal(b->backend, &conf->backends[1]);
	assert_int_equal(a->service, SERVICE_NONE);
	assert_int_equal(a->timeouts.client_ms, 0);
	assert_int_equal(a->timeouts.client_fin_ms, 30000);
	assert_int_equal(a->place, SHM_NONE);
	assert_int_equal(b->mark.line, 4);
	assert_int_equal(b->mark.column, 3);
	assert_string_equal(b->mark.file, "test");
	assert_int_equal(b->binds[0].port_last, 82);
	assert_string_equal(b->backend->name, "b");
	assert_int_equal(b->backend->check.type, CHECK_NONE);
	assert_int_equal(b->backend->nservers, 3);
	assert_int_equal(b->backend->servers[0].naddrs, 1);
	assert_string_equal(
		sockaddr_format(b->backend->servers[0].addrs, text, sizeof(text)), "[::1]:1");
	assert_int_equal(b->backend->servers[1].naddrs, 1);
	assert_string_equal(
		sockaddr_format(b->backend->servers[1].addrs, text, sizeof(text)), "unix:/x");
	assert_int_equal(b->backend->servers[2].naddrs, 0);
	assert_string_equal(b->backend->servers[2].name, "h:2");
	conf_free(conf);
}

static void test_overrides(void **state)
{
	const struct conf_overrides good = {
		.workers = "5", .loglevel = "3", .logformat = "json", .pidfile = "/run/p"
	};
	const struct conf_overrides bad = {
		.workers = "99", .loglevel = "loud", .logformat = "xml"
	};
	const char *text = "global: {workers: 1}\nfrontends: {a: {bind: ':1', service: echo}}\n";
	struct conf_errors errors = { 0 };
	struct conf *conf = conf_load_text("test", text, strlen(text), &good, &errors);

	(void)state;
	assert_non_null(conf);
	assert_int_equal(conf->global.workers, 5);
	assert_int_equal(conf->global.log.level, LOG_LEVEL_ERROR);
	assert_int_equal(conf->global.log.format, LOG_FORMAT_JSON);
	assert_string_equal(conf->global.pidfile, "/run/p");
	conf_free(conf);

	assert_null(conf_load_text("test", text, strlen(text), &bad, &errors));
	assert_int_equal(errors.count, 3);
	assert_string_equal(
		errors.lines[0], "command line: --workers: `workers` is 1 to 64 or auto, not `99`");
	assert_string_equal(
		errors.lines[2], "command line: --logformat: `format` is text | json, not `xml`");
	conf_errors_free(&errors);
}

/* The predecessor's settings, and that its file loads as its users have it. */
static void test_apps(void **state)
{
	struct conf *conf =
		load_good("{\"Apps\":[{\"Name\":\"a\",\"Ports\":[1,2],\"Targets\":[\"h:3\"]}]}");
	const struct conf_backend *backend = &conf->backends[0];

	(void)state;
	assert_int_equal(conf->global.bind_retry_ms, 5000);
	assert_int_equal(conf->global.log.format, LOG_FORMAT_JSON);
	assert_int_equal(conf->nfrontends, 2);
	assert_string_equal(conf->frontends[1].name, "a:2");
	assert_string_equal(conf->frontends[1].binds[0].text, ":2");
	assert_ptr_equal(conf->frontends[1].backend, backend);
	assert_string_equal(backend->name, "a");
	assert_int_equal(backend->balance, BALANCE_LEASTCONN);
	assert_int_equal(backend->check.type, CHECK_TCP);
	assert_int_equal(backend->check.inter_ms, 5000);
	assert_int_equal(backend->check.timeout_ms, 2000);
	assert_int_equal(backend->check.rise, 1);
	assert_int_equal(backend->check.fall, 1);
	conf_free(conf);
}

/* ------------------------------------------------------------------ checks, servers, limits */

static void assert_bytes(const struct conf_bytes *bytes, const char *expected, size_t len)
{
	assert_int_equal(bytes->len, len);
	assert_memory_equal(bytes->bytes, expected, len);
}

static void test_checks(void **state)
{
	struct conf *conf = load_good(
		"defaults: {check: {type: http, inter: 3s, downinter: 9s}}\n"
		"frontends: {a: {bind: ':80', backend: h}}\n"
		"backends:\n"
		"  h: {servers: {s: 'h:1'}, check: {http: {expect_status: '200, 301-302'}}}\n"
		"  b: {servers: {s: 'h:1'},\n"
		"    check: {type: send_expect, send: 'A\\0\\x00\\1012\\r', expect: \"\\\\n\\n\"}}\n"
		"  n: {servers: {s: 'h:1'}, check: {}}\n");
	const struct conf_check *http = &conf->backends[0].check;
	const struct conf_check *bytes = &conf->backends[1].check;

	(void)state;
	assert_int_equal(http->type, CHECK_HTTP);
	assert_int_equal(http->fastinter_ms, 3000);
	assert_int_equal(http->downinter_ms, 9000);
	assert_int_equal(http->spread_pct, 10);
	assert_string_equal(http->http.method, "GET");
	assert_string_equal(http->http.path, "/");
	assert_string_equal(http->http.host, "");
	assert_int_equal(http->http.nstatuses, 2);
	assert_int_equal(http->http.statuses[0].first, 200);
	assert_int_equal(http->http.statuses[0].last, 200);
	assert_int_equal(http->http.statuses[1].first, 301);
	assert_int_equal(http->http.statuses[1].last, 302);
	assert_int_equal(bytes->type, CHECK_SEND_EXPECT);
	assert_bytes(&bytes->send, "A\0\0A2\r", 6);
	assert_bytes(&bytes->expect, "\n\n", 2);
	assert_int_equal(conf->backends[2].check.type, CHECK_NONE);
	conf_free(conf);
}

static void test_servers(void **state)
{
	struct conf *conf = load_good(
		"defaults: {source: 10.0.0.9}\n"
		"frontends: {a: {bind: ':80', backend: b}}\n"
		"backends:\n"
		"  b:\n"
		"    on_down: close\n"
		"    check: {type: tls}\n"
		"    servers:\n"
		"      a: {address: '10.0.0.1:1', check_address: '10.0.0.1:2', state: maint}\n"
		"      b: {address: 'h:1', check_address: 'i:2', maxconn: 5, backup: true}\n"
		"      c: h:1\n");
	const struct conf_backend *b = &conf->backends[0];
	char text[SOCKADDR_TEXT_MAX];

	(void)state;
	assert_int_equal(b->on_down, ON_DOWN_CLOSE);
	assert_int_equal(b->timeouts.queue_ms, 5000);
	assert_int_equal(b->passive.max_ejected_pct, 50);
	assert_string_equal(sockaddr_format(&b->source, text, sizeof(text)), "10.0.0.9:0");
	assert_true(b->servers[0].has_check_address);
	assert_int_equal(b->servers[0].ncheck_addrs, 1);
	assert_string_equal(
		sockaddr_format(b->servers[0].check_addrs, text, sizeof(text)), "10.0.0.1:2");
	assert_int_equal(b->servers[0].state, SERVER_MAINT);
	assert_true(b->servers[1].has_check_address);
	assert_int_equal(b->servers[1].ncheck_addrs, 0);
	assert_string_equal(b->servers[1].check_address.host, "i");
	assert_int_equal(b->servers[1].maxconn, 5);
	assert_true(b->servers[1].backup);
	assert_false(b->servers[2].has_check_address);
	assert_int_equal(b->servers[2].state, SERVER_READY);
	conf_free(conf);
}

static void test_limits(void **state)
{
	struct conf *conf = load_good(
		"global: {maxconn: 7}\n"
		"defaults: {allow: [10.0.0.0/8, '::1'], limits: {source_maxconn: 3, rate: 9}}\n"
		"frontends:\n"
		"  a: {bind: ':80', service: echo, deny: 10.6.0.0/16, limits: {rate: 8}}\n"
		"  b: {bind: ':81', service: echo, allow: [], maxconn: 4}\n");
	const struct conf_frontend *a = &conf->frontends[0], *b = &conf->frontends[1];

	(void)state;
	assert_int_equal(conf->global.maxconn, 7);
	assert_true(is_in(a->allow, "10.6.1.2"));
	assert_true(is_in(a->allow, "::1"));
	assert_false(is_in(a->allow, "11.0.0.1"));
	assert_true(is_in(a->deny, "10.6.1.2"));
	assert_false(is_in(a->deny, "10.7.1.2"));
	assert_int_equal(a->limits.source_maxconn, 3);
	assert_int_equal(a->limits.source_rate, 0);
	assert_int_equal(a->limits.rate, 8);
	assert_int_equal(a->maxconn, 0);
	assert_null(b->allow);
	assert_null(b->deny);
	assert_int_equal(b->maxconn, 4);
	conf_free(conf);
}

/* ------------------------------------------------------------------ the quick forms */

static void test_quick(void **state)
{
	static const char *const forward[] = { "8101", ":8101", "unix:/a b", "127.0.0.1:1" };
	const struct conf_quick quick = { "8080", NELEMS(forward), forward, "leastconn" };
	struct conf_errors errors = { 0 };
	struct conf *conf = conf_load_quick(&quick, &two_workers, &errors);
	char *text;

	(void)state;
	conf_errors_print(&errors, stderr);
	assert_non_null(conf);
	assert_string_equal(conf->frontends[0].name, ":8080");
	assert_string_equal(conf->frontends[0].binds[0].text, ":8080");
	assert_int_equal(conf->frontends[0].mark.line, 0);
	assert_int_equal(conf->frontends[0].backend->balance, BALANCE_LEASTCONN);
	assert_int_equal(conf->frontends[0].backend->nservers, 4);
	assert_string_equal(conf->frontends[0].backend->servers[0].address.text, "localhost:8101");
	assert_string_equal(conf->frontends[0].backend->servers[1].name, "localhost:8101#2");
	assert_string_equal(conf->frontends[0].backend->servers[2].name, "server-3");
	text = dump(conf);
	assert_dump_loads("quick", text);
	free(text);
	conf_free(conf);
}

static void test_quick_bad(void **state)
{
	static const char *const forward[] = { "nothing", "\xff\xfe:1", "a\": [b:1" };
	const struct conf_quick quick = { "[::1]:99999", 1, forward, "best" };
	const struct conf_quick bytes = { "8080", 1, forward + 1, NULL };
	const struct conf_quick quotes = { "8080", 1, forward + 2, NULL };
	struct conf_errors errors = { 0 };

	(void)state;
	assert_null(conf_load_quick(&quick, NULL, &errors));
	assert_int_equal(errors.count, 3);
	assert_string_equal(errors.lines[0],
		"command line: `balance` is roundrobin | leastconn | random | first | source | maglev "
		"| latency, not `best`");
	assert_string_equal(errors.lines[1], "command line: `[::1]:99999`: a port is 1 to 65535");
	assert_string_equal(errors.lines[2],
		"command line: `nothing` has no port: an address is HOST:PORT, :PORT, [V6]:PORT or "
		"unix:/PATH");
	conf_errors_free(&errors);
	assert_null(conf_load_quick(&bytes, NULL, &errors));
	assert_int_equal(errors.count, 1);
	conf_errors_free(&errors);
	assert_null(conf_load_quick(&quotes, NULL, &errors));
	assert_int_equal(errors.count, 1);
	conf_errors_free(&errors);
}

/* ------------------------------------------------------------------ files */

static void assert_unreadable(const char *path, const char *expected)
{
	struct conf_errors errors = { 0 };

	assert_null(conf_load_file(path, NULL, &errors));
	assert_int_equal(errors.count, 1);
	assert_non_null(strstr(errors.lines[0], expected));
	assert_ptr_equal(strstr(errors.lines[0], path), errors.lines[0]);
	conf_errors_free(&errors);
}

static void test_files(void **state)
{
	char dir[] = "/tmp/conf_test.XXXXXX";
	char path[64];
	FILE *file;

	(void)state;
	assert_non_null(mkdtemp(dir));
	assert_unreadable(dir, ": is a directory");
	snprintf(path, sizeof(path), "%s/fifo", dir);
	assert_int_equal(mkfifo(path, 0600), 0);
	assert_unreadable(path, ": is not a regular file");
	assert_int_equal(unlink(path), 0);
	assert_unreadable(path, ": No such file or directory");
	snprintf(path, sizeof(path), "%s/large", dir);
	file = fopen(path, "w");
	assert_non_null(file);
	assert_int_equal(ftruncate(fileno(file), (64 << 20) + 1), 0);
	fclose(file);
	assert_unreadable(path, ": is larger than 64 MiB");
	if (geteuid() != 0) {
		assert_int_equal(chmod(path, 0), 0);
		assert_unreadable(path, ": Permission denied");
	}
	assert_int_equal(unlink(path), 0);
	assert_int_equal(rmdir(dir), 0);
}

/* ------------------------------------------------------------------ the key table */

static void assert_table(const struct conf_table *table)
{
	assert_true(table->nkeys <= CONF_KEYS_MAX);
	for (size_t i = 0; i < table->nkeys; i++) {
		const struct conf_key *key = &table->keys[i];

		assert_non_null(key->name);
		assert_non_null(key->description);
		assert_ptr_equal(table_find(table, key->name), key);
		if (key->type != CONF_SPAN) /* which may have a word or none */
			assert_int_equal(key->type == CONF_WORD || key->type == CONF_SINK ||
					key->type == CONF_CHOICE,
				key->words != NULL);
		if (key->section != NULL)
			assert_table(key->section);
	}
}

static void test_table(void **state)
{
	(void)state;
	assert_table(&conf_top_table);
}

static void test_names(void **state)
{
	(void)state;
	assert_string_equal(conf_balance_name(BALANCE_SOURCE), "source");
	assert_string_equal(conf_balance_name(BALANCE_MAGLEV), "maglev");
	assert_string_equal(conf_balance_name(BALANCE_LATENCY), "latency");
	assert_string_equal(conf_balance_name(BALANCE_ROUNDROBIN), "roundrobin");
	assert_string_equal(conf_service_name(SERVICE_HTTP), "http");
	assert_string_equal(conf_service_name(SERVICE_NONE), "none");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(test_golden_ok, back_to_root),
		cmocka_unit_test_teardown(test_golden_bad, back_to_root),
		cmocka_unit_test_teardown(test_examples, back_to_root),
		cmocka_unit_test(test_values),
		cmocka_unit_test(test_overrides),
		cmocka_unit_test(test_apps),
		cmocka_unit_test(test_checks),
		cmocka_unit_test(test_servers),
		cmocka_unit_test(test_limits),
		cmocka_unit_test(test_quick),
		cmocka_unit_test(test_quick_bad),
		cmocka_unit_test(test_files),
		cmocka_unit_test(test_table),
		cmocka_unit_test(test_names),
	};

	if (getcwd(root, sizeof(root)) == NULL)
		return 1;
	return cmocka_run_group_tests_name("conf", tests, NULL, NULL);
}
