/* One configuration takes the place of another, all or nothing:
 *
 *   prepare   load it (the file's with what an operator added and deleted, see edits.h), compare, resolve, bind what is new, start the new workers, wait until all are ready (bounded)
 *   commit    they serve; the old ones give back their sockets
 *   move      the old ones' relays go to the new ones
 *
 * Whatever fails before commit is undone, and who asked hears why. What is asked for meanwhile is done afterwards, once.
 */
#ifndef PROXYD_MASTER_CHANGE_RELOAD_H
#define PROXYD_MASTER_CHANGE_RELOAD_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

#include "common/must.h"

struct bindings;
struct conf;
struct conf_edits;
struct conf_errors;
struct config;
struct event_base;
struct generation;
struct handover;
struct reload;
struct shm;
struct supervisor;

enum reload_result {
	RELOAD_NEVER,
	RELOAD_DONE,
	RELOAD_UNCHANGED, /* the configuration is the one that serves */
	RELOAD_REFUSED,
};

/* Who waits for the end of one. It is the caller's, and not looked at any more once it was answered or forgotten. */
struct reload_waiter {
	TAILQ_ENTRY(reload_waiter) link;
	/* text: one line, or several with why it was refused. */
	void (*answer)(struct reload_waiter *waiter, enum reload_result result, const char *text);
};

struct reload_last {
	enum reload_result result;
	uint64_t at_wall_s;
	uint32_t generation; /* that serves since */
	char message[256];   /* the first line */
};

/* All borrowed. */
struct reload_env {
	struct event_base *base;
	struct shm *shm;
	struct bindings *bindings;
	struct handover *handover;
	struct supervisor *supervisor;
	/* The configuration as the command line names it, anew; NULL and the errors. */
	struct conf *(*load)(struct conf_edits *edits, struct conf_errors *errors, void *load_arg);
	void *load_arg;
	/* It serves from now on; the one before is still there. */
	void (*on_commit)(struct config *config, void *arg);
	void *arg;
};

/* Exits when there is no memory. */
struct reload *reload_new(const struct reload_env *env);
void reload_free(struct reload *reload); /* NULL is fine */

/* Load it again. confirm_ms > 0: back to the one before by itself when reload_confirm does not come in time. waiter may
 * be NULL. */
void reload_ask(struct reload *reload, uint32_t confirm_ms, struct reload_waiter *waiter);

/* The configuration that serves with one server more or less: a line of conf/edit.h. Returns NULL, or why not now (static). */
MUST_USE const char *reload_edit(
	struct reload *reload, const char *line, struct reload_waiter *waiter);

/* Back to the configuration before the one that serves. Returns false when there is none. */
MUST_USE bool reload_rollback(struct reload *reload, struct reload_waiter *waiter);

/* The one that serves is to stay. Returns false when nobody asked for that. */
MUST_USE bool reload_confirm(struct reload *reload);

/* We follow another master: the configuration before is its, and what waits to be confirmed waits on. */
void reload_inherit(struct reload *reload);

/* False when something waits to be confirmed, and a next master could not go back for want of room. */
MUST_USE bool reload_can_be_inherited(const struct reload *reload);

/* It does not wait any longer. */
void reload_forget(struct reload *reload, struct reload_waiter *waiter);

/* The daemon stops: what is prepared is undone, who waits is told. */
void reload_stop(struct reload *reload);

/* What is shown as the last one, though it was none: generations were exchanged all the same, or were to be. It is logged. */
void reload_note(struct reload *reload, enum reload_result result, const char *text);

/* From the supervisor. */
void reload_prepared(struct reload *reload, struct generation *generation);
void reload_unprepared(struct reload *reload, const char *why);

bool reload_is_busy(const struct reload *reload);
const struct reload_last *reload_last(const struct reload *reload);

#endif
