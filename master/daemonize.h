/* Into the background, without losing what goes wrong on the way: the process that was started waits
 * until the daemon serves or has failed, and exits with that result.
 */
#ifndef PROXYD_MASTER_DAEMONIZE_H
#define PROXYD_MASTER_DAEMONIZE_H

#include <stdbool.h>

#include "common/must.h"

/* Forks; only the child returns, in a session of its own, with stderr still where it was. Returns the fd at which the
 * waiting process hears of it, -1 with errno when that failed. To be called before there is an event base. */
MUST_USE int daemonize_begin(void);

/* It serves: the waiting process exits 0; stdin and stdout, and stderr unless keep_stderr, go to
 * /dev/null, and the directory to /. Closes the fd; with -1 it does nothing. */
void daemonize_ready(int waiting_fd, bool keep_stderr);

/* The same where nobody waits: it was started by another that is in the background. */
void daemonize_follow(bool keep_stderr);

/* stdin and stdout, and stderr unless kept, to /dev/null: for the children, which are forked before. */
void daemonize_detach(bool keep_stderr);

/* fds 0 to 2 must be open, or the first socket becomes somebody's stderr. */
void daemonize_secure_stdio(void);

#endif
