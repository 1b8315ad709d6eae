/* The sockets of relays and listeners: an epoll set of our own, which libevent's loop watches as one fd.
 *
 * libevent has a struct event and an entry in its map for each fd, 170 bytes, and shows a reset as no more than readable
 * and writable. Here a socket is 16 bytes, and its owner sees what epoll said. Whoever closes the only copy of a socket
 * need not take it out.
 */
#ifndef PROXYD_WORKER_RELAY_POLLER_H
#define PROXYD_WORKER_RELAY_POLLER_H

#include <event2/event.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/epoll.h>

#include "common/must.h"

struct poller;
struct poller_watch;

typedef void poller_fn(struct poller_watch *watch, uint32_t events);

/* In whoever owns the socket. Zero at the beginning; stays where it is while the loop runs, also when it is watched no
 * more: the events of a turn may still name it. */
struct poller_watch {
	poller_fn *on_event;
	uint16_t serial; /* of its registration */
	bool watched;
};

/* The loop for it: has only what is not in the poller. Exits when there is none to be had. */
struct event_base *poller_event_base(void);

/* Exits on no memory: made at a worker's start. */
struct poller *poller_new(struct event_base *base);
void poller_free(struct poller *poller);

/* events: of epoll. What is ready already is an event as well. Returns -1 with errno when epoll has no room. */
MUST_USE int poller_add(struct poller *poller, struct poller_watch *watch, int fd, uint32_t events);

/* No more events, also none of this turn. Of one that is not watched: nothing. */
void poller_del(struct poller *poller, struct poller_watch *watch, int fd);

/* The same, for a socket of which nobody else has a copy, and that is closed next. */
void poller_forget(struct poller_watch *watch);

#endif
