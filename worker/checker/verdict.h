/* What comes of the checks in shared memory and in the log. Only the checker writes there.
 */
#ifndef PROXYD_WORKER_CHECKER_VERDICT_H
#define PROXYD_WORKER_CHECKER_VERDICT_H

#include <stdbool.h>
#include <stdint.h>

#include "worker/checker/state.h"

struct conf_backend;
struct conf_server;
struct shm;

/* What its configuration alone says of a server. An instance of a name is checked while it has an address. */
enum check_target verdict_target(
	const struct conf_backend *backend, const struct conf_server *server);

/* A checker starts: the state that its predecessor left stays, what never had one gets its first. */
void verdict_begin(
	struct shm *shm, const struct conf_backend *backend, const struct conf_server *server);

/* An instance of a name got an address, or lost its: nothing is known of it any more. */
void verdict_forget(
	struct shm *shm, const struct conf_backend *backend, const struct conf_server *server);

struct check_state verdict_state(struct shm *shm, const struct conf_server *server);

/* A check is over: counts, changes the state when it is time, says so in the log. */
void verdict_give(struct shm *shm, const struct conf_backend *backend,
	const struct conf_server *server, enum check_result result, uint32_t detail);

/* In maintenance a server is not checked. It keeps its state, but what led to a change is forgotten. */
bool verdict_is_maint(struct shm *shm, const struct conf_server *server);
void verdict_forget_streak(struct shm *shm, const struct conf_server *server);

#endif
