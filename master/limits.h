/* What the limit of open files has to allow.
 */
#ifndef PROXYD_MASTER_LIMITS_H
#define PROXYD_MASTER_LIMITS_H

#include <stddef.h>
#include <stdint.h>

#include "common/must.h"

/* Whether this many listening sockets and workers fit: in the master, with a second generation of them beside the first,
 * and in the keeper, which has them too. Returns -1, why says so. */
MUST_USE int limits_check(size_t sockets, uint32_t workers, char *why, size_t why_bytes);

#endif
