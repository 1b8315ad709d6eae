/* The run directory, where the control socket lies: which one it is, for the daemon and for proxyctl.
 * Nothing of the daemon's is used here, for proxyctl links it too.
 */
#ifndef PROXYD_MASTER_CONTROL_RUNDIR_H
#define PROXYD_MASTER_CONTROL_RUNDIR_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "common/must.h"

#define RUNDIR_PATH_BYTES 108 /* what a sockaddr_un has room for, with the final 0 */
#define RUNDIR_CANDIDATES 3

struct rundir_path {
	char text[RUNDIR_PATH_BYTES]; /* of the control socket */
	bool in_tmp; /* anybody could have made its directory: see rundir_is_private */
};

/* Where a control socket lies that no configuration speaks of, first choice first: /run/proxyd,
 * $XDG_RUNTIME_DIR/proxyd where that is set, /tmp/proxyd-UID. Returns how many. */
size_t rundir_candidates(struct rundir_path paths_r[RUNDIR_CANDIDATES]);

/* The one for a daemon of this user: the first for root, else the first of the others whose parent can be
 * had. */
void rundir_default(struct rundir_path *path_r);

/* Whether the directory of path is a directory (no symbolic link) of this user's, closed to all others. */
bool rundir_is_private(const struct rundir_path *path);

/* Open the directory of path, made (0750, of group; in /tmp 0700) when it is not there. group may be
 * (gid_t)-1. Returns its fd, which is the caller's; or -1 with *error_r, static. */
MUST_USE int rundir_open(const struct rundir_path *path, gid_t group, const char **error_r);

/* The last component of path. */
const char *rundir_name(const char *path);

#endif
