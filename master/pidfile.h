/* The file that holds the master's pid while it serves.
 */
#ifndef PROXYD_MASTER_PIDFILE_H
#define PROXYD_MASTER_PIDFILE_H

#include "common/must.h"

struct pidfile;

/* Make sure, before anything is bound, that the file can be written: a temporary one is made beside it.
 * path is borrowed, and may be relative to the directory of now. Returns NULL, the reason in errno. */
MUST_USE struct pidfile *pidfile_prepare(const char *path);

/* Now it serves: write our pid and rename it into place (0644). Returns -1 with errno. */
MUST_USE int pidfile_commit(struct pidfile *pidfile);

/* Removes what was made, unless another process wrote the file since; NULL is fine. */
void pidfile_free(struct pidfile *pidfile);

#endif
