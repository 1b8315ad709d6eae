/* The control socket: one line in, its answer out, then the connection is closed. Served in the master's loop,
 * which never waits for a client nor for a worker.
 */
#ifndef PROXYD_MASTER_CONTROL_H
#define PROXYD_MASTER_CONTROL_H

#include <stdbool.h>

#include "common/must.h"
#include "master/control_verbs.h"

struct conf;
struct control;
struct event_base;
struct shm;

#define CONTROL_CLIENTS_MAX 32 /* one more, and the one that was idle longest goes */
#define CONTROL_IDLE_MS     10000

/* Take global.control.path. conf is borrowed. The quick forms (optional) go without where the default one cannot
 * be had. Returns NULL when the daemon must not start; it is logged. */
MUST_USE struct control *control_open(const struct conf *conf, bool optional);

/* Answer from now on; says at info where, or why not. base, shm and what actions has are borrowed. Exits when
 * there is no memory. */
void control_serve(struct control *control, struct event_base *base, struct shm *shm,
	const struct control_actions *actions);

/* The daemon was asked to stop, by whomever; it is answered until control_close. */
void control_stopping(struct control *control);

/* What was answered goes out as far as that is possible now; the socket is removed. NULL is fine. */
void control_close(struct control *control);

#endif
