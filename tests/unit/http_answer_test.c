/* The status line of an answer: what is taken, what is not, and that it makes no difference how it is split. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "common/must.h"
#include "worker/checker/http_answer.h"

#define MORE     HTTP_ANSWER_MORE
#define STATUS   HTTP_ANSWER_STATUS
#define NOT_HTTP HTTP_ANSWER_NOT_HTTP

static const struct {
	const char *bytes;
	enum http_answer_verdict verdict;
	uint16_t status;
} rows[] = {
	{ "HTTP/1.1 200 OK\r\n", STATUS, 200 },
	{ "HTTP/1.0 503 Service Unavailable\r\nServer: x\r\n\r\nbody", STATUS, 503 },
	{ "HTTP/1.1 302 Found\r\nLocation: /\r\n\r\n", STATUS, 302 },
	{ "HTTP/1.1 999 \r\n", STATUS, 999 },
	{ "HTTP/1.1 200\r\n", STATUS, 200 },
	{ "HTTP/1.1 404 bare line feed\n", STATUS, 404 },
	{ "HTTP/1.1 404\n", STATUS, 404 },
	{ "HTTP/1.9 204 \tgr\xc3\xbc\xc3\x9f dich\r\n", STATUS, 204 },
	/* Interim answers. */
	{ "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n", STATUS, 200 },
	{ "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\nB: c\r\n\r\nHTTP/1.1 500 No\r\n", STATUS,
		500 },
	{ "HTTP/1.1 102 P\n\nHTTP/1.1 102 P\na: b\n\nHTTP/1.1 201 Created\n", STATUS, 201 },
	{ "HTTP/1.1 101 Switching Protocols\r\n", STATUS, 101 },
	{ "HTTP/1.1 100 Continue\r\n\r\n", MORE, 0 },
	{ "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 2x", NOT_HTTP, 0 },
	{ "HTTP/1.1 100 Continue\r\n\rX", NOT_HTTP, 0 },
	/* Not complete. */
	{ "", MORE, 0 },
	{ "H", MORE, 0 },
	{ "HTTP/1.1 200", MORE, 0 },
	{ "HTTP/1.1 200 OK", MORE, 0 },
	{ "HTTP/1.1 200 OK\r", MORE, 0 },
	/* Something else. */
	{ "SSH-2.0-OpenSSH_9.2\r\n", NOT_HTTP, 0 },
	{ "+PONG\r\n", NOT_HTTP, 0 },
	{ "\r\nHTTP/1.1 200 OK\r\n", NOT_HTTP, 0 },
	{ "http/1.1 200 OK\r\n", NOT_HTTP, 0 },
	{ "HTTP/2.0 200 OK\r\n", NOT_HTTP, 0 },
	{ "HTTP/1.10 200 OK\r\n", NOT_HTTP, 0 },
	{ "HTTP/1 200 OK\r\n", NOT_HTTP, 0 },
	{ "HTTP/1.1  200 OK\r\n", NOT_HTTP, 0 },
	{ "HTTP/1.1 20 OK\r\n", NOT_HTTP, 0 },
	{ "HTTP/1.1 2000 OK\r\n", NOT_HTTP, 0 },
	{ "HTTP/1.1 099 OK\r\n", NOT_HTTP, 0 },
	{ "HTTP/1.1 -12 OK\r\n", NOT_HTTP, 0 },
	{ "HTTP/1.1 200OK\r\n", NOT_HTTP, 0 },
	{ "HTTP/1.1 200\t OK\r\n", NOT_HTTP, 0 },
	{ "HTTP/1.1 200 O\x01K\r\n", NOT_HTTP, 0 },
	{ "HTTP/1.1 200 OK\x7f\r\n", NOT_HTTP, 0 },
	{ "HTTP/1.1 200 OK\r\r\n", NOT_HTTP, 0 },
	{ "HTTP/1.1 200 OK\rX", NOT_HTTP, 0 },
};

/* Feed pieces that end at the offsets first and second, and the rest. Each is a block of its own, so that a
 * sanitizer sees who reads beyond. */
