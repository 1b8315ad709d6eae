/* How lines of the log read, in both formats. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <regex.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/log.h"
#include "common/sink.h"

#define TIME "[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\\.[0-9]{3}Z"

static int fds[2]; /* a pipe behind the sink */
static struct sink *sink;
static char text[16384];

static int setup(void **state)
{
	const char *error;
	char to[32];

	(void)state;
	if (pipe2(fds, O_CLOEXEC | O_NONBLOCK) == -1)
		return -1;
	snprintf(to, sizeof(to), "/proc/self/fd/%d", fds[1]);
	sink = sink_open(to, &error);
	log_set_process("worker-2");
	return sink != NULL ? 0 : -1;
}

static int teardown(void **state)
{
	(void)state;
	log_open(NULL, LOG_LEVEL_NONE, LOG_FORMAT_TEXT);
	sink_close(sink);
	close(fds[0]);
	close(fds[1]);
	return 0;
}

static const char *logged(void)
{
	ssize_t n = read(fds[0], text, sizeof(text) - 1);

	text[n > 0 ? n : 0] = '\0';
	return text;
}

static void assert_matches(const char *got, const char *pattern)
{
	regex_t regex;
	int result;

	assert_int_equal(regcomp(&regex, pattern, REG_EXTENDED | REG_NOSUB), 0);
	result = regexec(&regex, got, 0, NULL, 0);
	regfree(&regex);
	if (result != 0)
		fail_msg("'%s' does not match '%s'", got, pattern);
}

static void test_text(void **state)
{
	(void)state;
	log_open(sink, LOG_LEVEL_INFO, LOG_FORMAT_TEXT);
	log_info("serving %d", 3);
	assert_matches(logged(), "^" TIME " info worker-2\\[[0-9]+\\]: serving 3\n$");
	log_warnx("from \"%s\"", "a\nb\\\x1b");
	assert_matches(logged(), ": from \\\\\"a\\\\nb\\\\\\\\\\\\u001b\\\\\"\n$");
	errno = ENOENT;
	log_error("open %s", "x");
	assert_int_equal(errno, ENOENT);
	assert_matches(logged(), " error .*: open x: No such file or directory\n$");
	log_server(LOG_LEVEL_WARN, "web", "a", 7, "is down");
	assert_matches(logged(), " warn worker-2\\[[0-9]+\\]: web/a: is down\n$");
}

static void test_json(void **state)
{
	(void)state;
	log_open(sink, LOG_LEVEL_INFO, LOG_FORMAT_JSON);
	log_warnx("say \"%s\"", "\xff");
	assert_matches(logged(),
		"^\\{\"time\":\"" TIME "\",\"level\":\"warn\",\"process\":\"worker-2\","
		"\"pid\":[0-9]+,\"message\":\"say \\\\\"\\\\u00ff\\\\\"\"\\}\n$");
	log_server(LOG_LEVEL_INFO, "web", "a", 7, "is up");
	assert_matches(logged(),
		",\"message\":\"is up\",\"backend\":\"web\",\"server\":\"a\",\"active\":7\\}\n$");
}

static void test_levels(void **state)
{
	(void)state;
	log_open(sink, LOG_LEVEL_WARN, LOG_FORMAT_TEXT);
	log_debug("x");
	log_info("x");
	log_server(LOG_LEVEL_INFO, "b", "s", 0, "x");
	assert_string_equal(logged(), "");
	log_set_level(LOG_LEVEL_DEBUG);
	log_debug("x");
	assert_matches(logged(), " debug ");
	log_set_level(LOG_LEVEL_FATAL);
	log_errorx("x");
	assert_string_equal(logged(), "");
	log_fatalx("x");
	assert_matches(logged(), " fatal ");
	log_set_level(LOG_LEVEL_NONE);
	assert_false(log_enabled(LOG_LEVEL_FATAL));
	log_fatalx("x");
	assert_string_equal(logged(), "");
}

static void test_long_messages_are_cut(void **state)
{
	char message[5000];

	(void)state;
	memset(message, 'm', sizeof(message) - 1);
	message[sizeof(message) - 1] = '\0';
	log_open(sink, LOG_LEVEL_INFO, LOG_FORMAT_TEXT);
	errno = EPERM;
	log_warn("%s", message);
	assert_int_equal(strlen(logged()), 2048);
	memset(message, '\n', sizeof(message) - 1);
	log_open(sink, LOG_LEVEL_INFO, LOG_FORMAT_JSON);
	log_server(LOG_LEVEL_WARN, message, message, 4000000000u, "%s", message);
	assert_true(strlen(logged()) <= 2048);
	assert_matches(text,
		"^\\{.*\\\\n\",\"backend\":\"(\\\\n)+\",\"server\":\"(\\\\n)+\","
		"\"active\":4000000000\\}\n$");
}

static void test_lost_lines_keep_the_format(void **state)
{
	char filler[4096];
	const char *note;

	(void)state;
	memset(filler, 'f', sizeof(filler));
	log_open(sink, LOG_LEVEL_INFO, LOG_FORMAT_JSON);
	while (write(fds[1], filler, sizeof(filler)) > 0)
		continue;
	log_info("lost");
	log_info("lost");
	while (read(fds[0], filler, sizeof(filler)) > 0)
		continue;
	log_info("back");
	logged();
	note = strchr(text, '\n');
	assert_non_null(note);
	assert_matches(
		text, "^\\{.*\"level\":\"warn\".*\"message\":\"2 log lines were lost\"\\}\n");
	assert_matches(note + 1, "^\\{.*\"message\":\"back\"\\}\n$");
}

/* Before log_open: to stderr, short, from warn up. */
static void test_early(void **state)
{
	int saved = dup(STDERR_FILENO);

	(void)state;
	log_open(NULL, LOG_LEVEL_NONE, LOG_FORMAT_TEXT);
	assert_int_equal(dup2(fds[1], STDERR_FILENO), STDERR_FILENO);
	log_info("not this");
	errno = EACCES;
	log_error("cannot bind");
	log_warnx("bad \"x\"");
	dup2(saved, STDERR_FILENO);
	close(saved);
	assert_string_equal(
		logged(), "proxyd: cannot bind: Permission denied\nproxyd: bad \"x\"\n");
}

static void test_rate(void **state)
{
	struct log_rate rate = { 0 };

	(void)state;
	assert_true(log_rate_ok(&rate));
	assert_string_equal(log_rate_note(&rate), "");
	assert_false(log_rate_ok(&rate));
	assert_false(log_rate_ok(&rate));
	rate.last_ms -= 1001;
	assert_true(log_rate_ok(&rate));
	assert_string_equal(log_rate_note(&rate), " (2 more like this)");
	assert_string_equal(log_rate_note(&rate), "");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_text),
		cmocka_unit_test(test_json),
		cmocka_unit_test(test_levels),
		cmocka_unit_test(test_long_messages_are_cut),
		cmocka_unit_test(test_lost_lines_keep_the_format),
		cmocka_unit_test(test_early),
		cmocka_unit_test(test_rate),
	};

	return cmocka_run_group_tests_name("log", tests, setup, teardown);
}
