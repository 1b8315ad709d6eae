/* Which worker accepts from which listening socket: every one has exactly one owner at a time, a process of the serving
 * generation, and a home: the number of a worker.
 *
 *   home worker ready          -> it owns its sockets
 *   owner dies                 -> another live worker owns them at once, meanwhile
 *   home worker ready again    -> M2W_RELEASE to the interim owner; on its W2M_RELEASED they go home
 *   interim owner or home dies -> the same again with who is left
 *   another generation serves  -> M2W_RELEASE to the owners of the old one; on W2M_RELEASED they go home to the new
 *   the address is gone        -> M2W_RELEASE with MSG_LISTENER_LAST; on W2M_RELEASED it is closed
 *
 * The queue of a socket outlives all of this, for the master holds it open.
 */
#ifndef PROXYD_MASTER_LISTEN_HANDOVER_H
#define PROXYD_MASTER_LISTEN_HANDOVER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/messages.h"
#include "common/must.h"

struct channel;
struct handover;
struct bindings;

/* A worker process. */
struct handover_worker {
	uint32_t slot;
	uint32_t number;
	uint32_t generation;
	struct channel *channel; /* borrowed until handover_gone; NULL: it is dead */
};

struct handover_handlers {
	/* A listener that left was closed. */
	void (*on_closed)(uint32_t id, void *arg);
	void *arg;
};

/* bindings is borrowed, handlers copied (NULL: none). Exits when there is no memory. */
struct handover *handover_new(struct bindings *bindings, uint32_t workers, uint32_t generation,
	const struct handover_handlers *handlers);
void handover_free(struct handover *handover); /* NULL is fine */

/* This worker can accept from now on. One that is not of the serving generation gets nothing. */
void handover_ready(struct handover *handover, const struct handover_worker *worker);

/* A worker of a master before us, of the generation before or older: any listener that was found may be with it. */
void handover_found(struct handover *handover, const struct handover_worker *worker);

/* From now on the generation of these workers serves, one for each number; the bindings are theirs already. Those of the
 * generation before give back what they have. */
void handover_commit(
	struct handover *handover, const struct handover_worker *workers, uint32_t count);

/* The worker is dead, whether it had been ready or not. */
void handover_gone(struct handover *handover, const struct handover_worker *worker);

/* It gave sockets back. Returns -1 when it had not been asked for one of them. */
MUST_USE int handover_released(struct handover *handover, uint32_t slot,
	const struct msg_listener *released, size_t count);

/* Further listeners were opened. */
void handover_opened(struct handover *handover);

/* Whoever has not accepted empty what leaves is not waited for any longer: it is closed. Returns how many. */
size_t handover_close_leaving(struct handover *handover);

/* The listeners are closed: from now on nothing is given to anybody. */
void handover_stop(struct handover *handover);

#endif
