/* Addresses as text and bytes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "common/must.h"
#include "common/sockaddr.h"

static const struct {
	const char *host;
	uint16_t port;
	const char *text; /* NULL: no literal */
	size_t host_len;
} literals[] = {
	{ "127.0.0.1", 80, "127.0.0.1:80", 4 },
	{ "0.0.0.0", 0, "0.0.0.0:0", 4 },
	{ "255.255.255.255", 65535, "255.255.255.255:65535", 4 },
	{ "::1", 8080, "[::1]:8080", 16 },
	{ "::", 1, "[::]:1", 16 },
	{ "2001:db8:0:0::1", 443, "[2001:db8::1]:443", 16 },
	{ "::ffff:10.0.0.1", 9, "[::ffff:10.0.0.1]:9", 4 },
	{ "localhost", 80, NULL, 0 },
	{ "", 80, NULL, 0 },
	{ "127.1", 80, NULL, 0 },
	{ "1.2.3.256", 80, NULL, 0 },
	{ "[::1]", 80, NULL, 0 },
	{ "::1::", 80, NULL, 0 },
	{ " 127.0.0.1", 80, NULL, 0 },
};

static void test_literals(void **state)
{
	(void)state;
	for (size_t i = 0; i < NELEMS(literals); i++) {
		struct sockaddr_any addr = { .len = 77 };
		char text[SOCKADDR_TEXT_MAX];
		size_t len;
		int got = sockaddr_from_literal(literals[i].host, literals[i].port, &addr);

		if (literals[i].text == NULL) {
			assert_int_equal(got, -1);
			assert_int_equal(addr.len, 77);
			continue;
		}
		assert_int_equal(got, 0);
		assert_string_equal(sockaddr_format(&addr, text, sizeof(text)), literals[i].text);
		assert_int_equal(sockaddr_port(&addr), literals[i].port);
		assert_non_null(sockaddr_host_bytes(&addr, &len));
		assert_int_equal(len, literals[i].host_len);
		assert_false(sockaddr_is_unix(&addr));
	}
}

static void test_mapped_host_is_the_ipv4_host(void **state)
{
	struct sockaddr_any v4, mapped;
	size_t v4_len, mapped_len;
	const void *v4_host, *mapped_host;

	(void)state;
	assert_int_equal(sockaddr_from_literal("10.1.2.3", 1, &v4), 0);
	assert_int_equal(sockaddr_from_literal("::ffff:10.1.2.3", 2, &mapped), 0);
	v4_host = sockaddr_host_bytes(&v4, &v4_len);
	mapped_host = sockaddr_host_bytes(&mapped, &mapped_len);
	assert_int_equal(v4_len, mapped_len);
	assert_memory_equal(v4_host, mapped_host, v4_len);
}

static void test_paths(void **state)
{
	struct sockaddr_any addr, same;
	char text[SOCKADDR_TEXT_MAX];
	char path[109];

	(void)state;
	assert_int_equal(sockaddr_from_path("/run/x.sock", &addr), 0);
	assert_string_equal(sockaddr_format(&addr, text, sizeof(text)), "unix:/run/x.sock");
	assert_true(sockaddr_is_unix(&addr));
	assert_int_equal(sockaddr_port(&addr), 0);
	memset(path, 'a', sizeof(path));
	path[107] = '\0';
	assert_int_equal(sockaddr_from_path(path, &same), 0);
	assert_int_equal(strlen(sockaddr_format(&same, text, sizeof(text))), 5 + 107);
	path[107] = 'a';
	path[108] = '\0';
	assert_int_equal(sockaddr_from_path(path, &same), -1);
	assert_int_equal(sockaddr_from_path("", &same), -1);
	/* The kernel may give a length with or without what follows the path. */
	sockaddr_from_kernel(&addr.u.sa, sizeof(addr.u.un), &same);
	assert_true(sockaddr_equal(&addr, &same));
	sockaddr_from_kernel(&addr.u.sa, sizeof(sa_family_t), &same);
	assert_string_equal(sockaddr_format(&same, text, sizeof(text)), "unix:");
	assert_false(sockaddr_equal(&addr, &same));
}

static void test_what_the_kernel_gave(void **state)
{
	struct sockaddr_storage storage = { .ss_family = AF_INET };
	struct sockaddr_any addr;
	char text[SOCKADDR_TEXT_MAX];

	(void)state;
	sockaddr_from_kernel((struct sockaddr *)&storage, sizeof(struct sockaddr_in), &addr);
	assert_string_equal(sockaddr_format(&addr, text, sizeof(text)), "0.0.0.0:0");
	sockaddr_from_kernel((struct sockaddr *)&storage, sizeof(storage), &addr);
	assert_int_equal(addr.len, 0);
	assert_string_equal(sockaddr_format(&addr, text, sizeof(text)), "none");
	sockaddr_from_kernel((struct sockaddr *)&storage, 0, &addr);
	assert_int_equal(addr.len, 0);
}

static void test_equal_and_port(void **state)
{
	struct sockaddr_any a, b, none = { 0 };

	(void)state;
	assert_int_equal(sockaddr_from_literal("::1", 5, &a), 0);
	b = a;
	assert_true(sockaddr_equal(&a, &b));
	b.u.in6.sin6_flowinfo = 7;
	assert_true(sockaddr_equal(&a, &b));
	sockaddr_set_port(&b, 6);
	assert_false(sockaddr_equal(&a, &b));
	assert_int_equal(sockaddr_port(&b), 6);
	assert_int_equal(sockaddr_from_literal("127.0.0.1", 5, &b), 0);
	assert_false(sockaddr_equal(&a, &b));
	assert_false(sockaddr_equal(&a, &none));
	assert_true(sockaddr_equal(&none, &none));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_literals),
		cmocka_unit_test(test_mapped_host_is_the_ipv4_host),
		cmocka_unit_test(test_paths),
		cmocka_unit_test(test_what_the_kernel_gave),
		cmocka_unit_test(test_equal_and_port),
	};

	return cmocka_run_group_tests_name("sockaddr", tests, NULL, NULL);
}
