/* takeover.sock as a file, which the master makes and the keeper answers at.
 */
#ifndef PROXYD_MASTER_CHANGE_TAKEOVER_SOCKET_H
#define PROXYD_MASTER_CHANGE_TAKEOVER_SOCKET_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "common/must.h"
#include "master/control/rundir.h"

struct takeover_socket {
	struct rundir_path path;
	int fd;           /* owned; listening, non-blocking; -1 */
	int directory_fd; /* owned; -1 */
	dev_t dev;
	ino_t ino;
};

/* Beside the control socket: takeover.sock for control.sock, NAME.takeover for any other, so that several daemons
 * can share a directory. -1: it is too long for a socket. */
MUST_USE int takeover_path(const struct rundir_path *control, struct rundir_path *path_r);

/* Bind and listen, non-blocking, CLOEXEC, for root and uid alone from the first instant on. A file that nobody listens on
 * is replaced. Returns -1, why_r then says it in one line. */
MUST_USE int takeover_socket_open(const struct rundir_path *path, uid_t uid,
	struct takeover_socket *socket_r, char *why_r, size_t why_bytes);

/* The same from takeover.socket_fd, what an earlier master made: takes fd over, also on failure. */
MUST_USE int takeover_socket_take(const struct rundir_path *path, int fd,
	struct takeover_socket *socket_r, char *why_r, size_t why_bytes);

/* Whether the file is still this socket's. */
bool takeover_socket_is_there(const struct takeover_socket *ours);

/* Closes our copies. remove: and the file, when it is still this socket's: no next master shall come. Idempotent. */
void takeover_socket_close(struct takeover_socket *ours, bool remove);

#endif