static enum http_answer_verdict feed_split(
	struct http_answer *answer, const char *bytes, size_t first, size_t second)
{
	size_t ends[] = { first, second, strlen(bytes) };
	enum http_answer_verdict verdict = MORE;
	size_t start = 0;

	http_answer_begin(answer);
	for (size_t i = 0; i < NELEMS(ends) && verdict == MORE; i++) {
		size_t len = ends[i] - start;
		uint8_t *piece = malloc(len);

		assert_true(piece != NULL || len == 0);
		if (len > 0)
			memcpy(piece, bytes + start, len);
		verdict = http_answer_feed(answer, piece, len);
		free(piece);
		start = ends[i];
	}
	return verdict;
}

static void test_rows_at_every_split(void **state)
{
	(void)state;
	for (size_t i = 0; i < NELEMS(rows); i++) {
		size_t len = strlen(rows[i].bytes);

		for (size_t first = 0; first <= len; first++) {
			for (size_t second = first; second <= len; second++) {
				struct http_answer answer;
				enum http_answer_verdict verdict =
					feed_split(&answer, rows[i].bytes, first, second);

				if (verdict != rows[i].verdict ||
					(verdict == STATUS && answer.status != rows[i].status))
					fail_msg("row %zu (%s) at %zu, %zu: verdict %d, status %u",
						i, rows[i].bytes, first, second, verdict,
						answer.status);
			}
		}
	}
}

static void test_byte_by_byte(void **state)
{
	static const char bytes[] = "HTTP/1.1 103 E\r\nA: b\r\n\r\nHTTP/1.1 418 I'm a teapot\r\n";
	struct http_answer answer;

	(void)state;
	http_answer_begin(&answer);
	for (size_t i = 0; i + 1 < sizeof(bytes); i++) {
		enum http_answer_verdict verdict =
			http_answer_feed(&answer, (const uint8_t *)&bytes[i], 1);

		assert_int_equal(verdict, i + 2 < sizeof(bytes) ? MORE : STATUS);
	}
	assert_int_equal(answer.status, 418);
}

/* A line without end, in pieces of `piece` bytes: given up at the bound, not before. */
static void endless(size_t piece, const char *start)
{
	uint8_t *bytes = malloc(HTTP_ANSWER_MAX_BYTES);
	struct http_answer answer;
	size_t fed = 0;

	assert_non_null(bytes);
	memset(bytes, 'a', HTTP_ANSWER_MAX_BYTES);
	memcpy(bytes, start, strlen(start));
	http_answer_begin(&answer);
	while (fed + piece < HTTP_ANSWER_MAX_BYTES) {
		assert_int_equal(http_answer_feed(&answer, bytes + fed, piece), MORE);
		fed += piece;
	}
	assert_int_equal(
		http_answer_feed(&answer, bytes + fed, HTTP_ANSWER_MAX_BYTES - fed), NOT_HTTP);
	free(bytes);
}

static void test_bound(void **state)
{
	(void)state;
	endless(1, "HTTP/1.1 200 ");
	endless(1000, "HTTP/1.1 200 ");
	endless(HTTP_ANSWER_MAX_BYTES, "HTTP/1.1 200 ");
	endless(7, "HTTP/1.1 100 Continue\r\nA: ");
}

static void test_answer_of_just_that_size(void **state)
{
	char *bytes = malloc(HTTP_ANSWER_MAX_BYTES + 1);
	struct http_answer answer;

	(void)state;
	assert_non_null(bytes);
	memset(bytes, 'a', HTTP_ANSWER_MAX_BYTES);
	memcpy(bytes, "HTTP/1.1 200 ", 13);
	bytes[HTTP_ANSWER_MAX_BYTES - 1] = '\n';
	bytes[HTTP_ANSWER_MAX_BYTES] = '\0';
	assert_int_equal(feed_split(&answer, bytes, 100, 5000), STATUS);
	free(bytes);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rows_at_every_split),
		cmocka_unit_test(test_byte_by_byte),
		cmocka_unit_test(test_bound),
		cmocka_unit_test(test_answer_of_just_that_size),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
