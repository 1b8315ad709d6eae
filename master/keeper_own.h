/* What the keeper's parts share among themselves, and nobody else.
 *
 *   keeper            the master's line, heartbeat, begin and end
 *   keeper_store      entries: fds and states
 *   keeper_children   listeners and children, as the master tells them
 *   keeper_lines      what workers say, and what is answered in batches
 *   keeper_give       routes: who gets what was let go
 *   keeper_takeover   takeover.sock: a next master
 *   keeper_inherit    a successor, and being one
 */
#ifndef PROXYD_MASTER_KEEPER_OWN_H
#define PROXYD_MASTER_KEEPER_OWN_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "common/channel.h"
#include "common/log.h"
#include "common/shm.h"
#include "master/keeper.h"
#include "master/keeper_store.h"

struct child;
struct event;
struct keeper_inherit;
struct keeper_takeover;

/* Relays that one adopter may have before it without having answered: so that one that is slow does not get all,
 * and few fds are on their way, which the kernel counts per user. */
#define KEEPER_GIVEN_MAX 320

/* fds that stay free, so that any message can be received: CHANNEL_FDS_MAX, and some of our own. */
#define KEEPER_HEADROOM 304
/* and below that those that only relays on the move may take. */
#define KEEPER_PASSAGE 1024

struct keeper_listener {
	struct msg_kept_listener what;
	int fd; /* owned */
};

struct keeper_child {
	struct msg_child what;
	int channel_fd; /* owned; the master's end */
	int pidfd;      /* owned */
};

struct keeper_route {
	uint32_t count;
	uint32_t turn;
	uint8_t ring[MESSAGE_ROUTE_MAX]; /* slots; one may stand there several times */
	uint32_t distinct;
	uint8_t adopters[MESSAGE_ROUTE_MAX]; /* each once */
};

/* K2W_ADOPT as it grows; fds are the store's. */
struct keeper_batch {
	size_t count;
	size_t nfds;
	struct msg_adopt adopt[MESSAGE_BATCH];
	int fds[CHANNEL_FDS_MAX];
};

/* K2W_TAKEN, K2W_REFUSED or K2W_BACK as it grows. */
struct keeper_answer {
	enum message_type type;
	size_t count;
	struct msg_relay relays[MESSAGE_BATCH];
};

struct keeper_pipe {
	int fds[2]; /* owned, to read and to write; -1: none */
};

/* One for each slot that was ever spoken of. */
struct keeper_worker {
	struct keeper *keeper; /* borrowed */
	uint32_t slot;
	struct channel *line; /* owned; NULL: the worker is gone, or frozen_fd has it */
	int frozen_fd;        /* owned; -1; the line while another keeper may be reading it */
	bool dead;            /* M2K_GIVE came, K2M_GIVEN is due */
	uint32_t moved;       /* since M2K_GIVE */
	uint32_t lost;
	struct keeper_pipe *pipes; /* owned */
	size_t npipes;
	struct keeper_route route;
	struct keeper_batch batch;
	struct keeper_answer answer;
};

struct keeper {
	const struct child *child; /* borrowed */
	struct event_base *base;   /* borrowed */
	struct shm *shm;           /* borrowed */
	struct shm_keeper *pages;
	struct store *store;
	struct channel *master; /* owned; NULL: it is gone */
	pid_t master_pid;
	int master_pidfd;        /* owned; -1 */
	bool master_foreign;     /* of another version: it will not speak to us */
	struct event *heartbeat; /* owned */
	struct event *give;      /* owned; pending: there may be something to give, or to answer */
	int fds_keep_max;        /* a number from here on means: no room to keep it */
	int fds_max;             /* nor to pass it on */
	bool frozen;             /* a successor is being filled */
	bool stop;
	int code;
	struct keeper_listener *listeners; /* owned array */
	size_t nlisteners;
	struct keeper_child *children; /* owned array */
	size_t nchildren;
	uint64_t changes;                         /* of the two arrays, ever */
	struct keeper_worker *workers[SHM_SLOTS]; /* owned; NULL */
	struct keeper_takeover *takeover;         /* owned */
	struct keeper_inherit *inherit; /* owned; NULL: nobody to fill, nobody to be filled by */
	struct log_rate refused_rate;
};

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
void give_route(struct keeper *keeper, const struct msg_route *route);
void give_dead(struct keeper *keeper, uint32_t slot); /* M2K_GIVE */
void give_adopted(struct keeper_worker *adopter, const struct message *message);
/* What was given to this slot and not confirmed is its old owners' again, or its own where its records have it. */
void give_settle(struct keeper_worker *adopter);
void give_soon(struct keeper *keeper); /* at the end of this turn of the loop */
void give_run(struct keeper *keeper);  /* now */

/* ---- keeper_takeover.c */
struct keeper_takeover *takeover_server_new(struct keeper *keeper, int fd); /* fd: -1, nowhere */
void takeover_server_free(struct keeper_takeover *takeover);
void takeover_server_expect(struct keeper_takeover *takeover, pid_t pid);
void takeover_server_master_gone(struct keeper_takeover *takeover);
bool takeover_server_busy(const struct keeper_takeover *takeover);
bool takeover_server_taking(
	const struct keeper_takeover *takeover); /* the master was told to leave */

/* ---- keeper_inherit.c */
void inherit_hand_over(struct keeper *keeper, struct message *message);
void inherit_begin(struct keeper *keeper, struct message *message);
void inherit_free(struct keeper *keeper);

#endif
