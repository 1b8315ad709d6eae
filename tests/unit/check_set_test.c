/* A set of checks in its loop, against a listener of its own: what the clock, the operator and an earlier
 * checker have to say in when a server is checked. The kinds of checks and the words are tests/checks.bats'. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <event2/event.h>
#include <string.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/must.h"
#include "common/shm.h"
#include "conf/conf.h"
#include "worker/checker/check.h"

#define SERVERS 200

struct world {
	struct event_base *base;
	struct shm *shm;
	int listener;
	struct sockaddr_any addr;
	struct conf conf;
	struct conf_backend backend;
	struct conf_server servers[SERVERS];
};

static void world_listen(struct world *world)
{
	assert_int_equal(sockaddr_from_literal("127.0.0.1", 0, &world->addr), 0);
	world->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(world->listener, &world->addr.u.sa, world->addr.len), 0);
	assert_int_equal(listen(world->listener, 4096), 0);
	assert_int_equal(getsockname(world->listener, &world->addr.u.sa, &world->addr.len), 0);
}

/* nservers places that all lead to the listener, and up to now nobody has checked. */
static void world_init(struct world *world, size_t nservers)
{
	const char *error;

	memset(world, 0, sizeof(*world));
	world->base = event_base_new();
	world->shm = shm_create(16, &error);
	assert_true(world->base != NULL && world->shm != NULL);
	world_listen(world);
	world->backend = (struct conf_backend){ .name = "back",
		.nservers = nservers,
		.servers = world->servers,
		.check = { .type = CHECK_TCP,
			.inter_ms = 50,
			.timeout_ms = 1000,
			.rise = 2,
			.fall = 3 } };
	world->conf.nbackends = 1;
	world->conf.backends = &world->backend;
	for (size_t i = 0; i < nservers; i++)
		world->servers[i] = (struct conf_server){
			.name = "s", .place = (uint32_t)i, .naddrs = 1, .addrs = &world->addr
		};
}

static void world_deinit(struct world *world)
{
	close(world->listener);
	shm_free(world->shm);
	event_base_free(world->base);
}

static struct check_set *world_checks(struct world *world)
{
	return check_set_new(world->base, &world->conf, world->shm, 64);
}

static void world_run(struct world *world, uint32_t ms)
{
	struct timeval span = { .tv_sec = ms / 1000, .tv_usec = ms % 1000 * 1000 };

	event_base_loopexit(world->base, &span);
	event_base_dispatch(world->base);
}

static struct shm_health *health_of(struct world *world, size_t server)
{
	return &shm_checker(world->shm)->servers[server];
}

static void test_first_check_within_inter(void **state)
{
	struct world world;
	struct check_set *set;
	uint32_t early = 0;

	(void)state;
	world_init(&world, SERVERS);
	world.backend.check.inter_ms = 400;
	set = world_checks(&world);
	world_run(&world, 100);
	for (size_t i = 0; i < SERVERS; i++)
		early += health_of(&world, i)->checks;
	assert_in_range(early, 20, SERVERS - 20); /* one a millisecond */
	world_run(&world, 500);
	for (size_t i = 0; i < SERVERS; i++) {
		assert_in_range(health_of(&world, i)->checks, 1, 2);
		assert_int_equal(health_of(&world, i)->health, HEALTH_UP);
		assert_int_equal(health_of(&world, i)->result, CHECKED_OK);
	}
	check_set_free(set);
	world_deinit(&world);
}

