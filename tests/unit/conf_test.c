/* The configuration: golden files, values, errors that need more than a file, and how long it takes.
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
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/must.h"
#include "common/shm.h"
#include "conf/cidrs.h"
#include "conf/conf.h"
#include "conf/load.h"
#include "conf/table.h"

#define GOLDEN   "tests/conf"
#define EXAMPLES "conf/examples"

/* The predecessor's file cannot say how many workers: the answers must not depend on the machine. */
static const struct conf_overrides two_workers = { .workers = "2" };

/* ------------------------------------------------------------------ texts */

struct out {
	FILE *file;
	char *text;
	size_t len;
};

static void out_open(struct out *out)
{
	*out = (struct out){ 0 };
	out->file = open_memstream(&out->text, &out->len);
	assert_non_null(out->file);
}

static char *out_close(struct out *out)
{
	fclose(out->file);
	return out->text;
}

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

static char *dump(const struct conf *conf)
{
	struct out out;

	out_open(&out);
	conf_dump(conf, out.file);
	return out_close(&out);
}

static struct conf *load(const char *text, struct conf_errors *errors)
{
	return conf_load_text("test", text, strlen(text), NULL, errors);
}

static struct conf *load_good(const char *text)
{
	struct conf_errors errors = { 0 };
	struct conf *conf = load(text, &errors);

	conf_errors_print(&errors, stderr);
	assert_non_null(conf);
	assert_int_equal(errors.count, 0);
	return conf;
}

/* All errors as one text, for the caller to free; text must not load. */
static char *load_bad(const char *text)
{
	struct conf_errors errors = { 0 };
	struct out out;

	assert_null(load(text, &errors));
	assert_true(errors.count > 0);
	out_open(&out);
	conf_errors_print(&errors, out.file);
	conf_errors_free(&errors);
	return out_close(&out);
}

static void assert_bad(const char *text, const char *expected)
{
	char *errors = load_bad(text);

	assert_string_equal(errors, expected);
	free(errors);
}

/* ------------------------------------------------------------------ golden files */

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

/* The dump loads, and is then dumped as the same text. */
static void assert_dump_loads(const char *name, const char *text)
{
	struct conf_errors errors = { 0 };
	struct conf *conf = conf_load_text(name, text, strlen(text), NULL, &errors);
	char *again;

	conf_errors_print(&errors, stderr);
	assert_non_null(conf);
	again = dump(conf);
	assert_string_equal(again, text);
	free(again);
	conf_free(conf);
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

static bool is_in(const struct cidrs *cidrs, const char *host)
{
	struct sockaddr_any addr;

	assert_int_equal(sockaddr_from_literal(host, 1, &addr), 0);
	return cidrs_match(cidrs, &addr);
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

/* ------------------------------------------------------------------ many objects */

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
		cmocka_unit_test(test_many_servers),
		cmocka_unit_test(test_many_networks),
		cmocka_unit_test(test_many_frontends),
		cmocka_unit_test(test_many_errors),
		cmocka_unit_test(test_too_many),
		cmocka_unit_test(test_alias_bomb),
		cmocka_unit_test(test_alias_networks),
		cmocka_unit_test(test_table),
		cmocka_unit_test(test_names),
	};

	if (getcwd(root, sizeof(root)) == NULL)
		return 1;
	return cmocka_run_group_tests_name("conf", tests, NULL, NULL);
}
