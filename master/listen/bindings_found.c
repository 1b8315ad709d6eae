/* The listening sockets that a master before us left, as bindings to inherit from.
 */
#include <netinet/in.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "common/memory.h"
#include "common/messages.h"
#include "master/change/takeover.h"
#include "master/listen/bindings_impl.h"

static bool found_v6only(int fd)
{
	int value = 0;
	socklen_t len = sizeof(value);

	return getsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &value, &len) == 0 && value != 0;
}

static uint32_t found_endpoint(struct bindings *bindings, const struct takeover_listener *listener)
{
	struct endpoint *endpoint;

	/* Those of one address mostly follow each other. */
	for (size_t i = bindings->nendpoints; i-- > 0;) {
		if (sockaddr_equal(&bindings->endpoints[i].addr, &listener->addr))
			return (uint32_t)i;
	}
	endpoint = bindings_add(
		bindings, listener->what.frontend == MSG_FRONTEND_ADMIN ? BINDINGS_ADMIN : 0);
	endpoint->addr = listener->addr;
	endpoint->open = true;
	if (listener->addr.u.sa.sa_family == AF_INET6)
		endpoint->v6only = found_v6only(listener->fd);
	if (sockaddr_is_unix(&endpoint->addr))
		bind_file_note(&endpoint->addr, &endpoint->file);
	return (uint32_t)(bindings->nendpoints - 1);
}

static int found_compare(const void *a, const void *b)
{
	const struct takeover_listener *left = a;
	const struct takeover_listener *right = b;

	return (left->what.id > right->what.id) - (left->what.id < right->what.id);
}

struct bindings *bindings_found(struct takeover_listener *listeners, size_t count)
{
	struct bindings *bindings = memory_or_exit(calloc(1, sizeof(*bindings)), "bindings");

	bindings->next_id = 1;
	if (count > 0)
		qsort(listeners, count, sizeof(*listeners), found_compare);
	for (size_t i = 0; i < count; i++) {
		struct listener *listener =
			memory_or_exit(calloc(1, sizeof(*listener)), "bindings");

		*listener = (struct listener){
			.id = listeners[i].what.id,
			.endpoint = found_endpoint(bindings, &listeners[i]),
			.place = listeners[i].what.frontend,
			.home = listeners[i].what.home,
			.fd = listeners[i].fd,
			.admin = listeners[i].what.frontend == MSG_FRONTEND_ADMIN,
			.shared = listeners[i].what.frontend == MSG_FRONTEND_ADMIN ||
				sockaddr_is_unix(&listeners[i].addr),
			.owner = LISTENER_NOBODY,
		};
		if (listener->shared)
			listener->home = 0;
		listeners[i].fd = -1;
		bindings_append(bindings, listener);
		if (bindings->next_id <= listener->id)
			bindings->next_id = listener->id + 1;
	}
	return bindings;
}
