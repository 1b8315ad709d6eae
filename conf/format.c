/* Writes one value, so that reading it gives the same value again.
 */
#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

#include "conf/arena.h"
#include "conf/cidrs.h"
#include "conf/conf.h"
#include "conf/draft.h"
#include "conf/escapes.h"
#include "conf/statuses.h"
#include "conf/value.h"

/* The code point at *text, which moves behind it. Bytes that are no UTF-8 count one by one. */
static uint32_t decode(const unsigned char **text)
{
	const unsigned char *p = *text;
	size_t more = p[0] >= 0xf0 ? 3 : p[0] >= 0xe0 ? 2 : p[0] >= 0xc0 ? 1 : 0;
	uint32_t code = more == 0 ? p[0] : p[0] & (0x3fu >> more);

	for (size_t i = 1; i <= more; i++) {
		if ((p[i] & 0xc0) != 0x80) {
			*text = p + 1;
			return p[0];
		}
		code = code << 6 | (p[i] & 0x3f);
	}
	*text = p + 1 + more;
	return code;
}

/* What YAML 1.1 (5.1, 5.4) lets stand for itself between double quotes, on one line. */
static bool is_plain_code(uint32_t code)
{
	if (code < 0x80)
		return code >= ' ' && code < 0x7f && code != '"' && code != '\\';
	return code >= 0xa0 && code != 0x2028 && code != 0x2029 && code != 0xfeff &&
		(code & 0xfffe) != 0xfffe;
}

static const char *double_quote(const char *in, struct arena *arena)
{
	const unsigned char *p = (const unsigned char *)in;
	/* An escape is at most 6 bytes for each one of the text. */
	char *text = arena_alloc(arena, strlen(in) * 6 + 3);
	char *out = text;

	*out++ = '"';
	while (*p != '\0') {
		const unsigned char *from = p;
		uint32_t code = decode(&p);

		if (is_plain_code(code))
			out = mempcpy(out, from, (size_t)(p - from));
		else if (code == '\n')
			out = mempcpy(out, "\\n", 2);
		else if (code == '"' || code == '\\')
			out += sprintf(out, "\\%c", (char)code);
		else if (code <= 0xffff)
			out += sprintf(out, "\\u%04x", code);
		else
			out += sprintf(out, "\\U%08x", code);
	}
	*out = '"';
	return text;
}

/* Words that some reader of YAML takes for something else than a text. */
static bool is_reserved(const char *text)
{
	static const char *const words[] = { "y", "n", "yes", "no", "on", "off", "true", "false",
		"null" };

	for (size_t i = 0; i < NELEMS(words); i++)
		if (strcasecmp(text, words[i]) == 0)
			return true;
	return false;
}

const char *value_quote(const char *text, struct arena *arena)
{
	static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_/";
	static const char others[] =
		"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_/0123456789.@-";

	if (*text != '\0' && strchr(letters, *text) != NULL && text[strspn(text, others)] == '\0' &&
		!is_reserved(text))
		return text;
	return double_quote(text, arena);
}

static const char *format_address(const struct address *address, struct arena *arena)
{
	return double_quote(address->text == NULL ? "" : address->text, arena);
}

static const char *format_addresses(const struct draft_addresses *addresses, struct arena *arena)
{
	size_t bytes = 3;
	char *text, *out;

	if (addresses->count == 0)
		return NULL;
	for (size_t i = 0; i < addresses->count; i++)
		bytes += strlen(double_quote(addresses->list[i].text, arena)) + 2;
	text = out = arena_alloc(arena, bytes);
	for (size_t i = 0; i < addresses->count; i++)
		out += sprintf(out, "%s%s", i == 0 ? "[" : ", ",
			double_quote(addresses->list[i].text, arena));
	*out = ']';
	return text;
}

/* Hexadecimal digits, dots, colons and a slash alone need no escapes. */
static const char *format_cidrs(const struct cidrs *cidrs, struct arena *arena)
{
	size_t n = cidrs == NULL ? 0 : cidrs_count(cidrs);
	size_t bytes = 3;
	char *text, *out;

	for (size_t i = 0; i < n; i++)
		bytes += strlen(cidrs_text(cidrs, i)) + 4;
	text = out = arena_alloc(arena, bytes);
	*out++ = '[';
	for (size_t i = 0; i < n; i++)
		out += sprintf(out, "%s\"%s\"", i == 0 ? "" : ", ", cidrs_text(cidrs, i));
	*out = ']';
	return text;
}

static const char *format_literal(const struct sockaddr_any *addr, struct arena *arena)
{
	char text[INET6_ADDRSTRLEN] = "";
	size_t len;
	const void *host = sockaddr_host_bytes(addr, &len);

	if (len > 0)
		inet_ntop(len == 4 ? AF_INET : AF_INET6, host, text, sizeof(text));
	return double_quote(text, arena);
}

static const char *format_text(const char *text, struct arena *arena)
{
	return text == NULL ? NULL : value_quote(text, arena);
}

static const char *format_word(const struct conf_word *words, uint32_t value, struct arena *arena)
{
	return format_text(word_name(words, value), arena);
}

static const char *format_span(const struct conf_key *key, uint32_t ms, struct arena *arena)
{
	const char *word = key->words != NULL ? word_name(key->words, ms) : NULL;

	return word != NULL ? value_quote(word, arena) : value_span(ms, arena);
}

const char *value_format(const struct conf_key *key, const void *field, struct arena *arena)
{
	switch (key->type) {
	case CONF_BOOL:
		return *(const bool *)field ? "true" : "false";
	case CONF_COUNT:
	case CONF_WORKERS:
		return arena_printf(arena, "%u", *(const uint32_t *)field);
	case CONF_SPAN:
	case CONF_EVER:
		return format_span(key, *(const uint32_t *)field, arena);
	case CONF_MODE:
		return arena_printf(arena, "\"%04o\"", *(const uint32_t *)field);
	case CONF_WORD:
		return format_word(key->words, *(const uint32_t *)field, arena);
	case CONF_TEXT:
	case CONF_SINK:
	case CONF_CHOICE:
	case CONF_URL_PATH:
	case CONF_URL_HOST:
		return format_text(*(const char *const *)field, arena);
	case CONF_STATUSES:
		return double_quote(statuses_format(arena, field), arena);
	case CONF_BYTES:
		return escapes_format(arena, field);
	case CONF_LITERAL:
		return format_literal(field, arena);
	case CONF_CIDRS:
		return format_cidrs(*(const struct cidrs *const *)field, arena);
	case CONF_ADDRESS:
		return format_address(field, arena);
	case CONF_ADDRESSES:
		return format_addresses(field, arena);
	case CONF_SECTION:
	case CONF_OBJECTS:
		break;
	}
	MUST(!"a section is no value");
	return NULL;
}
