/* The line to the keeper, the second holder of every relay's sockets: deposit, forget (keep.c), let go (move.c), adopt
 * (adopt.c). Shared by those and by the files that move a relay through its states.
 *
 * A relay is young until it has been relaying for keep_after, then it is deposited; all have the same age limit, so
 * the young ones are a list in the order of their birth, looked at by one coarse timer.
 */
#ifndef PROXYD_WORKER_RELAY_KEEP_H
#define PROXYD_WORKER_RELAY_KEEP_H

#include <event2/event_struct.h>
#include <stdbool.h>
#include <stdint.h>

#include "common/messages.h"
#include "common/must.h"
#include "worker/relay/impl.h"

struct channel;
struct message;

/* Where a relay stands with the keeper. Those in the second and the last are on a list by relay.waiting. */
enum keeping {
	KEEPING_NOT,     /* not relaying yet, or never to be kept */
	KEEPING_YOUNG,   /* on keep.young */
	KEEPING_KEPT,    /* the keeper has its sockets */
	KEEPING_REFUSED, /* it had no room */
	KEEPING_LET_GO,  /* on keep.gone: in no other list, no timer, not in the loop */
};

struct keep {
	struct relays *relays;   /* borrowed */
	struct channel *channel; /* NULL: there is no keeper now */
	struct event
		timer; /* the first of the young is due; or what did not move is looked at again */
	struct event pace; /* the next batch of those that move is due */
	uint64_t began_us; /* when the last one was let go of */
	uint64_t next_us;  /* not earlier than this */
	uint32_t after_ms; /* CONF_FOREVER: never */
	struct relay_list young;
	struct relay_list gone; /* let go of, until taken or back */
	uint32_t ngone;
	uint32_t gone_all;  /* since all had last arrived */
	uint32_t gone_busy; /* of these */
	bool due;           /* look at the young */
	bool pipes_due;     /* some are not deposited */
	bool unsettled; /* another keeper, which does not know yet who has what: nothing moves */
	bool leaving;
	uint32_t shed;                             /* still to be let go of */
	uint32_t cursor;                           /* in the slab: who is let go of next */
	bool cursor_done;                          /* all were looked at */
	struct msg_adopted adopted[MESSAGE_BATCH]; /* answers of this turn */
	uint32_t nadopted;
};

/* Exits on no memory: made at a worker's start. */
struct keep *keep_new(struct relays *relays);
void keep_free(struct keep *keep);

/* It begins to relay or to serve: deposited at once when keep_after is 0, else when it is old enough. */
void keep_begin(struct relay *relay);

/* It ends: no longer young. */
void keep_end(struct relay *relay);

/* Between two turns of the loop. True: more can be done at once. */
MUST_USE bool keep_turn(struct keep *keep);

/* Tells the keeper which of these it can forget; those that it could not be told yet stay KEEPING_KEPT. */
void keep_forget(struct keep *keep, struct relay_list *ended);

/* Relays of ours that the keeper may drop. And: what says of a relay that it has it is taken back. */
void keep_send_forget(struct keep *keep, const struct msg_relay *relays, uint32_t count);
void keep_not(struct relay *relay);

void keep_send(struct keep *keep, struct message *message);
bool keep_has_room(const struct keep *keep);

/* The relay of this number if it still is that one, else NULL. */
struct relay *keep_find(struct keep *keep, uint32_t record, uint64_t id);

/* Of at most MESSAGE_BATCH. moving: they are let go of at once. */
void keep_deposit(struct keep *keep, struct relay *const *relays, uint32_t count, bool moving);
bool keep_can_deposit(const struct relay *relay);

/* The timer fires in so long, or earlier. */
void keep_wake(struct keep *keep, uint64_t ms);

/* move.c */
MUST_USE bool move_turn(struct keep *keep);
/* The keeper is gone, and all that it kept; what it is told of again waits until all have settled. */
void move_unkeep(struct keep *keep);
void move_taken(struct keep *keep, const struct message *message);
void move_back(struct keep *keep, const struct message *message);

/* adopt.c */
void adopt_message(struct keep *keep, const struct message *message);
void adopt_answer(struct keep *keep);

#endif
