/* What bindings.c (from a configuration to sockets) and bindings_merge.c (from one configuration to the next) share.
 * Nobody else includes it.
 */
#ifndef PROXYD_MASTER_LISTEN_BINDINGS_IMPL_H
#define PROXYD_MASTER_LISTEN_BINDINGS_IMPL_H

#include "common/sockaddr.h"
#include "conf/conf.h"
#include "master/listen/bind.h"
#include "master/listen/bindings.h"

#define BINDINGS_ADMIN UINT32_MAX /* in the place of a frontend: global.admin */

/* One address of one frontend. */
struct endpoint {
	uint32_t frontend; /* which of the configuration's, or BINDINGS_ADMIN */
	struct sockaddr_any addr;
	bool v6only;
	bool optional; /* a machine without IPv6 goes without it */
	bool open;
	bool skipped;
	bool warned;
	struct bind_file file; /* of a Unix socket, once open */

	/* of the next bindings */
	uint32_t same;    /* the present endpoint that goes on as this one; LISTENER_NOBODY: none */
	uint32_t sockets; /* that the present one has already */
	bool beside;      /* our own sockets are bound to the address and will go */
	bool waited;      /* the present one was not bound either: it may go on waiting */
};

struct bindings {
	const struct conf
		*conf; /* borrowed; NULL: found, of a master before us, and not ours until merged */
	struct conf_frontend admin; /* what the sockets of global.admin are like */
	bindings_error_fn *on_error;
	void *error_arg;
	bool is_next;
	bool follows_found; /* what was waited for before is not known */
	size_t nendpoints;
	size_t endpoints_room;
	struct endpoint *endpoints; /* owned */
	size_t count;
	size_t room;
	struct listener **all; /* owned */
	uint32_t next_id;
};

/* Whose options it has. */
const struct conf_frontend *bindings_frontend(
	const struct bindings *bindings, const struct endpoint *endpoint);

/* One more, empty. */
struct endpoint *bindings_add(struct bindings *bindings, uint32_t frontend);

/* At the end of all; its id is the highest. */
void bindings_append(struct bindings *bindings, struct listener *listener);

#endif
