/* What an operator added and deleted since the file was written (conf/edit.h): kept in the master's pages of shared memory,
 * so that it is there for every reload, for the next binary and after a master's death.
 */
#ifndef PROXYD_MASTER_CHANGE_EDITS_H
#define PROXYD_MASTER_CHANGE_EDITS_H

#include <stdint.h>

#include "common/must.h"
#include "conf/edit.h"

struct shm;

/* A copy, the caller's to free. Exits when there is no memory. */
struct conf_edits *edits_new(void);
struct conf_edits *edits_read(struct shm *shm);
void edits_write(struct shm *shm, const struct conf_edits *edits);

/* What is in force goes with the configuration before from now on; what went with it. */
void edits_keep_before(struct shm *shm);
struct conf_edits *edits_read_before(struct shm *shm);

/* The list with that line done after all others: one that deletes what was added takes that back. Returns -1 when it is
 * full. */
MUST_USE int edits_push(struct conf_edits *edits, const char *line);

/* After loading: those that could not be done leave the list, which is logged. */
void edits_settle(struct conf_edits *edits);

#endif
