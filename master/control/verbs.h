/* The commands of the control socket: who may give them, and what they answer.
 */
#ifndef PROXYD_MASTER_CONTROL_VERBS_H
#define PROXYD_MASTER_CONTROL_VERBS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/log.h"
#include "common/must.h"
#include "master/control/line.h"
#include "master/control/role.h"

struct answer;
struct evbuffer;
struct view_source;

struct conf_diff;
struct conf_errors;
struct reload_waiter;

/* Those that return a text return NULL when it is done or begun, else why not (static). */
struct control_actions {
	/* Stop, as a signal would; now: at once. */
	void (*stop)(bool now, void *arg);
	/* Answered later through the waiter, which is the caller's; forget takes that back. confirm_ms 0: for good. */
	const char *(*reload)(uint32_t confirm_ms, struct reload_waiter *waiter, void *arg);
	const char *(*rollback)(struct reload_waiter *waiter, void *arg);
	void (*forget)(struct reload_waiter *waiter, void *arg);
	/* Another binary takes over; NULL: the one that is at our path now. Answered later, too. */
	const char *(*upgrade)(const char *binary, struct reload_waiter *waiter, void *arg);
	const char *(*confirm)(void *arg);
	/* A line of conf/edit.h; close: what the server has is closed then. Answered later. */
	const char *(*edit)(const char *line, bool close, struct reload_waiter *waiter, void *arg);
	/* Relays, answered later: the one called id; those of the server at that place. */
	const char *(*close_session)(uint64_t id, struct reload_waiter *waiter, void *arg);
	const char *(*close_sessions)(uint32_t place, struct reload_waiter *waiter, void *arg);
	/* All processes; answered later. */
	const char *(*log_reopen)(struct reload_waiter *waiter, void *arg);
	const char *(*log_level)(enum log_level level, struct reload_waiter *waiter, void *arg);
	const char *(*rebalance)(uint64_t *relays_r, void *arg);
	/* What a reload would change; path NULL: with the daemon's own file. NULL and errors, else the caller's. */
	struct conf_diff *(*diff)(const char *path, struct conf_errors *errors, void *arg);
	void *arg;
};

/* What a handler works with. It writes to out, or makes an answer that follows, or says that it comes later. */
struct control_request {
	const struct control_peer *peer;
	const struct view_source *source;
	const struct control_actions *actions;
	const struct control_line *line;
	struct reload_waiter *waiter; /* through which a later answer comes */
	const char *argument;         /* the word after those of the command; NULL: none */
	char *const *arguments;       /* all of them */
	size_t narguments;
	struct evbuffer *out;
	struct answer *answer;  /* the caller's to free; NULL: all is in out */
	struct conf_diff *diff; /* the same: the source of the answer needs it */
	bool later;             /* the waiter has it */
};

/* What was done or how it went; these return -1 without memory. An error begins with "error: ", in JSON it is
 * {"error":"..."}; when the command itself is wrong, "usage: " follows. */
MUST_USE int control_say(struct control_request *request, const char *format, ...)
	PRINTF_LIKE(2, 3);
MUST_USE int control_fail(struct control_request *request, const char *format, ...)
	PRINTF_LIKE(2, 3);

/* A text that is no table, of any length; in JSON {"name":"..."}. */
MUST_USE int control_text(
	struct control_request *request, const char *name, const char *text, size_t len);

/* The same with a text of any length. */
MUST_USE int control_print(struct evbuffer *out, bool json, bool failed, const char *text);

typedef int control_handler_fn(struct control_request *request);

struct control_verb {
	const char *words;
	const char *
		arguments; /* --options that it takes, and in capitals further words, with blanks in between */
	enum control_role role;
	control_handler_fn *handler;
	const char *help;
};

/* The command that line begins with, the longest that fits; NULL: none. */
const struct control_verb *control_verb_find(const struct control_line *line);

/* Find the command, look whether the peer may give it, do it. Returns -1 without memory. */
MUST_USE int control_verb_run(struct control_request *request);

#endif
