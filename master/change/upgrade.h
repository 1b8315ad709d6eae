/* Another binary takes over while we serve: it is started, prepares itself, and asks the keeper for all that is ours.
 *
 *   waiting    until nothing is on its way: a reload, a dead worker's relays, a new keeper
 *   starting   the binary was started; it has UPGRADE_MS to be ready
 *   over       K2M_TAKEN: we answer, and are gone; or it ended, or took too long, and nothing has changed
 */
#ifndef PROXYD_MASTER_CHANGE_UPGRADE_H
#define PROXYD_MASTER_CHANGE_UPGRADE_H

#include <stdbool.h>
#include <sys/types.h>

#include "common/must.h"

struct event_base;
struct reload;
struct reload_waiter;
struct supervisor;
struct upgrade;

#define UPGRADE_MS    10000
#define UPGRADE_TRIES 3 /* when children or listeners change meanwhile */

/* All borrowed. */
struct upgrade_env {
	struct event_base *base;
	struct supervisor *supervisor;
	struct reload *reload;
	/* Why there can be none now: NULL, or static. May mend that. */
	const char *(*obstacle)(void *arg);
	/* The other one has it all: to be left at once. Does not return. */
	void (*on_taken)(pid_t pid, void *arg);
	void (*on_over)(void *arg); /* it came to nothing */
	void *arg;
};

/* Exits when there is no memory. */
struct upgrade *upgrade_new(const struct upgrade_env *env);
void upgrade_free(struct upgrade *upgrade); /* NULL is fine */

/* binary: an absolute path, copied; NULL: the one that we were started from. waiter (may be NULL) is answered
 * when it is over. Returns NULL when it is begun, else why not (static). */
const char *upgrade_ask(struct upgrade *upgrade, const char *binary, struct reload_waiter *waiter);
void upgrade_forget(
	struct upgrade *upgrade, struct reload_waiter *waiter); /* it does not wait any longer */

bool upgrade_is_busy(const struct upgrade *upgrade);

/* The daemon stops: the other one is ended. */
void upgrade_stop(struct upgrade *upgrade);

/* It took what the other one was to have with it: that one is ended before there is another keeper, and then tries again. */
void upgrade_keeper_died(struct upgrade *upgrade);

/* K2M_TAKEN. */
void upgrade_taken(struct upgrade *upgrade, pid_t pid);

#endif
