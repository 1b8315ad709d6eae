/* The retry budget of a backend: when servers fail, further connect attempts may not become a storm of their own. Over all
 * workers, retries are at most a tenth of the connections of the last ten seconds, and ten in any case. Those that go to
 * a server that is known to work are not among them.
 */
#ifndef PROXYD_WORKER_BALANCE_RETRY_H
#define PROXYD_WORKER_BALANCE_RETRY_H

#include <stdbool.h>

#include "common/must.h"

struct conf_backend;
struct shm;

/* A connection was made. */
void retry_count(struct shm *shm, const struct conf_backend *backend);

/* One more attempt is wanted: true takes it from the budget. */
MUST_USE bool retry_allowed(struct shm *shm, const struct conf_backend *backend);

#endif
