/* Nothing is kept but in shared memory. Without memory, or a resolver, the checker finds the addresses a little later.
 */
#include "master/first.h"

#include <event2/event.h>
#include <stdlib.h>
#include <string.h>

#include "common/log.h"
#include "common/memory.h"
#include "common/resolver.h"
#include "common/shm.h"
#include "conf/conf.h"

struct first_name {
	struct first *first;               /* borrowed */
	const struct conf_server *servers; /* borrowed; CONF_RESOLVE_MAX of them */
};

struct first {
	struct shm *shm;           /* borrowed */
	struct resolver *resolver; /* owned while resolving */
	struct event *limit;       /* owned timer */
	first_done_fn *on_done;
	void *arg;
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
	/* Not from within the resolver, which is freed then. */
	if (--first->open == 0)
		event_active(first->limit, EV_TIMEOUT, 0);
}

static void first_collect(struct first *first, const struct conf *conf)
{
	first->count = 0;
	for (size_t i = 0; i < conf->nbackends; i++) {
		for (size_t j = 0; j < conf->backends[i].nservers; j++) {
			const struct conf_server *server = &conf->backends[i].servers[j];

			if (!server->dynamic || server->instance != 0 ||
				shm_place_is_current(first->shm, SHM_SERVER, server->place))
				continue;
			if (first->names != NULL)
				first->names[first->count] = (struct first_name){ first, server };
			first->count++;
		}
	}
}

static void first_stop(struct first *first)
{
	if (first->resolver != NULL)
		resolver_free(first->resolver);
	if (first->limit != NULL)
		event_free(first->limit);
	first->resolver = NULL;
	first->limit = NULL;
}

static void on_first_limit(evutil_socket_t fd, short what, void *arg)
{
	struct first *first = arg;

	(void)fd;
	(void)what;
	first_stop(first);
	first->on_done(first->arg);
}

static void first_ask(struct first *first)
{
	for (size_t i = 0; i < first->count; i++) {
		const struct conf_server *server = first->names[i].servers;

		(server->srv ? resolver_lookup_srv : resolver_lookup)(first->resolver,
			server->address.host, FIRST_TIMEOUT_MS, on_first_resolved,
			&first->names[i]);
	}
}

struct first *first_begin(struct event_base *base, const struct conf *conf, struct shm *shm,
	first_done_fn *on_done, void *arg)
{
	const struct timeval limit = { .tv_sec = FIRST_TIMEOUT_MS / 1000 };
	struct first *first = memory_or_exit(calloc(1, sizeof(*first)), "first addresses");
	const char *error;

	first->shm = shm;
	first->on_done = on_done;
	first->arg = arg;
	first->limit = memory_or_exit(evtimer_new(base, on_first_limit, first), "first addresses");
	first_collect(first, conf);
	if (first->count > 0) {
		first->names = memory_or_exit(
			calloc(first->count, sizeof(*first->names)), "first addresses");
		first_collect(first, conf);
		first->resolver = resolver_new(base, &error);
		if (first->resolver == NULL)
			log_warnx("cannot resolve names: %s", error);
	}
	if (first->resolver == NULL) {
		event_active(first->limit, EV_TIMEOUT, 0);
		return first;
	}
	evtimer_add(first->limit, &limit);
	first->open = first->count;
	first_ask(first);
	return first;
}

void first_free(struct first *first)
{
	if (first == NULL)
		return;
	first_stop(first);
	free(first->names);
	free(first);
}

static void on_first_waited(void *arg)
{
	event_base_loopbreak(arg);
}

void first_resolve(const struct conf *conf, struct shm *shm)
{
	struct event_base *base = memory_or_exit(event_base_new(), "first addresses");
	struct first *first = first_begin(base, conf, shm, on_first_waited, base);

	event_base_dispatch(base);
	first_free(first);
	event_base_free(base);
}
