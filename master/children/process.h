/* One child, and the supervisor that it belongs to: what process.c (birth, messages, death of one), generation.c,
 * supervisor.c (all of them), watch.c (their heartbeats), keeping.c (the keeper) and logs.c share. Nobody else includes it.
 */
#ifndef PROXYD_MASTER_CHILDREN_PROCESS_H
#define PROXYD_MASTER_CHILDREN_PROCESS_H

#include <event2/event.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "common/channel.h"
#include "common/events.h"
#include "common/shm.h"
#include "master/change/orphans.h"
#include "master/children/generation.h"
#include "master/children/keeping.h"
#include "master/children/starved.h"
#include "master/children/supervisor.h"

enum process_state {
	PROCESS_ORPHAN,   /* another master's until K2M_YOURS: nothing is done with it */
	PROCESS_WAITING,  /* to be forked when its timer fires */
	PROCESS_STARTING, /* forked, not ready */
	PROCESS_READY,
	PROCESS_GONE, /* and not coming back */
};

struct process {
	struct supervisor *supervisor; /* borrowed */
	enum child_role role;
	struct generation *home; /* borrowed: whose configuration it has */
	uint32_t generation;     /* the number that its messages carry */
	uint32_t number;
	uint32_t slot; /* of a worker; SHM_NONE: it has none yet. 0 for the others */
	char name[32]; /* "worker 2" */
	enum process_state state;
	pid_t pid;
	int pidfd;               /* owned; -1 when not alive */
	struct event *death;     /* owned, of the pidfd */
	struct channel *channel; /* owned; kept until the death, also when it ended */
	struct event *respawn;   /* owned timer */
	uint64_t started_ms;
	uint64_t heard_ms;      /* of the admin: its last sign of life */
	struct starved starved; /* of CPU, while it is silent */
	bool killed;            /* by us, and it was said why */
	bool found;             /* it is no child of ours: what it ended with nobody can tell */
	int found_fd;           /* owned; an orphan's channel; -1 */
	int line_fd;        /* owned; the keeper's end of its line, until there is a keeper; -1 */
	bool was_ready;     /* once at least */
	bool missed;        /* it died without being asked to, and is not back yet */
	bool ending;        /* it was told to go */
	uint64_t end_by_ms; /* killed when it is there still; 0: it has time */
	uint32_t deaths;
	uint32_t young_deaths; /* in a row */
	uint32_t lines_asked;  /* M2W_KEEPER that it has not answered */
	bool settles;          /* it is to be told when all have answered */
	uint32_t log_told; /* the last M2C_LOG, by its round, and the last that it has answered */
	uint32_t log_heard;
};

struct supervisor {
	struct event_base *base;          /* borrowed */
	const struct supervisor_env *env; /* borrowed */
	struct handover *handover;        /* borrowed */
	struct supervisor_handlers handlers;
	struct event *watch;      /* owned timer: the heartbeats */
	uint64_t watched_ms;      /* when it fired last */
	uint64_t grace_ms;        /* silence counts from here */
	struct event *stop_timer; /* owned */
	bool started;
	bool stopping;
	bool keeper_stopping; /* it is the last */
	bool failed;
	bool done;
	uint32_t restarts[SHM_WORKERS_MAX]; /* of the workers with this number */
	uint64_t finished[SHM_WORKERS_MAX]; /* what those of them that are dead accepted */
	uint64_t begun[SHM_SLOTS];          /* what the slot had accepted before its worker came */
	struct generations generations;
	struct generation *serving; /* one of them */
	struct process checker;
	struct process admin;
	struct process keepers[2];
	struct process *keeper; /* one of them */
	struct process *
		spare; /* the other: the one that comes, while it is filled, or the one that went */
	struct keeping keeping;
	struct closing *closing;     /* borrowed; NULL until it is there */
	struct successor *successor; /* owned */
};

void process_init(struct process *process, struct supervisor *supervisor, enum child_role role,
	uint32_t number);
void process_deinit(struct process *process);

/* What its channel's messages and end mean: process_hear.c. */
struct channel_handlers process_handlers(struct process *process);

/* It lives: this is the channel to it (taken over), its pidfd is in process->pidfd. */
void process_begin(struct process *process, enum process_state state, int channel_fd);

/* Fork it now; when that fails, later. */
void process_spawn(struct process *process);

bool process_alive(const struct process *process);

/* SIGKILL; what follows comes with its death. */
void process_kill(struct process *process);

/* A living one is asked to stop, one that waits for its turn never gets it. */
void process_stop(struct process *process, uint32_t drain_ms);

/* The same with M2W_LEAVE: a worker whose relays others take. */
void process_leave(struct process *process, uint32_t drain_ms);

/* Tell it something that has no payload; fd < 0: and no fd. */
void process_tell(struct process *process, enum message_type type, int fd);

/* What the admin process says. Returns -1 when it says no such thing. */
MUST_USE int admin_message(struct process *admin, struct message *message);

/* It has just been forked. */
void admin_born(struct process *admin);

/* What became of it, as a warning in the log and as an event. GOOD is no warning. */
void process_tell_people(const struct process *process, enum event_level level, const char *format,
	...) PRINTF_LIKE(3, 4);

/* The same of one that is known by its name alone. */
void supervisor_tell_people(
	struct supervisor *supervisor, const char *name, enum event_level level, const char *text);

/* It did what it must not: it is killed, and why is said. */
void process_broken(struct process *process, const char *why);

/* A worker has this slot from now on; it is dead, its slot is as it was. What they accept is counted by number. */
void supervisor_count_begin(struct supervisor *supervisor, const struct process *worker);
void supervisor_count_end(struct supervisor *supervisor, const struct process *worker);
void supervisor_count_carry(struct supervisor *supervisor); /* another generation serves */

/* What process.c tells the supervisor. */
void supervisor_process_ready(struct supervisor *supervisor, struct process *process);
/* Returns true when it is to be started again. */
MUST_USE bool supervisor_process_died(struct supervisor *supervisor, struct process *process);

/* Start all workers of it. */
void supervisor_spawn(struct generation *generation);

/* When everything that was to end has ended. */
void supervisor_check_done(struct supervisor *supervisor);

/* All workers of all generations, one by one; NULL: the first, and after the last. */
struct process *supervisor_next_worker(struct supervisor *supervisor, struct process *after);

/* As often as the serving configuration wants; and look at who is silent, from the timer. */
void supervisor_watch_begin(struct supervisor *supervisor);
void supervisor_watch(struct supervisor *supervisor);

struct event *supervisor_event(struct event *event); /* exits on NULL */

#endif
