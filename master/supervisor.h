/* The children: forks them, watches them, replaces those that die, hang or misbehave, stops them.
 *
 * A child that dies is replaced at once; one that dies within SUPERVISOR_YOUNG_MS again and again waits
 * 0, 100, 200, 400 ms ... 30 s. One that is silent for heartbeat_timeout is killed, then it is dead.
 */
#ifndef PROXYD_MASTER_SUPERVISOR_H
#define PROXYD_MASTER_SUPERVISOR_H

#include <stdbool.h>
#include <stdint.h>

#include "common/must.h"
#include "master/spawn.h"

struct event_base;
struct handover;
struct supervisor;

#define SUPERVISOR_YOUNG_MS     5000
#define SUPERVISOR_DELAY_MIN_MS 100
#define SUPERVISOR_DELAY_MAX_MS 30000
#define SUPERVISOR_START_DEATHS 5 /* of every slot, with no worker ever ready: no use in going on */

struct supervisor_handlers {
	/* Once: every slot has had its first worker ready or dead, and at least one is ready. */
	void (*on_started)(void *arg);
	/* All children are gone after supervisor_stop, or because none could be started (failed). */
	void (*on_done)(bool failed, void *arg);
	void *arg;
};

/* env and handover are borrowed. Exits when there is no memory. */
struct supervisor *supervisor_new(struct event_base *base, const struct spawn_env *env,
	struct handover *handover, uint32_t generation, const struct supervisor_handlers *handlers);
void supervisor_start(struct supervisor *supervisor);

/* Let relays finish for drain_ms (UINT32_MAX: for ever), then kill who is left. Again with 0 makes short
 * work of it. on_done may be called from within. */
void supervisor_stop(struct supervisor *supervisor, uint32_t drain_ms);

/* No child may be alive. NULL is fine. */
void supervisor_free(struct supervisor *supervisor);

#endif
