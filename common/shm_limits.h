/* How many of everything fit into the shared memory, see shm.h.
 */
#ifndef PROXYD_COMMON_SHM_LIMITS_H
#define PROXYD_COMMON_SHM_LIMITS_H

#include <stdint.h>

/* How many of each can be told apart, over all generations alive. conf refuses more. */
#define SHM_WORKERS_MAX   64
#define SHM_SLOTS         192 /* of workers: two full generations, and one that still drains */
#define SHM_FRONTENDS_MAX 4096
#define SHM_BACKENDS_MAX  4096
#define SHM_SERVERS_MAX   32768
#define SHM_NAME_MAX      128    /* "backend/server" with its final 0 */
#define SHM_RECORDS_MAX   524288 /* of one worker */
#define SHM_NONE          UINT32_MAX

#endif
