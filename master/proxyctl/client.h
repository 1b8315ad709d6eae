/* One connection to the daemon's control socket: where it lies, asking, reading. Everything has a deadline; what is said
 * and what is answered is not known here.
 */
#ifndef PROXYD_MASTER_PROXYCTL_CLIENT_H
#define PROXYD_MASTER_PROXYCTL_CLIENT_H

#include <signal.h>
#include <stddef.h>
#include <stdint.h>

#include "common/must.h"
#include "master/control/rundir.h"
#include "master/proxyctl/ctl.h"

#define CLIENT_PATIENCE_MS 10000 /* for a sign of life, unless said otherwise */

struct client {
	size_t npaths;
	struct rundir_path paths[RUNDIR_CANDIDATES];
	const char *path;     /* borrowed from paths: the one that is spoken to */
	int fd;               /* owned; -1 when closed */
	uint32_t patience_ms; /* how long a silence may be */
	/* While it waits these signals are let in; *stop, which their handler sets, ends the waiting. NULL: none are. */
	const sigset_t *mask;
	const volatile sig_atomic_t *stop;
};

/* path NULL: the usual places. It has to fit (RUNDIR_PATH_BYTES). */
void client_init(struct client *client, const char *path);

/* Connect to the first path where somebody listens. */
MUST_USE enum ctl_exit client_open(struct client *client, struct ctl_why *why_r);
void client_close(struct client *client);

/* The same without waiting, for those who come again. Returns the fd, which is the caller's, and *path_r; or -1 with
 * errno: EAGAIN when its queue is full. */
MUST_USE int client_try(const struct client *client, const char **path_r);

MUST_USE enum ctl_exit client_send(struct client *client, const char *line, struct ctl_why *why_r);

/* Up to bytes; fewer only at the end. */
MUST_USE enum ctl_exit client_read(
	struct client *client, char *buf, size_t bytes, size_t *got_r, struct ctl_why *why_r);

/* Open, ask, read all, close. *text_r, with a final 0, is the caller's to free. */
MUST_USE enum ctl_exit client_ask(struct client *client, const char *line, char **text_r,
	size_t *len_r, struct ctl_why *why_r);

/* How an answer begins says how it went: CTL_FAILED and CTL_USAGE have it begin with "error: ", in JSON {"error":" */
enum ctl_exit client_verdict(const char *start);

#define CLIENT_START 24 /* bytes that client_verdict looks at, with a final 0 */

/* Why nothing could be opened; errors[i] is the errno of path i, EPERM when it was not tried. */
enum ctl_exit client_explain(
	const struct client *client, const int errors[], struct ctl_why *why_r);

#endif
