/* The built-in services: bytes in, bytes out, and what remains to be done. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/must.h"
#include "worker/protocol/http_head.h"
#include "worker/protocol/service.h"

#define OUT_MAX 262144

/* A client's connection to one service, as the relay drives it. */
struct bed {
	const struct service *service;
	struct conf_frontend frontend;
	struct service_state state;
	char *out; /* everything answered so far */
	size_t out_len;
	bool closed;
};

static void bed_open(struct bed *bed, enum conf_service service, const char *message)
{
	memset(bed, 0, sizeof(*bed));
	bed->service = service_find(service);
	assert_non_null(bed->service);
	bed->frontend.name = "web";
	bed->frontend.message = message;
	bed->out = calloc(1, OUT_MAX + 1);
}

static void bed_close(struct bed *bed)
{
	free(bed->out);
}

static void bed_ask(struct bed *bed, const char *bytes, size_t len, struct service_output *out_r)
{
	/* A copy of exact size, so that a sanitizer sees a read past the end. */
	char *copy = malloc(len);
	struct service_input in = {
		.frontend = &bed->frontend, .port = 8080, .bytes = copy, .len = len
	};

	memcpy(copy, bytes, len);
	memset(out_r, 0xff, sizeof(*out_r));
	out_r->bytes = calloc(1, OUT_MAX);
	out_r->max = OUT_MAX;
	bed->service->answer(&bed->state, &in, out_r);
	assert_true(out_r->len <= OUT_MAX && out_r->consumed <= len);
	if (out_r->consumed == 0)
		assert_int_equal(out_r->len, 0);
	free(copy);
}

/* One unit. Returns what was consumed. It is asked for twice: with everything there is, and, as when the
 * client reads slowly, with exactly the unit's bytes; both must give the same. */
static size_t bed_unit(struct bed *bed, const char *bytes, size_t len, bool longer)
{
	struct service_output out;
	struct service_output again;
	struct service_input in = { .frontend = &bed->frontend, .port = 8080, .bytes = bytes };

	bed_ask(bed, bytes, len, &out);
	if (out.consumed > 0) {
		bed_ask(bed, bytes, out.consumed, &again);
		assert_int_equal(again.len, out.len);
		assert_int_equal(again.consumed, out.consumed);
		assert_int_equal(again.close, out.close);
		assert_memory_equal(again.bytes, out.bytes, out.len);
		free(again.bytes);
		MUST(bed->out_len + out.len <= OUT_MAX);
		memcpy(bed->out + bed->out_len, out.bytes, out.len);
		bed->out_len += out.len;
		bed->closed = out.close;
		in.len = longer ? len : out.consumed;
		if (bed->service->answered != NULL)
			bed->service->answered(&bed->state, &in);
	}
	free(out.bytes);
	return out.consumed;
}

/* The client sends this, `step` bytes at a time (0: all at once). Returns how much was left unanswered. */
static size_t bed_send(struct bed *bed, const char *bytes, size_t len, size_t step)
{
	size_t shown = step == 0 || step > len ? len : step;
	size_t done = 0;
	bool longer = false;

	while (!bed->closed) {
		size_t consumed = 0;

		if (done < shown)
			consumed = bed_unit(bed, bytes + done, shown - done, longer = !longer);
		done += consumed;
		if (consumed == 0 && shown == len)
			break;
		if (consumed == 0)
			shown = step > len - shown ? len : shown + step;
	}
	return len - done;
}

/* ------------------------------------------------------------------ bytes */

static const struct {
	enum conf_service service;
	const char *in;
	const char *out;
} bytes[] = {
	{ SERVICE_ECHO, "hello\nworld", "hello\nworld" },
	{ SERVICE_DISCARD, "hello\nworld", "" },
	{ SERVICE_REVERSE, "hello\n", "olleh\n" },
	{ SERVICE_REVERSE, "hello\r\n", "olleh\r\n" },
	{ SERVICE_REVERSE, "a\nbc\ndef\n", "a\ncb\nfed\n" },
	{ SERVICE_REVERSE, "abc\ndef", "cba\nfed" },
	{ SERVICE_REVERSE, "abcdef", "fedcba" },
	{ SERVICE_REVERSE, "\n", "\n" },
	{ SERVICE_REVERSE, "\r\n\n\r\n", "\r\n\n\r\n" },
	{ SERVICE_REVERSE, "a\rb\n", "b\ra\n" },
	{ SERVICE_REVERSE, "x", "x" },
};

