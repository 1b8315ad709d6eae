/* The master's signals, read from a signalfd: no handler ever runs, so nothing is interrupted by one.
 */
#ifndef PROXYD_MASTER_SIGNALS_H
#define PROXYD_MASTER_SIGNALS_H

#include "common/must.h"

struct event_base;
struct signals;

typedef void signals_fn(int number, void *arg);

/* Block TERM, INT, QUIT, HUP, USR1 and USR2 for good, and ignore PIPE: from here on none of them ends
 * the process. Before the first fork. */
void signals_block(void);

/* After a fork: every signal is at its default again; and none is blocked. What is to be ignored is so in between, or it
 * could end the child. */
void signals_default(void);
void signals_unblock(void);

/* Have them reported from the loop. Returns NULL with errno. */
MUST_USE struct signals *signals_new(struct event_base *base, signals_fn *on_signal, void *arg);
void signals_free(struct signals *signals); /* NULL is fine */

#endif
