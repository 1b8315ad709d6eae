/* A timer wheel for the relays: a place in it costs a list entry, adding and removing are O(1), nothing is
 * allocated. Lazy: an entry that fires looks whether its time has really come and comes back if not; so
 * activity on a relay touches no timer. Resolution 16 ms; an entry further away than a minute fires early
 * and is then added again by its owner.
 */
#ifndef PROXYD_WORKER_RELAY_WHEEL_H
#define PROXYD_WORKER_RELAY_WHEEL_H

#include <stdint.h>
#include <sys/queue.h>

struct event_base;
struct wheel;

struct wheel_entry {
	LIST_ENTRY(wheel_entry) link;
	uint32_t bucket; /* + 1; 0: not in the wheel */
};

/* The entry is out of the wheel already; the callee adds it again if it wants. */
typedef void wheel_fire_fn(struct wheel_entry *entry, uint64_t now_ms);

/* Exits on no memory: made at a worker's start. */
struct wheel *wheel_new(struct event_base *base, wheel_fire_fn *fire);
void wheel_free(struct wheel *wheel);

/* Fires at deadline_ms or up to 32 ms later, or earlier when that is over a minute away. Moves an entry
 * that is in the wheel already, unless that one fires early enough. */
void wheel_add(struct wheel *wheel, struct wheel_entry *entry, uint64_t deadline_ms);
void wheel_del(struct wheel *wheel, struct wheel_entry *entry);

#endif
