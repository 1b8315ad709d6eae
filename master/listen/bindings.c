/* From the addresses of the configuration to open sockets.
 */
#include "master/listen/bindings.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/log.h"
#include "common/memory.h"
#include "common/messages.h"
#include "conf/conf.h"
#include "master/hosts.h"
#include "master/listen/bindings_impl.h"

#define BINDINGS_WHOSE_MAX     160
#define BINDINGS_ADMIN_BACKLOG 64

static void bindings_say(struct bindings *bindings, const char *format, ...) PRINTF_LIKE(2, 3);

/* What went wrong for good: to who asked, or to the log. */
static void bindings_say(struct bindings *bindings, const char *format, ...)
{
	char line[512];
	va_list args;

	va_start(args, format);
	vsnprintf(line, sizeof(line), format, args);
	va_end(args);
	if (bindings->on_error != NULL)
		bindings->on_error(line, bindings->error_arg);
	else
		log_errorx("%s", line);
}

struct endpoint *bindings_add(struct bindings *bindings, uint32_t frontend)
{
	struct endpoint *endpoint;

	if (bindings->nendpoints == bindings->endpoints_room) {
		bindings->endpoints_room = bindings->endpoints_room * 2 + 16;
		bindings->endpoints =
			memory_or_exit(reallocarray(bindings->endpoints, bindings->endpoints_room,
					       sizeof(*endpoint)),
				"bindings");
	}
	endpoint = &bindings->endpoints[bindings->nendpoints++];
	*endpoint = (struct endpoint){ .frontend = frontend, .same = LISTENER_NOBODY };
	return endpoint;
}

const struct conf_frontend *bindings_frontend(
	const struct bindings *bindings, const struct endpoint *endpoint)
{
	return endpoint->frontend == BINDINGS_ADMIN
		? &bindings->admin
		: &bindings->conf->frontends[endpoint->frontend];
}

/* "frontend web", "global.admin". Returns buf. */
static const char *bindings_whose(const struct bindings *bindings, const struct endpoint *endpoint,
	char *buf, size_t buf_bytes)
{
	snprintf(buf, buf_bytes, "%s%s", endpoint->frontend == BINDINGS_ADMIN ? "" : "frontend ",
		bindings_frontend(bindings, endpoint)->name);
	return buf;
}

/* Both families; of the admin page loopback alone. */
static void bindings_add_any(struct bindings *bindings, uint32_t frontend, uint16_t port)
{
	const bool admin = frontend == BINDINGS_ADMIN;
	struct endpoint *v4 = bindings_add(bindings, frontend);
	struct endpoint *v6;

	MUST(sockaddr_from_literal(admin ? "127.0.0.1" : "0.0.0.0", port, &v4->addr) == 0);
	v6 = bindings_add(bindings, frontend);
	MUST(sockaddr_from_literal(admin ? "::1" : "::", port, &v6->addr) == 0);
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
		const struct endpoint whose = { .frontend = frontend };
		char buf[BINDINGS_WHOSE_MAX];

		bindings_say(bindings, "%s: cannot resolve %s: %s",
			bindings_whose(bindings, &whose, buf, sizeof(buf)), address->host, error);
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
		endpoint->v6only = bindings_frontend(bindings, endpoint)->tcp.v6only;
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
	if (bindings->conf->global.admin.bind.text != NULL &&
		bindings_add_bind(
			bindings, BINDINGS_ADMIN, &bindings->conf->global.admin.bind, hosts) < 0)
		result = -1;
	return result;
}

/* One socket that all accept from. */
static bool endpoint_is_one(const struct endpoint *endpoint)
{
	return endpoint->frontend == BINDINGS_ADMIN || sockaddr_is_unix(&endpoint->addr);
}

static size_t bindings_sockets(const struct bindings *bindings, const struct endpoint *endpoint)
{
	return endpoint_is_one(endpoint) ? 1 : bindings->conf->global.workers;
}

struct bindings *bindings_new(
	const struct conf *conf, const struct hosts *hosts, bindings_error_fn *on_error, void *arg)
{
	struct bindings *bindings = memory_or_exit(calloc(1, sizeof(*bindings)), "bindings");

	bindings->conf = conf;
	bindings->admin = (struct conf_frontend){
		.name = "global.admin",
		.place = MSG_FRONTEND_ADMIN,
		.tcp = { .nodelay = true, .backlog = BINDINGS_ADMIN_BACKLOG, .interface = "" },
	};
	bindings->on_error = on_error;
	bindings->error_arg = arg;
	bindings->next_id = 1;
	if (bindings_expand(bindings, hosts) < 0) {
		bindings_free(bindings);
		return NULL;
	}
	return bindings;
}

size_t bindings_wanted(const struct bindings *bindings)
{
	size_t wanted = 0;

	for (size_t i = 0; i < bindings->nendpoints; i++)
		wanted += bindings_sockets(bindings, &bindings->endpoints[i]);
	return wanted;
}

size_t bindings_missing(const struct bindings *next)
{
	size_t missing = 0;

	for (size_t i = 0; i < next->nendpoints; i++) {
		const size_t wanted = bindings_sockets(next, &next->endpoints[i]);

		if (wanted > next->endpoints[i].sockets)
			missing += wanted - next->endpoints[i].sockets;
	}
	return missing;
}

