/* From the addresses of the configuration to open sockets.
 */
#include "master/bindings.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/log.h"
#include "conf/conf.h"
#include "master/bind.h"
#include "master/hosts.h"

/* One address of one frontend. */
struct endpoint {
	uint32_t frontend;
	struct sockaddr_any addr;
	bool v6only;
	bool optional; /* a machine without IPv6 goes without it */
	bool open;
	bool skipped;
	bool warned;
	struct bind_file file; /* of a Unix socket, once open */
};

struct bindings {
	const struct conf *conf; /* borrowed */
	size_t nendpoints;
	size_t endpoints_room;
	struct endpoint *endpoints; /* owned */
	size_t count;
	struct listener **all; /* owned, room for all that are wanted */
	uint32_t next_id;
};

static void *bindings_memory(void *memory)
{
	if (memory == NULL) {
		log_fatal("bindings");
		exit(1);
	}
	return memory;
}

static struct endpoint *bindings_add(struct bindings *bindings, uint32_t frontend)
{
	struct endpoint *endpoint;

	if (bindings->nendpoints == bindings->endpoints_room) {
		bindings->endpoints_room = bindings->endpoints_room * 2 + 16;
		bindings->endpoints = bindings_memory(reallocarray(
			bindings->endpoints, bindings->endpoints_room, sizeof(*endpoint)));
	}
	endpoint = &bindings->endpoints[bindings->nendpoints++];
	*endpoint = (struct endpoint){ .frontend = frontend };
	return endpoint;
}

static void bindings_add_any(struct bindings *bindings, uint32_t frontend, uint16_t port)
{
	struct endpoint *v4 = bindings_add(bindings, frontend);
	struct endpoint *v6;

	MUST(sockaddr_from_literal("0.0.0.0", port, &v4->addr) == 0);
	v6 = bindings_add(bindings, frontend);
	MUST(sockaddr_from_literal("::", port, &v6->addr) == 0);
	v6->v6only = true;
	v6->optional = true;
}

static int bindings_add_name(struct bindings *bindings, uint32_t frontend,
	const struct address *address, const struct hosts *hosts, uint16_t port)
{
	const struct sockaddr_any *addrs;
	const char *error;
	size_t n = hosts_find(hosts, address->host, &addrs, &error);

	if (n == 0) {
		log_errorx("frontend %s: cannot resolve %s: %s",
			bindings->conf->frontends[frontend].name, address->host, error);
		return -1;
	}
	for (size_t i = 0; i < n; i++) {
		struct endpoint *endpoint = bindings_add(bindings, frontend);

		endpoint->addr = addrs[i];
		sockaddr_set_port(&endpoint->addr, port);
		endpoint->v6only = true;
		/* localhost, above all, which has ::1 on machines without it as well */
		endpoint->optional = n > 1 && addrs[i].u.sa.sa_family == AF_INET6;
	}
	return 0;
}

static int bindings_add_port(struct bindings *bindings, uint32_t frontend,
	const struct address *address, const struct hosts *hosts, uint16_t port)
{
	struct endpoint *endpoint;

	switch (address->kind) {
	case ADDRESS_ANY:
		bindings_add_any(bindings, frontend, port);
		return 0;
	case ADDRESS_NAME:
		return bindings_add_name(bindings, frontend, address, hosts, port);
	case ADDRESS_LITERAL:
		endpoint = bindings_add(bindings, frontend);
		endpoint->v6only = bindings->conf->frontends[frontend].tcp.v6only;
		MUST(sockaddr_from_literal(address->host, port, &endpoint->addr) == 0);
		return 0;
	case ADDRESS_UNIX:
		break;
	}
	endpoint = bindings_add(bindings, frontend);
	MUST(sockaddr_from_path(address->host, &endpoint->addr) == 0);
	return 0;
}

static int bindings_add_bind(struct bindings *bindings, uint32_t frontend,
	const struct address *address, const struct hosts *hosts)
{
	for (uint32_t port = address->port_first; port <= address->port_last; port++) {
		if (bindings_add_port(bindings, frontend, address, hosts, (uint16_t)port) < 0)
			return -1;
	}
	return 0;
}

static int bindings_expand(struct bindings *bindings, const struct hosts *hosts)
{
	int result = 0;

	for (uint32_t i = 0; i < bindings->conf->nfrontends; i++) {
		const struct conf_frontend *frontend = &bindings->conf->frontends[i];

		for (size_t j = 0; j < frontend->nbinds; j++) {
			if (bindings_add_bind(bindings, i, &frontend->binds[j], hosts) < 0)
				result = -1;
		}
	}
	return result;
}

static size_t bindings_sockets(const struct bindings *bindings, const struct endpoint *endpoint)
{
	return sockaddr_is_unix(&endpoint->addr) ? 1 : bindings->conf->global.workers;
}

struct bindings *bindings_new(const struct conf *conf, const struct hosts *hosts)
{
	struct bindings *bindings = bindings_memory(calloc(1, sizeof(*bindings)));

	bindings->conf = conf;
	bindings->next_id = 1;
	if (bindings_expand(bindings, hosts) < 0) {
		bindings_free(bindings);
		return NULL;
	}
	bindings->all =
		bindings_memory(calloc(bindings_wanted(bindings) + 1, sizeof(struct listener *)));
	return bindings;
}

