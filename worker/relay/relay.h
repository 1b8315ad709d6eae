/* A relay: one client's connection, its server's, and what goes between them, from accept to close.
 */
#ifndef PROXYD_WORKER_RELAY_RELAY_H
#define PROXYD_WORKER_RELAY_RELAY_H

#include <stdbool.h>
#include <stdint.h>

#include "common/must.h"
#include "common/sockaddr.h"

struct conf_frontend;
struct event_base;
struct poller;
struct child;
struct relays;

enum close_reason {
#define CLOSE_REASON(name, letters, text) name,
#include "worker/relay/close_reasons.def"
#undef CLOSE_REASON
	CLOSE_REASONS,
};

/* All relays of this worker with everything they share: slab, timers, pipes, balancers, scratch buffers.
 * child is borrowed. Exits with a message when there is no memory: it is made at the worker's start. */
struct relays *relays_new(
	struct event_base *base, struct poller *poller, const struct child *child);
void relays_free(struct relays *relays);

/* A connection was accepted, for which admit_reserve had taken a place. Takes fd over (non-blocking); local_port is the listener's. Never fails towards
 * the caller: what cannot be relayed is closed, counted and logged. */
struct relay_accepted {
	int fd;
	uint16_t local_port;
	const struct conf_frontend *frontend;
	const struct sockaddr_any *client;
};
void relay_accept(struct relays *relays, const struct relay_accepted *accepted);

/* Is there room for one more? False stops the listeners until on_room says that there is again. */
bool relays_have_room(const struct relays *relays);
void relays_on_room(struct relays *relays, void (*on_room)(void *arg), void *arg);

/* How many fds the rest of the process needs; what is left of the limit is for relays. */
void relays_reserve_fds(struct relays *relays, unsigned fds);

uint32_t relays_active(const struct relays *relays);

/* The frontend at this place in shared memory; NULL: the configuration has none there. */
const struct conf_frontend *relays_frontend(const struct relays *relays, uint32_t place);

/* After every turn of the loop: goes on with those that had spent their budget, gives the memory of the
 * ended ones back, writes the access log. True: some still have work, do not sleep. */
MUST_USE bool relays_turn_end(struct relays *relays);

/* Now and then: lines that were lost are counted where all can see it. */
void relays_count_lost(struct relays *relays);

/* M2C_LOG: the log and the access log; see child_log. */
struct message;
uint32_t relays_log(struct relays *relays, struct message *message);

/* The keeper is another process now: its line, taken over; what the old one still said is heard first. Nothing moves
 * until relays_settle: every other worker has the new line too. */
void relays_keeper(struct relays *relays, int fd);
void relays_settle(struct relays *relays);

/* Let go of every relay that can move, and of those that cannot yet as soon as they can; no more of that with false. */
void relays_leave(struct relays *relays, bool leave);

/* Let go of so many more. */
void relays_shed(struct relays *relays, uint32_t count);

/* M2W_CLOSE: ends those that it means, at the operator's word; both sides by a reset. Not those that were let go of. Returns
 * how many. */
struct msg_close;
uint32_t relays_kill(struct relays *relays, const struct msg_close *what);

/* Ends all of them now, but those that were let go of. */
void relays_close_all(struct relays *relays, enum close_reason why);

#endif
