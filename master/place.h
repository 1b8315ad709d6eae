/* What the configuration needs before a process may see it: places in shared memory, and addresses.
 */
#ifndef PROXYD_MASTER_PLACE_H
#define PROXYD_MASTER_PLACE_H

#include "common/must.h"

struct conf;
struct shm;

/* Gives every frontend, backend and server its place by its stable name, and writes what the configuration
 * wants of the servers there (struct shm_admin). Returns -1 when there is no
 * room for one; it is logged. */
MUST_USE int place_objects(struct conf *conf, struct shm *shm);

#endif
