/* What the configuration needs before a process may see it: places in shared memory, and addresses.
 */
#ifndef PROXYD_MASTER_PLACE_H
#define PROXYD_MASTER_PLACE_H

#include <stdint.h>

#include "common/must.h"
#include "common/shm.h"
#include "conf/conf.h"

/* Gives every frontend, backend and server its place by its stable name. Returns -1 when there is no room for one; it is
 * logged. */
MUST_USE int place_objects(struct conf *conf, struct shm *shm);

/* The configuration serves from now on, as this generation: its objects are the current ones, and what it wants of its
 * servers (struct shm_admin) holds where it is new. */
void place_commit(const struct conf *conf, struct shm *shm, uint32_t generation);

/* What the file says of a server's state, as it lies in shared memory. */
enum admin_state place_state(enum conf_server_state state);

#endif
