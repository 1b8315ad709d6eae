/* The control socket: one line in, its answer out, then the connection is closed. Served in the master's loop,
 * which never waits for a client nor for a worker.
 */
#ifndef PROXYD_MASTER_CONTROL_CONTROL_H
#define PROXYD_MASTER_CONTROL_CONTROL_H

#include <stdbool.h>
#include <sys/types.h>

#include "common/must.h"
#include "master/control/verbs.h"

struct conf;
struct config;
struct control;
struct event_base;
struct view_source;

#define CONTROL_CLIENTS_MAX 32 /* one more, and the one that was idle longest goes */
#define CONTROL_INSIDE_MAX  8  /* of them, that the admin process asks for */
#define CONTROL_IDLE_MS     10000
#define CONTROL_WAIT_MS     120000 /* for an answer that comes later */

/* The daemon that we are to follow: whose socket may live at the path until we serve. */
struct control_before {
	bool is_there;
	pid_t pid; /* of its master; 0: that is dead */
};

/* Take global.control.path. The quick forms (optional) go without where the default one cannot
 * be had. Returns NULL when the daemon must not start; it is logged. */
MUST_USE struct control *control_open(
	const struct conf *conf, bool optional, const struct control_before *before);

/* Where there is a socket, the socket of a next master is beside it and takes its place. */
bool control_has_socket(const struct control *control);

/* We serve from now on, and that one not any more. Returns -1 with errno. */
MUST_USE int control_take_place(struct control *control);

/* And the other way round: another master does from now on. What was answered goes out; nothing is removed. */
void control_pass_on(struct control *control);

/* Answer from now on; says at info where, or why not. base and what source and actions have are borrowed. Exits when
 * there is no memory. */
void control_serve(struct control *control, struct event_base *base,
	const struct view_source *source, const struct control_actions *actions);

/* The admin process asks: a client at the other end of fd (taken over) may give a reader's commands. */
void control_ask(struct control *control, int fd);

/* What is shown from now on is this configuration's; who is being answered holds the one before. */
void control_config(struct control *control, struct config *config);

/* The daemon was asked to stop, by whomever; it is answered until control_close. */
void control_stopping(struct control *control);

/* What was answered goes out as far as that is possible now; the socket is removed. NULL is fine. */
void control_close(struct control *control);

#endif
