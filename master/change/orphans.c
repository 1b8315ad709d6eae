/* What a master before us left of processes. Until K2M_YOURS their channels are another's and are not read; then they are
 * generations that leave, whose deaths are seen by their pidfds alone, for they are no children of ours.
 */
#include "master/change/orphans.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#include "common/channel.h"
#include "common/clock.h"
#include "common/counts.h"
#include "common/log.h"
#include "conf/conf.h"
#include "master/admin.h"
#include "master/change/takeover.h"
#include "master/children/process.h"
#include "master/config.h"
#include "master/listen/handover.h"

#define ORPHANS_STOP_MS 1000 /* for a checker */
#define ORPHANS_MOVE_MS 2000 /* for a generation that leaves to move its relays */

void orphans_close(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

/* ------------------------------------------------------------------ found */

static void orphan_take(
	struct process *process, struct takeover_child *child, struct generation *home)
{
	process->state = PROCESS_ORPHAN;
	process->home = home;
	process->found = true;
	process->number = child->what.number;
	process->slot = child->what.slot;
	process->generation = child->what.generation;
	process->pid = child->what.pid;
	process->pidfd = child->pidfd;
	process->found_fd = child->channel_fd;
	process->started_ms = process->heard_ms = clock_now_ms();
	spawn_name(process->role, process->number, process->name, sizeof(process->name));
	child->channel_fd = child->pidfd = -1;
}

static int orphans_compare(const void *a, const void *b)
{
	const struct takeover_child *left = a;
	const struct takeover_child *right = b;

	return (left->what.generation > right->what.generation) -
		(left->what.generation < right->what.generation);
}

/* Those from `at` on that are of one generation. Returns where the next one begins. */
static size_t orphans_generation(struct supervisor *supervisor, struct takeover *past, size_t at)
{
	const uint32_t number = past->children[at].what.generation;
	struct generation *generation;
	uint32_t workers = 0;
	uint32_t n = 0;
	size_t end = at;

	for (; end < past->nchildren && past->children[end].what.generation == number; end++)
		workers += past->children[end].what.role == CHILD_WORKER;
	if (workers == 0 || workers > SHM_SLOTS)
		return end;
	generation = generation_new(supervisor, number, NULL, workers);
	generation_set_state(generation, GENERATION_LEAVING);
	for (; at < end; at++) {
		if (past->children[at].what.role == CHILD_WORKER)
			orphan_take(&generation->workers[n++], &past->children[at], generation);
	}
	return end;
}

static void orphans_find(struct supervisor *supervisor, struct takeover *past)
{
	size_t at = 0;

	if (past->nchildren > 0)
		qsort(past->children, past->nchildren, sizeof(*past->children), orphans_compare);
	while (at < past->nchildren)
		at = orphans_generation(supervisor, past, at);
}

/* The checker, the admin process. */
static void orphans_find_single(
	struct process *process, struct takeover *past, struct generation *home)
{
	for (size_t i = 0; i < past->nchildren; i++) {
		if (past->children[i].what.role == process->role && process->state == PROCESS_GONE)
			orphan_take(process, &past->children[i], home);
	}
}

static void orphans_find_keeper(struct supervisor *supervisor, struct takeover *past)
{
	struct process *keeper = supervisor->keeper;

	keeper->state = PROCESS_ORPHAN;
	keeper->found = true;
	keeper->pid = past->keeper_pid;
	keeper->pidfd = past->keeper_pidfd;
	keeper->started_ms = clock_now_ms();
	past->keeper_pidfd = -1;
	supervisor->keeping.awaited = true;
}

struct generation *supervisor_start_after(struct supervisor *supervisor, struct config *config,
	uint32_t number, struct takeover *past)
{
	struct generation *generation;

	if (!past->foreign)
		orphans_find(supervisor, past);
	generation = generation_new(supervisor, number, config, config->conf->global.workers);
	supervisor->serving = supervisor->checker.home = generation;
	supervisor->keeper->home = supervisor->spare->home = generation;
	supervisor->admin.home = generation;
	supervisor_watch_begin(supervisor);
	if (past->foreign) {
		process_spawn(supervisor->keeper);
	} else {
		orphans_find_single(&supervisor->checker, past, generation);
		orphans_find_single(&supervisor->admin, past, generation);
		orphans_find_keeper(supervisor, past);
	}
	supervisor_spawn(generation);
	return generation;
}

/* ------------------------------------------------------------------ ours */

static void orphan_begin(struct process *process)
{
	const int channel_fd = process->found_fd;

	process->found_fd = -1;
	process->was_ready = true;
	process_begin(process, PROCESS_READY, channel_fd);
}

/* What those accepted that are dead, and those that are not, goes on: see counted.c. */
static void orphan_count(struct supervisor *supervisor, uint32_t slot)
{
	supervisor->begun[slot] = -(uint64_t)shm_slot(supervisor->env->shm, slot)->carried;
}

static void orphans_begin(struct supervisor *supervisor)
{
	struct process *worker = NULL;

	/* Nobody has looked at their heartbeats for a while. */
	supervisor->grace_ms = clock_now_ms();
	while ((worker = supervisor_next_worker(supervisor, worker)) != NULL) {
		struct handover_worker found = {
			.slot = worker->slot,
			.number = worker->number,
			.generation = worker->generation,
		};

		if (worker->state != PROCESS_ORPHAN)
			continue;
		orphan_count(supervisor, worker->slot);
		orphan_begin(worker);
		found.channel = worker->channel;
		handover_found(supervisor->handover, &found);
	}
	if (supervisor->checker.state == PROCESS_ORPHAN)
		orphan_begin(&supervisor->checker);
	if (supervisor->admin.state == PROCESS_ORPHAN)
		orphan_begin(&supervisor->admin);
}

void supervisor_take(struct supervisor *supervisor, const struct message *keeper, int line_fd,
	uint32_t listeners)
{
	orphans_begin(supervisor);
	if (supervisor->keeper->state != PROCESS_ORPHAN) {
		close(line_fd);
		return;
	}
	supervisor->keeper->slot = keeper->slot;
	supervisor->keeper->generation = keeper->generation;
	supervisor->keeper->found_fd = line_fd;
	orphan_begin(supervisor->keeper);
	keeping_take(supervisor, listeners);
}

void supervisor_take_alone(struct supervisor *supervisor)
{
	struct process *keeper = supervisor->keeper;
	struct process *worker = NULL;

	orphans_begin(supervisor);
	if (keeper->state != PROCESS_ORPHAN)
		return;
	process_kill(keeper);
	orphans_close(&keeper->pidfd);
	supervisor->keeping.awaited = false;
	/* Nobody has read those lines, and nobody will: our workers see their end when they have another. */
	while ((worker = supervisor_next_worker(supervisor, worker)) != NULL)
		orphans_close(&worker->line_fd);
	process_spawn(keeper);
}

void supervisor_end_keeper(struct supervisor *supervisor)
{
	if (supervisor->keeper->state == PROCESS_ORPHAN)
		process_kill(supervisor->keeper);
}

static bool orphans_has_slot(struct supervisor *supervisor, uint32_t slot)
{
	struct process *worker = NULL;

	while ((worker = supervisor_next_worker(supervisor, worker)) != NULL) {
		if (worker->slot == slot && worker->state != PROCESS_GONE)
			return true;
	}
	return keeping_waits_for(supervisor, slot);
}

/* Who died while there was no master, and what a master that came to nothing took. */
static void orphans_find_dead(struct supervisor *supervisor)
{
	struct shm *shm = supervisor->env->shm;

	for (uint32_t slot = 0; slot < shm_master(shm)->slots; slot++) {
		struct shm_slot *pages = shm_slot(shm, slot);

		if (pages->state == SLOT_FREE || orphans_has_slot(supervisor, slot))
			continue;
		if (pages->number < SHM_WORKERS_MAX)
			supervisor->finished[pages->number] += pages->accepted + pages->carried;
		keeping_found_dead(supervisor, slot);
	}
}

static void orphans_swap_checker(struct supervisor *supervisor)
{
	struct process *checker = &supervisor->checker;

	if (!process_alive(checker)) {
		process_spawn(checker);
		return;
	}
	process_stop(checker, 0);
	checker->end_by_ms = clock_now_ms() + ORPHANS_STOP_MS;
}

void supervisor_begin(
	struct supervisor *supervisor, struct generation *generation, uint32_t drain_ms)
{
	struct process *worker = NULL;

	MUST(generation->state == GENERATION_PREPARING && generation == supervisor->serving);
	generation_set_state(generation, GENERATION_SERVING);
	supervisor->started = true;
	keeping_routes(supervisor);
	while ((worker = supervisor_next_worker(supervisor, worker)) != NULL) {
		if (worker->home == generation)
			continue;
		worker->home->since_ms = clock_now_ms();
		process_leave(worker, drain_ms);
	}
	orphans_find_dead(supervisor);
	supervisor_count_carry(supervisor);
	keeping_listeners(supervisor);
	keeping_routes(supervisor);
	orphans_swap_checker(supervisor);
	admin_replace(supervisor);
}

/* ------------------------------------------------------------------ not ours */

static void orphan_leave(struct process *process)
{
	if (process->state != PROCESS_ORPHAN)
		return;
	orphans_close(&process->found_fd);
	orphans_close(&process->pidfd);
	process->state = PROCESS_GONE;
}

void supervisor_leave(struct supervisor *supervisor)
{
	struct process *worker = NULL;

	while ((worker = supervisor_next_worker(supervisor, worker)) != NULL)
		orphan_leave(worker);
	orphan_leave(&supervisor->checker);
	orphan_leave(&supervisor->admin);
	orphan_leave(supervisor->keeper);
	supervisor->keeping.awaited = false;
}

/* ------------------------------------------------------------------ for a next master */

bool supervisor_is_quiet(const struct supervisor *supervisor)
{
	const struct generation *generation;

	if (supervisor->keeper->state != PROCESS_READY ||
		supervisor->spare->state != PROCESS_GONE || supervisor->keeping.settling ||
		!TAILQ_EMPTY(&supervisor->keeping.departed))
		return false;
	/* After a while only those are left that drain, which may take its time. */
	TAILQ_FOREACH(generation, &supervisor->generations, link) {
		if (generation->state == GENERATION_LEAVING &&
			clock_now_ms() - generation->since_ms < ORPHANS_MOVE_MS)
			return false;
	}
	return true;
}

bool supervisor_is_settled(const struct supervisor *supervisor)
{
	return !successor_is_pending(supervisor) && supervisor_is_quiet(supervisor);
}

uint64_t supervisor_changes(const struct supervisor *supervisor)
{
	return supervisor->keeping.changes;
}

void supervisor_expect(struct supervisor *supervisor, pid_t pid)
{
	keeping_expect(supervisor, pid);
}

void supervisor_replace_keeper(struct supervisor *supervisor)
{
	successor_want(supervisor);
}

/* One that has no line to anybody ends at once, having no relays; but it is not ours to wait for. */
bool supervisor_sweep_slots(struct supervisor *supervisor)
{
	struct shm *shm = supervisor->env->shm;
	bool all = true;

	for (uint32_t slot = 0; slot < shm_master(shm)->slots; slot++) {
		struct shm_slot *pages = shm_slot(shm, slot);

		if (pages->state == SLOT_FREE || orphans_has_slot(supervisor, slot))
			continue;
		if (pages->pid == 0 || (kill((pid_t)pages->pid, 0) < 0 && errno == ESRCH))
			(void)shm_slot_reap(shm, slot);
		else
			all = false;
	}
	return all;
}
