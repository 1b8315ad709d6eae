/* Which worker accepts from which listening socket: every one has exactly one owner at a time.
 *
 *   home worker ready          -> it owns its sockets
 *   owner dies                 -> another live worker owns them at once, meanwhile
 *   home worker ready again    -> M2W_RELEASE to the interim owner; on its W2M_RELEASED they go home
 *   interim owner or home dies -> the same again with who is left
 *
 * The queue of a socket outlives all of this, for the master holds it open.
 */
#ifndef PROXYD_MASTER_HANDOVER_H
#define PROXYD_MASTER_HANDOVER_H

#include <stddef.h>
#include <stdint.h>

#include "common/messages.h"
#include "common/must.h"

struct channel;
struct handover;
struct bindings;

/* bindings is borrowed. Exits when there is no memory. */
struct handover *handover_new(struct bindings *bindings, uint32_t workers, uint32_t generation);
void handover_free(struct handover *handover); /* NULL is fine */

/* The worker of this slot can accept from now on; channel is borrowed until handover_gone. */
void handover_ready(struct handover *handover, uint32_t slot, struct channel *channel);

/* The worker is dead, whether it had been ready or not. */
void handover_gone(struct handover *handover, uint32_t slot);

/* It gave sockets back. Returns -1 when it had not been asked for one of them. */
MUST_USE int handover_released(struct handover *handover, uint32_t slot,
	const struct msg_listener *released, size_t count);

/* Further listeners were opened. */
void handover_opened(struct handover *handover);

/* The listeners are closed: from now on nothing is given to anybody. */
void handover_stop(struct handover *handover);

#endif
