/* The same client host goes to the same server, through a table: maglev hashing (Eisenbud and others, "Maglev:
 * A Fast and Reliable Software Network Load Balancer", NSDI 2016, section 3.4). Every server has an order of
 * its own over all entries of the table, from its name; in turn, each takes the first entry of its order that
 * is free. A pick is one look. The table follows from names and weights alone, not from their order in the
 * file: every worker, and every machine that sees the same servers, has the same one. A server that leaves
 * moves its own clients and, of the others', fewer than one in a hundred (of 10 servers).
 *
 * Weights: of W, the greatest weight, a server of weight w takes its turn number k at time (k + 1/2) W / w.
 * No turn is more than W units of time after the one before, so a ring of W + 1 lists holds all that are to
 * come, and making the table takes a few steps an entry whatever the weights.
 */
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "worker/balance/algorithms.h"

/* A prime, so that every stride visits every entry. The same for all backends: if it followed the number
 * of servers, adding one could move all clients. It is 128 KiB of each worker that uses the backend. */
#define MAGLEV_SIZE  65537
#define MAGLEV_NONE  UINT16_MAX
#define MAGLEV_TIMES (BALANCE_WEIGHT_MAX + 1)
#define MAGLEV_STEPS 64 /* from an entry whose server is unwanted to the next ones */

_Static_assert(SHM_SERVERS_MAX < MAGLEV_NONE, "an entry of the table holds any position");

struct maglev_server {
	const char *name; /* borrowed */
	uint32_t index;   /* in conf->servers */
	uint32_t first;   /* its order: the entry it begins with */
	uint32_t stride;  /* and how far the next one is */
	uint32_t at;      /* the entry it would take next */
	uint32_t turns;   /* taken so far */
	uint32_t weight;
	uint16_t position; /* in the list; MAGLEV_NONE when it is not there */
	uint16_t next;     /* of the list of those whose turn is at the same time */
};

struct maglev_turns {
	uint16_t head;
	uint16_t tail;
};

struct maglev {
	uint64_t made_from;            /* of the list that the table stands for */
	uint32_t nservers;             /* of the backend */
	struct maglev_server *servers; /* owned; by name */
	uint16_t *by_index;            /* owned; where in servers the one of conf->servers is */
	struct maglev_turns ring[MAGLEV_TIMES];
	uint16_t table[MAGLEV_SIZE];
};

static int maglev_by_name(const void *a, const void *b)
{
	const struct maglev_server *server_a = a;
	const struct maglev_server *server_b = b;

	return strcmp(server_a->name, server_b->name);
}

struct maglev *maglev_new(const struct conf_backend *conf)
{
	struct maglev *maglev = balance_alloc(1, sizeof(*maglev));

	MUST(conf->nservers <= SHM_SERVERS_MAX);
	maglev->nservers = (uint32_t)conf->nservers;
	maglev->servers = balance_alloc(conf->nservers, sizeof(*maglev->servers));
	maglev->by_index = balance_alloc(conf->nservers, sizeof(*maglev->by_index));
	for (uint32_t i = 0; i < maglev->nservers; i++) {
		struct maglev_server *server = &maglev->servers[i];
		const char *name = conf->servers[i].name;
		XXH128_hash_t hash = XXH3_128bits(name, strlen(name));

		server->name = name;
		server->index = i;
		server->first = (uint32_t)(hash.low64 % MAGLEV_SIZE);
		server->stride = (uint32_t)(hash.high64 % (MAGLEV_SIZE - 1)) + 1;
	}
	qsort(maglev->servers, maglev->nservers, sizeof(*maglev->servers), maglev_by_name);
	for (uint32_t i = 0; i < maglev->nservers; i++)
		maglev->by_index[maglev->servers[i].index] = (uint16_t)i;
	return maglev;
}

void maglev_free(struct maglev *maglev)
{
	if (maglev == NULL)
		return;
	free(maglev->servers);
	free(maglev->by_index);
	free(maglev);
}

/* Never 0. Two lists of the same servers with the same weights are the same to the table. */
static uint64_t maglev_fingerprint(const struct balancer *balancer)
{
	uint64_t print = balancer->nusable;

	for (uint32_t i = 0; i < balancer->nusable; i++) {
		uint64_t x = print ^
			((uint64_t)balancer->usable[i].index << 32 | balancer->usable[i].weight);

		x = (x ^ (x >> 32)) * 0x9e3779b97f4a7c15ULL;
		print = x ^ (x >> 29);
	}
	return print != 0 ? print : 1;
}

