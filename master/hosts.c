/* Collects the names, runs the resolver until each is answered, hands the answers out. Not here: names
 * that are looked up again later.
 */
#include "master/hosts.h"

#include <event2/event.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <uthash.h>

#include "common/clock.h"
#include "common/log.h"
#include "common/resolver.h"
#include "conf/arena.h"
#include "conf/conf.h"

struct host {
	struct hosts *hosts; /* borrowed */
	const char *host;    /* borrowed, the configuration's; the key */
	size_t naddrs;
	struct sockaddr_any addrs[CONF_SERVER_ADDRS_MAX];
	char error[128];
	UT_hash_handle hh;
};

struct hosts {
	struct event_base *base; /* owned while resolving */
	struct host *all;        /* owned */
	size_t open;             /* not answered yet */
};

static struct host *hosts_get(const struct hosts *hosts, const char *host)
{
	struct host *name;

	HASH_FIND_STR(hosts->all, host, name);
	return name;
}

static void hosts_add(struct hosts *hosts, const struct address *address)
{
	struct host *name;

	if (address->kind != ADDRESS_NAME || hosts_get(hosts, address->host) != NULL)
		return;
	name = calloc(1, sizeof(*name));
	if (name == NULL) {
		log_fatal("hosts");
		exit(1);
	}
	name->hosts = hosts;
	name->host = address->host;
	snprintf(name->error, sizeof(name->error), "no answer in %d ms", HOSTS_TIMEOUT_MS);
	HASH_ADD_KEYPTR(hh, hosts->all, name->host, strlen(name->host), name);
	hosts->open++;
}

static void hosts_collect(struct hosts *hosts, const struct conf *conf)
{
	for (size_t i = 0; i < conf->nfrontends; i++) {
		for (size_t j = 0; j < conf->frontends[i].nbinds; j++)
			hosts_add(hosts, &conf->frontends[i].binds[j]);
	}
	for (size_t i = 0; i < conf->nbackends; i++) {
		for (size_t j = 0; j < conf->backends[i].nservers; j++)
			hosts_add(hosts, &conf->backends[i].servers[j].address);
	}
}

static void on_host_resolved(
	const struct sockaddr_any *addrs, size_t n, const char *error, void *arg)
{
	struct host *name = arg;

	name->naddrs = n < CONF_SERVER_ADDRS_MAX ? n : CONF_SERVER_ADDRS_MAX;
	if (name->naddrs > 0)
		memcpy(name->addrs, addrs, name->naddrs * sizeof(addrs[0]));
	if (error != NULL)
		snprintf(name->error, sizeof(name->error), "%s", error);
	if (--name->hosts->open == 0)
		event_base_loopbreak(name->hosts->base);
}

/* Returns NULL when every name was asked for and answered, or given up on. */
static const char *hosts_run(struct hosts *hosts)
{
	const struct timeval limit = { .tv_sec = HOSTS_TIMEOUT_MS / 1000 };
	struct resolver *resolver;
	const char *error = NULL;

	if (hosts->open == 0)
		return NULL;
	hosts->base = event_base_new();
	if (hosts->base == NULL)
		return "no event loop";
	resolver = resolver_new(hosts->base, &error);
	if (resolver != NULL) {
		for (struct host *name = hosts->all; name != NULL; name = name->hh.next)
			resolver_lookup(
				resolver, name->host, HOSTS_TIMEOUT_MS, on_host_resolved, name);
		event_base_loopexit(hosts->base, &limit);
		event_base_dispatch(hosts->base);
		resolver_free(resolver);
		error = NULL;
	}
	event_base_free(hosts->base);
	hosts->base = NULL;
	return error;
}

static void hosts_give(const struct hosts *hosts, struct conf *conf,
	const struct conf_backend *backend, struct conf_server *server)
{
	const struct sockaddr_any *addrs;
	const char *error;
	size_t n;

	if (server->address.kind != ADDRESS_NAME)
		return;
	n = hosts_find(hosts, server->address.host, &addrs, &error);
	server->naddrs = n;
	if (n == 0) {
		log_warnx("%s/%s: cannot resolve %s: %s; the server is down", backend->name,
			server->name, server->address.host, error);
		return;
	}
	server->addrs = arena_alloc(conf->arena, n * sizeof(addrs[0]));
	memcpy(server->addrs, addrs, n * sizeof(addrs[0]));
	for (size_t i = 0; i < n; i++)
		sockaddr_set_port(&server->addrs[i], server->address.port_first);
}

struct hosts *hosts_resolve(struct conf *conf)
{
	struct hosts *hosts = calloc(1, sizeof(*hosts));
	const char *error;

	if (hosts == NULL) {
		log_error("hosts");
		return NULL;
	}
	hosts_collect(hosts, conf);
	error = hosts_run(hosts);
	if (error != NULL) {
		log_errorx("cannot resolve names: %s", error);
		hosts_free(hosts);
		return NULL;
	}
	for (size_t i = 0; i < conf->nbackends; i++) {
		for (size_t j = 0; j < conf->backends[i].nservers; j++)
			hosts_give(hosts, conf, &conf->backends[i], &conf->backends[i].servers[j]);
	}
	return hosts;
}

void hosts_free(struct hosts *hosts)
{
	struct host *name;
	struct host *next;

	if (hosts == NULL)
		return;
	HASH_ITER(hh, hosts->all, name, next) {
		HASH_DEL(hosts->all, name);
		free(name);
	}
	free(hosts);
}

size_t hosts_find(const struct hosts *hosts, const char *host, const struct sockaddr_any **addrs_r,
	const char **error_r)
{
	const struct host *name = hosts_get(hosts, host);

	MUST(name != NULL);
	*addrs_r = name->addrs;
	*error_r = name->error;
	return name->naddrs;
}
