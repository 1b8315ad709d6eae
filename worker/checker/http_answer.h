/* The status of an HTTP answer, out of bytes that arrive split anywhere. Nothing but the status line is
 * parsed, that one strictly; headers are only stepped over, between an interim answer and the final one.
 */
#ifndef PROXYD_WORKER_CHECKER_HTTP_ANSWER_H
#define PROXYD_WORKER_CHECKER_HTTP_ANSWER_H

#include <stddef.h>
#include <stdint.h>

#include "common/must.h"

/* An answer that has not told its status by then is not taken for HTTP. */
#define HTTP_ANSWER_MAX_BYTES 16384

enum http_answer_verdict {
	HTTP_ANSWER_MORE,     /* its status line is not complete yet */
	HTTP_ANSWER_STATUS,   /* answer->status is that of the final answer */
	HTTP_ANSWER_NOT_HTTP, /* for good */
};

enum http_answer_at {
	HTTP_AT_STATUS_LINE, /* up to and with the status */
	HTTP_AT_STATUS_END,  /* right behind it */
	HTTP_AT_REASON,
	HTTP_AT_STATUS_LF,    /* the CR came */
	HTTP_AT_HEADER_START, /* of an interim answer: a header, or the empty line */
	HTTP_AT_HEADER,
	HTTP_AT_HEADERS_LF,
	HTTP_AT_END,
};

struct http_answer {
	enum http_answer_at at;
	uint16_t status; /* what came of it so far */
	uint16_t column; /* in the status line */
	uint32_t bytes;  /* seen */
};

void http_answer_begin(struct http_answer *answer);

/* The next bytes. Not to be called again after another verdict than HTTP_ANSWER_MORE.
 *
 * RFC 9112, section 4: status-line = HTTP-version SP status-code SP [ reason-phrase ]. Taken as well is a
 * line that ends behind the code, as many servers send it, and a bare LF (section 2.2). Answers 1xx are
 * interim (RFC 9110, section 15.2) and skipped, but 101, after which no other comes. */
MUST_USE enum http_answer_verdict http_answer_feed(
	struct http_answer *answer, const uint8_t *bytes, size_t len);

#endif
