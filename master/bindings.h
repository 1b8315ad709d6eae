/* All listening sockets of the daemon: for every address one per worker slot, kept open by the master as
 * long as the address is configured, so that no queue is ever closed with connections in it. A Unix
 * socket is one, shared by all workers. Who accepts from which is master/handover.h's.
 */
#ifndef PROXYD_MASTER_BINDINGS_H
#define PROXYD_MASTER_BINDINGS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/must.h"

struct conf;
struct bindings;
struct hosts;

#define LISTENER_NOBODY UINT32_MAX

struct listener {
	uint32_t id;       /* never used again */
	uint32_t frontend; /* index in the configuration */
	uint32_t place;    /* the frontend's in shared memory */
	uint32_t home;     /* the slot whose socket it is */
	int fd;            /* owned by the bindings */
	bool shared;       /* all workers have it, nobody owns it */

	/* handover's own */
	bool fresh;     /* opened since handover looked */
	bool giving;    /* its owner is yet to be told */
	bool releasing; /* its owner was asked to give it back */
	uint32_t owner; /* slot, or LISTENER_NOBODY */
};

enum bindings_result {
	BINDINGS_OPEN,   /* every address is bound */
	BINDINGS_RETRY,  /* some are taken by somebody else: try again */
	BINDINGS_FAILED, /* and some can never be had */
};

/* Every address of every frontend, nothing opened yet. conf is borrowed. Returns NULL when a name does not
 * resolve; it is logged. */
MUST_USE struct bindings *bindings_new(const struct conf *conf, const struct hosts *hosts);

/* How many sockets that takes. */
size_t bindings_wanted(const struct bindings *bindings);

/* Open what is not open yet. Everything that fails is logged: as an error, or where it may be retried
 * as a warning once. */
enum bindings_result bindings_open(struct bindings *bindings);

/* Those that are open, in the order of their ids. The index goes from 0 to count - 1. */
size_t bindings_count(const struct bindings *bindings);
struct listener *bindings_at(struct bindings *bindings, size_t index);
struct listener *bindings_find(struct bindings *bindings, uint32_t id); /* NULL: not open */

/* Close all of them, remove the files of Unix sockets. Idempotent. */
void bindings_close(struct bindings *bindings);
void bindings_free(struct bindings *bindings); /* NULL is fine */

#endif
