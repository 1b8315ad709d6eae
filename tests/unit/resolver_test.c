/* Names that need no DNS server, and one that nobody answers for. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <event2/event.h>
#include <stdbool.h>
#include <string.h>

#include "common/clock.h"
#include "common/must.h"
#include "common/resolver.h"

struct answer {
	struct resolver *free_me; /* freed by the answer, when not NULL */
	unsigned calls;
	size_t n;
	bool error;
	char text[16][SOCKADDR_TEXT_MAX];
};

static struct event_base *base;
static struct resolver *resolver;

static int setup(void **state)
{
	const char *error;

	(void)state;
	base = event_base_new();
	resolver = base != NULL ? resolver_new(base, &error) : NULL;
	return resolver != NULL ? 0 : -1;
}

static int teardown(void **state)
{
	(void)state;
	resolver_free(resolver);
	event_base_free(base);
	return 0;
}

static void on_done(const struct resolver_answer *found, void *arg)
{
	struct answer *answer = arg;

	answer->calls++;
	answer->n = found->n;
	answer->error = found->error != NULL;
	for (size_t i = 0; i < found->n; i++)
		sockaddr_format(&found->list[i].addr, answer->text[i], sizeof(answer->text[i]));
	resolver_free(answer->free_me);
}

static void run_for(unsigned ms)
{
	const struct timeval tv = { .tv_sec = ms / 1000,
		.tv_usec = (suseconds_t)(ms % 1000) * 1000 };

	event_base_loopexit(base, &tv);
	event_base_dispatch(base);
}

static bool has(const struct answer *answer, const char *text)
{
	for (size_t i = 0; i < answer->n; i++) {
		if (strcmp(answer->text[i], text) == 0)
			return true;
	}
	return false;
}

static void test_answers_without_a_server(void **state)
{
	static const struct {
		const char *host;
		const char *text;
	} cases[] = {
		{ "127.0.0.1", "127.0.0.1:0" },
		{ "::1", "[::1]:0" },
		{ "2001:db8::7", "[2001:db8::7]:0" },
		{ "localhost", "127.0.0.1:0" },
	};

	(void)state;
	for (size_t i = 0; i < NELEMS(cases); i++) {
		struct answer answer = { 0 };

		resolver_lookup(resolver, cases[i].host, 1000, on_done, &answer);
		assert_int_equal(answer.calls, 0); /* never from within */
		run_for(50);
		assert_int_equal(answer.calls, 1);
		assert_false(answer.error);
		assert_true(has(&answer, cases[i].text));
		for (size_t a = 0; a < answer.n; a++) {
			for (size_t b = a + 1; b < answer.n; b++)
				assert_string_not_equal(answer.text[a], answer.text[b]);
		}
	}
}

static void test_bad_names_answer_in_time(void **state)
{
	static const char *const hosts[] = {
		"no-such-name.invalid", "", "a..b", "sp ace",
		"a-label-that-is-much-longer-than-the-sixty-three-bytes-that-a-label-may-have.example"
	};
	struct answer answers[NELEMS(hosts)] = { 0 };

	(void)state;
	for (size_t i = 0; i < NELEMS(hosts); i++) {
		resolver_lookup(resolver, hosts[i], 300, on_done, &answers[i]);
		assert_int_equal(answers[i].calls, 0);
	}
	run_for(330);
	for (size_t i = 0; i < NELEMS(hosts); i++) {
		assert_int_equal(answers[i].calls, 1);
		assert_true(answers[i].error);
		assert_int_equal(answers[i].n, 0);
	}
	run_for(100); /* whatever comes late changes nothing */
	for (size_t i = 0; i < NELEMS(hosts); i++)
		assert_int_equal(answers[i].calls, 1);
}

static void test_free_with_lookups_under_way(void **state)
{
	const char *error;
	struct resolver *other = resolver_new(base, &error);
	struct answer answers[3] = { 0 };

	(void)state;
	assert_non_null(other);
	resolver_lookup(other, "localhost", 1000, on_done, &answers[0]);
	resolver_lookup(other, "no-such-name.invalid", 1000, on_done, &answers[1]);
	resolver_lookup(other, "127.0.0.1", 1000, on_done, &answers[2]);
	resolver_free(other);
	run_for(20);
	for (size_t i = 0; i < NELEMS(answers); i++)
		assert_int_equal(answers[i].calls, 0);
}

static void test_free_from_within_an_answer(void **state)
{
	const char *error;
	struct answer answers[2] = { 0 };

	(void)state;
	for (size_t i = 0; i < NELEMS(answers); i++) {
		answers[i].free_me = resolver_new(base, &error);
		assert_non_null(answers[i].free_me);
	}
	resolver_lookup(answers[0].free_me, "localhost", 1000, on_done, &answers[0]);
	resolver_lookup(answers[1].free_me, "no-such-name.invalid", 1, on_done, &answers[1]);
	run_for(60);
	assert_int_equal(answers[0].calls, 1);
	assert_int_equal(answers[1].calls, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_answers_without_a_server),
		cmocka_unit_test(test_bad_names_answer_in_time),
		cmocka_unit_test(test_free_with_lookups_under_way),
		cmocka_unit_test(test_free_from_within_an_answer),
	};

	return cmocka_run_group_tests_name("resolver", tests, setup, teardown);
}
