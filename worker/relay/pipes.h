/* The pipes that bulk traffic is spliced through. A relay borrows one only while bytes lie in it, so a
 * few serve many relays; an idle relay holds none.
 */
#ifndef PROXYD_WORKER_RELAY_PIPES_H
#define PROXYD_WORKER_RELAY_PIPES_H

#include <stddef.h>
#include <stdint.h>

struct pipe {
	int read_fd;    /* owned */
	int write_fd;   /* owned */
	uint32_t bytes; /* lying in it */
	uint32_t size;
	struct pipe *next;
};

struct pipes;

/* most: pipes at a time. Exits on no memory: made at a worker's start. */
struct pipes *pipes_new(unsigned most);
void pipes_free(struct pipes *pipes);

/* A pipe that is empty and big enough to be worth it, or NULL: then copy. */
struct pipe *pipes_take(struct pipes *pipes);

/* Gives it back; one in which bytes still lie is closed. */
void pipes_give(struct pipes *pipes, struct pipe *pipe);

#endif
