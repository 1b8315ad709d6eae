/* Reads addresses as people write them, and says what was probably meant when it is none.
 */
#include "conf/address.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "conf/arena.h"
#include "conf/problems.h"

#define HOST_MAX  253 /* RFC 1035, 2.3.4, without the final dot */
#define LABEL_MAX 63

/* What is being parsed, and where the answer goes. */
struct parse {
	struct arena *arena;
	const char *text;
	enum address_use use;
	struct address *address;
	const char **error_r;
};

#define FAIL(parse, ...) (*(parse)->error_r = arena_printf((parse)->arena, __VA_ARGS__), -1)

static const char *quote(const struct parse *parse)
{
	return quote_text(parse->arena, parse->text);
}

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static bool all_digits(const char *text)
{
	size_t len = strspn(text, "0123456789");

	return len > 0 && text[len] == '\0';
}

/* Digits up to end; no sign, no leading zero, 1 to 65535. */
static int parse_port(const char *text, const char *end, uint16_t *port_r)
{
	unsigned long port = 0;

	if (text == end || end - text > 5 || *text == '0')
		return -1;
	for (; text < end; text++) {
		if (!is_digit(*text))
			return -1;
		port = port * 10 + (unsigned long)(*text - '0');
	}
	if (port > UINT16_MAX)
		return -1;
	*port_r = (uint16_t)port;
	return 0;
}

static int parse_ports(struct parse *parse, const char *ports)
{
	struct address *address = parse->address;
	const char *dash = strchr(ports, '-');
	const char *first_end = dash != NULL ? dash : ports + strlen(ports);

	if (*ports == '\0')
		return FAIL(parse,
			"%s has no port: an address is HOST:PORT, :PORT, [V6]:PORT or "
			"unix:/PATH",
			quote(parse));
	if (parse_port(ports, first_end, &address->port_first) == -1)
		return FAIL(parse, "%s: a port is 1 to 65535", quote(parse));
	address->port_last = address->port_first;
	if (dash == NULL)
		return 0;
	if (parse->use != ADDRESS_BIND)
		return FAIL(parse, "%s: %s has one port, a range is for %s alone", quote(parse),
			parse->use == ADDRESS_ADMIN ? "global.admin" : "a server",
			parse->use == ADDRESS_ADMIN ? "a frontend's `bind`" : "`bind`");
	if (parse_port(dash + 1, dash + 1 + strlen(dash + 1), &address->port_last) == -1)
		return FAIL(parse, "%s: a port is 1 to 65535, a range FIRST-LAST", quote(parse));
	if (address->port_last < address->port_first)
		return FAIL(parse, "%s: the range ends before it begins, write %u-%u", quote(parse),
			address->port_last, address->port_first);
	return 0;
}

static int parse_unix(struct parse *parse, const char *path)
{
	struct sockaddr_any addr;

	if (*path != '/')
		return FAIL(
			parse, "%s: a Unix socket is an absolute path, unix:/PATH", quote(parse));
	if (sockaddr_from_path(path, &addr) == -1)
		return FAIL(
			parse, "%s is too long for a Unix socket: 107 bytes at most", quote(parse));
	parse->address->kind = ADDRESS_UNIX;
	parse->address->host = arena_strdup(parse->arena, path);
	return 0;
}

/* The literal as the kernel would write it, so that two spellings of one address are one text. */
static int parse_literal(struct parse *parse, const char *host)
{
	char text[SOCKADDR_TEXT_MAX];
	struct sockaddr_any addr;
	char *end;

	if (sockaddr_from_literal(host, 1, &addr) == -1)
		return -1;
	sockaddr_format(&addr, text, sizeof(text));
	end = strrchr(text, ':');
	MUST(end != NULL);
	parse->address->kind = ADDRESS_LITERAL;
	if (text[0] == '[') {
		end[-1] = '\0';
		parse->address->host = arena_strdup(parse->arena, text + 1);
	} else {
		*end = '\0';
		parse->address->host = arena_strdup(parse->arena, text);
	}
	return 0;
}

/* The last label of a name is no number: that would be a mistyped IPv4 address. */
static bool ends_in_number(const char *host)
{
	const char *dot = strrchr(host, '.');

	return all_digits(dot != NULL ? dot + 1 : host);
}

