/* One child, and the supervisor that it belongs to: what process.c (birth, messages, death of one) and
 * supervisor.c (all of them) share. Nobody else includes it.
 */
#ifndef PROXYD_MASTER_PROCESS_H
#define PROXYD_MASTER_PROCESS_H

#include <event2/event.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "common/shm.h"
#include "master/starved.h"
#include "master/supervisor.h"

enum process_state {
	PROCESS_WAITING,  /* to be forked when its timer fires */
	PROCESS_STARTING, /* forked, not ready */
	PROCESS_READY,
	PROCESS_GONE, /* and not coming back: we stop */
};

struct process {
	struct supervisor *supervisor; /* borrowed */
	enum child_role role;
	uint32_t slot;
	char name[32]; /* "worker 2" */
	enum process_state state;
	pid_t pid;
	int pidfd;               /* owned; -1 when not alive */
	struct event *death;     /* owned, of the pidfd */
	struct channel *channel; /* owned; kept until the death, also when it ended */
	struct event *respawn;   /* owned timer */
	uint64_t started_ms;
	struct starved starved; /* of CPU, while it is silent */
	bool killed;            /* by us, and it was said why */
	bool was_ready;         /* once at least */
	uint32_t deaths;
	uint32_t young_deaths; /* in a row */
};

struct supervisor {
	struct event_base *base;     /* borrowed */
	const struct spawn_env *env; /* borrowed */
	struct handover *handover;   /* borrowed */
	struct supervisor_handlers handlers;
	uint32_t generation;
	struct event *watch;      /* owned timer: the heartbeats */
	uint64_t watched_ms;      /* when it fired last */
	uint64_t grace_ms;        /* silence counts from here */
	struct event *stop_timer; /* owned */
	bool started;
	bool stopping;
	bool failed;
	bool done;
	uint32_t nworkers;
	struct process processes[SHM_WORKERS_MAX + 1]; /* the workers, then the checker */
};

void process_init(struct process *process, struct supervisor *supervisor, enum child_role role,
	uint32_t slot);
void process_deinit(struct process *process);

/* Fork it now; when that fails, later. */
void process_spawn(struct process *process);

bool process_alive(const struct process *process);

/* SIGKILL; what follows comes with its death. */
void process_kill(struct process *process);

/* A living one is asked to stop, one that waits for its turn never gets it. */
void process_stop(struct process *process, uint32_t drain_ms);

/* What process.c tells the supervisor. */
void supervisor_process_ready(struct supervisor *supervisor);
/* Returns true when it is not to be started again. */
MUST_USE bool supervisor_process_died(struct supervisor *supervisor);

struct timeval supervisor_timeval(uint32_t ms);
struct event *supervisor_event(struct event *event); /* exits on NULL */

#endif
