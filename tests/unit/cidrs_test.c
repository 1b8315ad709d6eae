/* Networks: what is one, what lies in it, the same answers as asking every network in turn, and what asking costs.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "common/must.h"
#include "conf/arena.h"
#include "conf/cidrs.h"

static struct sockaddr_any literal(const char *host)
{
	struct sockaddr_any addr;

	assert_int_equal(sockaddr_from_literal(host, 1234, &addr), 0);
	return addr;
}

static void add(struct cidrs *cidrs, const char *text)
{
	const char *error = NULL;

	if (cidrs_add(cidrs, text, &error) == -1)
		fail_msg("%s: %s", text, error);
}

/* Of this process: what else runs on the machine costs it nothing. */
static double seconds(void)
{
	struct timespec now;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
	return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

/* xorshift: the same numbers in every run. */
static uint64_t random_u64(uint64_t *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 7;
	*state ^= *state << 17;
	return *state;
}

/* ------------------------------------------------------------------ texts */

static void test_good(void **state)
{
	static const char *const texts[][2] = {
		{ "10.0.0.0/8", "10.0.0.0/8" },
		{ "10.1.2.3", "10.1.2.3/32" },
		{ "0.0.0.0/0", "0.0.0.0/0" },
		{ "255.255.255.255/32", "255.255.255.255/32" },
		{ "192.168.1.128/25", "192.168.1.128/25" },
		{ "::/0", "::/0" },
		{ "::1", "::1/128" },
		{ "2001:DB8:0::/32", "2001:db8::/32" },
		{ "fe80::/10", "fe80::/10" },
		{ "2001:db8::8000:0:0:0/65", "2001:db8:0:0:8000::/65" },
		{ "::ffff:0:0/95", NULL },
		{ "::fffe:0:0/95", "::fffe:0:0/95" },
	};
	struct arena *arena = arena_new();
	struct cidrs *cidrs = cidrs_new(arena);
	const char *error;
	size_t n = 0;

	(void)state;
	assert_int_equal(cidrs_count(cidrs), 0);
	for (size_t i = 0; i < NELEMS(texts); i++) {
		if (texts[i][1] == NULL) {
			assert_int_equal(cidrs_add(cidrs, texts[i][0], &error), -1);
			continue;
		}
		add(cidrs, texts[i][0]);
		assert_string_equal(cidrs_text(cidrs, n++), texts[i][1]);
	}
	assert_int_equal(cidrs_count(cidrs), n);
	arena_free(arena);
}

static void test_bad(void **state)
{
	static const struct {
		const char *text;
		const char *error; /* a part of it */
	} cases[] = {
		{ "", "is no network" },
		{ "/8", "is no network" },
		{ "all", "is no network" },
		{ "10.0.0/8", "is no network" },
		{ "10.0.0.0:80", "is no network" },
		{ "[::1]/128", "is no network" },
		{ " 10.0.0.0/8", "is no network" },
		{ "1111:2222:3333:4444:5555:6666:7777:8888:9999:0000/8", "is no network" },
		{ "10.0.0.0/", "a prefix of 0 to 32 bits" },
		{ "10.0.0.0/33", "a prefix of 0 to 32 bits" },
		{ "10.0.0.0/08", "a prefix of 0 to 32 bits" },
		{ "10.0.0.0/-1", "a prefix of 0 to 32 bits" },
		{ "10.0.0.0/8/8", "a prefix of 0 to 32 bits" },
		{ "10.0.0.0/255.0.0.0", "a prefix of 0 to 32 bits" },
		{ "::/129", "a prefix of 0 to 128 bits" },
		{ "::/99999999999999999999", "a prefix of 0 to 128 bits" },
		{ "10.0.0.1/8", "`10.0.0.1/8` has bits behind its prefix, write `10.0.0.0/8`" },
		{ "1.2.3.4/0", "write `0.0.0.0/0`" },
		{ "2001:db8::1/64", "write `2001:db8::/64`" },
		{ "2001:db8::1/127", "write `2001:db8::/127`" },
		{ "::ffff:10.0.0.0/104", "write `10.0.0.0/8`" },
		{ "::ffff:10.0.0.1", "write `10.0.0.1/32`" },
	};
	struct arena *arena = arena_new();
	struct cidrs *cidrs = cidrs_new(arena);
	const char *error;

	(void)state;
	for (size_t i = 0; i < NELEMS(cases); i++) {
		error = "nothing";
		assert_int_equal(cidrs_add(cidrs, cases[i].text, &error), -1);
		if (strstr(error, cases[i].error) == NULL)
			fail_msg("%s: %s", cases[i].text, error);
	}
	assert_int_equal(cidrs_count(cidrs), 0);
	arena_free(arena);
}

/* ------------------------------------------------------------------ answers */

static void test_match(void **state)
{
	static const char *const networks[] = { "10.0.0.0/8", "10.1.0.0/16", "10.0.0.0/8",
		"192.168.0.0/17", "1.2.3.4", "1.2.3.5/32", "0.0.0.0/32", "255.255.255.254/31",
		"2001:db8::/32", "2001:db8:1::/48", "2001:db9::/65", "::1", "ffff::/16" };
	static const struct {
		const char *host;
		bool in;
	} cases[] = {
		{ "10.0.0.0", true },
		{ "10.1.2.3", true },
		{ "10.2.2.3", true },
		{ "10.255.255.255", true },
		{ "9.255.255.255", false },
		{ "11.0.0.0", false },
		{ "192.168.127.255", true },
		{ "192.168.128.0", false },
		{ "1.2.3.3", false },
		{ "1.2.3.4", true },
		{ "1.2.3.5", true },
		{ "1.2.3.6", false },
		{ "0.0.0.0", true },
		{ "0.0.0.1", false },
		{ "255.255.255.253", false },
		{ "255.255.255.255", true },
		{ "::ffff:10.1.2.3", true },
		{ "::ffff:11.1.2.3", false },
		{ "2001:db7:ffff::", false },
		{ "2001:db8::", true },
		{ "2001:db8:ffff:ffff:ffff:ffff:ffff:ffff", true },
		{ "2001:db9::7fff:ffff:ffff:ffff", true },
		{ "2001:db9::8000:0:0:0", false },
		{ "::", false },
		{ "::1", true },
		{ "::2", false },
		{ "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", true },
		{ "::a01:203", false },
	};
	struct arena *arena = arena_new();
	struct cidrs *cidrs = cidrs_new(arena);
	struct sockaddr_any path, none = { 0 };

	(void)state;
	for (size_t i = 0; i < NELEMS(networks); i++)
		add(cidrs, networks[i]);
	cidrs_freeze(cidrs);
	for (size_t i = 0; i < NELEMS(cases); i++) {
		struct sockaddr_any addr = literal(cases[i].host);

		if (cidrs_match(cidrs, &addr) != cases[i].in)
			fail_msg("%s", cases[i].host);
	}
	assert_int_equal(cidrs_count(cidrs), NELEMS(networks));
	assert_int_equal(sockaddr_from_path("/run/x", &path), 0);
	assert_false(cidrs_match(cidrs, &path));
	assert_false(cidrs_match(cidrs, &none));
	arena_free(arena);
}

/* Every address of one family is none of the other. */
static void test_everything(void **state)
{
	static const char *const all[] = { "0.0.0.0/0", "::/0" };
	const struct sockaddr_any addrs[] = { literal("203.0.113.9"), literal("2001:db8::9") };
	const struct sockaddr_any mapped = literal("::ffff:203.0.113.9");

	(void)state;
	for (size_t i = 0; i < NELEMS(all); i++) {
		struct arena *arena = arena_new();
		struct cidrs *cidrs = cidrs_new(arena), *empty = cidrs_new(arena);

		add(cidrs, all[i]);
		cidrs_freeze(cidrs);
		cidrs_freeze(empty);
		for (size_t j = 0; j < NELEMS(addrs); j++) {
			assert_int_equal(cidrs_match(cidrs, &addrs[j]), i == j);
			assert_false(cidrs_match(empty, &addrs[j]));
		}
		assert_int_equal(cidrs_match(cidrs, &mapped), i == 0);
		arena_free(arena);
	}
}

/* ------------------------------------------------------------------ against the naive answer */

struct network {
	struct sockaddr_any addr;
	unsigned bits;
};

static uint8_t *host_bytes(struct sockaddr_any *addr)
{
	return addr->u.sa.sa_family == AF_INET ? (uint8_t *)&addr->u.in.sin_addr
					       : addr->u.in6.sin6_addr.s6_addr;
}

/* Few values for each byte, so that networks nest and addresses fall into and beside them. */
static struct sockaddr_any random_addr(uint64_t *seed, bool v6)
{
	static const uint8_t values[] = { 0, 1, 127, 128, 254, 255 };
	struct sockaddr_any addr = literal(v6 ? "::" : "0.0.0.0");

	for (size_t i = 0; i < (v6 ? 16u : 4u); i++)
		host_bytes(&addr)[i] = values[random_u64(seed) % NELEMS(values)];
	return addr;
}

static bool in_network(struct sockaddr_any *addr, struct network *network)
{
	const uint8_t *a = host_bytes(addr), *b = host_bytes(&network->addr);

	if (addr->u.sa.sa_family != network->addr.u.sa.sa_family)
		return false;
	for (unsigned bit = 0; bit < network->bits; bit++)
		if (((a[bit / 8] ^ b[bit / 8]) >> (7 - bit % 8) & 1) != 0)
			return false;
	return true;
}

static void network_text(struct network *network, char *text, size_t text_bytes)
{
	char host[SOCKADDR_TEXT_MAX];
	size_t len;

	sockaddr_format(&network->addr, host, sizeof(host));
	*strrchr(host, ':') = '\0';
	len = strlen(host);
	if (host[0] == '[')
		snprintf(text, text_bytes, "%.*s/%u", (int)(len - 2), host + 1, network->bits);
	else
		snprintf(text, text_bytes, "%s/%u", host, network->bits);
}

static struct network random_network(uint64_t *seed, bool v6)
{
	const unsigned most = v6 ? 128 : 32;
	struct network network = { random_addr(seed, v6), 0 };

	network.bits = most / 4 + (unsigned)(random_u64(seed) % (most - most / 4 + 1));
	for (unsigned bit = network.bits; bit < most; bit++)
		host_bytes(&network.addr)[bit / 8] &= (uint8_t) ~(1u << (7 - bit % 8));
	return network;
}

static void test_random(void **state)
{
	static struct network networks[200];
	uint64_t seed = 0x9e3779b97f4a7c15;
	size_t hits = 0, asked = 0;
	char text[SOCKADDR_TEXT_MAX + 8];

	(void)state;
	for (unsigned round = 0; round < 200; round++) {
		size_t n = 1 + random_u64(&seed) % NELEMS(networks);
		struct arena *arena = arena_new();
		struct cidrs *cidrs = cidrs_new(arena);

		for (size_t i = 0; i < n; i++) {
			networks[i] = random_network(&seed, random_u64(&seed) % 2 == 0);
			network_text(&networks[i], text, sizeof(text));
			/* ::ffff:0:0/96 and what lies in it is refused: never in this sample. */
			add(cidrs, text);
		}
		cidrs_freeze(cidrs);
		for (unsigned i = 0; i < 500; i++) {
			struct sockaddr_any addr = random_addr(&seed, random_u64(&seed) % 2 == 0);
			bool in = false;

			/* Half of them at the edge of a network. */
			if (i % 2 == 0)
				addr = networks[random_u64(&seed) % n].addr;
			for (size_t j = 0; j < n && !in; j++)
				in = in_network(&addr, &networks[j]);
			assert_int_equal(cidrs_match(cidrs, &addr), in);
			hits += in;
			asked++;
		}
		arena_free(arena);
	}
	print_message("%zu of %zu addresses in a network\n", hits, asked);
	assert_in_range(hits, asked / 10, asked - asked / 10);
}

/* ------------------------------------------------------------------ cost */

#define MANY    100000
#define LOOKUPS 1000000

static struct sockaddr_any any_addr(uint64_t *seed, bool v6)
{
	struct sockaddr_any addr = literal(v6 ? "::" : "0.0.0.0");

	for (size_t i = 0; i < (v6 ? 16u : 4u); i++)
		host_bytes(&addr)[i] = (uint8_t)random_u64(seed);
	/* 2000::/4, where addresses are given out. */
	if (v6)
		host_bytes(&addr)[0] = 0x20 | (host_bytes(&addr)[0] & 0x0f);
	return addr;
}

/* Random networks of the size that lists of countries and of abusers have, random addresses, half of them in one. */
static void measure(bool v6)
{
	static struct sockaddr_any addrs[LOOKUPS];
	struct arena *arena = arena_new();
	struct cidrs *cidrs = cidrs_new(arena);
	uint64_t seed = 88172645463325252;
	double start, loaded, took;
	size_t hits = 0;

	start = seconds();
	for (size_t i = 0; i < MANY; i++) {
		struct network network = { any_addr(&seed, v6), v6 ? 48 : 24 };
		char text[SOCKADDR_TEXT_MAX + 8];

		for (unsigned bit = network.bits; bit < (v6 ? 128u : 32u); bit++)
			host_bytes(&network.addr)[bit / 8] &= (uint8_t) ~(1u << (7 - bit % 8));
		network_text(&network, text, sizeof(text));
		add(cidrs, text);
		addrs[i] = network.addr;
	}
	cidrs_freeze(cidrs);
	loaded = seconds() - start;
	for (size_t i = MANY; i < LOOKUPS; i++) {
		bool inside = random_u64(&seed) % 2 == 0;

		addrs[i] = inside ? addrs[random_u64(&seed) % MANY] : any_addr(&seed, v6);
	}
	start = seconds();
	for (size_t i = 0; i < LOOKUPS; i++)
		hits += cidrs_match(cidrs, &addrs[i]);
	took = seconds() - start;
	print_message("%s: %d networks added in %.0f ms, a look-up takes %.0f ns (%zu hits)\n",
		v6 ? "IPv6" : "IPv4", MANY, loaded * 1e3, took / LOOKUPS * 1e9, hits);
	assert_true(hits > LOOKUPS / 3);
	assert_true(took / LOOKUPS < 1e-6);
	assert_true(loaded < 2.0);
	arena_free(arena);
}

static void test_cost(void **state)
{
	(void)state;
	measure(false);
	measure(true);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_good),
		cmocka_unit_test(test_bad),
		cmocka_unit_test(test_match),
		cmocka_unit_test(test_everything),
		cmocka_unit_test(test_random),
		cmocka_unit_test(test_cost),
	};

	return cmocka_run_group_tests_name("cidrs", tests, NULL, NULL);
}
