/* Collects the names, runs the resolver until each is answered, hands the answers out. Not here: names
 * that are looked up again later.
 */
#include "master/hosts.h"

#include <event2/event.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/log.h"
#include "common/memory.h"
#include "common/resolver.h"
#include "conf/arena.h"
#include "conf/conf.h"

struct host {
	struct hosts *hosts; /* borrowed */
	const char *name;    /* borrowed, the configuration's */
	size_t naddrs;
	struct sockaddr_any addrs[CONF_SERVER_ADDRS_MAX];
	char error[128];
};

struct hosts {
	struct resolver *resolver; /* owned while resolving */
	struct event *limit;       /* owned timer; the same */
	const char *error;         /* static: no resolver was to be had */
	hosts_done_fn *on_done;
	void *arg;
	size_t count;
	struct host *all; /* owned, in the order of their names, each once */
	size_t open;      /* not answered yet */
};

/* The names of all addresses, with repetitions, in an array that the caller frees. */
static size_t hosts_collect(const struct conf *conf, const char ***names_r)
{
	const struct address *admin = &conf->global.admin.bind;
	size_t most = 2;
	size_t n = 0;
	const char **names;

	for (size_t i = 0; i < conf->nfrontends; i++)
		most += conf->frontends[i].nbinds;
	for (size_t i = 0; i < conf->nbackends; i++)
		most += 2 * conf->backends[i].nservers;
	names = memory_or_exit(calloc(most, sizeof(const char *)), "hosts");
	if (admin->text != NULL && admin->kind == ADDRESS_NAME)
		names[n++] = admin->host;
	for (size_t i = 0; i < conf->nfrontends; i++) {
		for (size_t j = 0; j < conf->frontends[i].nbinds; j++) {
			if (conf->frontends[i].binds[j].kind == ADDRESS_NAME)
				names[n++] = conf->frontends[i].binds[j].host;
		}
	}
	for (size_t i = 0; i < conf->nbackends; i++) {
		for (size_t j = 0; j < conf->backends[i].nservers; j++) {
			const struct conf_server *server = &conf->backends[i].servers[j];

			if (server->address.kind == ADDRESS_NAME && !server->dynamic)
				names[n++] = server->address.host;
			if (server->has_check_address && server->check_address.kind == ADDRESS_NAME)
				names[n++] = server->check_address.host;
		}
	}
	*names_r = names;
	return n;
}

