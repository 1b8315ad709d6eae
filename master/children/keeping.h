/* What the master tells the keeper: the listening sockets, the children, whose relays go where, and who is dead; and what
 * it makes of the answers. A dead worker's slot stays as it was until its relays are others'.
 *
 *   worker dies   -> M2K_ROUTE, M2K_GIVE; on K2M_GIVEN its slot is reaped and free, M2K_GONE
 *   keeper dies   -> another is told everything; M2W_KEEPER to every worker; when all have answered W2M_KEEPER or died:
 *                    M2W_SETTLE to them, and what is open (routes, the dead) is said again
 *
 * process.h includes this; nobody else does.
 */
#ifndef PROXYD_MASTER_CHILDREN_KEEPING_H
#define PROXYD_MASTER_CHILDREN_KEEPING_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>
#include <sys/types.h>

#include "common/messages.h"
#include "common/must.h"

struct departed;
struct event;
struct message;
struct process;
struct supervisor;

TAILQ_HEAD(departed_list, departed);

struct keeping {
	struct departed_list departed; /* owned: the dead whose slots are not free yet */
	uint32_t told;                 /* the highest listener that the keeper knows */
	struct event *routes;          /* owned: active when they are to be sent anew */
	bool settling;                 /* a new keeper: not all workers speak to it yet */
	uint32_t turn;                 /* with whom the next route begins */
	uint64_t changes;              /* of children and listeners, as it was told of them */
	bool awaited;                  /* the keeper is another master's until K2M_YOURS */
};

/* How somebody ended, for the one line that is said of it. */
struct keeping_end {
	char end[80];  /* "was killed by signal 9 (Killed)" */
	char next[48]; /* ", started again now" */
	bool planned;  /* nothing to say when no relay was lost */
};

void keeping_init(struct supervisor *supervisor);
void keeping_deinit(struct supervisor *supervisor);

/* To the keeper of now, if there is one; slot and generation are filled in. */
bool keeping_is_there(const struct supervisor *supervisor);
void keeping_send(struct supervisor *supervisor, struct message *message);

/* A keeper was forked, it died. */
void keeping_begin(struct supervisor *supervisor);
void keeping_end(struct supervisor *supervisor);

/* The keeper that we found is ours now, what it has of listeners up to this number. It is told of the workers that we
 * started before. */
void keeping_take(struct supervisor *supervisor, uint32_t told);

/* A worker that died while there was no master: its relays are somewhere. */
void keeping_found_dead(struct supervisor *supervisor, uint32_t slot);
bool keeping_waits_for(
	const struct supervisor *supervisor, uint32_t slot); /* it is one of the dead */

/* Let this process, and nobody else, take over; 0: nobody. */
void keeping_expect(struct supervisor *supervisor, pid_t pid);

/* A line between a worker that is about to be forked and the keeper: fds_r[0] the keeper's end, fds_r[1] the worker's,
 * both the caller's; -1 when there is no keeper. */
void keeping_line(struct supervisor *supervisor, int fds_r[2]);

/* A child was forked. line_fd: the keeper's end, borrowed; -1: none, or it is a checker. */
void keeping_child(struct process *process, int line_fd);
void keeping_child_gone(struct process *process); /* a checker; it is still as it was */

/* A worker is dead: its relays go to others, then it is said how it went, and its slot is free. */
void keeping_died(struct process *process, const struct keeping_end *end);

/* Who can adopt has changed: routes that are used are sent anew, soon. */
void keeping_routes(struct supervisor *supervisor);

/* Listeners were opened, or passed to another frontend; one was closed. */
void keeping_listeners(struct supervisor *supervisor);
void keeping_listener_closed(struct supervisor *supervisor, uint32_t id);
void keeping_drop_listeners(struct supervisor *supervisor); /* all: nobody listens any more */

/* W2M_KEEPER of a worker. */
void keeping_answered(struct process *process);

/* What the keeper says. Returns -1 when it cannot be. */
MUST_USE int keeping_message(struct supervisor *supervisor, const struct message *message);

/* Free a slot: the one that waits longest is reaped, what the keeper has of it is lost. False when none waits. */
bool keeping_make_room(struct supervisor *supervisor);

/* Nobody can take them any more, or nobody is there who could give them. */
void keeping_give_up(struct supervisor *supervisor);

/* From the watch: the dead are not waited for for ever when there is no keeper. */
void keeping_watch(struct supervisor *supervisor, uint64_t now_ms);

/* Tell the keeper that so many relays of a slot go to those, by their weights; see route_fill. */
void keeping_route(struct supervisor *supervisor, const struct msg_route *route);

#endif
