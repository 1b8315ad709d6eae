/* The configuration before, in shared memory. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "common/shm.h"
#include "master/change/way_back.h"

static void expect_text(struct shm *shm, const char *text)
{
	char *found = way_back_text(shm);

	assert_non_null(found);
	assert_string_equal(found, text);
	free(found);
}

static void test_kept_and_replaced(void **state)
{
	const char *error;
	struct shm *shm = shm_create(16, &error);

	(void)state;
	assert_non_null(shm);
	assert_null(way_back_text(shm));
	assert_int_equal(way_back_get_until(shm), 0);
	way_back_keep(shm, "frontends: {}\n");
	way_back_until(shm, 77);
	expect_text(shm, "frontends: {}\n");
	assert_int_equal(way_back_get_until(shm), 77);
	/* What was to be confirmed goes with what it would have gone back to. */
	way_back_keep(shm, "a");
	expect_text(shm, "a");
	assert_int_equal(way_back_get_until(shm), 0);
	way_back_keep(shm, NULL);
	assert_null(way_back_text(shm));
	shm_free(shm);
}

static void test_too_long(void **state)
{
	const char *error;
	struct shm *shm = shm_create(16, &error);
	char *text = malloc(SHM_WAY_BACK_BYTES + 2);

	(void)state;
	assert_non_null(shm);
	assert_non_null(text);
	memset(text, 'x', SHM_WAY_BACK_BYTES + 1);
	text[SHM_WAY_BACK_BYTES + 1] = '\0';
	way_back_keep(shm, "short");
	way_back_keep(shm, text);
	assert_null(way_back_text(shm));
	text[SHM_WAY_BACK_BYTES] = '\0';
	way_back_keep(shm, text);
	expect_text(shm, text);
	/* A length that nobody of us wrote. */
	shm_master(shm)->way_back.bytes = SHM_WAY_BACK_BYTES + 1;
	assert_null(way_back_text(shm));
	free(text);
	shm_free(shm);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_kept_and_replaced),
		cmocka_unit_test(test_too_long),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