static void test_bytes(void **state)
{
	(void)state;
	for (size_t i = 0; i < NELEMS(bytes); i++) {
		struct bed bed;

		bed_open(&bed, bytes[i].service, "");
		assert_int_equal(bed_send(&bed, bytes[i].in, strlen(bytes[i].in), 0), 0);
		assert_string_equal(bed.out, bytes[i].out);
		assert_false(bed.closed);
		bed_close(&bed);
	}
	assert_null(service_find(SERVICE_NONE));
}

/* ------------------------------------------------------------------ http */

#define OK_HEAD(length, connection)                                                                \
	"HTTP/1.1 200 OK\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: " length    \
	"\r\nConnection: " connection "\r\n\r\n"
#define OK_KEEP  OK_HEAD("3", "keep-alive") "hi\n"
#define OK_CLOSE OK_HEAD("3", "close") "hi\n"
#define HOST     "Host: x\r\n"
#define REFUSE(status, length)                                                                     \
	"HTTP/1.1 " status                                                                         \
	"\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: " length                   \
	"\r\nConnection: close\r\n\r\n" status "\n"
#define BAD         REFUSE("400 Bad Request", "16")
#define BAD_VERSION REFUSE("505 HTTP Version Not Supported", "31")
#define NOT_ALLOWED                                                                                \
	"HTTP/1.1 405 Method Not Allowed\r\nContent-Type: text/plain; charset=utf-8\r\n"           \
	"Content-Length: 23\r\nConnection: keep-alive\r\n"                                         \
	"Allow: GET, HEAD, POST, PUT, DELETE, OPTIONS, PATCH\r\n\r\n405 Method Not Allowed\n"

/* The answers have to be the same however the bytes are cut. */
static const struct {
	const char *in;
	const char *out;
	bool close;
} requests[] = {
	{ "GET / HTTP/1.1\r\nHost: x\r\n\r\n", OK_KEEP, false },
	{ "GET / HTTP/1.1\nHost: x\n\n", OK_KEEP, false },
	{ "GET / HTTP/1.1\r\nHost:x\r\nConnection: close\r\n\r\n", OK_CLOSE, true },
	{ "GET / HTTP/1.1\r\nHOST: x\r\ncOnnEction: foo , CLOSE\t\r\n\r\n", OK_CLOSE, true },
	{ "GET / HTTP/1.1\r\nHost: x\r\nConnection: closed, Upgrade\r\n\r\n", OK_KEEP, false },
	{ "GET / HTTP/1.0\r\n\r\n", OK_CLOSE, true },
	{ "GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n", OK_KEEP, false },
	{ "GET / HTTP/1.0\r\nConnection: keep-alive, close\r\n\r\n", OK_CLOSE, true },
	{ "HEAD / HTTP/1.1\r\nHost: x\r\n\r\n", OK_HEAD("3", "keep-alive"), false },
	{ "OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n", OK_KEEP, false },
	{ "GET /%20?a=b&c HTTP/1.1\r\nHost: \r\nX: a:b \"q\"\r\nEmpty:\r\n\r\n", OK_KEEP, false },
	{ "\r\n\nGET / HTTP/1.1\r\nHost: x\r\n\r\n\r\n", OK_KEEP, false },
	/* one after the other */
	{ "GET /a HTTP/1.1\r\nHost: x\r\n\r\nGET /b HTTP/1.1\r\nHost: x\r\n\r\n"
	  "HEAD /c HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
		OK_KEEP OK_KEEP OK_HEAD("3", "close"), true },
	/* bodies */
	{ "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nGET /GET / HTTP/1.0\r\n\r\n",
		OK_KEEP OK_CLOSE, true },
	{ "PUT / HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\nExpect: 100-continue\r\n\r\n", OK_KEEP,
		false },
	{ "POST / HTTP/1.0\r\nContent-Length: 4\r\n\r\nbody", OK_CLOSE, true },
	{ "PATCH / HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\ncontent-length: 2\r\n\r\nab",
		OK_KEEP, false },
	{ "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n", OK_CLOSE, true },
	{ "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\nTransfer-Encoding: gzip\r\n\r\n",
		OK_CLOSE, true },
	/* refused */
	{ "BREW / HTTP/1.1\r\nHost: x\r\n\r\n", NOT_ALLOWED, false },
	{ "BREW / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nteaGET / HTTP/1.0\r\n\r\n",
		NOT_ALLOWED OK_CLOSE, true },
	{ "get / HTTP/1.1\r\nHost: x\r\n\r\n", NOT_ALLOWED, false },
	{ "GET / HTTP/1.1\r\n\r\n", BAD, true },
	{ "GET / HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n", BAD, true },
	{ "GET /\r\n\r\n", BAD, true },
	{ "GET  / HTTP/1.1\r\nHost: x\r\n\r\n", BAD, true },
	{ "GET / HTTP/1.1 \r\nHost: x\r\n\r\n", BAD, true },
	{ "GET / a HTTP/1.1\r\nHost: x\r\n\r\n", BAD, true },
	{ "G(T / HTTP/1.1\r\nHost: x\r\n\r\n", BAD, true },
	{ "GET / HTTP/x.1\r\nHost: x\r\n\r\n", BAD, true },
	{ "GET / http/1.1\r\nHost: x\r\n\r\n", BAD, true },
	{ " GET / HTTP/1.1\r\nHost: x\r\n\r\n", BAD, true },
	{ "PRI * HTTP/2.0\r\n\r\n", BAD_VERSION, true },
	{ "GET / HTTP/1.1\r\nHost: x\r\nno colon\r\n\r\n", BAD, true },
	{ "GET / HTTP/1.1\r\nHost: x\r\nblank : y\r\n\r\n", BAD, true },
	{ "GET / HTTP/1.1\r\nHost: x\r\n folded\r\n\r\n", BAD, true },
	{ "GET / HTTP/1.1\r\nHost: x\r\n: y\r\n\r\n", BAD, true },
	{ "GET / HTTP/1.1\r\nHost: x\ry\r\n\r\n", BAD, true },
	{ "GET / HTTP/1.1\r\nHost: x\x01\r\n\r\n", BAD, true },
	{ "POST / HTTP/1.1\r\n" HOST "Content-Length: \r\n\r\n", BAD, true },
	{ "POST / HTTP/1.1\r\n" HOST "Content-Length: -1\r\n\r\n", BAD, true },
	{ "POST / HTTP/1.1\r\n" HOST "Content-Length: +1\r\n\r\n", BAD, true },
	{ "POST / HTTP/1.1\r\n" HOST "Content-Length: 0x10\r\n\r\n", BAD, true },
	{ "POST / HTTP/1.1\r\n" HOST "Content-Length: 1, 1\r\n\r\n", BAD, true },
	{ "POST / HTTP/1.1\r\n" HOST "Content-Length: 1\r\nContent-Length: 2\r\n\r\n", BAD, true },
	{ "POST / HTTP/1.1\r\n" HOST "Content-Length: 18446744073709551616\r\n\r\n", BAD, true },
};

