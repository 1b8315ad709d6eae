/* From the listening sockets of one configuration to those of the next: what stays is passed on, never closed and opened
 * again.
 */
#include <stdlib.h>
#include <string.h>

#include "common/log.h"
#include "common/memory.h"
#include "conf/conf.h"
#include "master/listen/bindings_impl.h"

static bool endpoint_same_address(const struct endpoint *a, const struct endpoint *b)
{
	return sockaddr_equal(&a->addr, &b->addr);
}

/* Which of the present ones has its address; LISTENER_NOBODY: none. Mostly it is the one after the last that was found,
 * where *hint points. */
static uint32_t bindings_find_address(
	const struct bindings *present, const struct endpoint *endpoint, uint32_t *hint)
{
	for (uint32_t i = 0; i < present->nendpoints; i++) {
		const uint32_t at = (uint32_t)((*hint + i) % present->nendpoints);

		if (!endpoint_same_address(&present->endpoints[at], endpoint))
			continue;
		*hint = at + 1;
		return at;
	}
	return LISTENER_NOBODY;
}

/* How many sockets each present endpoint has; the caller frees it. */
static uint32_t *bindings_count_sockets(const struct bindings *present)
{
	uint32_t *sockets =
		memory_or_exit(calloc(present->nendpoints + 1, sizeof(*sockets)), "bindings");

	for (size_t i = 0; i < present->count; i++) {
		if (present->all[i]->endpoint != LISTENER_NOBODY)
			sockets[present->all[i]->endpoint]++;
	}
	return sockets;
}

/* Another address with this port may be part of this one or the other way round: then our own socket is no reason to
 * say that it is taken. */
static bool bindings_port_is_ours(const struct bindings *present, const struct endpoint *endpoint)
{
	if (sockaddr_is_unix(&endpoint->addr))
		return false;
	for (size_t i = 0; i < present->nendpoints; i++) {
		const struct endpoint *old = &present->endpoints[i];

		if (old->open && !sockaddr_is_unix(&old->addr) &&
			sockaddr_port(&old->addr) == sockaddr_port(&endpoint->addr))
			return true;
	}
	return false;
}

/* The first socket of an address. */
static int bindings_first(const struct bindings *present, const struct endpoint *endpoint)
{
	for (size_t i = 0; i < present->count; i++) {
		if (present->all[i]->endpoint == (uint32_t)(endpoint - present->endpoints))
			return present->all[i]->fd;
	}
	return -1;
}

static bool endpoint_goes_on(const struct bindings *present, const struct endpoint *old,
	const struct bindings *next, const struct endpoint *endpoint)
{
	if ((old->frontend == BINDINGS_ADMIN) != (endpoint->frontend == BINDINGS_ADMIN))
		return false;
	if (sockaddr_is_unix(&endpoint->addr))
		return true;
	if (old->v6only != endpoint->v6only)
		return false;
	if (present->conf == NULL)
		return bind_fits(bindings_first(present, old), bindings_frontend(next, endpoint));
	return !bind_differs(bindings_frontend(present, old), bindings_frontend(next, endpoint));
}

void bindings_inherit(struct bindings *next, const struct bindings *present)
{
	uint32_t *sockets = bindings_count_sockets(present);
	uint32_t hint = 0;

	next->is_next = true;
	next->follows_found = present->conf == NULL;
	next->next_id = present->next_id;
	for (size_t i = 0; i < next->nendpoints; i++) {
		struct endpoint *endpoint = &next->endpoints[i];
		uint32_t at = bindings_find_address(present, endpoint, &hint);
		const struct endpoint *old;

		if (at == LISTENER_NOBODY || !present->endpoints[at].open) {
			endpoint->waited = at != LISTENER_NOBODY && present->endpoints[at].warned;
			endpoint->warned = endpoint->waited;
			endpoint->beside = bindings_port_is_ours(present, endpoint);
			continue;
		}
		old = &present->endpoints[at];
		endpoint->beside = !endpoint_goes_on(present, old, next, endpoint);
		if (endpoint->beside)
			continue;
		endpoint->same = at;
		endpoint->file = old->file;
		endpoint->sockets = sockets[at];
	}
	free(sockets);
}

