/* What whoever connects to servers has to know of the results: the relay and the checker.
 */
#ifndef PROXYD_COMMON_CONNECT_H
#define PROXYD_COMMON_CONNECT_H

#include <stdbool.h>

/* A connect to a closed port of this machine can meet itself, when the kernel happens to give the socket that
 * very port as its own: the peer would be our own echo. fd is connected. */
bool connect_met_itself(int fd);

/* Whether a connect failed for want of something of our own (fds, memory): it says nothing of the server. */
bool connect_error_is_ours(int error);

#endif
