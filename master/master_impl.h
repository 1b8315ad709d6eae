/* The master as its stages see it: prepare.c (before the first fork), master.c (serving, signals, the end), acts.c (what
 * is asked for while it serves). Nobody else includes it.
 */
#ifndef PROXYD_MASTER_MASTER_IMPL_H
#define PROXYD_MASTER_MASTER_IMPL_H

#include <stdbool.h>

#include "common/must.h"
#include "master/control_verbs.h"
#include "master/master.h"
#include "master/privileges.h"
#include "master/supervisor.h"

#define MASTER_GENERATION 1

struct master {
	const struct master_ask *ask; /* borrowed */
	struct config *config;        /* held: that serves */
	struct daemonize *daemonize;  /* owned until it serves */
	struct pidfile *pidfile;      /* owned */
	struct privileges privileges;
	struct control *control;   /* owned */
	struct shm *shm;           /* owned */
	struct bindings *bindings; /* owned */
	bool bind_again;           /* some addresses are to be tried again */
	struct event_base *base;   /* owned */
	struct signals *signals;   /* owned */
	struct event *retry;       /* owned timer: bind_retry */
	struct notify *watchdog;   /* owned */
	struct handover *handover; /* owned */
	struct supervisor_env env;
	struct supervisor *supervisor; /* owned */
	struct reload *reload;         /* owned */
	struct rebalance *rebalance;   /* owned */
	bool serving;                  /* it has begun to */
	bool hung_up;                  /* SIGHUP came before that */
	unsigned stops;                /* how often we were asked */
	enum exit_code result;
};

/* prepare.c: everything that can fail. Undoes nothing itself. Returns -1; it is said. */
MUST_USE int master_prepare(struct master *master);
bool master_log_is_stderr(const struct master *master);

/* acts.c */
struct control_actions master_actions(struct master *master);
void master_hang_up(struct master *master); /* SIGHUP */

/* master.c */
void on_master_signal(int number, void *arg);
void on_master_retry(int fd, short what, void *arg);
void on_master_stop(bool now, void *arg);

#endif
