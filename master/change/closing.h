/* Relays are closed at the operator's word: one by its id, or all of a server. Their records say who has them; that worker is
 * told, and asked again wherever they are next, for they may be on the move, until none is left or the time is over.
 */
#ifndef PROXYD_MASTER_CHANGE_CLOSING_H
#define PROXYD_MASTER_CHANGE_CLOSING_H

#include <stdint.h>

struct closing;
struct event_base;
struct msg_round;
struct reload_waiter;
struct shm;
struct supervisor;

#define CLOSING_WAIT_MS 3000

/* base, shm and supervisor are borrowed. Exits when there is no memory. */
struct closing *closing_new(
	struct event_base *base, struct shm *shm, struct supervisor *supervisor);
void closing_free(struct closing *closing); /* NULL is fine */

/* One relay, by the id that `show sessions` says. The waiter is answered from the loop: it is closed, there is none, or its
 * worker does not answer. */
void closing_relay(struct closing *closing, uint64_t id, struct reload_waiter *waiter);

/* All of a server, by its place in shared memory and its name, that are there now. waiter NULL: it is logged. */
void closing_server(struct closing *closing, uint32_t place, struct reload_waiter *waiter);

/* W2M_CLOSED of the worker in that slot. */
void closing_heard(struct closing *closing, uint32_t slot, const struct msg_round *answer);

/* It does not wait any longer; what was begun goes on. And: proxyd stops, nobody waits. */
void closing_forget(struct closing *closing, struct reload_waiter *waiter);
void closing_stop(struct closing *closing);

#endif
