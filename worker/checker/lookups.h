/* The names of servers with `resolve` or `srv`, looked up for as long as the checker lives.
 */
#ifndef PROXYD_WORKER_CHECKER_LOOKUPS_H
#define PROXYD_WORKER_CHECKER_LOOKUPS_H

#include "common/must.h"

struct check_set;
struct conf;
struct event_base;
struct lookups;
struct shm;

/* Begins with the addresses that lie in shared memory. Everything is borrowed and outlives it. Returns NULL
 * when there is no such name, or c-ares cannot start (which is logged). */
MUST_USE struct lookups *lookups_new(struct event_base *base, const struct conf *conf,
	struct shm *shm, struct check_set *checks);
void lookups_free(struct lookups *lookups); /* NULL is fine */

#endif
