/* All listening sockets of the daemon: for every address one per worker number, kept open by the master as
 * long as the address is configured, so that no queue is ever closed with connections in it. A Unix
 * socket is one, shared by all workers. Who accepts from which is master/listen/handover.h's.
 *
 * The next configuration has bindings of its own while it is prepared: they hold what has to be opened anew, and know
 * what they will take from the present ones. bindings_merge makes one of the two; bindings_free gives the next ones up.
 */
#ifndef PROXYD_MASTER_LISTEN_BINDINGS_H
#define PROXYD_MASTER_LISTEN_BINDINGS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/must.h"
#include "common/shm.h"

struct conf;
struct bindings;
struct hosts;
struct takeover_listener;

#define LISTENER_NOBODY UINT32_MAX

struct listener {
	uint32_t id; /* never used again */
	uint32_t
		endpoint; /* bindings' own: whose socket it is; LISTENER_NOBODY: of none any more */
	uint32_t place;   /* the frontend's in shared memory */
	uint32_t
		home; /* number of the worker whose socket it is, modulo the workers that there are */
	int fd;       /* owned by the bindings */
	bool shared;  /* all workers have it, nobody owns it */
	bool admin;   /* shared, but no worker's: the admin process has it */
	bool leaving; /* its address is not configured any more: no new client gets in */
	bool quiet;   /* bound, but it does not listen yet */
	bool changed; /* it has another frontend than the keeper knows */

	/* handover's own */
	bool fresh;                              /* opened since handover looked */
	bool giving;                             /* its owner is yet to be told */
	bool releasing;                          /* its owner was asked to give it back */
	bool last;                               /* and to accept it empty before */
	uint32_t owner;                          /* slot, or LISTENER_NOBODY */
	uint64_t holders[(SHM_SLOTS + 63) / 64]; /* of a shared one: the slots that have it, bits */
};

enum bindings_result {
	BINDINGS_OPEN,   /* every address is bound */
	BINDINGS_RETRY,  /* some are taken by somebody else: try again */
	BINDINGS_FAILED, /* and some can never be had */
};

/* What cannot be had, line by line, for who asked; NULL: it is logged. */
typedef void bindings_error_fn(const char *line, void *arg);

/* Every address of every frontend, nothing opened yet. conf is borrowed. Returns NULL when a name does not
 * resolve; it is logged, or said. */
MUST_USE struct bindings *bindings_new(
	const struct conf *conf, const struct hosts *hosts, bindings_error_fn *on_error, void *arg);

/* What a master before us left, as the present: only to be inherited from and merged with. Takes the fds over (-1 is left
 * behind). Until bindings_merge no file of a Unix socket is touched. */
struct bindings *bindings_found(struct takeover_listener *listeners, size_t count);

/* How many sockets that takes. */
size_t bindings_wanted(const struct bindings *bindings);

/* Open what is not open yet. Everything that fails is logged (or said): as an error, or where it may be retried
 * as a warning once. */
enum bindings_result bindings_open(struct bindings *bindings);

/* Before bindings_open: next takes over the sockets of the addresses that stay, and opens the others. */
void bindings_inherit(struct bindings *next, const struct bindings *present);

/* How many sockets are yet to be opened. */
size_t bindings_missing(const struct bindings *next);

/* next is the present from now on, and gone. Listeners whose address is no more configured are leaving, those that
 * stay may have changed their frontend's place. next's conf is borrowed from here on. */
void bindings_merge(struct bindings *present, struct bindings *next);

/* Those that are open, in the order of their ids. The index goes from 0 to count - 1. */
size_t bindings_count(const struct bindings *bindings);
struct listener *bindings_at(struct bindings *bindings, size_t index);
struct listener *bindings_find(struct bindings *bindings, uint32_t id); /* NULL: not open */

/* How many are leaving. */
size_t bindings_leaving(const struct bindings *bindings);

/* Close one that is leaving; it is freed. */
void bindings_close_one(struct bindings *bindings, struct listener *listener);

/* Close all of them, remove the files of Unix sockets. Idempotent. */
void bindings_close(struct bindings *bindings);
void bindings_free(struct bindings *bindings); /* NULL is fine */

#endif
