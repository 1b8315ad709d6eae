/* An accept loop of our own: libevent's spins when fds run out. Here a listener rests instead: until a relay
 * ends when the worker is full, for a moment when the system has no fd or memory.
 */
#include "worker/relay/listener.h"

#include <errno.h>
#include <event2/event.h>
#include <event2/event_struct.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/log.h"
#include "common/memory.h"
#include "common/sockaddr.h"
#include "conf/conf.h"
#include "worker/relay/admit.h"
#include "worker/relay/poller.h"
#include "worker/relay/relay.h"

/* Connections each time it is ready: who has begun is served first, from the processor's caches. */
#define LISTENER_BUDGET 4

static const struct timeval rest_time = { 0, 100000 };
static const struct timeval look_time = { 0, 10000 };

struct listener {
	LIST_ENTRY(listener) link;
	struct poller_watch watch;
	uint32_t id;
	int fd; /* owned */
	uint16_t port;
	bool paused; /* its frontend has its maxconn or rate: looked at again in a moment */
	const struct conf_frontend *frontend;
	struct listeners *listeners;
};

struct listeners {
	LIST_HEAD(listener_list, listener) all;
	unsigned count;
	bool resting;
	struct event rest; /* ends the rest */
	struct event look; /* pending while a listener is paused */
	struct relays *relays;
	struct poller *poller; /* borrowed */
};

static void listener_rest(struct listener *listener)
{
	poller_del(listener->listeners->poller, &listener->watch, listener->fd);
}

/* When epoll has no room for it, it is tried again with the next look. */
static void listener_watch(struct listener *listener)
{
	struct listeners *listeners = listener->listeners;

	if (listener->watch.watched ||
		poller_add(listeners->poller, &listener->watch, listener->fd, EPOLLIN) == 0)
		return;
	listener->paused = true;
	if (!event_pending(&listeners->look, EV_TIMEOUT, NULL))
		event_add(&listeners->look, &look_time);
}

static void listeners_resume(struct listeners *listeners)
{
	struct listener *listener;

	if (!listeners->resting)
		return;
	listeners->resting = false;
	event_del(&listeners->rest);
	for (listener = LIST_FIRST(&listeners->all); listener != NULL;
		listener = LIST_NEXT(listener, link)) {
		if (!listener->paused)
			listener_watch(listener);
	}
}

/* A relay of the frontend may end in any worker, a second ends by itself: so this one looks. */
static void listener_pause(struct listener *listener)
{
	struct listeners *listeners = listener->listeners;

	if (listener->paused)
		return;
	listener->paused = true;
	listener_rest(listener);
	if (!event_pending(&listeners->look, EV_TIMEOUT, NULL))
		event_add(&listeners->look, &look_time);
}

static void on_look(evutil_socket_t fd, short what, void *arg)
{
	struct listeners *listeners = arg;
	struct listener *listener;

	(void)fd;
	(void)what;
	for (listener = LIST_FIRST(&listeners->all); listener != NULL;
		listener = LIST_NEXT(listener, link)) {
		if (!listener->paused)
			continue;
		listener->paused = false;
		if (!listeners->resting)
			listener_watch(listener);
	}
}

/* All of them: what one lacks, the others lack too. */
static void listeners_rest(struct listeners *listeners, bool until_room)
{
	struct listener *listener;

	if (!listeners->resting) {
		listeners->resting = true;
		for (listener = LIST_FIRST(&listeners->all); listener != NULL;
			listener = LIST_NEXT(listener, link)) {
			listener_rest(listener);
		}
	}
	if (!until_room)
		event_add(&listeners->rest, &rest_time);
}

static void on_rest_over(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	listeners_resume(arg);
}

static void on_room(void *arg)
{
	struct listeners *listeners = arg;

	/* A rest that the system made us take is over when its timer says so. */
	if (listeners->resting && !event_pending(&listeners->rest, EV_TIMEOUT, NULL))
		listeners_resume(listeners);
}

struct listeners *listeners_new(
	struct event_base *base, struct poller *poller, struct relays *relays)
{
	struct listeners *listeners =
		memory_or_exit(calloc(1, sizeof(*listeners)), "no memory for listeners");

	listeners->poller = poller;
	listeners->relays = relays;
	LIST_INIT(&listeners->all);
	event_assign(&listeners->rest, base, -1, 0, on_rest_over, listeners);
	event_assign(&listeners->look, base, -1, 0, on_look, listeners);
	relays_on_room(relays, on_room, listeners);
	return listeners;
}

/* Returns false when it is no use to try again now. */
static bool listener_failed(struct listener *listener, int error)
{
	static struct log_rate rate;

	switch (error) {
	case EAGAIN:
		return false;
	case EINTR:
	case ECONNABORTED:
	case EPROTO:
		return true;
	case EMFILE:
	case ENFILE:
	case ENOBUFS:
	case ENOMEM:
		if (log_rate_ok(&rate)) {
			errno = error;
			log_warn("frontend %s: cannot accept, trying again in 100 ms%s",
				listener->frontend->name, log_rate_note(&rate));
		}
		listeners_rest(listener->listeners, false);
		return false;
	default:
		if (log_rate_ok(&rate)) {
			errno = error;
			log_error("frontend %s: accept%s", listener->frontend->name,
				log_rate_note(&rate));
		}
		listeners_rest(listener->listeners, false);
		return false;
	}
}

