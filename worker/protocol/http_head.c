/* Reads the head of an HTTP/1 request without copying or allocating. */
#include "worker/protocol/http_head.h"

#include <string.h>
#include <strings.h>

struct span {
	const char *at;
	size_t len;
};

#define HTTP_LENGTH_DIGITS_MAX 18 /* fits 63 bits */

static bool span_is(struct span span, const char *text)
{
	return span.len == strlen(text) && memcmp(span.at, text, span.len) == 0;
}

static bool span_is_nocase(struct span span, const char *text)
{
	return span.len == strlen(text) && strncasecmp(span.at, text, span.len) == 0;
}

static bool http_is_blank(char c)
{
	return c == ' ' || c == '\t';
}

static bool http_is_digit(char c)
{
	return c >= '0' && c <= '9';
}

/* RFC 9110, 5.6.2: tchar. */
static bool http_is_token(struct span span)
{
	for (size_t i = 0; i < span.len; i++) {
		char c = span.at[i];
		bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');

		if (c == '\0' ||
			(!letter && !http_is_digit(c) && strchr("!#$%&'*+-.^_`|~", c) == NULL))
			return false;
	}
	return span.len > 0;
}

static struct span span_trim(struct span span)
{
	while (span.len > 0 && http_is_blank(span.at[0])) {
		span.at++;
		span.len--;
	}
	while (span.len > 0 && http_is_blank(span.at[span.len - 1]))
		span.len--;
	return span;
}

/* What comes before the separator, which is taken off as well; everything when there is none. */
static struct span span_cut(struct span *rest, char separator)
{
	const char *end = rest->len > 0 ? memchr(rest->at, separator, rest->len) : NULL;
	struct span first = { rest->at, end != NULL ? (size_t)(end - rest->at) : rest->len };
	size_t taken = first.len + (end != NULL ? 1 : 0);

	rest->at += taken;
	rest->len -= taken;
	return first;
}

size_t http_head_length(const char *bytes, size_t len)
{
	const char *end = bytes + (len < HTTP_HEAD_MAX ? len : HTTP_HEAD_MAX);
	const char *at = bytes;

	while ((at = memchr(at, '\n', (size_t)(end - at))) != NULL) {
		at++;
		if (at < end && *at == '\n')
			return (size_t)(at + 1 - bytes);
		if (at + 1 < end && at[0] == '\r' && at[1] == '\n')
			return (size_t)(at + 2 - bytes);
	}
	return 0;
}

static enum http_method http_method_of(struct span method)
{
	static const char *const allowed[] = { "POST", "PUT", "DELETE", "OPTIONS", "PATCH" };

	if (span_is(method, "GET"))
		return HTTP_GET;
	if (span_is(method, "HEAD"))
		return HTTP_HEAD;
	for (size_t i = 0; i < sizeof(allowed) / sizeof(allowed[0]); i++)
		if (span_is(method, allowed[i]))
			return HTTP_OTHER_ALLOWED;
	return HTTP_NOT_ALLOWED;
}

static int http_parse_version(struct span version, struct http_head *head)
{
	if (version.len != 8 || memcmp(version.at, "HTTP/", 5) != 0 ||
		!http_is_digit(version.at[5]) || version.at[6] != '.' ||
		!http_is_digit(version.at[7]))
		return 400;
	if (version.at[5] != '1')
		return 505;
	head->keep_alive = version.at[7] != '0';
	return 0;
}

static int http_parse_request_line(struct span line, struct http_head *head)
{
	struct span method = span_cut(&line, ' ');
	struct span target = span_cut(&line, ' ');

	if (!http_is_token(method) || target.len == 0)
		return 400;
	head->method = http_method_of(method);
	return http_parse_version(line, head);
}

/* Digits and nothing else; a second one must say the same. */
static int http_parse_length(struct span value, struct http_head *head)
{
	uint64_t length = 0;

	if (value.len == 0 || value.len > HTTP_LENGTH_DIGITS_MAX)
		return 400;
	for (size_t i = 0; i < value.len; i++) {
		if (!http_is_digit(value.at[i]))
			return 400;
		length = length * 10 + (uint64_t)(value.at[i] - '0');
	}
	if (head->has_length && head->content_length != length)
		return 400;
	head->has_length = true;
	head->content_length = length;
	return 0;
}

struct http_wishes {
	bool close;
	bool keep_alive;
};

static void http_parse_connection(struct span value, struct http_wishes *wishes)
{
	while (value.len > 0) {
		struct span token = span_trim(span_cut(&value, ','));

		if (span_is_nocase(token, "close"))
			wishes->close = true;
		else if (span_is_nocase(token, "keep-alive"))
			wishes->keep_alive = true;
	}
}

/* A line that begins with a blank (obs-fold) has no name, and is refused with the other bad ones. */
static int http_parse_field(struct span line, struct http_head *head, struct http_wishes *wishes)
{
	bool colon = memchr(line.at, ':', line.len) != NULL;
	struct span name = span_cut(&line, ':');
	struct span value = span_trim(line);

	if (!colon || !http_is_token(name))
		return 400;
	if (span_is_nocase(name, "content-length"))
		return http_parse_length(value, head);
	if (span_is_nocase(name, "transfer-encoding"))
		head->chunked = true;
	else if (span_is_nocase(name, "connection"))
		http_parse_connection(value, wishes);
	else if (span_is_nocase(name, "host")) {
		if (head->has_host)
			return 400;
		head->has_host = true;
	}
	return 0;
}

/* The next line without its end. Returns -1 for a byte that no line may have. */
static int http_next_line(struct span *rest, struct span *line_r)
{
	*line_r = span_cut(rest, '\n');
	if (line_r->len > 0 && line_r->at[line_r->len - 1] == '\r')
		line_r->len--;
	for (size_t i = 0; i < line_r->len; i++) {
		unsigned char c = (unsigned char)line_r->at[i];

		if ((c < ' ' && c != '\t') || c == 0x7f)
			return -1;
	}
	return 0;
}

int http_head_parse(const char *bytes, size_t len, struct http_head *head_r)
{
	struct span rest = { bytes, len };
	struct http_wishes wishes = { false, false };
	struct span line;
	bool http11;
	int status;

	memset(head_r, 0, sizeof(*head_r));
	if (http_next_line(&rest, &line) < 0)
		return 400;
	status = http_parse_request_line(line, head_r);
	if (status != 0)
		return status;
	http11 = head_r->keep_alive;
	while (rest.len > 0) {
		if (http_next_line(&rest, &line) < 0)
			return 400;
		if (line.len == 0)
			break;
		status = http_parse_field(line, head_r, &wishes);
		if (status != 0)
			return status;
	}
	if (http11 && !head_r->has_host)
		return 400;
	head_r->keep_alive = !wishes.close && (http11 || wishes.keep_alive);
	return 0;
}
