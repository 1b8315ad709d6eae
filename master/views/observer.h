/* Tells people what becomes of servers: the checker and the workers change their state in shared memory, the master looks a
 * few times a second and makes events of it. What changed while there was no master is told by the next one.
 */
#ifndef PROXYD_MASTER_VIEWS_OBSERVER_H
#define PROXYD_MASTER_VIEWS_OBSERVER_H

struct event_base;
struct observer;
struct shm;

/* Begins at once; base and shm are borrowed. Exits when there is no memory. */
struct observer *observer_new(struct event_base *base, struct shm *shm);
void observer_free(struct observer *observer); /* NULL is fine */

#endif
