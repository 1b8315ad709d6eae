/* The same socket is known by its number in the kernel, whatever fd it comes with.
 */
#include "worker/admin/sockets.h"

#include <event2/event.h>
#include <event2/http.h>
#include <event2/listener.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "common/log.h"
#include "common/messages.h"

struct admin_socket {
	struct evhttp_bound_socket *bound;
	uint64_t cookie;
	bool wanted; /* while they are compared */
};

struct sockets {
	struct evhttp *http; /* borrowed */
	size_t count;
	struct admin_socket all[MESSAGE_BATCH];
};

struct sockets *sockets_new(struct evhttp *http)
{
	struct sockets *sockets = calloc(1, sizeof(*sockets));

	if (sockets != NULL)
		sockets->http = http;
	return sockets;
}

static uint64_t socket_cookie(int fd)
{
	uint64_t cookie = 0;
	socklen_t len = sizeof(cookie);

	return getsockopt(fd, SOL_SOCKET, SO_COOKIE, &cookie, &len) < 0 ? 0 : cookie;
}

/* No fds for another client, or no memory: it waits in the queue. */
static void on_accept_error(struct evconnlistener *listener, void *arg)
{
	static struct log_rate rate;

	(void)arg;
	if (log_rate_ok(&rate))
		log_warn("cannot accept%s", log_rate_note(&rate));
	evconnlistener_disable(listener);
}

static bool sockets_know(struct sockets *sockets, int fd)
{
	const uint64_t cookie = socket_cookie(fd);

	for (size_t i = 0; i < sockets->count; i++) {
		if (sockets->all[i].cookie == cookie) {
			sockets->all[i].wanted = true;
			return true;
		}
	}
	return false;
}

static void sockets_add(struct sockets *sockets, int *fd)
{
	struct admin_socket *socket = &sockets->all[sockets->count];

	if (sockets->count == NELEMS(sockets->all))
		return;
	socket->cookie = socket_cookie(*fd);
	socket->wanted = true;
	socket->bound = evhttp_accept_socket_with_handle(sockets->http, *fd);
	if (socket->bound == NULL) {
		log_errorx("cannot accept from a socket");
		return;
	}
	evconnlistener_set_error_cb(
		evhttp_bound_socket_get_listener(socket->bound), on_accept_error);
	sockets->count++;
	*fd = -1;
}

void sockets_take(struct sockets *sockets, int *fds, size_t count)
{
	bool known[MESSAGE_BATCH] = { false };

	for (size_t i = 0; i < sockets->count; i++)
		sockets->all[i].wanted = false;
	for (size_t i = 0; i < count; i++)
		known[i] = sockets_know(sockets, fds[i]);
	for (size_t i = sockets->count; i-- > 0;) {
		if (sockets->all[i].wanted)
			continue;
		evhttp_del_accept_socket(sockets->http, sockets->all[i].bound);
		sockets->all[i] = sockets->all[--sockets->count];
	}
	for (size_t i = 0; i < count; i++) {
		if (!known[i])
			sockets_add(sockets, &fds[i]);
	}
}

void sockets_wake(struct sockets *sockets)
{
	for (size_t i = 0; i < sockets->count; i++)
		evconnlistener_enable(evhttp_bound_socket_get_listener(sockets->all[i].bound));
}

void sockets_close(struct sockets *sockets)
{
	sockets_take(sockets, NULL, 0);
}

void sockets_free(struct sockets *sockets)
{
	sockets_close(sockets);
	free(sockets);
}
