/* Each name has its own rhythm: again after the time to live that the answer had, or sooner and then ever
 * later while it does not resolve.
 */
#include "worker/checker/lookups.h"

#include <event2/event.h>
#include <event2/event_struct.h>
#include <stdlib.h>
#include <string.h>

#include "common/child.h"
#include "common/log.h"
#include "common/resolver.h"
#include "conf/conf.h"
#include "worker/checker/check.h"
#include "worker/checker/verdict.h"

#define LOOKUP_TIMEOUT_MS  5000
#define LOOKUP_TTL_MIN_S   1
#define LOOKUP_TTL_MAX_S   300
#define LOOKUP_NO_TTL_S    10
#define LOOKUP_RETRY_MIN_S 2
#define LOOKUP_RETRY_MAX_S 60

struct lookup_name {
	struct lookups *lookups;            /* borrowed */
	const struct conf_backend *backend; /* borrowed */
	const struct conf_server *servers;  /* borrowed; CONF_RESOLVE_MAX of them */
	struct event timer;
	uint32_t retry_s; /* of the failure before; 0: it resolved */
	size_t too_many;  /* how many addresses were said to be too many */
};

struct lookups {
	struct event_base *base;   /* borrowed */
	struct shm *shm;           /* borrowed */
	struct check_set *checks;  /* borrowed */
	struct resolver *resolver; /* owned */
	size_t count;
	struct lookup_name *names; /* owned */
};

static void lookup_later(struct lookup_name *name, uint32_t after_s)
{
	const struct timeval after = { .tv_sec = after_s };

	if (event_add(&name->timer, &after) < 0) {
		log_fatalx("no memory for a timer");
		exit(EXIT_CODE_FAILED);
	}
}

/* A service's servers differ by port, too. */
static const char *lookup_format(
	const struct lookup_name *name, const struct instance *instance, char *buf, size_t bytes)
{
	char *end;

	sockaddr_format(&instance->addr, buf, bytes);
	end = strrchr(buf, ':');
	if (!name->servers->srv && end != NULL)
		*end = '\0';
	return buf;
}

/* ------------------------------------------------------------------ changes */

static void lookup_add(
	struct lookup_name *name, const struct conf_server *server, const struct instance *instance)
{
	char text[SOCKADDR_TEXT_MAX];

	verdict_forget(name->lookups->shm, name->backend, server);
	instance_write(name->lookups->shm, server->place, instance);
	verdict_begin(name->lookups->shm, name->backend, server);
	check_set_address_changed(name->lookups->checks, server);
	log_info("%s/%s: %s added as %s", name->backend->name, name->servers->written->name,
		lookup_format(name, instance, text, sizeof(text)), server->name);
}

static void lookup_remove(
	struct lookup_name *name, const struct conf_server *server, const struct instance *before)
{
	const struct instance none = { 0 };
	char text[SOCKADDR_TEXT_MAX];

	instance_write(name->lookups->shm, server->place, &none);
	check_set_address_changed(name->lookups->checks, server);
	verdict_forget(name->lookups->shm, name->backend, server);
	log_info("%s/%s: %s removed, it was %s", name->backend->name, name->servers->written->name,
		lookup_format(name, before, text, sizeof(text)), server->name);
}

static void lookup_rate(
	struct lookup_name *name, const struct conf_server *server, const struct instance *instance)
{
	char text[SOCKADDR_TEXT_MAX];

	instance_write(name->lookups->shm, server->place, instance);
	log_info("%s/%s: %s (%s) has weight %u now%s", name->backend->name,
		name->servers->written->name, server->name,
		lookup_format(name, instance, text, sizeof(text)), instance->weight,
		instance->backup ? " and is backup" : "");
}

static void lookup_apply(struct lookup_name *name, const struct conf_server *server,
	enum instance_change change, const struct instance *before, const struct instance *now)
{
	struct lookups *lookups = name->lookups;

	switch (change) {
	case INSTANCE_SAME:
		return;
	case INSTANCE_ADDED:
		lookup_add(name, server, now);
		break;
	case INSTANCE_REMOVED:
		lookup_remove(name, server, before);
		break;
	case INSTANCE_REPLACED:
		lookup_remove(name, server, before);
		lookup_add(name, server, now);
		break;
	case INSTANCE_RATED:
		lookup_rate(name, server, now);
		break;
	}
	shm_backend_changed(lookups->shm, name->backend->place);
}

/* ------------------------------------------------------------------ answers */

static void lookup_read(
	const struct lookup_name *name, struct instance now[CONF_RESOLVE_MAX], size_t *n_r)
{
	*n_r = 0;
	for (size_t i = 0; i < CONF_RESOLVE_MAX; i++)
		*n_r += instance_read(name->lookups->shm, name->servers[i].place, &now[i]);
}

