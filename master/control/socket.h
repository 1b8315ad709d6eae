/* The control socket as a file: whether it is another daemon's, a dead one's, or ours.
 */
#ifndef PROXYD_MASTER_CONTROL_SOCKET_H
#define PROXYD_MASTER_CONTROL_SOCKET_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "common/must.h"
#include "master/control/rundir.h"

struct control_socket {
	struct rundir_path path;
	int fd;           /* owned, listening; -1 when closed */
	int directory_fd; /* owned; what is removed lies there, wherever we are by then */
	pid_t owner;      /* who made it, and alone may remove it */
	dev_t dev;
	ino_t ino;
	bool beside; /* it is at the path with CONTROL_SOCKET_NEXT behind it */
};

struct control_socket_ask {
	const char *path; /* "": the default */
	mode_t mode;
	gid_t group; /* (gid_t)-1: none */
	bool next; /* a daemon was there before us: beside its socket, until control_socket_take_place */
	pid_t before; /* whose socket may live there then; 0: nobody's */
};

enum control_socket_result {
	CONTROL_SOCKET_OPEN,
	CONTROL_SOCKET_TAKEN, /* a daemon lives there */
	CONTROL_SOCKET_FAILED,
};

/* Bind and listen, non-blocking, CLOEXEC; nobody can connect who may not, from the first instant on. A
 * socket that nobody listens on any more is replaced. When it does not succeed, why_r says it in one line,
 * and socket_r->path where. Waits for CONTROL_SOCKET_LOCK_MS at most. */
#define CONTROL_SOCKET_LOCK_MS 1000
MUST_USE enum control_socket_result control_socket_open(const struct control_socket_ask *ask,
	struct control_socket *socket_r, char *why_r, size_t why_bytes);

/* Where the next master's socket waits for its time: whoever is the master then puts it in the place of the old one. */
#define CONTROL_SOCKET_NEXT ".next"

/* Which path that is: the given one, or where it is "" the default one. Returns -1 when it is too long. */
MUST_USE int control_socket_path(const char *path, struct rundir_path *path_r);

/* One that is beside is put in its place; nothing to do when the old master did that. Returns -1 with errno. */
MUST_USE int control_socket_take_place(struct control_socket *ours);

/* The old one: the next master's is at the path from now on, and ours is no more to be removed. */
void control_socket_pass_on(struct control_socket *ours);

/* Remove the file, unless it is another's by now or we are not who made it. Idempotent. */
void control_socket_close(struct control_socket *ours);

#endif
