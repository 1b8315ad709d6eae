/* Addresses as people write them.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "common/must.h"
#include "conf/address.h"
#include "conf/arena.h"

static const struct good {
	const char *text;
	enum address_use use;
	enum address_kind kind;
	const char *normal;
	const char *host;
	uint16_t first;
	uint16_t last;
} goods[] = {
	{ ":80", ADDRESS_BIND, ADDRESS_ANY, ":80", "", 80, 80 },
	{ ":1-65535", ADDRESS_BIND, ADDRESS_ANY, ":1-65535", "", 1, 65535 },
	{ ":80", ADDRESS_SERVER, ADDRESS_NAME, "localhost:80", "localhost", 80, 80 },
	{ "127.0.0.1:80", ADDRESS_BIND, ADDRESS_LITERAL, "127.0.0.1:80", "127.0.0.1", 80, 80 },
	{ "127.0.0.1:8-8", ADDRESS_BIND, ADDRESS_LITERAL, "127.0.0.1:8", "127.0.0.1", 8, 8 },
	{ "[0:0::1]:80-81", ADDRESS_BIND, ADDRESS_LITERAL, "[::1]:80-81", "::1", 80, 81 },
	{ "[2001:DB8::A]:1", ADDRESS_SERVER, ADDRESS_LITERAL, "[2001:db8::a]:1", "2001:db8::a", 1,
		1 },
	{ "Web-1.Example.org.:80", ADDRESS_SERVER, ADDRESS_NAME, "web-1.example.org.:80",
		"web-1.example.org.", 80, 80 },
	{ "_a1:80", ADDRESS_BIND, ADDRESS_NAME, "_a1:80", "_a1", 80, 80 },
	{ "1.2.3.4.example:80", ADDRESS_BIND, ADDRESS_NAME, "1.2.3.4.example:80", "1.2.3.4.example",
		80, 80 },
	{ "unix:/a:1-2", ADDRESS_BIND, ADDRESS_UNIX, "unix:/a:1-2", "/a:1-2", 0, 0 },
	{ "Unix:/A", ADDRESS_BIND, ADDRESS_UNIX, "unix:/A", "/A", 0, 0 },
	{ "unix:/a", ADDRESS_SERVER, ADDRESS_UNIX, "unix:/a", "/a", 0, 0 },
};

static void test_good(void **state)
{
	struct arena *arena = arena_new();

	(void)state;
	for (size_t i = 0; i < NELEMS(goods); i++) {
		const struct good *good = &goods[i];
		struct address address, again;
		const char *error = "";

		assert_int_equal(address_parse(arena, good->text, good->use, &address, &error), 0);
		assert_int_equal(address.kind, good->kind);
		assert_string_equal(address.text, good->normal);
		assert_string_equal(address.host, good->host);
		assert_int_equal(address.port_first, good->first);
		assert_int_equal(address.port_last, good->last);
		/* What is normalised stays as it is. */
		assert_int_equal(address_parse(arena, address.text, good->use, &again, &error), 0);
		assert_int_equal(again.kind, address.kind);
		assert_string_equal(again.text, address.text);
	}
	arena_free(arena);
}

static const struct bad {
	const char *text;
	enum address_use use;
	const char *error; /* what it must say, in part */
} bads[] = {
	{ "", ADDRESS_BIND, "has no port" },
	{ "80", ADDRESS_BIND, "write `:80`" },
	{ "host", ADDRESS_BIND, "has no port" },
	{ "host:", ADDRESS_BIND, "has no port" },
	{ ":", ADDRESS_BIND, "has no port" },
	{ ":0", ADDRESS_BIND, "1 to 65535" },
	{ ":65536", ADDRESS_BIND, "1 to 65535" },
	{ ":4294967376", ADDRESS_BIND, "1 to 65535" },
	{ ":+80", ADDRESS_BIND, "1 to 65535" },
	{ ": 80", ADDRESS_BIND, "1 to 65535" },
	{ ":080", ADDRESS_BIND, "1 to 65535" },
	{ ":-1", ADDRESS_BIND, "1 to 65535" },
	{ ":80-", ADDRESS_BIND, "1 to 65535" },
	{ ":80-81-82", ADDRESS_BIND, "1 to 65535" },
	{ ":81-80", ADDRESS_BIND, "write 80-81" },
	{ "h:80-81", ADDRESS_SERVER, "one port" },
	{ "::1:80", ADDRESS_BIND, "brackets" },
	{ "[::1]", ADDRESS_BIND, "[V6]:PORT" },
	{ "[::1", ADDRESS_BIND, "closing bracket" },
	{ "[::1]:", ADDRESS_BIND, "has no port" },
	{ "[h]:80", ADDRESS_BIND, "no IPv6 address" },
	{ "[127.0.0.1]:80", ADDRESS_BIND, "no IPv6 address" },
	{ "*:80", ADDRESS_BIND, "without the star" },
	{ "http://h:80", ADDRESS_SERVER, "no scheme" },
	{ "127.0.0.256:80", ADDRESS_BIND, "neither an IP address nor" },
	{ "1:80", ADDRESS_BIND, "neither an IP address nor" },
	{ "a..b:80", ADDRESS_BIND, "neither an IP address nor" },
	{ ".:80", ADDRESS_BIND, "neither an IP address nor" },
	{ "a b:80", ADDRESS_BIND, "neither an IP address nor" },
	{ "a/b:80", ADDRESS_BIND, "neither an IP address nor" },
	{ "012345678901234567890123456789012345678901234567890123456789abcd:80", ADDRESS_BIND,
		"neither an IP address nor" },
	{ "unix:", ADDRESS_BIND, "absolute path" },
	{ "unix:a", ADDRESS_BIND, "absolute path" },
	{ "UNIX:80", ADDRESS_BIND, "absolute path" },
	{ "unix:/01234567890123456789012345678901234567890123456789012345678901234567890123456789012345"
	  "67890123456789012345678",
		ADDRESS_BIND, "107 bytes" },
};

static void test_bad(void **state)
{
	struct arena *arena = arena_new();

	(void)state;
	for (size_t i = 0; i < NELEMS(bads); i++) {
		struct address address = { .host = "untouched" };
		const char *error = "";

		if (address_parse(arena, bads[i].text, bads[i].use, &address, &error) == 0)
			fail_msg("`%s` was taken as %s", bads[i].text, address.text);
		if (strstr(error, bads[i].error) == NULL)
			fail_msg("`%s`: \"%s\" does not say \"%s\"", bads[i].text, error,
				bads[i].error);
		assert_string_equal(address.host, "untouched");
	}
	arena_free(arena);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_good),
		cmocka_unit_test(test_bad),
	};

	return cmocka_run_group_tests_name("address", tests, NULL, NULL);
}
