/* From a fork to worker_main: what happens in a child before it is itself.
 */
#ifndef PROXYD_MASTER_CHILDREN_SPAWN_H
#define PROXYD_MASTER_CHILDREN_SPAWN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "common/child.h"
#include "common/must.h"

struct privileges;

/* What every child gets; all borrowed. */
struct spawn_env {
	struct shm *shm;
	struct sink *log;
	enum log_format log_format;
	struct sink *access_log; /* NULL: off */
	const struct privileges *privileges;
	bool detach;      /* the daemon is in the background, and so are its children */
	bool keep_stderr; /* the log is there */
};

/* "worker 2", "checker", "keeper": the process's name. Returns buf. */
const char *spawn_name(enum child_role role, uint32_t number, char *buf, size_t buf_bytes);

/* Fork one child. like: its role, slot, number, generation, conf, keeper_fd and takeover_fd, which stay the caller's here;
 * the rest is filled in. All signals are blocked when it is called. pidfd_r and channel_fd_r are the caller's
 * to close. Returns its pid, or -1 with errno; never returns in the child. */
MUST_USE pid_t spawn_child(
	const struct spawn_env *env, const struct child *like, int *pidfd_r, int *channel_fd_r);

#endif
