/* The workers of one configuration.
 */
#ifndef PROXYD_MASTER_CHILDREN_GENERATION_H
#define PROXYD_MASTER_CHILDREN_GENERATION_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

struct config;
struct process;
struct supervisor;

enum generation_state {
	GENERATION_PREPARING, /* its workers are getting ready, nobody accepts */
	GENERATION_SERVING,   /* there is one at most */
	GENERATION_LEAVING,   /* its workers move what they have, or drain, and are not replaced */
};

struct generation {
	TAILQ_ENTRY(generation) link; /* the oldest first */
	uint32_t number;
	enum generation_state state;
	struct config *config; /* held; NULL: of another master, whose workers we took over */
	uint64_t since_ms;     /* of its state */
	uint64_t since_wall_s; /* the same, for people */
	bool cut_short;        /* it was told to end at once */
	uint32_t nworkers;
	struct process *workers; /* owned, by number; of another master's in any order */
};

TAILQ_HEAD(generations, generation);

/* PREPARING, at the end of the supervisor's list; no worker is started. Takes a hold of config. Exits when there is no
 * memory. */
struct generation *generation_new(
	struct supervisor *supervisor, uint32_t number, struct config *config, uint32_t nworkers);
void generation_set_state(struct generation *generation, enum generation_state state);

/* All of its processes are gone for good. */
bool generation_is_empty(const struct generation *generation);

/* Every worker is ready. */
bool generation_is_ready(const struct generation *generation);

uint32_t generation_alive(const struct generation *generation); /* processes */

/* Only an empty one. */
void generation_free(struct supervisor *supervisor, struct generation *generation);

const char *generation_state_name(enum generation_state state);

#endif
