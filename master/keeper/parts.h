/* What the keeper's parts do for each other, and for nobody else.
 *
 *   keeper            the master's line, heartbeat, begin and end
 *   keeper_store      entries: fds and states
 *   keeper_children   listeners and children, as the master tells them
 *   keeper_lines      what workers say, and what is answered in batches
 *   keeper_give       routes: who gets what was let go
 *   keeper_dead       what becomes of a dead worker's, and of what it had been given
 *   keeper_takeover   takeover.sock: a next master
 *   keeper_hand_over  filling a successor
 *   keeper_inherit    being one
 */
#ifndef PROXYD_MASTER_KEEPER_PARTS_H
#define PROXYD_MASTER_KEEPER_PARTS_H

#include "master/keeper/own.h"

/* ---- keeper.c */
void keeper_open_master(struct keeper *keeper, int fd); /* takes fd over */
void keeper_send_master(
	struct keeper *keeper, struct message *message); /* dropped when there is none */
void keeper_master_message(struct keeper *keeper, struct message *message);
/* Nothing is left that could ever need us: stop. Asked whenever a master, a worker or a next master goes. */
void keeper_check_use(struct keeper *keeper);

/* ---- keeper_children.c: each takes the fds of its message over that it wants */
void children_listener(struct keeper *keeper, struct message *message);
void children_drop(struct keeper *keeper, const struct message *message);
void children_add(struct keeper *keeper, struct message *message);
void children_gone(struct keeper *keeper, const struct message *message);
void children_drop_listeners(struct keeper *keeper);
int children_pidfd(const struct keeper *keeper, uint32_t slot); /* of a worker; -1 */
void children_free(struct keeper *keeper);

/* ---- keeper_lines.c */
struct keeper_worker *lines_worker(struct keeper *keeper, uint32_t slot); /* made when it is new */
void lines_open(struct keeper_worker *worker, int fd);                    /* takes fd over */
/* The worker is dead: read what it said, then close. */
void lines_finish(struct keeper_worker *worker);
/* What is no honest worker's doing: the end of its line and of itself; its relays are others' then. */
void lines_accuse(struct keeper_worker *worker, const char *why);
void lines_answer(
	struct keeper_worker *worker, enum message_type type, uint32_t record, uint64_t id);
void lines_flush(struct keeper_worker *worker); /* the answers */
/* Nobody needs what the keeper has of this slot's last worker. */
void lines_release(struct keeper_worker *worker);
int lines_keep_pipe(struct keeper_worker *worker, uint32_t number, int fds[2]); /* sets fds to -1 */
uint32_t lines_open_count(const struct keeper *keeper);
bool lines_may_keep(const struct keeper *keeper, const int fds[2]);
void lines_refused(struct keeper_worker *worker, uint32_t record, uint64_t id);
void lines_free(struct keeper *keeper);

/* ---- keeper_give.c */
void give_route(struct keeper *keeper, const struct msg_route *message);
void give_adopted(struct keeper_worker *adopter, const struct message *message);
/* The relay of this record is the adopter's, in that record of its. */
void give_moved(
	struct keeper_worker *from, uint32_t at, struct keeper_worker *adopter, uint32_t record);
void give_soon(struct keeper *keeper); /* at the end of this turn of the loop */
void give_run(struct keeper *keeper);  /* now */

/* ---- keeper_dead.c */
void dead_give(struct keeper *keeper, uint32_t slot); /* M2K_GIVE */
/* What was given to this slot and not confirmed is its old owners' again, or its own where its records have it. */
void dead_settle(struct keeper_worker *adopter);

/* ---- keeper_takeover.c */
struct keeper_takeover *takeover_server_new(struct keeper *keeper, int fd); /* fd: -1, nowhere */
void takeover_server_free(struct keeper_takeover *takeover);
void takeover_server_expect(struct keeper_takeover *takeover, pid_t pid);
void takeover_server_master_gone(struct keeper_takeover *takeover);
bool takeover_server_busy(const struct keeper_takeover *takeover);
bool takeover_server_taking(
	const struct keeper_takeover *takeover); /* the master was told to leave */

/* ---- keeper_hand_over.c */
void hand_over_begin(struct keeper *keeper, struct message *message);

/* ---- keeper_inherit.c */
void inherit_begin(struct keeper *keeper, struct message *message);
/* With the fd of the message, M2K_HAND_OVER or M2K_INHERIT; or NULL when that comes out of turn. */
struct keeper_inherit *inherit_new(struct keeper *keeper, struct message *message,
	enum channel_side side, const struct channel_handlers *handlers);
void inherit_free(struct keeper *keeper);
void inherit_thaw(struct keeper *keeper); /* read the lines, again or for the first time */

#endif
