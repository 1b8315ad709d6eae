/* Networks as sorted arrays, one for each family, searched by halves. Two networks are apart or one holds the other,
 * so that the outermost alone are kept and at most one of them can hold an address: the one that begins last before
 * it.
 */
#include "conf/cidrs.h"

#include <arpa/inet.h>
#include <endian.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "conf/arena.h"
#include "conf/problems.h"

/* An address, or the first one of a network: its bytes from the left, the rest 0. */
struct cidr_key {
	uint64_t high;
	uint64_t low;
};

struct cidr {
	struct cidr_key first;
	uint32_t bits;
};

struct family {
	size_t count;
	size_t room;
	struct cidr *list;
};

struct cidrs {
	struct arena *arena; /* borrowed; everything is in it */
	bool frozen;
	struct family v4;
	struct family v6;
	size_t ntexts;
	size_t texts_room;
	const char **texts; /* in the order they were added */
};

struct cidrs *cidrs_new(struct arena *arena)
{
	struct cidrs *cidrs = arena_alloc(arena, sizeof(*cidrs));

	cidrs->arena = arena;
	return cidrs;
}

/* Room for one more. What an array grew out of stays in the arena: half of it at most. */
static void *cidrs_grow(
	const struct cidrs *cidrs, void *list, size_t count, size_t *room, size_t item_bytes)
{
	void *larger;

	if (count < *room)
		return list;
	*room = *room == 0 ? 16 : *room * 2;
	larger = arena_alloc(cidrs->arena, *room * item_bytes);
	if (count > 0)
		memcpy(larger, list, count * item_bytes);
	return larger;
}

/* ------------------------------------------------------------------ keys */

static uint64_t read_u64(const uint8_t *bytes)
{
	uint64_t number = 0;

	for (size_t i = 0; i < sizeof(number); i++)
		number = number << 8 | bytes[i];
	return number;
}

static struct cidr_key key_from(const void *host, size_t len)
{
	uint8_t bytes[16] = { 0 };

	memcpy(bytes, host, len);
	return (struct cidr_key){ read_u64(bytes), read_u64(bytes + 8) };
}

/* The first bits of a key, the others 0. */
static struct cidr_key key_mask(struct cidr_key key, uint32_t bits)
{
	key.high &= bits == 0 ? 0 : bits >= 64 ? UINT64_MAX : UINT64_MAX << (64 - bits);
	key.low &= bits <= 64 ? 0 : bits >= 128 ? UINT64_MAX : UINT64_MAX << (128 - bits);
	return key;
}

static int key_compare(struct cidr_key a, struct cidr_key b)
{
	if (a.high != b.high)
		return a.high < b.high ? -1 : 1;
	return a.low == b.low ? 0 : a.low < b.low ? -1 : 1;
}

static bool cidr_holds(const struct cidr *cidr, struct cidr_key key)
{
	return key_compare(key_mask(key, cidr->bits), cidr->first) == 0;
}

/* ------------------------------------------------------------------ adding */

/* What is wrong with text, in quotes. */
#define FAIL(cidrs, format, ...)                                                                   \
	(*error_r = arena_printf(                                                                  \
		 (cidrs)->arena, "%s" format, quote_text((cidrs)->arena, text), __VA_ARGS__),      \
		-1)

/* Digits alone, no leading zero, 0 to max. */
static int parse_bits(const char *text, uint32_t max, uint32_t *bits_r)
{
	const size_t len = strspn(text, "0123456789");
	uint32_t bits;

	if (len == 0 || len > 3 || text[len] != '\0' || (len > 1 && *text == '0'))
		return -1;
	bits = (uint32_t)strtoul(text, NULL, 10);
	if (bits > max)
		return -1;
	*bits_r = bits;
	return 0;
}

static const char *cidr_format(
	const struct cidrs *cidrs, int family, struct cidr_key first, uint32_t bits)
{
	char host[INET6_ADDRSTRLEN];
	uint64_t bytes[2] = { htobe64(first.high), htobe64(first.low) };

	inet_ntop(family, bytes, host, sizeof(host));
	return arena_printf(cidrs->arena, "%s/%u", host, bits);
}

static void cidrs_append(
	struct cidrs *cidrs, struct family *family, const struct cidr *cidr, const char *text)
{
	family->list = cidrs_grow(
		cidrs, family->list, family->count, &family->room, sizeof(*family->list));
	family->list[family->count++] = *cidr;
	cidrs->texts = cidrs_grow(
		cidrs, cidrs->texts, cidrs->ntexts, &cidrs->texts_room, sizeof(*cidrs->texts));
	cidrs->texts[cidrs->ntexts++] = text;
}