static int hosts_compare_names(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static void hosts_fill(struct hosts *hosts, const struct conf *conf)
{
	const char **names;
	size_t n = hosts_collect(conf, &names);

	qsort(names, n, sizeof(const char *), hosts_compare_names);
	hosts->all = memory_or_exit(calloc(n + 1, sizeof(struct host)), "hosts");
	for (size_t i = 0; i < n; i++) {
		struct host *host = &hosts->all[hosts->count];

		if (i > 0 && strcmp(names[i - 1], names[i]) == 0)
			continue;
		host->hosts = hosts;
		host->name = names[i];
		snprintf(host->error, sizeof(host->error), "no answer in %d ms", HOSTS_TIMEOUT_MS);
		hosts->count++;
	}
	hosts->open = hosts->count;
	free(names);
}

static void on_host_resolved(const struct resolver_answer *answer, void *arg)
{
	struct host *host = arg;

	host->naddrs = answer->n < CONF_SERVER_ADDRS_MAX ? answer->n : CONF_SERVER_ADDRS_MAX;
	for (size_t i = 0; i < host->naddrs; i++)
		host->addrs[i] = answer->list[i].addr;
	if (answer->error != NULL)
		snprintf(host->error, sizeof(host->error), "%s", answer->error);
	/* Not from within the resolver, which is freed then. */
	if (--host->hosts->open == 0)
		event_active(host->hosts->limit, EV_TIMEOUT, 0);
}

static void hosts_stop(struct hosts *hosts)
{
	if (hosts->resolver != NULL)
		resolver_free(hosts->resolver);
	if (hosts->limit != NULL)
		event_free(hosts->limit);
	hosts->resolver = NULL;
	hosts->limit = NULL;
}

static void on_hosts_limit(evutil_socket_t fd, short what, void *arg)
{
	struct hosts *hosts = arg;

	(void)fd;
	(void)what;
	hosts_stop(hosts);
	hosts->on_done(hosts->error, hosts->arg);
}

struct hosts *hosts_begin(
	struct event_base *base, const struct conf *conf, hosts_done_fn *on_done, void *arg)
{
	const struct timeval limit = { .tv_sec = HOSTS_TIMEOUT_MS / 1000 };
	struct hosts *hosts = memory_or_exit(calloc(1, sizeof(*hosts)), "hosts");

	hosts->on_done = on_done;
	hosts->arg = arg;
	hosts_fill(hosts, conf);
	hosts->limit = memory_or_exit(evtimer_new(base, on_hosts_limit, hosts), "hosts");
	if (hosts->open > 0)
		hosts->resolver = resolver_new(base, &hosts->error);
	if (hosts->resolver == NULL) {
		event_active(hosts->limit, EV_TIMEOUT, 0);
		return hosts;
	}
	hosts->error = NULL;
	evtimer_add(hosts->limit, &limit);
	for (size_t i = 0; i < hosts->count; i++)
		resolver_lookup(hosts->resolver, hosts->all[i].name, HOSTS_TIMEOUT_MS,
			on_host_resolved, &hosts->all[i]);
	return hosts;
}

/* The addresses of one name, in the arena, with the port of address. Returns their number; with none,
 * *error_r says why. */
static size_t hosts_copy(const struct hosts *hosts, struct arena *arena,
	const struct address *address, struct sockaddr_any **addrs_r, const char **error_r)
{
	const struct sockaddr_any *addrs;
	size_t n = hosts_find(hosts, address->host, &addrs, error_r);

	if (n == 0)
		return 0;
	*addrs_r = arena_alloc(arena, n * sizeof(addrs[0]));
	memcpy(*addrs_r, addrs, n * sizeof(addrs[0]));
	for (size_t i = 0; i < n; i++)
		sockaddr_set_port(&(*addrs_r)[i], address->port_first);
	return n;
}

/* What a name had before: the server that is called the same in the backend that is called the same. */
static const struct conf_server *hosts_before(const struct conf *before,
	const struct conf_backend *backend, const struct conf_server *server)
{
	for (size_t i = 0; before != NULL && i < before->nbackends; i++) {
		const struct conf_backend *old = &before->backends[i];

		if (strcmp(old->name, backend->name) != 0)
			continue;
		for (size_t j = 0; j < old->nservers; j++) {
			if (strcmp(old->servers[j].name, server->name) == 0 &&
				strcmp(old->servers[j].address.text, server->address.text) == 0)
				return &old->servers[j];
		}
	}
	return NULL;
}

static void hosts_keep(struct conf *conf, const struct conf_server *old, struct conf_server *server)
{
	const size_t bytes = old->naddrs * sizeof(old->addrs[0]);

	server->naddrs = old->naddrs;
	server->addrs = memcpy(arena_alloc(conf->arena, bytes), old->addrs, bytes);
}

static void hosts_give_address(const struct hosts *hosts, struct conf *conf,
	const struct conf *before, const struct conf_backend *backend, struct conf_server *server)
{
	const struct conf_server *old;
	const char *error;

	server->naddrs = hosts_copy(hosts, conf->arena, &server->address, &server->addrs, &error);
	if (server->naddrs > 0)
		return;
	old = hosts_before(before, backend, server);
	if (old != NULL && old->naddrs > 0) {
		log_warnx("%s/%s: cannot resolve %s: %s; the server keeps the addresses it had",
			backend->name, server->name, server->address.host, error);
		hosts_keep(conf, old, server);
		return;
	}
	log_warnx("%s/%s: cannot resolve %s: %s; the server is down", backend->name, server->name,
		server->address.host, error);
}

static void hosts_give_check(const struct hosts *hosts, struct conf *conf,
	const struct conf_backend *backend, struct conf_server *server)
{
	const char *error;

	server->ncheck_addrs = hosts_copy(
		hosts, conf->arena, &server->check_address, &server->check_addrs, &error);
	if (server->ncheck_addrs == 0)
		log_warnx("%s/%s: cannot resolve %s: %s; its checks fail", backend->name,
			server->name, server->check_address.host, error);
}

void hosts_give(const struct hosts *hosts, struct conf *conf, const struct conf *before)
{
	for (size_t i = 0; i < conf->nbackends; i++) {
		const struct conf_backend *backend = &conf->backends[i];

		for (size_t j = 0; j < backend->nservers; j++) {
			struct conf_server *server = &backend->servers[j];

			if (server->address.kind == ADDRESS_NAME && !server->dynamic)
				hosts_give_address(hosts, conf, before, backend, server);
			if (server->has_check_address && server->check_address.kind == ADDRESS_NAME)
				hosts_give_check(hosts, conf, backend, server);
		}
	}
}

/* ------------------------------------------------------------------ at once */

struct hosts_wait {
	struct event_base *base;
	const char *error;
};

static void on_hosts_waited(const char *error, void *arg)
{
	struct hosts_wait *wait = arg;

	wait->error = error;
	event_base_loopbreak(wait->base);
}

struct hosts *hosts_resolve(struct conf *conf)
{
	struct hosts_wait wait = { .base = event_base_new() };
	struct hosts *hosts;

	if (wait.base == NULL) {
		log_errorx("cannot resolve names: no event loop");
		return NULL;
	}
	hosts = hosts_begin(wait.base, conf, on_hosts_waited, &wait);
	event_base_dispatch(wait.base);
	hosts_stop(hosts);
	event_base_free(wait.base);
	if (wait.error != NULL) {
		log_errorx("cannot resolve names: %s", wait.error);
		hosts_free(hosts);
		return NULL;
	}
	hosts_give(hosts, conf, NULL);
	return hosts;
}

void hosts_free(struct hosts *hosts)
{
	if (hosts == NULL)
		return;
	hosts_stop(hosts);
	free(hosts->all);
	free(hosts);
}

static int hosts_compare_key(const void *key, const void *element)
{
	return strcmp(key, ((const struct host *)element)->name);
}

size_t hosts_find(const struct hosts *hosts, const char *name, const struct sockaddr_any **addrs_r,
	const char **error_r)
{
	const struct host *host =
		bsearch(name, hosts->all, hosts->count, sizeof(struct host), hosts_compare_key);

	MUST(host != NULL);
	*addrs_r = host->addrs;
	*error_r = host->error;
	return host->naddrs;
}
