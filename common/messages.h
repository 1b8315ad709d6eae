/* The payloads of the messages in messages.def. Fixed sizes, no pointers, no padding left unset.
 */
#ifndef PROXYD_COMMON_MESSAGES_H
#define PROXYD_COMMON_MESSAGES_H

#include <stdint.h>

#define MESSAGE_BATCH      40 /* elements that bring fds: six each are still under CHANNEL_FDS_MAX */
#define MESSAGE_RELAYS_MAX 256 /* elements that bring none */
#define MESSAGE_ROUTE_MAX  64  /* SHM_WORKERS_MAX */

#define MSG_FRONTEND_ADMIN UINT32_MAX /* of a listener: no frontend's, the admin process accepts */

enum message_type {
	MSG_NONE,
#define MSG_TYPE(name, side, payload, elements, fds) name,
#include "common/messages.def"
#undef MSG_TYPE
	MSG_TYPES,
};

struct msg_nothing {
	uint32_t unused;
};

struct msg_ready {
	int32_t pid;
	uint32_t unused;
};

struct msg_stop {
	uint32_t drain_ms;
	uint32_t unused;
};

enum msg_log_fds {
	MSG_LOG_FD = 1 << 0,    /* the log's */
	MSG_ACCESS_FD = 1 << 1, /* the access log's; without it there is none */
};

struct msg_log {
	uint32_t round; /* msg_round.round of the answer */
	uint32_t fds;   /* enum msg_log_fds, in this order */
	uint32_t level; /* enum log_level */
	uint32_t format;
	uint32_t kind; /* of struct sink_place */
	uint32_t access_format;
	uint32_t access_kind;
	uint32_t unused;
};

struct msg_round {
	uint32_t round; /* of what is answered */
	uint32_t count;
};

/* One relay, or all of a server that were there at that moment. */
struct msg_close {
	uint32_t round;
	uint32_t server;    /* place; UINT32_MAX: the one called id */
	uint64_t id;        /* with UINT32_MAX */
	uint64_t before_ms; /* clock_now_ms: those accepted until then */
};

struct msg_shed {
	uint32_t count;
	uint32_t unused;
};

struct msg_slot {
	uint32_t slot;
	uint32_t unused;
};

enum msg_listener_flags {
	MSG_LISTENER_LAST = 1 << 0, /* M2W_RELEASE: accept it empty, nobody will after you */
};

/* One listening socket: which of the master's it is, and for which frontend. */
struct msg_listener {
	uint32_t id;       /* the master's number for the socket, unique in the daemon's life */
	uint32_t frontend; /* its place in shared memory */
	uint32_t flags;    /* enum msg_listener_flags */
	uint32_t unused;
};

/* The same as the keeper has it: what the next master needs beyond what the socket itself tells. */
struct msg_kept_listener {
	uint32_t id;
	uint32_t frontend; /* place, or MSG_FRONTEND_ADMIN */
	uint32_t
		home; /* number of the worker whose socket it is; UINT32_MAX: all workers share it */
	uint32_t unused;
};

/* ------------------------------------------------------------------ relays */

enum msg_deposit_flags {
	MSG_DEPOSIT_CLIENT_ONLY = 1 << 0, /* there is no server side */
	MSG_DEPOSIT_MOVING =
		1 << 1, /* it is let go at once: take it even when there is no room to keep it */
};

/* One relay of the worker that speaks or is spoken to. record: which of its records; id: what the record says. */
struct msg_deposit {
	uint32_t record;
	uint32_t flags; /* enum msg_deposit_flags */
	uint64_t id;
};

struct msg_relay {
	uint32_t record;
	uint32_t unused;
	uint64_t id;
};

struct msg_pipe {
	uint32_t
		number; /* of the worker's pipes; relay_record.up_pipe and down_pipe are this plus 1 */
	uint32_t unused;
};

/* Which fds come with an element, in this order. */
enum msg_adopt_fds {
	MSG_FD_CLIENT = 1 << 0,
	MSG_FD_SERVER = 1 << 1,
	MSG_FD_UP_PIPE = 1 << 2,   /* two: to read, to write */
	MSG_FD_DOWN_PIPE = 1 << 3, /* two */
};

/* A relay of another worker: its record is (slot, record), where id is to be found. */
struct msg_adopt {
	uint32_t slot;
	uint32_t record;
	uint64_t id;
	uint32_t fds; /* enum msg_adopt_fds */
	uint32_t unused;
};

enum msg_adopt_result {
	MSG_ADOPTED,
	MSG_ADOPT_NO_ROOM, /* untouched: give it to another */
	MSG_ADOPT_UNPROVEN, /* bytes are missing or the record cannot be true: both sides were reset */
};

struct msg_adopted {
	uint32_t from_slot;
	uint32_t from_record;
	uint64_t id;
	uint32_t record; /* the adopter's; with MSG_ADOPTED */
	uint32_t result; /* enum msg_adopt_result */
};

/* ------------------------------------------------------------------ master and keeper */

struct msg_child {
	uint32_t slot;
	uint32_t generation;
	uint32_t number;
	uint32_t role; /* enum child_role */
	int32_t pid;
	uint32_t unused;
};

struct msg_route {
	uint32_t from;
	uint32_t count;
	uint32_t
		to[MESSAGE_ROUTE_MAX]; /* slots, taken in turn; one may stand there several times */
};

struct msg_given {
	uint32_t from;
	uint32_t moved;
	uint32_t lost; /* nobody could take them, or they could not be proven right: reset */
	uint32_t unused;
};

struct msg_expect {
	int32_t pid;
	uint32_t unused;
};

#define MSG_HELLO_MAGIC 0x70727864 /* "prxd" */

/* Its layout and that of the K2M messages that carry listeners and pidfds stay as they are when the rest changes:
 * takeover tells whether the two understand each other. */
struct msg_hello {
	uint32_t magic;
	uint32_t takeover; /* TAKEOVER_VERSION: all that is in messages.def */
	uint32_t shm;      /* SHM_VERSION */
	uint32_t record_bytes;
	int32_t pid;
	uint32_t unused;
};

struct msg_no {
	int32_t pid; /* of the master that lives; 0: refused for another reason */
	uint32_t unused;
	char why[120]; /* with its final 0 */
};

struct msg_kept_pipe {
	uint32_t slot;
	uint32_t number;
};

enum msg_entry_state {
	MSG_ENTRY_KEPT,
	MSG_ENTRY_LET_GO,
	MSG_ENTRY_GIVEN, /* to `to`, which has not answered */
};

struct msg_entry {
	uint32_t slot;
	uint32_t record;
	uint64_t id;
	uint32_t state; /* enum msg_entry_state */
	uint32_t to;
	uint32_t fds; /* MSG_FD_CLIENT, MSG_FD_SERVER */
	uint32_t unused;
};

#endif