size_t bindings_wanted(const struct bindings *bindings)
{
	size_t wanted = 0;

	for (size_t i = 0; i < bindings->nendpoints; i++)
		wanted += bindings_sockets(bindings, &bindings->endpoints[i]);
	return wanted;
}

static void bindings_drop(struct bindings *bindings, size_t down_to)
{
	while (bindings->count > down_to) {
		struct listener *listener = bindings->all[--bindings->count];

		close(listener->fd);
		free(listener);
	}
}

/* All sockets of one address, or none of them. Returns -1 with errno. */
static int bindings_open_endpoint(
	struct bindings *bindings, struct endpoint *endpoint, const char **what_r)
{
	const size_t before = bindings->count;
	const size_t wanted = bindings_sockets(bindings, endpoint);
	struct bind_ask ask = {
		.frontend = &bindings->conf->frontends[endpoint->frontend],
		.addr = &endpoint->addr,
		.v6only = endpoint->v6only,
	};

	for (uint32_t i = 0; i < wanted; i++) {
		struct listener *listener;
		int fd;

		ask.first = i == 0;
		if (bind_open(&ask, &fd, what_r) < 0) {
			int saved = errno;

			bindings_drop(bindings, before);
			errno = saved;
			return -1;
		}
		listener = bindings_memory(calloc(1, sizeof(*listener)));
		*listener = (struct listener){
			.id = bindings->next_id++,
			.frontend = endpoint->frontend,
			.place = bindings->conf->frontends[endpoint->frontend].place,
			.home = i,
			.fd = fd,
			.shared = sockaddr_is_unix(&endpoint->addr),
			.fresh = true,
			.owner = LISTENER_NOBODY,
		};
		bindings->all[bindings->count++] = listener;
	}
	endpoint->open = true;
	if (sockaddr_is_unix(&endpoint->addr))
		bind_file_note(&endpoint->addr, &endpoint->file);
	return 0;
}

static enum bindings_result bindings_say_failed(
	struct bindings *bindings, struct endpoint *endpoint, const char *what, int error)
{
	const char *name = bindings->conf->frontends[endpoint->frontend].name;
	const char *hint = bind_hint(error, &endpoint->addr);
	char text[SOCKADDR_TEXT_MAX];

	sockaddr_format(&endpoint->addr, text, sizeof(text));
	if (endpoint->optional && (error == EAFNOSUPPORT || error == EADDRNOTAVAIL)) {
		log_debug("frontend %s: no IPv6 here, %s is left out", name, text);
		endpoint->skipped = true;
		return BINDINGS_OPEN;
	}
	if (bindings->conf->global.bind_retry_ms == 0 ||
		!(error == EADDRINUSE || error == EADDRNOTAVAIL || endpoint->warned)) {
		log_errorx(
			"frontend %s: cannot %s %s: %s%s", name, what, text, strerror(error), hint);
		return BINDINGS_FAILED;
	}
	if (!endpoint->warned)
		log_warnx("frontend %s: cannot %s %s: %s%s; tried again every %u ms", name, what,
			text, strerror(error), hint, bindings->conf->global.bind_retry_ms);
	endpoint->warned = true;
	return BINDINGS_RETRY;
}

enum bindings_result bindings_open(struct bindings *bindings)
{
	enum bindings_result worst = BINDINGS_OPEN;

	for (size_t i = 0; i < bindings->nendpoints; i++) {
		struct endpoint *endpoint = &bindings->endpoints[i];
		enum bindings_result result = BINDINGS_OPEN;
		const char *what;
		char text[SOCKADDR_TEXT_MAX];

		if (endpoint->open || endpoint->skipped)
			continue;
		if (bindings_open_endpoint(bindings, endpoint, &what) < 0)
			result = bindings_say_failed(bindings, endpoint, what, errno);
		else if (endpoint->warned)
			log_info("frontend %s: %s is bound at last",
				bindings->conf->frontends[endpoint->frontend].name,
				sockaddr_format(&endpoint->addr, text, sizeof(text)));
		if (result > worst)
			worst = result;
	}
	return worst;
}

size_t bindings_count(const struct bindings *bindings)
{
	return bindings->count;
}

struct listener *bindings_at(struct bindings *bindings, size_t index)
{
	MUST(index < bindings->count);
	return bindings->all[index];
}

static int bindings_compare_id(const void *key, const void *element)
{
	uint32_t id = *(const uint32_t *)key;
	const struct listener *listener = *(struct listener *const *)element;

	return (id > listener->id) - (id < listener->id);
}

struct listener *bindings_find(struct bindings *bindings, uint32_t id)
{
	struct listener **found = bsearch(&id, bindings->all, bindings->count,
		sizeof(struct listener *), bindings_compare_id);

	return found != NULL ? *found : NULL;
}

void bindings_close(struct bindings *bindings)
{
	for (size_t i = 0; i < bindings->nendpoints; i++) {
		struct endpoint *endpoint = &bindings->endpoints[i];

		if (endpoint->open && sockaddr_is_unix(&endpoint->addr))
			bind_file_remove(&endpoint->addr, &endpoint->file);
		endpoint->open = false;
		endpoint->skipped = true; /* not to be opened again */
	}
	bindings_drop(bindings, 0);
}

void bindings_free(struct bindings *bindings)
{
	if (bindings == NULL)
		return;
	bindings_close(bindings);
	free(bindings->all);
	free(bindings->endpoints);
	free(bindings);
}
