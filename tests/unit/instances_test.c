/* Which instance gets which address, and what lies in shared memory of it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/instances.h"
#include "common/resolver.h"
#include "common/srv.h"

/* Addresses 10.0.0.N are written as their N, separated by blanks; "-" is an instance without one. */
struct assign_case {
	const char *before;
	const char *found;
	const char *after;
	const char *changes; /* = same, + added, - removed, ! replaced */
};

static const struct assign_case assign_cases[] = {
	{ "", "3 1 2", "1 2 3", "+++" },
	{ "1 2 3", "3 2 1", "1 2 3", "===" },
	{ "1 2 3", "1 3", "1 - 3", "=-=" },
	{ "1 - 3", "1 3 4", "1 4 3", "=+=" },
	/* Free before first: relays to 2 may still be there. */
	{ "1 2 3", "1 3 4", "1 - 3 4", "=-=+" },
	{ "5", "5 5 5", "5", "=" },
	{ "", "7 7", "7", "+" },
	{ "1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16", "1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 17",
		"1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 17", "===============!" },
	/* Too many: those that have a place stay. */
	{ "", "20 19 18 17 16 15 14 13 12 11 10 9 8 7 6 5 4 3 2 1",
		"1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16", "++++++++++++++++" },
	{ "20", "20 19 18 17 16 15 14 13 12 11 10 9 8 7 6 5 4 3 2 1",
		"20 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15", "=+++++++++++++++" },
};

static struct sockaddr_any addr_of(const char *text, uint16_t port)
{
	struct sockaddr_any addr;
	char host[32];

	snprintf(host, sizeof(host), "10.0.0.%d", atoi(text));
	assert_int_equal(sockaddr_from_literal(host, port, &addr), 0);
	return addr;
}

static const char *next_word(const char *text)
{
	text += strcspn(text, " ");
	return text + strspn(text, " ");
}

static void describe(const struct instance *now, char *buf, size_t bytes)
{
	size_t last = INSTANCES_MAX;

	buf[0] = '\0';
	while (last > 0 && now[last - 1].addr.len == 0)
		last--;
	for (size_t i = 0; i < last; i++) {
		size_t len = strlen(buf);
		const uint8_t *host = (const uint8_t *)&now[i].addr.u.in.sin_addr;

		if (now[i].addr.len == 0)
			snprintf(buf + len, bytes - len, "%s-", i > 0 ? " " : "");
		else
			snprintf(buf + len, bytes - len, "%s%d", i > 0 ? " " : "", host[3]);
	}
}

static void test_assign(void **state)
{
	(void)state;
	for (size_t c = 0; c < NELEMS(assign_cases); c++) {
		const struct assign_case *test = &assign_cases[c];
		struct instance now[INSTANCES_MAX] = { 0 };
		struct resolved found[RESOLVER_ADDRS_MAX] = { 0 };
		enum instance_change changes[INSTANCES_MAX];
		char text[256];
		size_t n = 0;

		for (const char *p = test->before; *p != '\0'; p = next_word(p), n++)
			if (*p != '-')
				now[n].addr = addr_of(p, 80);
		n = 0;
		for (const char *p = test->found; *p != '\0'; p = next_word(p))
			found[n++].addr = addr_of(p, 0);
		instances_assign(now, found, n, 80, changes);
		describe(now, text, sizeof(text));
		assert_string_equal(text, test->after);
		for (size_t i = 0; i < strlen(test->changes); i++)
			assert_int_equal("=+-!~"[changes[i]], test -> changes[i]);
		for (size_t i = 0; i < INSTANCES_MAX; i++)
			if (now[i].addr.len > 0)
				assert_int_equal(sockaddr_port(&now[i].addr), 80);
	}
}

static void test_srv_ports_weights_priorities(void **state)
{
	struct instance now[INSTANCES_MAX] = { 0 };
	enum instance_change changes[INSTANCES_MAX];
	struct resolved found[] = {
		{ addr_of("2", 7002), 20, 0 },
		{ addr_of("1", 7001), 10, 65535 },
		{ addr_of("1", 7000), 10, 0 },
		{ addr_of("3", 7003), 10, 32768 },
	};

	(void)state;
	assert_int_equal(instances_assign(now, found, 4, 0, changes), 4);
	assert_int_equal(sockaddr_port(&now[0].addr), 7000);
	assert_int_equal(now[0].weight, 1);
	assert_int_equal(now[1].weight, 256);
	assert_int_equal(now[2].weight, 128);
	assert_false(now[2].backup);
	assert_int_equal(sockaddr_port(&now[3].addr), 7002);
	assert_true(now[3].backup);
	found[1].weight = 300;
	found[0].weight = found[2].weight = found[3].weight = 300;
	instances_assign(now, found, 4, 0, changes);
	assert_int_equal(changes[0], INSTANCE_RATED);
	assert_int_equal(changes[1], INSTANCE_SAME);
	assert_int_equal(now[3].weight, 256);
}