static void maglev_turn_add(struct maglev *maglev, uint32_t server, uint64_t time)
{
	struct maglev_turns *turns = &maglev->ring[time % MAGLEV_TIMES];

	maglev->servers[server].next = MAGLEV_NONE;
	if (turns->head == MAGLEV_NONE)
		turns->head = (uint16_t)server;
	else
		maglev->servers[turns->tail].next = (uint16_t)server;
	turns->tail = (uint16_t)server;
}

/* When it is the server's turn next. At least 1 after its last turn, and at most greatest. */
static uint64_t maglev_turn_time(const struct maglev_server *server, uint32_t greatest)
{
	return (2 * (uint64_t)server->turns + 1) * greatest / (2 * (uint64_t)server->weight);
}

/* Everyone of the list is before its first turn. Returns the greatest weight. */
static uint32_t maglev_begin(struct balancer *balancer)
{
	struct maglev *maglev = balancer->maglev;
	uint32_t greatest = 0;

	for (uint32_t i = 0; i < maglev->nservers; i++)
		maglev->servers[i].position = MAGLEV_NONE;
	for (uint32_t i = 0; i < balancer->nusable; i++) {
		const struct usable *usable = &balancer->usable[i];
		struct maglev_server *server = &maglev->servers[maglev->by_index[usable->index]];

		server->position = (uint16_t)i;
		server->weight = usable->weight;
		server->turns = 0;
		server->at = server->first;
		if (usable->weight > greatest)
			greatest = usable->weight;
	}
	MUST(greatest > 0 && greatest <= BALANCE_WEIGHT_MAX);
	for (uint32_t i = 0; i < MAGLEV_TIMES; i++)
		maglev->ring[i].head = MAGLEV_NONE;
	for (uint32_t i = 0; i < maglev->nservers; i++) {
		if (maglev->servers[i].position != MAGLEV_NONE)
			maglev_turn_add(maglev, i, maglev_turn_time(&maglev->servers[i], greatest));
	}
	for (uint32_t i = 0; i < MAGLEV_SIZE; i++)
		maglev->table[i] = MAGLEV_NONE;
	return greatest;
}

static void maglev_take(struct maglev *maglev, struct maglev_server *server)
{
	uint32_t at = server->at;

	while (maglev->table[at] != MAGLEV_NONE) {
		at += server->stride;
		if (at >= MAGLEV_SIZE)
			at -= MAGLEV_SIZE;
	}
	maglev->table[at] = server->position;
	server->at = at;
	server->turns++;
}

void maglev_rebuild(struct balancer *balancer)
{
	struct maglev *maglev = balancer->maglev;
	uint64_t print = maglev_fingerprint(balancer);
	uint32_t greatest;
	uint32_t taken = 0;

	if (print == maglev->made_from)
		return;
	maglev->made_from = print;
	greatest = maglev_begin(balancer);
	for (uint64_t time = 0;; time++) {
		struct maglev_turns *turns = &maglev->ring[time % MAGLEV_TIMES];
		uint16_t i = turns->head;

		turns->head = MAGLEV_NONE;
		while (i != MAGLEV_NONE) {
			struct maglev_server *server = &maglev->servers[i];
			uint16_t next = server->next;

			maglev_take(maglev, server);
			if (++taken == MAGLEV_SIZE)
				return;
			maglev_turn_add(maglev, i, maglev_turn_time(server, greatest));
			i = next;
		}
	}
}

uint32_t maglev_pick(
	const struct balancer *balancer, const struct balance_ask *ask, uint64_t client)
{
	const uint16_t *table = balancer->maglev->table;
	uint32_t entry = (uint32_t)(client % MAGLEV_SIZE);
	uint32_t position = table[entry];

	for (int step = 0; step < MAGLEV_STEPS; step++) {
		if (!balance_unwanted(balancer, ask, position))
			return position;
		entry = entry + 1 < MAGLEV_SIZE ? entry + 1 : 0;
		position = table[entry];
	}
	return balance_wanted_from(balancer, ask, position);
}

static void maglev_init(struct balancer *balancer)
{
	balancer->maglev = maglev_new(balancer->conf);
}

static uint32_t maglev_pick_source(struct balancer *balancer, const struct balance_ask *ask)
{
	if (ask->source_bytes == 0)
		return balance_wanted_from(
			balancer, ask, (uint32_t)(balance_turn(balancer) % balancer->nusable));
	return maglev_pick(balancer, ask, XXH3_64bits(ask->source, ask->source_bytes));
}

const struct balance_algorithm balance_maglev = {
	.init = maglev_init,
	.rebuild = maglev_rebuild,
	.pick = maglev_pick_source,
};
