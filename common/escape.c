/* Escapes for log lines and JSON strings: what comes out is printable UTF-8 on one line.
 */
#include "common/escape.h"

#include <stdint.h>
#include <stdio.h>
#include <string.h>

/* The length of the well-formed UTF-8 character that begins at in, 0 when none does (RFC 3629,
 * section 4: no overlong forms, no surrogates, nothing above U+10FFFF). */
static size_t escape_utf8_len(const unsigned char *in, size_t len)
{
	unsigned char low = 0x80, high = 0xbf; /* of the second byte */
	size_t n;

	if (in[0] >= 0xc2 && in[0] <= 0xdf)
		n = 2;
	else if (in[0] >= 0xe0 && in[0] <= 0xef)
		n = 3;
	else if (in[0] >= 0xf0 && in[0] <= 0xf4)
		n = 4;
	else
		return 0;
	if (n > len)
		return 0;
	if (in[0] == 0xe0)
		low = 0xa0;
	else if (in[0] == 0xed)
		high = 0x9f;
	else if (in[0] == 0xf0)
		low = 0x90;
	else if (in[0] == 0xf4)
		high = 0x8f;
	if (in[1] < low || in[1] > high)
		return 0;
	for (size_t i = 2; i < n; i++) {
		if (in[i] < 0x80 || in[i] > 0xbf)
			return 0;
	}
	return n;
}

static size_t escape_code(unsigned code, char text[8])
{
	static const char hex[] = "0123456789abcdef";
	const char *found;

	text[0] = '\\';
	found = code < 128 && code != 0 ? strchr("\"\"\\\\\bb\ff\nn\rr\tt", (int)code) : NULL;
	if (found != NULL) {
		text[1] = found[1];
		return 2;
	}
	text[1] = 'u';
	text[2] = '0';
	text[3] = '0';
	text[4] = hex[code >> 4 & 15];
	text[5] = hex[code & 15];
	return 6;
}

/* One character of in as text (at most 8 bytes); *used_r is what it took of in. */
static size_t escape_one(const unsigned char *in, size_t len, char text[8], size_t *used_r)
{
	size_t n;

	*used_r = 1;
	if (in[0] < 0x20 || in[0] == 0x7f || in[0] == '"' || in[0] == '\\')
		return escape_code(in[0], text);
	if (in[0] < 0x80) {
		text[0] = (char)in[0];
		return 1;
	}
	n = escape_utf8_len(in, len);
	if (n == 0)
		return escape_code(in[0], text);
	*used_r = n;
	/* U+0080 to U+009F are controls as well, and terminals obey some of them. */
	if (in[0] == 0xc2 && in[1] < 0xa0)
		return escape_code(in[1], text);
	memcpy(text, in, n);
	return n;
}

size_t escape_json(const char *in, size_t in_len, char *out, size_t out_bytes)
{
	const unsigned char *at = (const unsigned char *)in;
	const unsigned char *end = at + in_len;
	size_t len = 0;

	while (at < end) {
		char text[8];
		size_t used;
		size_t n = escape_one(at, (size_t)(end - at), text, &used);

		if (len + n >= out_bytes)
			break;
		memcpy(out + len, text, n);
		len += n;
		at += used;
	}
	out[len] = '\0';
	return len;
}
