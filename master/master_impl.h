/* The master as its stages see it: prepare.c (before the first fork), master.c (serving, signals, the end), acts.c (what
 * is asked for while it serves). Nobody else includes it.
 */
#ifndef PROXYD_MASTER_MASTER_IMPL_H
#define PROXYD_MASTER_MASTER_IMPL_H

#include <stdbool.h>

#include "common/must.h"
#include "master/change/takeover.h"
#include "master/change/takeover_socket.h"
#include "master/children/supervisor.h"
#include "master/control/verbs.h"
#include "master/master.h"
#include "master/privileges.h"

struct master {
	const struct master_ask *ask; /* borrowed */
	struct config *config;        /* held: that serves */
	int waiting_fd;               /* owned until it serves, see daemonize.h; -1: nobody waits */
	struct pidfile *pidfile;      /* owned */
	struct privileges privileges;
	bool follows; /* another master, or the orphans of one: past is what it left */
	bool ours;    /* what serves is: always, but for one that follows before K2M_YOURS */
	struct takeover past;            /* owned */
	struct takeover_socket takeover; /* owned */
	uint32_t generation;             /* our first */
	struct control *control;         /* owned */
	struct shm *shm;                 /* owned */
	struct bindings *bindings;       /* owned: that serve */
	struct bindings *next;     /* owned: of one that follows, until they are merged; NULL */
	struct config *first;      /* held: the file alone, where config has edits, too; NULL */
	struct conf_edits *edits;  /* owned: of another master, until they are ours; NULL: none */
	bool bind_again;           /* some addresses are to be tried again */
	struct event_base *base;   /* owned */
	struct signals *signals;   /* owned */
	struct event *retry;       /* owned timer: bind_retry */
	struct notify *watchdog;   /* owned */
	struct observer *observer; /* owned; NULL before it serves */
	struct handover *handover; /* owned */
	struct supervisor_env env;
	struct supervisor *supervisor; /* owned */
	struct reload *reload;         /* owned */
	struct logs *logs;             /* owned */
	struct closing *closing;       /* owned */
	struct deleting *deleting;     /* owned */
	struct rebalance *rebalance;   /* owned */
	struct upgrade *upgrade;       /* owned */
	struct sampler *sampler;       /* owned */
	struct report *report;         /* owned */
	struct succeed *succeed;       /* owned; NULL: done, or nothing to take over */
	bool serving;                  /* it has begun to */
	bool hung_up;                  /* SIGHUP came before that, or during an upgrade */
	unsigned stops;                /* how often we were asked */
	enum exit_code result;
};

/* prepare.c: everything that can fail. Undoes nothing itself. Returns -1; it is said. */
MUST_USE int master_prepare(struct master *master);
bool master_log_is_stderr(const struct master *master);

/* acts.c */
struct control_actions master_actions(struct master *master);
void master_hang_up(struct master *master); /* SIGHUP */
void master_upgrade(struct master *master); /* SIGUSR2 */
void master_make_upgrade(struct master *master);

/* master.c */
void on_master_signal(int number, void *arg);
void on_master_retry(int fd, short what, void *arg);
void on_master_stop(bool now, void *arg);
void master_stop(struct master *master, uint32_t drain_ms);
void master_started(struct master *master); /* the first generation serves */
void master_retry_later(struct master *master);

/* succeed.c: what there is to take over, the serving once it is ready */
MUST_USE int succeed_find(struct master *master); /* past and follows; -1: it lives; it is said */
void succeed_begin(struct master *master);
void succeed_prepared(struct succeed *succeed);
void succeed_fail(struct succeed *succeed, const char *why);
void succeed_stop(struct succeed *succeed, int number); /* fails, or stops as soon as it serves */
void succeed_free(struct succeed *succeed);             /* NULL is fine */

#endif