static bool listener_full(struct listener *listener)
{
	static struct log_rate rate;

	if (relays_have_room(listener->listeners->relays))
		return false;
	if (log_rate_ok(&rate))
		log_warnx(
			"frontend %s: %u relays are all that the limit of file descriptors allows, new "
			"clients wait%s",
			listener->frontend->name, relays_active(listener->listeners->relays),
			log_rate_note(&rate));
	listeners_rest(listener->listeners, true);
	return true;
}

/* Returns false when there is nothing more to accept now. */
static bool listener_accept(struct listener *listener)
{
	struct sockaddr_storage from;
	socklen_t len = sizeof(from);
	struct sockaddr_any client;
	struct relay_accepted accepted = {
		.local_port = listener->port,
		.frontend = listener->frontend,
		.client = &client,
	};

	if (!admit_reserve(listener->listeners->relays, listener->frontend)) {
		listener_pause(listener);
		return false;
	}
	accepted.fd =
		accept4(listener->fd, (struct sockaddr *)&from, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);
	if (accepted.fd < 0) {
		int error = errno;

		admit_return(listener->listeners->relays, listener->frontend);
		return listener_failed(listener, error);
	}
	sockaddr_from_kernel((struct sockaddr *)&from, len, &client);
	relay_accept(listener->listeners->relays, &accepted);
	return true;
}

static void on_listener_readable(struct poller_watch *watch, uint32_t events)
{
	struct listener *listener =
		(struct listener *)(void *)((char *)watch - offsetof(struct listener, watch));

	(void)events;
	for (int i = 0; i < LISTENER_BUDGET; i++) {
		if (listener_full(listener) || !listener_accept(listener))
			return;
	}
}

static int listener_check(int fd, struct sockaddr_any *local_r)
{
	struct sockaddr_storage local;
	socklen_t len = sizeof(local);
	int listening = 0;
	socklen_t int_len = sizeof(listening);

	if (getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listening, &int_len) < 0 || !listening)
		return -1;
	if (getsockname(fd, (struct sockaddr *)&local, &len) < 0)
		return -1;
	sockaddr_from_kernel((struct sockaddr *)&local, len, local_r);
	return local_r->len == 0 ? -1 : 0;
}

static void listeners_changed(struct listeners *listeners, int delta)
{
	listeners->count += (unsigned)delta;
	relays_reserve_fds(listeners->relays, listeners->count);
}

int listeners_add(
	struct listeners *listeners, uint32_t id, int fd, const struct conf_frontend *frontend)
{
	struct sockaddr_any local;
	struct listener *listener = NULL;

	if (listener_check(fd, &local) == 0)
		listener = calloc(1, sizeof(*listener));
	if (listener == NULL || fcntl(fd, F_SETFL, O_NONBLOCK) < 0) {
		free(listener);
		close(fd);
		return -1;
	}
	listener->id = id;
	listener->fd = fd;
	listener->port = sockaddr_port(&local);
	listener->frontend = frontend;
	listener->listeners = listeners;
	listener->watch.on_event = on_listener_readable;
	LIST_INSERT_HEAD(&listeners->all, listener, link);
	listeners_changed(listeners, 1);
	if (!listeners->resting)
		listener_watch(listener);
	return 0;
}

static void listener_close(struct listener *listener)
{
	LIST_REMOVE(listener, link);
	listener_rest(listener);
	close(listener->fd);
	listeners_changed(listener->listeners, -1);
	free(listener);
}

static struct listener *listeners_find(struct listeners *listeners, uint32_t id)
{
	struct listener *listener;

	for (listener = LIST_FIRST(&listeners->all); listener != NULL;
		listener = LIST_NEXT(listener, link)) {
		if (listener->id == id)
			break;
	}
	return listener;
}

bool listeners_release(struct listeners *listeners, uint32_t id)
{
	struct listener *listener = listeners_find(listeners, id);

	if (listener != NULL)
		listener_close(listener);
	return listener != NULL;
}

static void listener_empty(struct listener *listener)
{
	while (relays_have_room(listener->listeners->relays) && listener_accept(listener))
		continue;
	listener_close(listener);
}

void listeners_empty(struct listeners *listeners, uint32_t id)
{
	struct listener *listener = listeners_find(listeners, id);

	if (listener != NULL)
		listener_empty(listener);
}

void listeners_drain(struct listeners *listeners)
{
	struct listener *listener;
	struct listener *next;

	for (listener = LIST_FIRST(&listeners->all); listener != NULL; listener = next) {
		next = LIST_NEXT(listener, link);
		listener_empty(listener);
	}
}

void listeners_free(struct listeners *listeners)
{
	struct listener *listener;
	struct listener *next;

	for (listener = LIST_FIRST(&listeners->all); listener != NULL; listener = next) {
		next = LIST_NEXT(listener, link);
		listener_close(listener);
	}
	event_del(&listeners->rest);
	event_del(&listeners->look);
	free(listeners);
}

unsigned listeners_count(const struct listeners *listeners)
{
	return listeners->count;
}
