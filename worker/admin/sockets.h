/* The listening sockets of the admin process: the master's, copies of which it accepts from.
 */
#ifndef PROXYD_WORKER_ADMIN_SOCKETS_H
#define PROXYD_WORKER_ADMIN_SOCKETS_H

#include <stddef.h>

#include "common/must.h"

struct evhttp;
struct sockets;

/* http is borrowed. NULL without memory. */
MUST_USE struct sockets *sockets_new(struct evhttp *http);

/* From now on these and no others. Takes the fds over that are new and sets them to -1. */
void sockets_take(struct sockets *sockets, int *fds, size_t count);

/* One that could not accept rests, instead of trying again and again: now it may. */
void sockets_wake(struct sockets *sockets);

/* None any more. */
void sockets_close(struct sockets *sockets);
void sockets_free(struct sockets *sockets);

#endif
