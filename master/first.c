/* A loop of its own, as master/hosts.c has; nothing is kept but in shared memory.
 */
#include "master/first.h"

#include <event2/event.h>
#include <stdlib.h>
#include <string.h>

#include "common/log.h"
#include "common/resolver.h"
#include "conf/conf.h"

struct first;

struct first_name {
	struct first *first;               /* borrowed */
	const struct conf_server *servers; /* borrowed; CONF_RESOLVE_MAX of them */
};

struct first {
	struct shm *shm;
	struct event_base *base;
	size_t open;
	size_t count;
	struct first_name *names; /* owned */
};

static void on_first_resolved(const struct resolver_answer *answer, void *arg)
{
	struct first_name *name = arg;
	struct first *first = name->first;
	struct instance now[CONF_RESOLVE_MAX] = { 0 };
	enum instance_change changes[CONF_RESOLVE_MAX];

	for (size_t i = 0; i < CONF_RESOLVE_MAX; i++)
		(void)instance_read(first->shm, name->servers[i].place, &now[i]);
	if (answer->n > 0)
		instances_assign(
			now, answer->list, answer->n, name->servers->address.port_first, changes);
	for (size_t i = 0; i < CONF_RESOLVE_MAX; i++)
		instance_write(first->shm, name->servers[i].place, &now[i]);
	if (--first->open == 0)
		event_base_loopbreak(first->base);
}

static void first_collect(struct first *first, const struct conf *conf)
{
	for (size_t i = 0; i < conf->nbackends; i++) {
		for (size_t j = 0; j < conf->backends[i].nservers; j++) {
			const struct conf_server *server = &conf->backends[i].servers[j];

			if (!server->dynamic || server->instance != 0)
				continue;
			if (first->names != NULL)
				first->names[first->count] = (struct first_name){ first, server };
			first->count++;
		}
	}
}

static void first_run(struct first *first)
{
	const struct timeval limit = { .tv_sec = FIRST_TIMEOUT_MS / 1000 };
	const char *error;
	struct resolver *resolver = resolver_new(first->base, &error);

	if (resolver == NULL) {
		log_warnx("cannot resolve names: %s", error);
		return;
	}
	first->open = first->count;
	for (size_t i = 0; i < first->count; i++) {
		const struct conf_server *server = first->names[i].servers;

		(server->srv ? resolver_lookup_srv : resolver_lookup)(resolver,
			server->address.host, FIRST_TIMEOUT_MS, on_first_resolved,
			&first->names[i]);
	}
	event_base_loopexit(first->base, &limit);
	event_base_dispatch(first->base);
	resolver_free(resolver);
}

void first_resolve(const struct conf *conf, struct shm *shm)
{
	struct first first = { .shm = shm };

	first_collect(&first, conf);
	if (first.count == 0)
		return;
	first.names = calloc(first.count, sizeof(*first.names));
	first.base = event_base_new();
	if (first.names != NULL && first.base != NULL) {
		first.count = 0;
		first_collect(&first, conf);
		first_run(&first);
	}
	if (first.base != NULL)
		event_base_free(first.base);
	free(first.names);
}
