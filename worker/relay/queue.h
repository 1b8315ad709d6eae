/* Clients that wait because every server of their backend has its maxconn: a queue per backend over all workers.
 *
 * Each worker keeps its own clients in order and says in shared memory since when the first of them waits; a server
 * that has room goes to the one who waited longest, whichever worker has it. A worker whose first client it is but
 * that does not take it (it hangs, say) is passed over after 20 ms. A slot freed by a relay of this worker is seen in the same
 * turn, one freed elsewhere within 4 ms: while anyone waits here, the worker looks that often.
 */
#ifndef PROXYD_WORKER_RELAY_QUEUE_H
#define PROXYD_WORKER_RELAY_QUEUE_H

#include <stdbool.h>

#include "common/must.h"

struct conf_backend;
struct queues;
struct relay;
struct relays;

/* One for each backend of the configuration. Exits on no memory: made at a worker's start. */
struct queues *queues_new(struct relays *relays);
void queues_free(struct queues *queues);

/* Whether others wait for this backend already, so that nobody may go past them. */
MUST_USE bool queue_is_waited_for(struct relays *relays, const struct conf_backend *backend);

/* At the end, or away when maxqueue clients wait. */
void queue_join(struct relay *relay);
void queue_leave(struct relay *relay);

/* A server of this backend may have room again: looked at in queues_turn. */
void queue_look(struct relays *relays, const struct conf_backend *backend);
void queues_turn(struct queues *queues);

#endif
