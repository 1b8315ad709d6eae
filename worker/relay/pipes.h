/* The pipes that bulk traffic is spliced through. A relay borrows one only while bytes lie in it, so a
 * few serve many relays; an idle relay holds none. The keeper has a copy of each, so that what lies in it outlives
 * this process.
 */
#ifndef PROXYD_WORKER_RELAY_PIPES_H
#define PROXYD_WORKER_RELAY_PIPES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/must.h"

struct pipe {
	int read_fd;    /* owned */
	int write_fd;   /* owned */
	uint32_t bytes; /* lying in it */
	uint32_t size;
	uint16_t number; /* for life; among this worker's */
	bool kept;       /* the keeper has a copy */
	struct pipe *next;
};

struct pipes;

/* Gives the keeper copies, at once or never: false when that cannot be. */
typedef bool pipe_deposit_fn(void *arg, const struct pipe *pipe);

/* most: pipes at a time. Exits on no memory: made at a worker's start. */
struct pipes *pipes_new(unsigned most);
void pipes_free(struct pipes *pipes);

/* From now on only pipes are used of which deposit took a copy; NULL: there is no keeper, all are good again. What
 * the keeper before had counts for nothing. */
void pipes_keep(struct pipes *pipes, pipe_deposit_fn *deposit, void *arg);

/* Deposits what is not. False when not all could be: to be tried again. */
MUST_USE bool pipes_deposit(struct pipes *pipes);

/* Whether pipes_take has one for certain when it is asked next. Cheap. */
bool pipes_ready(struct pipes *pipes);

/* A pipe that is empty and big enough to be worth it, or NULL: then copy. */
struct pipe *pipes_take(struct pipes *pipes);

/* One of another worker's, in which bytes lie: its fds are taken over, unless there is no room (NULL). */
struct pipe *pipes_adopt(struct pipes *pipes, int read_fd, int write_fd, uint32_t bytes);

/* Gives it back; bytes that still lie in it are nobody's. */
void pipes_give(struct pipes *pipes, struct pipe *pipe);

/* It is another worker's now, with what lies in it. */
void pipes_leave(struct pipes *pipes, struct pipe *pipe);

#endif
