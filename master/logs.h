/* Where all processes log, and from which level up: after a rotation, at an operator's word, with another configuration.
 * Children cannot open files any more: the master does, and sends them what it has (M2C_LOG).
 */
#ifndef PROXYD_MASTER_LOGS_H
#define PROXYD_MASTER_LOGS_H

#include "common/log.h"

struct conf;
struct config;
struct event_base;
struct logs;
struct reload_waiter;
struct shm;
struct supervisor;

#define LOGS_WAIT_MS 2000 /* for all processes to answer */

/* base, shm and supervisor are borrowed. Exits when there is no memory. */
struct logs *logs_new(struct event_base *base, struct shm *shm, struct supervisor *supervisor);
void logs_free(struct logs *logs); /* NULL is fine */

/* From which level up it is logged with this configuration: what an operator said holds until the file's own changes. */
enum log_level logs_level(struct shm *shm, const struct conf *conf);

/* This configuration serves: the master logs as it says, and all other processes do, whatever theirs says. */
void logs_serve(struct logs *logs, struct config *config);

/* Open the files of what serves again. The waiter (may be NULL) is answered, from the loop, when no process writes to the
 * old ones any more, or how that failed; without one it is logged. */
void logs_reopen(struct logs *logs, struct reload_waiter *waiter);

void logs_set_level(struct logs *logs, enum log_level level, struct reload_waiter *waiter);

/* It does not wait any longer. And: proxyd stops, nobody does. */
void logs_forget(struct logs *logs, struct reload_waiter *waiter);
void logs_stop(struct logs *logs);

#endif
