/* One byte at a time: an answer may come so, and a status line is short. */
#include "worker/checker/http_answer.h"

#include <stdbool.h>

/* # is a digit. Nothing but HTTP/1 answers a request that says HTTP/1.1. */
static const char status_line[] = "HTTP/1.# ###";

#define STATUS_COLUMN 9
#define STATUS_END    12

void http_answer_begin(struct http_answer *answer)
{
	*answer = (struct http_answer){ .at = HTTP_AT_STATUS_LINE };
}

static bool is_digit(uint8_t byte)
{
	return byte >= '0' && byte <= '9';
}

/* HTAB, SP, VCHAR, obs-text. */
static bool is_text(uint8_t byte)
{
	return byte == '\t' || (byte >= ' ' && byte != 0x7f);
}

static bool http_answer_status_byte(struct http_answer *answer, uint8_t byte)
{
	char wanted = status_line[answer->column];

	if (wanted == '#' ? !is_digit(byte) : byte != (uint8_t)wanted)
		return false;
	if (answer->column == STATUS_COLUMN && byte == '0')
		return false;
	if (answer->column >= STATUS_COLUMN)
		answer->status = (uint16_t)(answer->status * 10 + (byte - '0'));
	answer->column++;
	if (answer->column == STATUS_END)
		answer->at = HTTP_AT_STATUS_END;
	return true;
}

static void http_answer_line_end(struct http_answer *answer)
{
	bool interim = answer->status < 200 && answer->status != 101;

	answer->at = interim ? HTTP_AT_HEADER_START : HTTP_AT_END;
}

static void http_answer_next(struct http_answer *answer)
{
	answer->at = HTTP_AT_STATUS_LINE;
	answer->status = 0;
	answer->column = 0;
}

/* Within the status line, behind the status. */
static bool http_answer_reason_byte(struct http_answer *answer, uint8_t byte)
{
	if (byte == '\n') {
		http_answer_line_end(answer);
		return true;
	}
	if (byte == '\r') {
		answer->at = HTTP_AT_STATUS_LF;
		return true;
	}
	if (answer->at == HTTP_AT_STATUS_END && byte != ' ')
		return false;
	answer->at = HTTP_AT_REASON;
	return is_text(byte);
}

static void http_answer_header_byte(struct http_answer *answer, uint8_t byte)
{
	if (answer->at == HTTP_AT_HEADER)
		answer->at = byte == '\n' ? HTTP_AT_HEADER_START : HTTP_AT_HEADER;
	else if (byte == '\n')
		http_answer_next(answer);
	else
		answer->at = byte == '\r' ? HTTP_AT_HEADERS_LF : HTTP_AT_HEADER;
}

/* Returns false when no HTTP answer has such a byte there. */
static bool http_answer_byte(struct http_answer *answer, uint8_t byte)
{
	switch (answer->at) {
	case HTTP_AT_STATUS_LINE:
		return http_answer_status_byte(answer, byte);
	case HTTP_AT_STATUS_END:
	case HTTP_AT_REASON:
		return http_answer_reason_byte(answer, byte);
	case HTTP_AT_STATUS_LF:
		http_answer_line_end(answer);
		return byte == '\n';
	case HTTP_AT_HEADER_START:
	case HTTP_AT_HEADER:
		http_answer_header_byte(answer, byte);
		return true;
	case HTTP_AT_HEADERS_LF:
		http_answer_next(answer);
		return byte == '\n';
	case HTTP_AT_END:
		break;
	}
	MUST(answer->at != HTTP_AT_END);
	return false;
}

enum http_answer_verdict http_answer_feed(
	struct http_answer *answer, const uint8_t *bytes, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		if (answer->bytes == HTTP_ANSWER_MAX_BYTES)
			return HTTP_ANSWER_NOT_HTTP;
		answer->bytes++;
		if (!http_answer_byte(answer, bytes[i]))
			return HTTP_ANSWER_NOT_HTTP;
		if (answer->at == HTTP_AT_END)
			return HTTP_ANSWER_STATUS;
	}
	return answer->bytes < HTTP_ANSWER_MAX_BYTES ? HTTP_ANSWER_MORE : HTTP_ANSWER_NOT_HTTP;
}
