/* The commands of the control socket: who may give them, and what they answer.
 */
#ifndef PROXYD_MASTER_CONTROL_VERBS_H
#define PROXYD_MASTER_CONTROL_VERBS_H

#include <stdbool.h>
#include <stddef.h>

#include "common/must.h"
#include "master/control_line.h"
#include "master/control_role.h"

struct answer;
struct evbuffer;
struct view_source;

struct control_actions {
	/* Stop, as a signal would; now: at once. */
	void (*stop)(bool now, void *arg);
	void *arg;
};

/* What a handler works with. It writes to out, or makes an answer that follows. */
struct control_request {
	const struct control_peer *peer;
	const struct view_source *source;
	const struct control_actions *actions;
	const struct control_line *line;
	struct evbuffer *out;
	struct answer *answer; /* the caller's to free; NULL: all is in out */
};

/* What was done or how it went; these return -1 without memory. An error begins with "error: ", in JSON it is
 * {"error":"..."}; when the command itself is wrong, "usage: " follows. */
MUST_USE int control_say(struct control_request *request, const char *format, ...)
	PRINTF_LIKE(2, 3);
MUST_USE int control_fail(struct control_request *request, const char *format, ...)
	PRINTF_LIKE(2, 3);

typedef int control_handler_fn(struct control_request *request);

struct control_verb {
	const char *words;
	const char *arguments; /* options that it takes, with blanks in between */
	enum control_role role;
	control_handler_fn *handler;
	const char *help;
};

/* The command that line begins with, the longest that fits; NULL: none. */
const struct control_verb *control_verb_find(const struct control_line *line);

/* Find the command, look whether the peer may give it, do it. Returns -1 without memory. */
MUST_USE int control_verb_run(struct control_request *request);

#endif
