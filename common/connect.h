/* What there is to know of connects beyond the call: their results, and the one that ends a connection.
 */
#ifndef PROXYD_COMMON_CONNECT_H
#define PROXYD_COMMON_CONNECT_H

#include <stdbool.h>

/* A connect to a closed port of this machine can meet itself, when the kernel happens to give the socket that
 * very port as its own: the peer would be our own echo. fd is connected. */
bool connect_met_itself(int fd);

/* Whether a connect failed for want of something of our own (fds, memory): it says nothing of the server. */
bool connect_error_is_ours(int error);

/* Resets a TCP connection, whose peer hears of it although another process holds a copy of fd; a Unix socket, which knows no
 * reset, is shut down. fd stays open; -1 is fine. */
void connect_abort(int fd);

#endif