static void test_maint_is_not_checked(void **state)
{
	struct world world;
	struct check_set *set;
	uint32_t before;

	(void)state;
	world_init(&world, 1);
	world.backend.check.fall = 1000;
	set = world_checks(&world);
	world_run(&world, 75);
	assert_int_equal(health_of(&world, 0)->result, CHECKED_OK);
	shutdown(world.listener, SHUT_RDWR); /* bad from here on */
	world_run(&world, 100);
	assert_in_range(health_of(&world, 0)->streak, 1, 10);
	shm_master(world.shm)->admin[0].state = ADMIN_MAINT;
	before = health_of(&world, 0)->checks;
	world_run(&world, 300);
	assert_int_equal(health_of(&world, 0)->checks, before);
	assert_int_equal(health_of(&world, 0)->streak, 0);
	assert_int_equal(health_of(&world, 0)->health, HEALTH_UP);
	world.backend.check.fall = 3;
	shm_master(world.shm)->admin[0].state = ADMIN_DRAIN;
	world_run(&world, 300);
	assert_int_equal(health_of(&world, 0)->health, HEALTH_DOWN);
	assert_int_equal(health_of(&world, 0)->result, CHECKED_NO_CONNECT);
	check_set_free(set);
	world_deinit(&world);
}

/* In the middle of an interval: its successor checks at its end, not at once. */
static void test_successor_keeps_the_rhythm(void **state)
{
	struct world world;
	struct check_set *set;

	(void)state;
	world_init(&world, 1);
	world.backend.check.inter_ms = 1000;
	set = world_checks(&world);
	world_run(&world, 100);
	assert_int_equal(health_of(&world, 0)->checks, 1);
	check_set_free(set);
	set = world_checks(&world);
	world_run(&world, 300);
	assert_int_equal(health_of(&world, 0)->checks, 1);
	world_run(&world, 900);
	assert_int_equal(health_of(&world, 0)->checks, 2);
	check_set_free(set);
	world_deinit(&world);
}

/* What a predecessor noted longer ago than an interval, or what cannot be, does not delay anything. */
static void test_successor_of_long_ago(void **state)
{
	struct world world;
	struct check_set *set;

	(void)state;
	world_init(&world, 2);
	world.backend.check.inter_ms = 60000;
	for (size_t i = 0; i < 2; i++) {
		health_of(&world, i)->health = HEALTH_DOWN;
		health_of(&world, i)->checks = 7;
	}
	health_of(&world, 0)->last_check_ms = 1;
	health_of(&world, 1)->last_check_ms = UINT64_MAX;
	set = world_checks(&world);
	world_run(&world, 50);
	for (size_t i = 0; i < 2; i++) {
		assert_int_equal(health_of(&world, i)->checks, 8);
		assert_int_equal(health_of(&world, i)->streak, 1);
		assert_int_equal(health_of(&world, i)->health, HEALTH_DOWN);
	}
	check_set_free(set);
	world_deinit(&world);
}

static void test_since_when(void **state)
{
	struct world world;
	struct check_set *set;
	uint64_t start_ms = clock_now_ms();

	(void)state;
	world_init(&world, 2);
	world.servers[1].naddrs = 0;
	shutdown(world.listener, SHUT_RDWR);
	set = world_checks(&world);
	/* Up from the beginning: it never came up, so slowstart does not concern it. */
	assert_int_equal(health_of(&world, 0)->last_change_ms, 0);
	assert_int_equal(health_of(&world, 0)->last_check_ms, 0);
	world_run(&world, 30);
	assert_int_equal(health_of(&world, 0)->health, HEALTH_DOWN);
	assert_in_range(health_of(&world, 0)->last_check_ms, start_ms, clock_now_ms());
	assert_in_range(health_of(&world, 0)->last_change_ms, health_of(&world, 0)->last_check_ms,
		clock_now_ms());
	assert_int_equal(health_of(&world, 1)->health, HEALTH_DOWN);
	assert_int_equal(health_of(&world, 1)->result, CHECKED_NO_ADDRESS);
	assert_int_equal(health_of(&world, 1)->checks, 0);
	check_set_free(set);
	world_deinit(&world);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_first_check_within_inter),
		cmocka_unit_test(test_maint_is_not_checked),
		cmocka_unit_test(test_successor_keeps_the_rhythm),
		cmocka_unit_test(test_successor_of_long_ago),
		cmocka_unit_test(test_since_when),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