static void test_weight_in_force(void **state)
{
	const struct instance srv = { .weight = 9 };
	const struct instance plain = { .weight = 0 };

	(void)state;
	assert_int_equal(instance_weight(&srv, 1, 1), 9);
	assert_int_equal(instance_weight(&srv, 5, 1), 5); /* the operator's */
	assert_int_equal(instance_weight(&srv, 0, 1), 0);
	assert_int_equal(instance_weight(&srv, 0, 0), 0);
	assert_int_equal(instance_weight(&plain, 3, 3), 3);
}

static void test_shared_memory(void **state)
{
	const char *error;
	struct shm *shm = shm_create(16, &error);
	struct instance in = { .weight = 7, .backup = true };
	struct instance out;

	(void)state;
	assert_non_null(shm);
	assert_false(instance_read(shm, 3, &out));
	in.addr = addr_of("9", 1234);
	instance_write(shm, 3, &in);
	assert_true(instance_read(shm, 3, &out));
	assert_true(sockaddr_equal(&in.addr, &out.addr));
	assert_int_equal(out.weight, 7);
	assert_true(out.backup);
	assert_int_equal(sockaddr_from_literal("2001:db8::1", 443, &in.addr), 0);
	instance_write(shm, 3, &in);
	assert_true(instance_read(shm, 3, &out));
	assert_true(sockaddr_equal(&in.addr, &out.addr));
	/* A writer that died half way: no address, until the next one has written. */
	shm_checker(shm)->addresses[3].sequence++;
	assert_false(instance_read(shm, 3, &out));
	instance_write(shm, 3, &in);
	assert_true(instance_read(shm, 3, &out));
	in.addr.len = 0;
	instance_write(shm, 3, &in);
	assert_false(instance_read(shm, 3, &out));
	shm_free(shm);
}

static const uint8_t srv_message[] = { 0, 1, 0x81, 0x80, 0, 1, 0, 2, 0, 0, 0, 0,
	/* _a._tcp.x SRV */
	2, '_', 'a', 4, '_', 't', 'c', 'p', 1, 'x', 0, 0, 33, 0, 1,
	/* 30 s, priority 1, weight 2, port 3, h.x */
	0xc0, 12, 0, 33, 0, 1, 0, 0, 0, 30, 0, 10, 0, 1, 0, 2, 0, 3, 1, 'h', 0xc0, 20,
	/* 20 s, no such service */
	0xc0, 12, 0, 33, 0, 1, 0, 0, 0, 20, 0, 7, 0, 0, 0, 0, 0, 9, 0 };

static void test_srv_records(void **state)
{
	struct srv_record records[4];
	uint32_t ttl_s = UINT32_MAX;
	size_t n;

	(void)state;
	assert_int_equal(srv_parse(srv_message, sizeof(srv_message), records, 4, &n, &ttl_s), 0);
	assert_int_equal(n, 1);
	assert_int_equal(ttl_s, 30);
	assert_int_equal(records[0].priority, 1);
	assert_int_equal(records[0].weight, 2);
	assert_int_equal(records[0].port, 3);
	assert_string_equal(records[0].target, "h.x");
	/* Cut anywhere it is no message; nothing is read behind its end. */
	for (size_t len = 0; len < sizeof(srv_message); len++) {
		uint8_t *cut = malloc(len > 0 ? len : 1);

		assert_non_null(cut);
		memcpy(cut, srv_message, len);
		assert_int_equal(srv_parse(cut, len, records, 4, &n, &ttl_s), -1);
		free(cut);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_assign),
		cmocka_unit_test(test_srv_ports_weights_priorities),
		cmocka_unit_test(test_weight_in_force),
		cmocka_unit_test(test_shared_memory),
		cmocka_unit_test(test_srv_records),
	};

	return cmocka_run_group_tests_name("instances", tests, NULL, NULL);
}