/* The part before the slash. A longer one is no literal. */
static int parse_host(const char *text, size_t len, struct sockaddr_any *addr_r)
{
	char host[INET6_ADDRSTRLEN];

	if (len >= sizeof(host))
		return -1;
	memcpy(host, text, len);
	host[len] = '\0';
	return sockaddr_from_literal(host, 0, addr_r);
}

static bool is_mapped(const struct sockaddr_any *addr)
{
	return addr->u.sa.sa_family == AF_INET6 && IN6_IS_ADDR_V4MAPPED(&addr->u.in6.sin6_addr);
}

int cidrs_add(struct cidrs *cidrs, const char *text, const char **error_r)
{
	const char *slash = strchrnul(text, '/');
	const char *normal;
	struct sockaddr_any addr;
	struct cidr_key key;
	struct cidr cidr;
	uint32_t max;
	int family;

	MUST(!cidrs->frozen);
	if (parse_host(text, (size_t)(slash - text), &addr) == -1)
		return FAIL(cidrs, " is no network: write it as `%s`, `%s` or an address alone",
			"10.0.0.0/8", "2001:db8::/32");
	family = addr.u.sa.sa_family;
	max = family == AF_INET ? 32 : 128;
	cidr.bits = max;
	if (*slash == '/' && parse_bits(slash + 1, max, &cidr.bits) == -1)
		return FAIL(cidrs, ": behind the slash stands a prefix of 0 to %u bits", max);
	key = family == AF_INET ? key_from(&addr.u.in.sin_addr, 4)
				: key_from(&addr.u.in6.sin6_addr, 16);
	cidr.first = key_mask(key, cidr.bits);
	if (is_mapped(&addr) && cidr.bits >= 96)
		return FAIL(cidrs, ": IPv4 clients are known by their IPv4 address, write `%s`",
			cidr_format(cidrs, AF_INET, (struct cidr_key){ cidr.first.low << 32, 0 },
				cidr.bits - 96));
	normal = cidr_format(cidrs, family, cidr.first, cidr.bits);
	if (key_compare(cidr.first, key) != 0)
		return FAIL(cidrs, " has bits behind its prefix, write `%s`", normal);
	cidrs_append(cidrs, family == AF_INET ? &cidrs->v4 : &cidrs->v6, &cidr, normal);
	return 0;
}

/* ------------------------------------------------------------------ asking */

/* A network comes before those that it holds. */
static int cidr_compare(const void *a_, const void *b_)
{
	const struct cidr *a = a_, *b = b_;
	const int order = key_compare(a->first, b->first);

	if (order != 0)
		return order;
	return a->bits == b->bits ? 0 : a->bits < b->bits ? -1 : 1;
}

static void family_freeze(struct family *family)
{
	size_t kept = 0;

	if (family->count == 0)
		return;
	qsort(family->list, family->count, sizeof(*family->list), cidr_compare);
	for (size_t i = 1; i < family->count; i++)
		if (!cidr_holds(&family->list[kept], family->list[i].first))
			family->list[++kept] = family->list[i];
	family->count = kept + 1;
}

void cidrs_freeze(struct cidrs *cidrs)
{
	family_freeze(&cidrs->v4);
	family_freeze(&cidrs->v6);
	cidrs->frozen = true;
}

size_t cidrs_count(const struct cidrs *cidrs)
{
	return cidrs->ntexts;
}

const char *cidrs_text(const struct cidrs *cidrs, size_t at)
{
	MUST(at < cidrs->ntexts);
	return cidrs->texts[at];
}

/* The last one that begins at or before key, if there is one, is list[0] of what is left. The halves are chosen
 * without a branch that a random address would have mispredicted. */
static bool family_match(const struct family *family, struct cidr_key key)
{
	const struct cidr *list = family->list;
	size_t left = family->count;

	if (left == 0)
		return false;
	while (left > 1) {
		size_t half = left / 2;

		list = key_compare(list[half].first, key) <= 0 ? list + half : list;
		left -= half;
	}
	return cidr_holds(list, key);
}

bool cidrs_match(const struct cidrs *cidrs, const struct sockaddr_any *addr)
{
	size_t len;
	const void *host = sockaddr_host_bytes(addr, &len);

	MUST(cidrs->frozen);
	if (len == 0)
		return false;
	return family_match(len == 4 ? &cidrs->v4 : &cidrs->v6, key_from(host, len));
}
