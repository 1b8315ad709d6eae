/* The active checks of all servers: when each is due, how many run at once, what their results mean. The
 * checker process (checker.c) owns one set of them.
 */
#ifndef PROXYD_WORKER_CHECKER_CHECK_H
#define PROXYD_WORKER_CHECKER_CHECK_H

#include <stdint.h>

#include "common/must.h"

struct conf;
struct conf_server;
struct event_base;
struct shm;

struct check_set;

/* Set the health of every server of conf in shared memory and begin to check those that are to be
 * checked. conf and shm are borrowed and outlive it; at most under_way_max connects run at once. Exits
 * when there is no memory; nothing is allocated afterwards. */
struct check_set *check_set_new(
	struct event_base *base, const struct conf *conf, struct shm *shm, uint32_t under_way_max);

/* The address of an instance of a name changed: what is under way ends without a result, and the next check
 * begins at once. */
void check_set_address_changed(struct check_set *set, const struct conf_server *server);

/* Ends what is under way without a result. */
void check_set_free(struct check_set *set);

#endif
