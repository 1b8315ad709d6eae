/* The listening sockets that this worker accepts from, and the accept loop.
 */
#ifndef PROXYD_WORKER_RELAY_LISTENER_H
#define PROXYD_WORKER_RELAY_LISTENER_H

#include <stdbool.h>
#include <stdint.h>

#include "common/must.h"

struct conf_frontend;
struct event_base;
struct listeners;
struct poller;
struct relays;

/* poller and relays are borrowed. Exits on no memory. */
struct listeners *listeners_new(
	struct event_base *base, struct poller *poller, struct relays *relays);
void listeners_free(struct listeners *listeners); /* closes what is open */

/* Accept from fd, which is taken over, from now on. id is the master's number of the socket. Returns -1 when
 * fd is not a listening socket of a family we know; it is then closed. */
MUST_USE int listeners_add(
	struct listeners *listeners, uint32_t id, int fd, const struct conf_frontend *frontend);

/* Stop accepting from it and close this copy; what waits in its queue is for its next owner. False when it is
 * not ours (any more). */
bool listeners_release(struct listeners *listeners, uint32_t id);

/* For good: accept what waits, then close. This one, or all. */
void listeners_empty(struct listeners *listeners, uint32_t id);
void listeners_drain(struct listeners *listeners);

unsigned listeners_count(const struct listeners *listeners);

#endif
