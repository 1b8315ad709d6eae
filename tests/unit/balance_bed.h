/* A backend made by hand over shared memory of its own, for the tests of worker/balance. Its servers are "a",
 * "b" and so on to those who read the sequences of picks, s0, s1 and so on by name.
 */
#ifndef PROXYD_TESTS_UNIT_BALANCE_BED_H
#define PROXYD_TESTS_UNIT_BALANCE_BED_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/must.h"
#include "common/shm.h"
#include "conf/conf.h"
#include "worker/balance/balance.h"
#include "worker/balance/passive.h"

#define PICKS 100000

struct bed {
	struct shm *shm;
	struct conf_backend conf;
	char (*names)[24];
	struct sockaddr_any addr;
	struct balancer *balancer;
	struct balance_ask ask;
};

static inline struct shm_admin *bed_admin(struct bed *bed, size_t server)
{
	return &shm_master(bed->shm)->admin[bed->conf.servers[server].place];
}

static inline struct shm_shared_server *bed_shared(struct bed *bed, size_t server)
{
	return &shm_shared(bed->shm)->servers[bed->conf.servers[server].place];
}

static inline struct shm_shared_backend *bed_backend(struct bed *bed)
{
	return &shm_shared(bed->shm)->backends[bed->conf.place];
}

/* Something of a server was changed by hand. */
static inline void bed_changed(struct bed *bed)
{
	bed_backend(bed)->epoch++;
}

/* A worker that has not looked yet; after conf was changed by hand. */
static inline void bed_renew(struct bed *bed)
{
	balancer_free(bed->balancer);
	bed->balancer = balancer_new(&bed->conf, bed->shm, 42);
}

static inline void bed_conf(struct bed *bed, enum conf_balance balance, size_t n)
{
	bed->conf.name = "b";
	bed->conf.place = 7;
	bed->conf.balance = balance;
	bed->conf.random_draws = 2;
	bed->conf.passive = (struct conf_passive){
		.max_fails = 3, .window_ms = 10000, .eject_ms = 5000, .max_ejected_pct = 50
	};
	bed->conf.nservers = n;
	bed->conf.servers = calloc(n + 1, sizeof(*bed->conf.servers));
	bed->names = calloc(n + 1, sizeof(*bed->names));
	for (size_t i = 0; i < n; i++) {
		snprintf(bed->names[i], sizeof(bed->names[i]), "s%zu", i);
		bed->conf.servers[i] = (struct conf_server){
			.name = bed->names[i],
			.place = (uint32_t)i + 100,
			.naddrs = 1,
			.addrs = &bed->addr,
		};
	}
}

/* weights NULL: all of them 1. */
static inline void bed_open(
	struct bed *bed, enum conf_balance balance, size_t n, const uint32_t *weights)
{
	const char *error;

	memset(bed, 0, sizeof(*bed));
	bed->shm = shm_create(16, &error);
	assert_non_null(bed->shm);
	assert_int_equal(sockaddr_from_literal("127.0.0.1", 80, &bed->addr), 0);
	bed_conf(bed, balance, n);
	for (size_t i = 0; i < n; i++)
		bed_admin(bed, i)->weight = weights != NULL ? weights[i] : 1;
	bed->balancer = balancer_new(&bed->conf, bed->shm, 42);
	bed->ask.now_ms = 1000000;
}

static inline void bed_close(struct bed *bed)
{
	balancer_free(bed->balancer);
	shm_free(bed->shm);
	free(bed->conf.servers);
	free(bed->names);
}

static inline void bed_health(struct bed *bed, size_t server, enum health health)
{
	struct shm_health *state = &shm_checker(bed->shm)->servers[bed->conf.servers[server].place];

	state->health = health;
	state->last_change_ms = bed->ask.now_ms;
	bed_changed(bed);
}

/* Fails as often as it takes. Returns what the last failure returned. */
static inline uint32_t bed_eject(struct bed *bed, uint32_t server)
{
	uint32_t ms = 0;

	for (uint32_t i = 0; i < bed->conf.passive.max_fails; i++) {
		assert_int_equal(ms, 0);
		ms = passive_failed(&bed->conf, bed->shm, server, bed->ask.now_ms);
	}
	return ms;
}

static inline int bed_pick(struct bed *bed)
{
	return balancer_pick(bed->balancer, &bed->ask);
}

static inline int bed_pick_but(struct bed *bed, const uint32_t *tried, size_t ntried)
{
	struct balance_ask ask = bed->ask;

	ask.tried = tried;
	ask.ntried = ntried;
	return balancer_pick(bed->balancer, &ask);
}

static inline int bed_pick_source(struct bed *bed, uint32_t client)
{
	struct balance_ask ask = bed->ask;

	ask.source = &client;
	ask.source_bytes = sizeof(client);
	return balancer_pick(bed->balancer, &ask);
}

/* The next picks are these servers, "a" for the first, "-" for nobody and "!" for all full. */
static inline void expect_picks(struct bed *bed, const char *picks)
{
	char got[64] = "";

	for (size_t i = 0; picks[i] != '\0'; i++) {
		int pick = bed_pick(bed);

		got[i] = pick == BALANCE_NOBODY ? '-'
			: pick == BALANCE_FULL  ? '!'
						: (char)('a' + pick);
	}
	assert_string_equal(got, picks);
}

#endif
