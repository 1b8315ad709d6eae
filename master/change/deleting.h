/* `del server --close`: first the server leaves the configuration, then its relays are closed.
 */
#ifndef PROXYD_MASTER_CHANGE_DELETING_H
#define PROXYD_MASTER_CHANGE_DELETING_H

#include "common/must.h"

struct closing;
struct deleting;
struct reload;
struct reload_waiter;
struct shm;

/* All borrowed. Exits when there is no memory. */
struct deleting *deleting_new(struct reload *reload, struct closing *closing, struct shm *shm);
void deleting_free(struct deleting *deleting); /* NULL is fine */

/* line: see conf/edit.h. The waiter is answered when both are done, or with what went wrong. NULL, or why not now (static). */
MUST_USE const char *deleting_ask(
	struct deleting *deleting, const char *line, struct reload_waiter *waiter);

/* It does not wait any longer; the relays are closed all the same. */
void deleting_forget(struct deleting *deleting, struct reload_waiter *waiter);

#endif
