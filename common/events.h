/* What happened to the daemon, for people: the last EVENTS_MAX events, in the master's pages of shared memory. The master
 * writes them, anyone reads; they outlive masters and binaries.
 */
#ifndef PROXYD_COMMON_EVENTS_H
#define PROXYD_COMMON_EVENTS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "common/must.h"

struct shm;

#define EVENTS_MAX       256
#define EVENT_OBJECT_MAX 128 /* SHM_NAME_MAX */
#define EVENT_TEXT_MAX   192

enum event_kind {
	EVENT_SERVER,   /* its state, passive ejections; object: BACKEND/SERVER */
	EVENT_BACKEND,  /* whether any server is left; object: its name */
	EVENT_RELOAD,   /* and what a next master or binary took over */
	EVENT_PROCESS,  /* one died, hung, came back; object: "worker 2" */
	EVENT_OPERATOR, /* a command that changes something; object: what it was about, or "" */
	EVENT_DAEMON,   /* it starts, stops */
	EVENT_KINDS,
};

/* How bad it is, so that nobody has to read the text for that. */
enum event_level { EVENT_INFO, EVENT_GOOD, EVENT_WARN, EVENT_BAD, EVENT_LEVELS };

struct event_record {
	_Atomic uint64_t
		sequence; /* odd while it is being written, else twice its number; 0: none */
	uint64_t wall_ms;
	uint32_t kind;  /* enum event_kind */
	uint32_t level; /* enum event_level */
	char object[EVENT_OBJECT_MAX];
	char text[EVENT_TEXT_MAX];
};

struct shm_events {
	_Atomic uint64_t count; /* ever: the number of the last one; from 1 */
	struct event_record ring[EVENTS_MAX];
};

struct event_what {
	enum event_kind kind;
	enum event_level level;
	const char *object; /* "": none */
};

/* Master only. What is too long is cut. */
void events_add(struct shm *shm, const struct event_what *what, const char *format, ...)
	PRINTF_LIKE(3, 4);

/* The same, of a moment that is past. */
void events_add_at(struct shm *shm, uint64_t wall_ms, const struct event_what *what,
	const char *format, ...) PRINTF_LIKE(4, 5);

/* The number of the last one, and of the first that is still there; 0: none. */
uint64_t events_last(struct shm *shm);
uint64_t events_first(struct shm *shm);

/* A copy of one. False when it is there no more, or not whole. Its texts end, whatever is there. */
bool events_read(struct shm *shm, uint64_t number, struct event_record *record_r);

/* "server", "good". */
const char *event_kind_name(uint32_t kind);
const char *event_level_name(uint32_t level);

#endif
