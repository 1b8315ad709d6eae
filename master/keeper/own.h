/* What the keeper is made of; its parts alone know it. What they do for each other: keeper_parts.h.
 */
#ifndef PROXYD_MASTER_KEEPER_OWN_H
#define PROXYD_MASTER_KEEPER_OWN_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "common/channel.h"
#include "common/log.h"
#include "common/shm.h"
#include "master/keeper/keeper.h"
#include "master/keeper/store.h"

struct child;
struct event;
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

/* While a successor is being filled: the old one's way through what it has, and the successor's line to the old. */
struct keeper_inherit {
	struct keeper *keeper; /* borrowed */
	struct channel *line;  /* owned */
	struct event *timer;   /* owned; the old one's */
	unsigned state;        /* the old one's, see keeper_hand_over.c */
	uint64_t until_ms;
	uint32_t slot; /* where it is, in the state's array */
	size_t at;
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
	int fds_listen_max; /* of listening sockets: more, where the limit allows no relay at all */
	bool frozen;        /* a successor is being filled */
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

#endif
