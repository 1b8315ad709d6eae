/* Digits and copies. */
#include "common/line.h"

#include <string.h>

void line_begin(struct line *line, char *buf, size_t buf_bytes)
{
	line->at = buf;
	line->end = buf + buf_bytes;
}

static void line_bytes(struct line *line, const char *bytes, size_t len)
{
	size_t room = (size_t)(line->end - line->at);

	if (len > room)
		len = room;
	memcpy(line->at, bytes, len);
	line->at += len;
}

void line_text(struct line *line, const char *text)
{
	line_bytes(line, text, strlen(text));
}

void line_char(struct line *line, char c)
{
	if (line->at < line->end)
		*line->at++ = c;
}

static void line_number(struct line *line, uint64_t number, unsigned base)
{
	char digits[20]; /* of 2^64 - 1 */
	char *first = digits + sizeof(digits);

	do {
		*--first = "0123456789abcdef"[number % base];
		number /= base;
	} while (number > 0);
	line_bytes(line, first, (size_t)(digits + sizeof(digits) - first));
}

void line_uint(struct line *line, uint64_t number)
{
	line_number(line, number, 10);
}

void line_int(struct line *line, int64_t number)
{
	if (number < 0)
		line_char(line, '-');
	line_number(line, number < 0 ? -(uint64_t)number : (uint64_t)number, 10);
}

void line_hex(struct line *line, uint64_t number)
{
	line_number(line, number, 16);
}

void line_milli(struct line *line, unsigned number)
{
	line_char(line, (char)('0' + number / 100 % 10));
	line_char(line, (char)('0' + number / 10 % 10));
	line_char(line, (char)('0' + number % 10));
}
