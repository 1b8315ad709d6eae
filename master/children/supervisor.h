/* The children: forks them, watches them, replaces those that die, hang or misbehave, stops them.
 *
 * A child that dies is replaced at once; one that dies within SUPERVISOR_YOUNG_MS again and again waits
 * 0, 100, 200, 400 ms ... 30 s. One that is silent for heartbeat_timeout is killed, then it is dead.
 */
#ifndef PROXYD_MASTER_CHILDREN_SUPERVISOR_H
#define PROXYD_MASTER_CHILDREN_SUPERVISOR_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "common/must.h"
#include "master/children/generation.h"
#include "master/children/route.h"
#include "master/children/spawn.h"

struct bindings;
struct closing;
struct config;
struct event_base;
struct handover;
struct handover_worker;
struct message;
struct msg_close;
struct supervisor;
struct takeover;

#define SUPERVISOR_YOUNG_MS     5000
#define SUPERVISOR_DELAY_MIN_MS 100
#define SUPERVISOR_DELAY_MAX_MS 30000
/* Without a keeper every relay depends on its worker, and a start is cheap. */
#define SUPERVISOR_DELAY_KEEPER_MS 1000
#define SUPERVISOR_START_DEATHS    5 /* of every worker, with none ever ready: no use in going on */

/* What does not change while the daemon runs; all borrowed. */
struct supervisor_env {
	struct shm *shm;
	const struct privileges *privileges;
	struct bindings *bindings;
	bool detach;      /* see struct spawn_env */
	bool keep_stderr; /* the same */
	int takeover_fd;  /* where a next master finds the keeper; -1: nowhere */
};

struct supervisor_handlers {
	/* Once: every worker has been ready or dead, and at least one is ready. */
	void (*on_started)(void *arg);
	/* A generation that is PREPARING: every worker is ready; one has died twice. */
	void (*on_prepared)(struct generation *generation, void *arg);
	void (*on_unprepared)(struct generation *generation, const char *why, void *arg);
	/* A generation's last process is gone; it is freed after that. */
	void (*on_gone)(struct generation *generation, void *arg);
	/* Another master took over: it is time to go, and nothing is ours any more. */
	void (*on_taken)(pid_t pid, void *arg);
	/* The keeper is dead, all that it said was heard, and no other one is there yet. */
	void (*on_keeper_died)(void *arg);
	/* A worker of the serving generation came back after a death. */
	void (*on_returned)(void *arg);
	/* The admin process asks: fd is a client of the control socket, the callee's from then on. */
	void (*on_ask)(int fd, void *arg);
	/* All children are gone after supervisor_stop, or because none could be started (failed). */
	void (*on_done)(bool failed, void *arg);
	void *arg;
};

/* env and handover are borrowed. Exits when there is no memory. */
struct supervisor *supervisor_new(struct event_base *base, const struct supervisor_env *env,
	struct handover *handover, const struct supervisor_handlers *handlers);

/* The first generation: it serves at once. */
void supervisor_start(struct supervisor *supervisor, struct config *config, uint32_t number);

/* The same where a master before us left children: the first generation of ours is PREPARING (on_prepared or
 * on_unprepared follow), theirs are LEAVING, and nothing is done with them before supervisor_take. Takes over what past has of
 * children. Of a foreign one there are none: it is a first start, only that it is prepared before it serves. */
struct generation *supervisor_start_after(struct supervisor *supervisor, struct config *config,
	uint32_t number, struct takeover *past);

/* K2M_YOURS: all of it is ours. keeper: that message's slot and generation; line_fd: the line to the keeper, taken over;
 * listeners up to this number it knows. To be followed by handover_commit and supervisor_begin. */
void supervisor_take(struct supervisor *supervisor, const struct message *keeper, int line_fd,
	uint32_t listeners);

/* The same where the keeper is dead, and nobody else the master: another keeper is started, and told of all. */
void supervisor_take_alone(struct supervisor *supervisor);

/* Kills the one that was found, before that. */
void supervisor_end_keeper(struct supervisor *supervisor);

/* Our first generation serves, what was another's leaves. */
void supervisor_begin(
	struct supervisor *supervisor, struct generation *generation, uint32_t drain_ms);

/* It comes to nothing: what is another's is left as it was. supervisor_stop follows. */
void supervisor_leave(struct supervisor *supervisor);

/* Nothing is on its way that a next master could not know: the keeper is there and has heard of all. */
bool supervisor_is_settled(const struct supervisor *supervisor);

/* How often the keeper was told of children and listeners: when it is the same, so is what a next master knows. */
uint64_t supervisor_changes(const struct supervisor *supervisor);

/* For a next master: this process, and no other, may take over from us. 0: nobody. */
void supervisor_expect(struct supervisor *supervisor, pid_t pid);

/* Slots of a next master that came to nothing are free again. False when one of its workers may be there still. */
bool supervisor_sweep_slots(struct supervisor *supervisor);

/* Another keeper takes the place of the one that there is, as soon as that can be. */
void supervisor_replace_keeper(struct supervisor *supervisor);

/* Start the workers of another one. on_prepared or on_unprepared follow, from the loop. */
struct generation *supervisor_prepare(
	struct supervisor *supervisor, struct config *config, uint32_t number);

/* It serves from now on, the one before leaves: what it is told to do with the sockets was done by handover_commit. Its
 * relays go to the new workers, those that cannot have drain_ms. */
void supervisor_commit(
	struct supervisor *supervisor, struct generation *generation, uint32_t drain_ms);

/* It will never serve. */
void supervisor_abandon(struct generation *generation);

/* Let relays finish for drain_ms (UINT32_MAX: for ever), then kill who is left. Again with 0 makes short
 * work of it. on_done may be called from within. */
void supervisor_stop(struct supervisor *supervisor, uint32_t drain_ms);

/* No child may be alive. NULL is fine. */
void supervisor_free(struct supervisor *supervisor);

struct generation *supervisor_serving(const struct supervisor *supervisor);
const struct generations *supervisor_generations(const struct supervisor *supervisor);

/* How many workers could be started now: slots that nobody uses. */
uint32_t supervisor_room(struct supervisor *supervisor);

/* The oldest generation that leaves has no time any more; each call takes another one. False when there is none. */
bool supervisor_cut_short(struct supervisor *supervisor);

/* The workers that serve and can adopt, and what they have. Room for SHM_WORKERS_MAX; returns how many. */
size_t supervisor_targets(struct supervisor *supervisor, struct route_target *targets_r);

/* Move so many relays of a worker along a route. */
void supervisor_shed(struct supervisor *supervisor, const struct route_move *move);

/* Workers of a generation, as handover wants them; returns how many. */
uint32_t supervisor_handover_workers(
	const struct generation *generation, struct handover_worker *workers_r);

/* Who hears of W2M_CLOSED; borrowed. */
void supervisor_set_closing(struct supervisor *supervisor, struct closing *closing);

/* The living worker of a slot closes those; who it is; 0: there is none. */
pid_t supervisor_close(struct supervisor *supervisor, uint32_t slot, const struct msg_close *what);
pid_t supervisor_worker_pid(struct supervisor *supervisor, uint32_t slot);

/* "worker 2 (pid 4711)" of a slot, in buf; "no worker" when nobody has it. */
const char *supervisor_who(
	struct supervisor *supervisor, uint32_t slot, char *buf, size_t buf_bytes);

/* For the keeper and the admin process: listeners were opened or changed, one was closed. */
void supervisor_listeners(struct supervisor *supervisor);
void supervisor_listener_closed(struct supervisor *supervisor, uint32_t id);

#endif