static void expect_request(size_t i, size_t step)
{
	struct bed bed;

	bed_open(&bed, SERVICE_HTTP, "hi");
	bed_send(&bed, requests[i].in, strlen(requests[i].in), step);
	if (strcmp(bed.out, requests[i].out) != 0 || bed.closed != requests[i].close)
		fail_msg("request %zu, %zu bytes a step:\n%s\ngave (close %d)\n%s", i, step,
			requests[i].in, bed.closed, bed.out);
	bed_close(&bed);
}

static void test_requests(void **state)
{
	(void)state;
	for (size_t i = 0; i < NELEMS(requests); i++)
		for (size_t step = 0; step < 4; step++)
			expect_request(i, step);
}

/* Cut in two at every offset: nothing before the head is whole, then the answer. */
static void test_every_split(void **state)
{
	(void)state;
	for (size_t i = 0; i < NELEMS(requests); i++)
		for (size_t step = 1; step < strlen(requests[i].in); step++)
			expect_request(i, step);
}

static void test_waits_for_the_whole_head(void **state)
{
	static const char head[] = "GET / HTTP/1.1\r\nHost: x\r\n\r\n";

	(void)state;
	for (size_t len = 1; len < sizeof(head); len++) {
		struct service_output out;
		struct bed bed;

		bed_open(&bed, SERVICE_HTTP, "hi");
		bed_ask(&bed, head, len, &out);
		assert_int_equal(out.consumed, len == sizeof(head) - 1 ? len : 0);
		assert_int_equal(out.len > 0, len == sizeof(head) - 1);
		assert_false(out.close);
		free(out.bytes);
		bed_close(&bed);
	}
}

static void test_nul_is_refused(void **state)
{
	static const char head[] = "GET /\0 HTTP/1.1\r\nHost: x\r\n\r\n";
	struct bed bed;

	(void)state;
	bed_open(&bed, SERVICE_HTTP, "hi");
	bed_send(&bed, head, sizeof(head) - 1, 0);
	assert_string_equal(bed.out, BAD);
	bed_close(&bed);
}

