/* The head of an HTTP/1 request (RFC 9112), read strictly: what is doubtful is refused, so that nobody can
 * make two readers of the same bytes see different requests.
 */
#ifndef PROXYD_WORKER_PROTOCOL_HTTP_HEAD_H
#define PROXYD_WORKER_PROTOCOL_HTTP_HEAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define HTTP_HEAD_MAX 16384

enum http_method { HTTP_GET, HTTP_HEAD, HTTP_OTHER_ALLOWED, HTTP_NOT_ALLOWED };

struct http_head {
	enum http_method method;
	bool keep_alive; /* what version and Connection ask for */
	bool chunked;    /* there is a Transfer-Encoding, whichever */
	bool has_host;
	bool has_length;
	uint64_t content_length; /* 0 without one */
};

/* The length of the head with its empty line (CRLF or LF alone), 0 when its end is not among the first
 * HTTP_HEAD_MAX bytes. */
size_t http_head_length(const char *bytes, size_t len);

/* Read a whole head. Returns 0, or the status that answers a bad one: 400 or 505. */
int http_head_parse(const char *bytes, size_t len, struct http_head *head_r);

#endif