/* Labels of letters, digits, - and _, joined by single dots. */
static bool is_host_name(const char *host)
{
	size_t label = 0;
	const char *p;

	for (p = host; *p != '\0'; p++) {
		if (*p == '.') {
			if (label == 0)
				return false;
			label = 0;
			continue;
		}
		if (!is_digit(*p) && !(*p >= 'a' && *p <= 'z') && *p != '_' &&
			(*p != '-' || label == 0))
			return false;
		if (++label > LABEL_MAX)
			return false;
	}
	return p - host <= HOST_MAX && !ends_in_number(host);
}

static int parse_host(struct parse *parse, char *host)
{
	if (parse_literal(parse, host) == 0)
		return 0;
	if (strcmp(host, "*") == 0)
		return FAIL(parse, "%s: every address is written without the star, `:PORT`",
			quote(parse));
	for (char *p = host; *p != '\0'; p++)
		if (*p >= 'A' && *p <= 'Z')
			*p = (char)(*p - 'A' + 'a');
	if (!is_host_name(host))
		return FAIL(parse, "%s: %s is neither an IP address nor a host's name",
			quote(parse), quote_text(parse->arena, host));
	parse->address->kind = ADDRESS_NAME;
	parse->address->host = host;
	return 0;
}

/* [V6]:PORT */
static int parse_brackets(struct parse *parse, char *text)
{
	char *end = strchr(text, ']');

	if (end == NULL)
		return FAIL(parse, "%s has no closing bracket, write `[V6]:PORT`", quote(parse));
	if (end[1] != ':')
		return FAIL(parse, "%s has no port, write `[V6]:PORT`", quote(parse));
	*end = '\0';
	if (strchr(text, ':') == NULL || parse_literal(parse, text + 1) == -1)
		return FAIL(
			parse, "%s: there is no IPv6 address between the brackets", quote(parse));
	return parse_ports(parse, end + 2);
}

static int parse_host_port(struct parse *parse, char *text)
{
	char *colon = strchr(text, ':');

	if (colon == NULL && parse->use == ADDRESS_SERVER && *text == '_')
		return parse_host(parse, text);
	if (colon == NULL) {
		if (all_digits(text))
			return FAIL(parse, "%s is a port alone, write `:%s` or `HOST:%s`",
				quote(parse), text, text);
		return FAIL(parse,
			"%s has no port: an address is HOST:PORT, :PORT, [V6]:PORT or "
			"unix:/PATH",
			quote(parse));
	}
	if (strstr(text, "://") != NULL)
		return FAIL(parse, "%s: an address has no scheme, write HOST:PORT", quote(parse));
	if (strchr(colon + 1, ':') != NULL)
		return FAIL(
			parse, "%s: an IPv6 address stands in brackets, `[V6]:PORT`", quote(parse));
	*colon = '\0';
	if (parse_ports(parse, colon + 1) == -1)
		return -1;
	if (*text != '\0')
		return parse_host(parse, text);
	if (parse->use == ADDRESS_SERVER) {
		parse->address->kind = ADDRESS_NAME;
		parse->address->host = "localhost";
	} else {
		parse->address->kind = ADDRESS_ANY;
		parse->address->host = "";
	}
	return 0;
}

static const char *address_text(struct arena *arena, const struct address *address)
{
	bool brackets = address->kind == ADDRESS_LITERAL && strchr(address->host, ':') != NULL;
	const char *open = brackets ? "[" : "";
	const char *close = brackets ? "]" : "";

	if (address->kind == ADDRESS_UNIX)
		return arena_printf(arena, "unix:%s", address->host);
	if (address->port_first == 0)
		return address->host;
	if (address->port_first == address->port_last)
		return arena_printf(
			arena, "%s%s%s:%u", open, address->host, close, address->port_first);
	return arena_printf(arena, "%s%s%s:%u-%u", open, address->host, close, address->port_first,
		address->port_last);
}

int address_parse(struct arena *arena, const char *text, enum address_use use,
	struct address *address_r, const char **error_r)
{
	struct address address = { 0 };
	struct parse parse = { arena, text, use, &address, error_r };
	char *copy = arena_strdup(arena, text);
	int result;

	/* In any case of letters: as the name of a host it would be written back as this. */
	if (strncasecmp(text, "unix:", 5) == 0)
		result = parse_unix(&parse, text + 5);
	else if (*text == '[')
		result = parse_brackets(&parse, copy);
	else
		result = parse_host_port(&parse, copy);
	if (result == -1)
		return -1;
	address.text = address_text(arena, &address);
	*address_r = address;
	return 0;
}
