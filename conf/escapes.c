/* C escapes to bytes and back.
 */
#include "conf/escapes.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "conf/arena.h"

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* Exactly two digits: C would take as many as follow, and a byte has no more. */
static int parse_hex(const char **text)
{
	const int high = hex_digit((*text)[0]);
	const int low = high == -1 ? -1 : hex_digit((*text)[1]);

	if (low == -1)
		return -1;
	*text += 2;
	return high << 4 | low;
}

static int parse_octal(const char **text)
{
	int value = 0;

	for (unsigned i = 0; i < 3 && **text >= '0' && **text <= '7'; i++)
		value = value * 8 + (*(*text)++ - '0');
	return value <= UINT8_MAX ? value : -1;
}

/* What stands behind a backslash; *text moves behind it. Returns a byte, or -1. */
static int parse_escape(const char **text)
{
	static const char names[] = "rnt\\\"", values[] = "\r\n\t\\\"";
	const char c = **text;
	const char *name;

	if (c >= '0' && c <= '7')
		return parse_octal(text);
	if (c == '\0')
		return -1;
	++*text;
	if (c == 'x')
		return parse_hex(text);
	name = strchr(names, c);
	return name == NULL ? -1 : values[name - names];
}

static const char *bad_escape(struct arena *arena, const char *text, const char *at)
{
	const bool shown = at[1] >= ' ' && at[1] <= '~';

	return arena_printf(arena,
		"`%.*s` at byte %zu is no escape, these are: \\r \\n \\t \\0 \\\\ \\\" \\xHH and octal "
		"\\NNN up to \\377",
		shown ? 2 : 1, at, (size_t)(at - text) + 1);
}

int escapes_parse(
	struct arena *arena, const char *text, struct conf_bytes *bytes_r, const char **error_r)
{
	uint8_t *bytes = arena_alloc(arena, strlen(text) + 1);
	const char *p = text;
	size_t len = 0;

	while (*p != '\0') {
		const char *from = p++;
		int byte = (uint8_t)*from;

		if (byte == '\\')
			byte = parse_escape(&p);
		if (byte == -1) {
			*error_r = bad_escape(arena, text, from);
			return -1;
		}
		bytes[len++] = (uint8_t)byte;
	}
	*bytes_r = (struct conf_bytes){ len, len > 0 ? bytes : NULL };
	return 0;
}

static char *format_byte(char *out, uint8_t byte)
{
	switch (byte) {
	case '\r':
		return mempcpy(out, "\\r", 2);
	case '\n':
		return mempcpy(out, "\\n", 2);
	case '\t':
		return mempcpy(out, "\\t", 2);
	case '\\':
		return mempcpy(out, "\\\\", 2);
	case '\'':
		return mempcpy(out, "''", 2); /* for YAML */
	default:
		break;
	}
	if (byte < ' ' || byte > '~')
		return out + sprintf(out, "\\x%02x", byte);
	*out++ = (char)byte;
	return out;
}

const char *escapes_format(struct arena *arena, const struct conf_bytes *bytes)
{
	char *text = arena_alloc(arena, bytes->len * 4 + 3);
	char *out = text;

	*out++ = '\'';
	for (size_t i = 0; i < bytes->len; i++)
		out = format_byte(out, bytes->bytes[i]);
	*out = '\'';
	return text;
}
