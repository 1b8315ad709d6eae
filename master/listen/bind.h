/* One listening socket, from its address and the frontend's options.
 */
#ifndef PROXYD_MASTER_LISTEN_BIND_H
#define PROXYD_MASTER_LISTEN_BIND_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/stat.h>

#include "common/must.h"
#include "common/sockaddr.h"

struct conf_frontend;

struct bind_ask {
	const struct conf_frontend *frontend;
	const struct sockaddr_any *addr;
	bool v6only; /* of an IPv6 address */
	bool quiet;  /* do not listen yet */
	bool first; /* of those for this address: finds out whether it is taken, and says what it warns of */
};

/* Open, bind, listen (unless quiet): non-blocking, CLOEXEC. Returns 0 and the fd, which is the caller's; or -1 with
 * errno, and *what_r (static) says what could not be done: "bind". */
MUST_USE int bind_open(const struct bind_ask *ask, int *fd_r, const char **what_r);

/* Listen on a quiet one, with the backlog of the frontend. Again on one that listens: the backlog changes. Returns -1
 * with errno. */
MUST_USE int bind_listen(int fd, const struct conf_frontend *frontend);

/* Whether a socket of the one frontend is no socket for the other: an option differs that cannot be changed. */
bool bind_differs(const struct conf_frontend *a, const struct conf_frontend *b);

/* The same for a socket that was found: whether it is one for this frontend, as far as that can be asked of it. */
bool bind_fits(int fd, const struct conf_frontend *frontend);

/* Give an open TCP socket the options that accepted connections inherit. */
void bind_change(int fd, const struct conf_frontend *frontend);

/* From now on nobody begins a connection: a SYN is dropped, what has begun comes to its end. Not for Unix sockets. */
void bind_refuse(int fd);

/* What an operator would want to know besides strerror; "" when nothing. */
const char *bind_hint(int error, const struct sockaddr_any *addr);

/* Remove the file of a Unix socket of ours, unless it is another's by now. */
struct bind_file {
	dev_t dev;
	ino_t ino;
};
void bind_file_note(const struct sockaddr_any *addr, struct bind_file *file_r);
void bind_file_remove(const struct sockaddr_any *addr, const struct bind_file *file);

#endif
