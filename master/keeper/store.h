/* What the keeper keeps of relays: one entry per record of each slot, in arrays that cost nothing where nothing was put.
 * It knows fds and states, and no process.
 */
#ifndef PROXYD_MASTER_KEEPER_STORE_H
#define PROXYD_MASTER_KEEPER_STORE_H

#include <stdbool.h>
#include <stdint.h>

#include "common/must.h"

struct store;

enum entry_state {
	ENTRY_FREE,
	ENTRY_KEPT,   /* its owner, the worker of the slot, relays */
	ENTRY_LET_GO, /* waits in the slot's queue for an adopter */
	ENTRY_GIVEN,  /* to `to`, which has not answered */
};

/* Read by all, changed by the functions below alone, but for to and tries while it is LET_GO. */
struct store_entry {
	uint64_t id;
	int fds[2];    /* owned: client, server; -1: none */
	uint8_t state; /* enum entry_state */
	uint8_t to;    /* GIVEN: slot of the adopter; LET_GO: who refused it last, when tries > 0 */
	uint8_t tries; /* how many of the route's adopters are behind it */
	uint8_t queued; /* it has a place in the queue, which it may have outlived */
	uint32_t next;  /* in the queue: record + 1 */
};

/* For `records` entries a slot. Exits on no memory (start of a process). */
struct store *store_new(uint32_t records);
void store_free(struct store *store); /* closes all */

/* NULL when it is free. */
struct store_entry *store_get(struct store *store, uint32_t slot, uint32_t record);

/* A new entry, KEPT, in place of what is there; takes the fds over. -1 when there is no memory: they stay the caller's. */
MUST_USE int store_put(
	struct store *store, uint32_t slot, uint32_t record, uint64_t id, const int fds[2]);
void store_drop(struct store *store, uint32_t slot, uint32_t record); /* closes the fds */

/* The entry becomes (slot, record), KEPT. -1 when there is no memory: it is untouched. */
MUST_USE int store_move(struct store *store, uint32_t from_slot, uint32_t from_record,
	uint32_t slot, uint32_t record);

void store_keep(struct store *store, uint32_t slot, uint32_t record);
void store_let_go(struct store *store, uint32_t slot, uint32_t record); /* at the queue's end */
void store_give(struct store *store, uint32_t slot, uint32_t record, uint32_t to);

/* The first in the queue of those LET_GO, which leaves the queue; false when there is none. Who does not give it away
 * then lets it go again. */
bool store_next(struct store *store, uint32_t slot, uint32_t *record_r);
uint32_t store_waiting(
	const struct store *store, uint32_t slot); /* LET_GO, in the queue or just out of it */

uint32_t store_count(const struct store *store, uint32_t slot);    /* entries of the slot */
uint32_t store_given_to(const struct store *store, uint32_t slot); /* of others, to it */
uint32_t store_used(const struct store *store, uint32_t slot);     /* highest record ever + 1 */
uint64_t store_total(const struct store *store);

/* Nothing of the slot is left, nor the memory for it. */
void store_release(struct store *store, uint32_t slot);

#endif
