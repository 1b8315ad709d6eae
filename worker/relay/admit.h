/* Who is let in: maxconn of the daemon and of a frontend, limits.rate, allow and deny, limits per source.
 *
 * What concerns all clients alike (maxconn, rate) is asked before accept: who is too many waits in the kernel's
 * queue. What concerns one client is asked after it: that one is refused with a reset, counted by reason, and said
 * at most once a second.
 */
#ifndef PROXYD_WORKER_RELAY_ADMIT_H
#define PROXYD_WORKER_RELAY_ADMIT_H

#include <stdbool.h>
#include <stdint.h>

#include "common/must.h"
#include "common/shm.h"
#include "common/sockaddr.h"

struct conf_frontend;
struct relay_record;
struct relays;

/* Takes a place for one more of the frontend's. False: not now. */
MUST_USE bool admit_reserve(struct relays *relays, const struct conf_frontend *frontend);

/* Gives it back when nobody came. */
void admit_return(struct relays *relays, const struct conf_frontend *frontend);

/* Gives it back when the relay ends. */
void admit_release(struct relays *relays, const struct conf_frontend *frontend);

/* One that another worker let in is counted here from now on, whatever the limits say. Its source, too: returns what
 * admit_leave takes. */
void admit_adopt(struct relays *relays, const struct conf_frontend *frontend);
uint64_t admit_adopt_source(struct relays *relays, const struct relay_record *record);

/* Whether this client is let in: REFUSALS, or why not, which is said and not yet counted. *key_r is what admit_leave takes
 * when its relay ends, 0 for nothing. */
MUST_USE enum refusal admit_client(struct relays *relays, const struct conf_frontend *frontend,
	const struct sockaddr_any *client, uint64_t *key_r);
void admit_leave(struct relays *relays, uint64_t key);

#endif
