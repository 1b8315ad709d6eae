/* A draft without problems becomes the value that the rest of the daemon sees.
 */
#include <stdlib.h>
#include <string.h>

#include "conf/arena.h"
#include "conf/draft.h"

/* What needs no resolver: a literal or a path is one address. */
static size_t freeze_addrs(
	struct arena *arena, const struct address *address, struct sockaddr_any **addrs_r)
{
	struct sockaddr_any addr;
	int result = -1;

	if (address->kind == ADDRESS_LITERAL)
		result = sockaddr_from_literal(address->host, address->port_first, &addr);
	else if (address->kind == ADDRESS_UNIX)
		result = sockaddr_from_path(address->host, &addr);
	if (result == -1)
		return 0;
	*addrs_r = arena_alloc(arena, sizeof(addr));
	**addrs_r = addr;
	return 1;
}

static void freeze_server(struct arena *arena, struct conf_server *server)
{
	server->naddrs = freeze_addrs(arena, &server->address, &server->addrs);
	server->has_check_address = server->check_address.text != NULL;
	if (server->has_check_address)
		server->ncheck_addrs =
			freeze_addrs(arena, &server->check_address, &server->check_addrs);
}

static bool freeze_is_name(const struct conf_server *server)
{
	return server->resolve || server->srv;
}

/* A name that is looked up again and again: as many servers as it may become. */
static void freeze_instances(
	struct arena *arena, struct conf_backend *backend, const struct conf_server *written)
{
	for (uint32_t i = 0; i < CONF_RESOLVE_MAX; i++) {
		struct conf_server *server = &backend->servers[backend->nservers++];

		*server = *written;
		server->name = arena_printf(arena, "%s#%u", written->name, i + 1);
		server->dynamic = true;
		server->instance = i;
		server->written = written;
	}
}

static void freeze_servers(struct arena *arena, struct conf_backend *backend)
{
	size_t n = 0;

	for (size_t i = 0; i < backend->nwritten; i++)
		n += freeze_is_name(&backend->written[i]) ? CONF_RESOLVE_MAX : 1;
	backend->servers = arena_alloc(arena, n * sizeof(*backend->servers));
	for (size_t i = 0; i < backend->nwritten; i++) {
		if (freeze_is_name(&backend->written[i]))
			freeze_instances(arena, backend, &backend->written[i]);
		else
			backend->servers[backend->nservers++] = backend->written[i];
	}
}

static void freeze_check(struct conf_check *check)
{
	if (check->fastinter_ms == 0)
		check->fastinter_ms = check->inter_ms;
	if (check->downinter_ms == 0)
		check->downinter_ms = check->inter_ms;
}

static void freeze_backend(
	struct arena *arena, struct draft_backend *draft, struct conf_backend *backend)
{
	struct draft_server *server;

	draft->frozen = backend;
	*backend = draft->conf;
	freeze_check(&backend->check);
	backend->written = arena_alloc(arena, draft->nservers * sizeof(*backend->written));
	for (server = TAILQ_FIRST(&draft->servers); server != NULL;
		server = TAILQ_NEXT(server, next)) {
		freeze_server(arena, &server->conf);
		backend->written[backend->nwritten++] = server->conf;
	}
	freeze_servers(arena, backend);
}

static void freeze_frontend(
	struct arena *arena, const struct draft_frontend *draft, struct conf_frontend *frontend)
{
	size_t bytes = draft->bind.count * sizeof(*frontend->binds);

	*frontend = draft->conf;
	frontend->binds = memcpy(arena_alloc(arena, bytes), draft->bind.list, bytes);
	frontend->nbinds = draft->bind.count;
	if (draft->backend != NULL)
		frontend->backend = draft->backend->frozen;
	if (frontend->service != SERVICE_HTTP)
		frontend->message = "";
}

struct conf *draft_freeze(struct draft *draft)
{
	struct arena *arena = draft->arena;
	struct conf *conf = arena_alloc(arena, sizeof(*conf));
	struct draft_frontend *frontend;
	struct draft_backend *backend;

	draft->arena = NULL;
	conf->arena = arena;
	conf->global = draft->global;
	conf->backends = arena_alloc(arena, draft->nbackends * sizeof(*conf->backends));
	for (backend = TAILQ_FIRST(&draft->backends); backend != NULL;
		backend = TAILQ_NEXT(backend, next))
		freeze_backend(arena, backend, &conf->backends[conf->nbackends++]);
	conf->frontends = arena_alloc(arena, draft->nfrontends * sizeof(*conf->frontends));
	for (frontend = TAILQ_FIRST(&draft->frontends); frontend != NULL;
		frontend = TAILQ_NEXT(frontend, next))
		freeze_frontend(arena, frontend, &conf->frontends[conf->nfrontends++]);
	return conf;
}

void conf_free(struct conf *conf)
{
	if (conf != NULL)
		arena_free(conf->arena);
}
