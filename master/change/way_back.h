/* The configuration before, in the master's pages of shared memory: so that a next master, after an upgrade or a death,
 * can go back to it as this one could, and does when a reload is not confirmed in time.
 */
#ifndef PROXYD_MASTER_CHANGE_WAY_BACK_H
#define PROXYD_MASTER_CHANGE_WAY_BACK_H

#include <stdbool.h>
#include <stdint.h>

#include "common/must.h"

struct shm;

/* Keep this text (NULL: none). What one before left is gone, also what was to be confirmed. One that is too long is not
 * kept. */
void way_back_keep(struct shm *shm, const char *text);

/* By then (clock_now_ms) it is to be taken unless it is confirmed; 0: it is not. */
void way_back_until(struct shm *shm, uint64_t until_ms);
uint64_t way_back_get_until(struct shm *shm);

/* The text that is kept, a copy that is the caller's. NULL when there is none. */
MUST_USE char *way_back_text(struct shm *shm);

#endif
