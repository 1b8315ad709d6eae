/* What reload.c (who asks and hears) and reload_steps.c (what is done) share. Nobody else includes it.
 */
#ifndef PROXYD_MASTER_CHANGE_RELOAD_IMPL_H
#define PROXYD_MASTER_CHANGE_RELOAD_IMPL_H

#include "common/must.h"
#include "conf/edit.h"
#include "master/change/reload.h"

TAILQ_HEAD(reload_waiters, reload_waiter);

enum reload_step {
	RELOAD_IDLE,
	RELOAD_LOADING,   /* in the next turn of the loop */
	RELOAD_RESOLVING, /* the names */
	RELOAD_WAITING,   /* until the one before is over: its sockets and most of its relays */
	RELOAD_FINDING,   /* first addresses of names that are looked up for ever */
	RELOAD_STARTING,  /* the workers */
};

enum reload_from {
	RELOAD_FILE,
	RELOAD_BEFORE, /* the previous configuration */
	RELOAD_EDIT,   /* what serves, with an edit */
};

/* What was asked for. */
struct reload_round {
	bool wanted;
	enum reload_from from;
	uint32_t confirm_ms;
	struct reload_waiters waiters; /* borrowed */
};

/* A round of its own for each. */
struct reload_edit {
	STAILQ_ENTRY(reload_edit) link;
	struct reload_waiter *waiter; /* borrowed; NULL */
	char line[CONF_EDIT_BYTES];
};

struct reload {
	struct reload_env env;
	enum reload_step step;
	struct reload_round now;
	struct reload_round next;
	STAILQ_HEAD(, reload_edit) edits_asked; /* owned */
	char line[CONF_EDIT_BYTES];             /* of RELOAD_EDIT */
	struct reload_last last;
	struct event *timer;   /* owned: of the step */
	struct event *confirm; /* owned timer: goes back when it fires */
	uint64_t since_ms;     /* of WAITING */
	uint32_t cut_ms;       /* after that: when another generation may be ended to make room */
	char *previous;        /* owned: the configuration before, as text; NULL */
	char *reasons;         /* owned: lines of a refusal; NULL: none */
	uint32_t changes;      /* objects */

	/* what is prepared */
	struct config *config;         /* held */
	struct conf_edits *edits;      /* owned: that are in it */
	struct hosts *hosts;           /* owned */
	struct first *first;           /* owned */
	struct bindings *bindings;     /* owned */
	struct generation *generation; /* the supervisor's */
};

void reload_commit(struct reload *reload);
void reload_undo(struct reload *reload);
void on_reload_step_timer(int fd, short what, void *arg);

/* A line of why it is refused. */
void reload_because(struct reload *reload, const char *format, ...) PRINTF_LIKE(2, 3);

/* The round is over. */
void reload_end(struct reload *reload, enum reload_result result, const char *text);
void reload_refuse(struct reload *reload); /* with the reasons; undoes */

#endif