static void lookup_failed(struct lookup_name *name, const char *error)
{
	struct instance now[CONF_RESOLVE_MAX];
	size_t n;

	lookup_read(name, now, &n);
	if (name->retry_s == 0)
		log_warnx("%s/%s: cannot resolve %s: %s; %s", name->backend->name,
			name->servers->written->name, name->servers->address.host, error,
			n > 0 ? "its last addresses stay" : "it has no address");
	if (name->retry_s == 0)
		name->retry_s = LOOKUP_RETRY_MIN_S;
	else if (name->retry_s < LOOKUP_RETRY_MAX_S / 2)
		name->retry_s *= 2;
	else
		name->retry_s = LOOKUP_RETRY_MAX_S;
	lookup_later(name, name->retry_s);
}

static void lookup_say(struct lookup_name *name, size_t n)
{
	if (name->retry_s != 0)
		log_info("%s/%s: %s resolves again", name->backend->name,
			name->servers->written->name, name->servers->address.host);
	name->retry_s = 0;
	if (n > CONF_RESOLVE_MAX && n != name->too_many)
		log_warnx("%s/%s: %s has %zu%s addresses, %u of them are used", name->backend->name,
			name->servers->written->name, name->servers->address.host, n,
			n == RESOLVER_ADDRS_MAX ? " or more" : "", CONF_RESOLVE_MAX);
	name->too_many = n > CONF_RESOLVE_MAX ? n : 0;
}

static void on_name_resolved(const struct resolver_answer *answer, void *arg)
{
	struct lookup_name *name = arg;
	struct instance before[CONF_RESOLVE_MAX], now[CONF_RESOLVE_MAX];
	enum instance_change changes[CONF_RESOLVE_MAX];
	uint32_t ttl_s = answer->ttl_s;
	size_t n;

	if (answer->n == 0) {
		lookup_failed(name, answer->error);
		return;
	}
	lookup_read(name, before, &n);
	memcpy(now, before, sizeof(now));
	n = instances_assign(
		now, answer->list, answer->n, name->servers->address.port_first, changes);
	lookup_say(name, n);
	for (size_t i = 0; i < CONF_RESOLVE_MAX; i++)
		lookup_apply(name, &name->servers[i], changes[i], &before[i], &now[i]);
	if (ttl_s == RESOLVER_NO_TTL)
		ttl_s = LOOKUP_NO_TTL_S;
	if (ttl_s < LOOKUP_TTL_MIN_S)
		ttl_s = LOOKUP_TTL_MIN_S;
	lookup_later(name, ttl_s < LOOKUP_TTL_MAX_S ? ttl_s : LOOKUP_TTL_MAX_S);
}

static void on_name_timer(evutil_socket_t fd, short what, void *arg)
{
	struct lookup_name *name = arg;
	const struct conf_server *server = name->servers;

	(void)fd;
	(void)what;
	(server->srv ? resolver_lookup_srv : resolver_lookup)(name->lookups->resolver,
		server->address.host, LOOKUP_TIMEOUT_MS, on_name_resolved, name);
}

/* ------------------------------------------------------------------ new and free */

static size_t lookups_collect(struct lookups *lookups, const struct conf *conf)
{
	size_t count = 0;

	for (size_t i = 0; i < conf->nbackends; i++) {
		for (size_t j = 0; j < conf->backends[i].nservers; j++) {
			const struct conf_server *server = &conf->backends[i].servers[j];

			if (!server->dynamic || server->instance != 0)
				continue;
			if (lookups != NULL) {
				lookups->names[count].lookups = lookups;
				lookups->names[count].backend = &conf->backends[i];
				lookups->names[count].servers = server;
			}
			count++;
		}
	}
	return count;
}

static void *lookups_memory(void *memory)
{
	if (memory == NULL) {
		log_fatalx("no memory for the names");
		exit(EXIT_CODE_FAILED);
	}
	return memory;
}

struct lookups *lookups_new(
	struct event_base *base, const struct conf *conf, struct shm *shm, struct check_set *checks)
{
	size_t count = lookups_collect(NULL, conf);
	struct lookups *lookups;
	const char *error;

	if (count == 0)
		return NULL;
	lookups = lookups_memory(calloc(1, sizeof(*lookups)));
	lookups->names = lookups_memory(calloc(count, sizeof(*lookups->names)));
	lookups->base = base;
	lookups->shm = shm;
	lookups->checks = checks;
	lookups->resolver = resolver_new(base, &error);
	if (lookups->resolver == NULL) {
		log_errorx("cannot resolve names: %s", error);
		free(lookups->names);
		free(lookups);
		return NULL;
	}
	lookups->count = lookups_collect(lookups, conf);
	for (size_t i = 0; i < count; i++) {
		evtimer_assign(&lookups->names[i].timer, base, on_name_timer, &lookups->names[i]);
		lookup_later(&lookups->names[i], 0);
	}
	return lookups;
}

void lookups_free(struct lookups *lookups)
{
	if (lookups == NULL)
		return;
	resolver_free(lookups->resolver);
	for (size_t i = 0; i < lookups->count; i++)
		event_del(&lookups->names[i].timer);
	free(lookups->names);
	free(lookups);
}