void bindings_append(struct bindings *bindings, struct listener *listener)
{
	if (bindings->count == bindings->room) {
		bindings->room = bindings->room * 2 + 16;
		bindings->all = memory_or_exit(
			reallocarray(bindings->all, bindings->room, sizeof(struct listener *)),
			"bindings");
	}
	bindings->all[bindings->count++] = listener;
}

static void bindings_drop(struct bindings *bindings, size_t down_to)
{
	while (bindings->count > down_to) {
		struct listener *listener = bindings->all[--bindings->count];

		close(listener->fd);
		free(listener);
	}
}

static struct listener *listener_new(
	struct bindings *bindings, const struct endpoint *endpoint, uint32_t home, int fd)
{
	struct listener *listener = memory_or_exit(calloc(1, sizeof(*listener)), "bindings");

	*listener = (struct listener){
		.id = bindings->next_id++,
		.endpoint = (uint32_t)(endpoint - bindings->endpoints),
		.place = bindings_frontend(bindings, endpoint)->place,
		.home = home,
		.fd = fd,
		.admin = endpoint->frontend == BINDINGS_ADMIN,
		.shared = endpoint_is_one(endpoint),
		.fresh = true,
		.owner = LISTENER_NOBODY,
	};
	return listener;
}

/* All sockets of one address that are missing, or none of them. Where others of ours are bound to it and have clients,
 * the new ones stay quiet: until it is certain that somebody will accept from them. Returns -1 with errno. */
static int bindings_open_endpoint(
	struct bindings *bindings, struct endpoint *endpoint, const char **what_r)
{
	const size_t before = bindings->count;
	const size_t wanted = bindings_sockets(bindings, endpoint);
	struct bind_ask ask = {
		.frontend = bindings_frontend(bindings, endpoint),
		.addr = &endpoint->addr,
		.v6only = endpoint->v6only,
		.quiet = endpoint->sockets > 0 || endpoint->beside,
	};

	for (uint32_t i = endpoint->sockets; i < wanted; i++) {
		struct listener *listener;
		int fd;

		ask.first = i == 0 && !endpoint->beside;
		if (bind_open(&ask, &fd, what_r) < 0) {
			int saved = errno;

			bindings_drop(bindings, before);
			errno = saved;
			return -1;
		}
		listener = listener_new(bindings, endpoint, i, fd);
		listener->quiet = ask.quiet;
		bindings_append(bindings, listener);
	}
	endpoint->open = true;
	if (sockaddr_is_unix(&endpoint->addr) && endpoint->sockets == 0)
		bind_file_note(&endpoint->addr, &endpoint->file);
	return 0;
}

/* At a reload only what was waited for already: what is asked for anew is had, or refused. */
static bool bindings_may_wait(
	const struct bindings *bindings, const struct endpoint *endpoint, int error)
{
	if (bindings->conf->global.bind_retry_ms == 0)
		return false;
	if (bindings->is_next && !bindings->follows_found)
		return endpoint->waited;
	return error == EADDRINUSE || error == EADDRNOTAVAIL || endpoint->warned;
}

static enum bindings_result bindings_say_failed(
	struct bindings *bindings, struct endpoint *endpoint, const char *what, int error)
{
	const char *hint = bind_hint(error, &endpoint->addr);
	char buf[BINDINGS_WHOSE_MAX];
	const char *whose = bindings_whose(bindings, endpoint, buf, sizeof(buf));
	char text[SOCKADDR_TEXT_MAX];

	sockaddr_format(&endpoint->addr, text, sizeof(text));
	if (endpoint->optional && (error == EAFNOSUPPORT || error == EADDRNOTAVAIL)) {
		log_debug("%s: no IPv6 here, %s is left out", whose, text);
		endpoint->skipped = true;
		return BINDINGS_OPEN;
	}
	if (!bindings_may_wait(bindings, endpoint, error)) {
		bindings_say(bindings, "%s: cannot %s %s: %s%s", whose, what, text, strerror(error),
			hint);
		return BINDINGS_FAILED;
	}
	if (!endpoint->warned && !endpoint->waited)
		log_warnx("%s: cannot %s %s: %s%s; tried again every %u ms", whose, what, text,
			strerror(error), hint, bindings->conf->global.bind_retry_ms);
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
		char whose[BINDINGS_WHOSE_MAX];

		if (endpoint->open || endpoint->skipped)
			continue;
		if (bindings_open_endpoint(bindings, endpoint, &what) < 0)
			result = bindings_say_failed(bindings, endpoint, what, errno);
		else if (endpoint->warned)
			log_info("%s: %s is bound at last",
				bindings_whose(bindings, endpoint, whose, sizeof(whose)),
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

size_t bindings_leaving(const struct bindings *bindings)
{
	size_t n = 0;

	for (size_t i = 0; i < bindings->count; i++)
		n += bindings->all[i]->leaving;
	return n;
}

void bindings_close_one(struct bindings *bindings, struct listener *listener)
{
	size_t i = 0;

	MUST(listener->leaving);
	while (bindings->all[i] != listener)
		i++;
	memmove(&bindings->all[i], &bindings->all[i + 1],
		(--bindings->count - i) * sizeof(struct listener *));
	close(listener->fd);
	free(listener);
}

void bindings_close(struct bindings *bindings)
{
	for (size_t i = 0; i < bindings->nendpoints; i++) {
		struct endpoint *endpoint = &bindings->endpoints[i];

		if (endpoint->open && endpoint->sockets == 0 && bindings->conf != NULL &&
			sockaddr_is_unix(&endpoint->addr))
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