/* Options of a socket that was found are not known: all are set. */
static void listener_is_taken(struct listener *listener, const struct conf_frontend *is)
{
	if (bind_listen(listener->fd, is) < 0)
		log_warn("frontend %s: cannot set tcp.backlog", is->name);
	if (!listener->shared)
		bind_change(listener->fd, is);
}

static void listener_options(
	struct listener *listener, const struct conf_frontend *was, const struct conf_frontend *is)
{
	if (was->tcp.backlog != is->tcp.backlog && bind_listen(listener->fd, is) < 0)
		log_warn("frontend %s: cannot change tcp.backlog", is->name);
	if (!listener->shared &&
		(was->tcp.nodelay != is->tcp.nodelay || was->tcp.fastopen != is->tcp.fastopen ||
			was->tcp.keepalive_ms != is->tcp.keepalive_ms ||
			was->tcp.user_timeout_ms != is->tcp.user_timeout_ms ||
			was->tcp.defer_accept_ms != is->tcp.defer_accept_ms))
		bind_change(listener->fd, is);
}

/* A socket that stays has the options and the frontend of the next configuration. */
static void listener_stays(struct listener *listener, const struct bindings *present,
	const struct bindings *next, uint32_t at)
{
	const struct conf_frontend *is = bindings_frontend(next, &next->endpoints[at]);

	if (present->conf == NULL)
		listener_is_taken(listener, is);
	else
		listener_options(listener,
			bindings_frontend(present, &present->endpoints[listener->endpoint]), is);
	listener->changed = listener->place != is->place;
	listener->place = is->place;
	listener->endpoint = at;
}

static void listener_leaves(struct listener *listener)
{
	listener->leaving = true;
	listener->endpoint = LISTENER_NOBODY;
	if (!listener->shared)
		bind_refuse(listener->fd);
}

/* For each present endpoint the next one that it becomes; the caller frees it. */
static uint32_t *bindings_successors(const struct bindings *present, const struct bindings *next)
{
	uint32_t *successors =
		memory_or_exit(calloc(present->nendpoints + 1, sizeof(*successors)), "bindings");

	for (size_t i = 0; i < present->nendpoints; i++)
		successors[i] = LISTENER_NOBODY;
	for (uint32_t i = 0; i < next->nendpoints; i++) {
		if (next->endpoints[i].same != LISTENER_NOBODY)
			successors[next->endpoints[i].same] = i;
	}
	return successors;
}

static void bindings_remove_files(struct bindings *present, const uint32_t *successors)
{
	for (size_t i = 0; i < present->nendpoints; i++) {
		struct endpoint *endpoint = &present->endpoints[i];

		if (successors[i] == LISTENER_NOBODY && endpoint->open &&
			sockaddr_is_unix(&endpoint->addr))
			bind_file_remove(&endpoint->addr, &endpoint->file);
	}
}

/* Those that were opened for the next configuration. Bound they are: to listen is hardly ever refused. */
static void bindings_take_new(struct bindings *present, struct bindings *next)
{
	for (size_t i = 0; i < next->count; i++) {
		struct listener *listener = next->all[i];
		const struct conf_frontend *frontend =
			bindings_frontend(next, &next->endpoints[listener->endpoint]);

		if (listener->quiet && bind_listen(listener->fd, frontend) < 0)
			log_error("frontend %s: cannot listen on a further socket", frontend->name);
		listener->quiet = false;
		bindings_append(present, listener);
	}
}

void bindings_merge(struct bindings *present, struct bindings *next)
{
	uint32_t *successors = bindings_successors(present, next);

	for (size_t i = 0; i < present->count; i++) {
		struct listener *listener = present->all[i];

		if (listener->leaving)
			continue;
		if (successors[listener->endpoint] == LISTENER_NOBODY)
			listener_leaves(listener);
		else
			listener_stays(listener, present, next, successors[listener->endpoint]);
	}
	bindings_remove_files(present, successors);
	free(successors);
	bindings_take_new(present, next);
	for (size_t i = 0; i < next->nendpoints; i++) {
		struct endpoint *endpoint = &next->endpoints[i];

		endpoint->same = LISTENER_NOBODY;
		endpoint->sockets = 0;
		endpoint->beside = false;
	}
	free(present->endpoints);
	present->endpoints = next->endpoints;
	present->nendpoints = next->nendpoints;
	present->endpoints_room = next->endpoints_room;
	present->conf = next->conf;
	present->next_id = next->next_id;
	free(next->all);
	free(next);
}