/* A head of exactly the limit is fine, one more byte is not. */
static void test_head_limit(void **state)
{
	static const char begin[] = "GET / HTTP/1.1\r\nHost: x\r\nX: ";
	static const char end[] = { '\r', '\n', '\r', '\n' };
	char *head = malloc(HTTP_HEAD_MAX + 1);

	(void)state;
	for (size_t len = HTTP_HEAD_MAX - 1; len <= HTTP_HEAD_MAX + 1; len++) {
		struct bed bed;

		bed_open(&bed, SERVICE_HTTP, "hi");
		memset(head, 'x', len);
		memcpy(head, begin, sizeof(begin) - 1);
		memcpy(head + len - sizeof(end), end, sizeof(end));
		bed_send(&bed, head, len, 0);
		if (len <= HTTP_HEAD_MAX)
			assert_string_equal(bed.out, OK_KEEP);
		else
			assert_string_equal(
				bed.out, REFUSE("431 Request Header Fields Too Large", "36"));
		assert_int_equal(bed.closed, len > HTTP_HEAD_MAX);
		bed_close(&bed);
	}
	free(head);
}

/* A body of many pieces is dropped, whatever lies in it, and the next request is found behind it. */
static void test_long_body(void **state)
{
	static const char head[] = "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n";
	static const char next[] = "GET / HTTP/1.0\r\n\r\n";
	size_t len = sizeof(head) - 1 + 100000 + sizeof(next) - 1;
	char *all = malloc(len);

	(void)state;
	memset(all, '\n', len);
	memcpy(all, head, sizeof(head) - 1);
	memcpy(all + len - (sizeof(next) - 1), next, sizeof(next) - 1);
	for (size_t step = 0; step < 200000; step = step * 3 + 999) {
		struct bed bed;

		bed_open(&bed, SERVICE_HTTP, "hi");
		assert_int_equal(bed_send(&bed, all, len, step), 0);
		assert_string_equal(bed.out, OK_KEEP OK_CLOSE);
		assert_true(bed.closed);
		bed_close(&bed);
	}
	free(all);
}

/* A close while bytes wait unread is a reset, and could take the answer with it: the body comes first. */
static void test_close_waits_for_the_body(void **state)
{
	static const char head[] = "POST / HTTP/1.0\r\nContent-Length: 4\r\n\r\n";
	struct bed bed;

	(void)state;
	bed_open(&bed, SERVICE_HTTP, "hi");
	assert_int_equal(bed_send(&bed, head, sizeof(head) - 1, 0), 0);
	assert_string_equal(bed.out, OK_CLOSE);
	assert_false(bed.closed);
	assert_int_equal(bed_send(&bed, "bod", 3, 0), 0);
	assert_false(bed.closed);
	assert_int_equal(bed_send(&bed, "y", 1, 0), 0);
	assert_true(bed.closed);
	assert_string_equal(bed.out, OK_CLOSE);
	bed_close(&bed);
}

/* ------------------------------------------------------------------ messages */

static const struct {
	const char *message;
	const char *body;
} messages[] = {
	{ "", "proxyd: web on port 8080\n" },
	{ NULL, "proxyd: web on port 8080\n" },
	{ "hello", "hello\n" },
	{ "hello\n", "hello\n" },
	{ "%p %f %%p 100% %x %", "8080 web %p 100% %x %\n" },
	{ "%%", "%\n" },
};

static void test_messages(void **state)
{
	(void)state;
	for (size_t i = 0; i < NELEMS(messages); i++) {
		struct bed bed;
		char head[256];

		bed_open(&bed, SERVICE_HTTP, messages[i].message);
		bed_send(&bed, "GET / HTTP/1.0\r\n\r\n", 18, 0);
		snprintf(head, sizeof(head), OK_HEAD("%zu", "close"), strlen(messages[i].body));
		assert_memory_equal(bed.out, head, strlen(head));
		assert_string_equal(bed.out + strlen(head), messages[i].body);
		bed_close(&bed);
	}
}

/* What does not fit is cut off, and the length says what comes. */
static void test_message_too_long(void **state)
{
	char *message = calloc(1, 2 * OUT_MAX);
	struct bed bed;
	const char *body;

	(void)state;
	memset(message, 'm', 2 * OUT_MAX - 1);
	bed_open(&bed, SERVICE_HTTP, message);
	bed_send(&bed, "GET / HTTP/1.0\r\n\r\n", 18, 0);
	body = strstr(bed.out, "\r\n\r\n") + 4;
	assert_int_equal(strtol(strstr(bed.out, "Content-Length: ") + 16, NULL, 10), strlen(body));
	assert_true(strlen(body) > OUT_MAX - 1024);
	bed_close(&bed);
	free(message);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_bytes),
		cmocka_unit_test(test_requests),
		cmocka_unit_test(test_every_split),
		cmocka_unit_test(test_waits_for_the_whole_head),
		cmocka_unit_test(test_nul_is_refused),
		cmocka_unit_test(test_head_limit),
		cmocka_unit_test(test_long_body),
		cmocka_unit_test(test_close_waits_for_the_body),
		cmocka_unit_test(test_messages),
		cmocka_unit_test(test_message_too_long),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
