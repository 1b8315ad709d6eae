/* The keeper's line, and the list of the dead.
 */
#include "master/children/keeping.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "common/channel.h"
#include "common/clock.h"
#include "common/counts.h"
#include "common/log.h"
#include "common/memory.h"
#include "master/children/process.h"

#define KEEPING_PATIENCE_MS 10000 /* for a keeper that could give, when there is none */

/* A dead worker whose relays are not all others' yet. */
struct departed {
	TAILQ_ENTRY(departed) link;
	struct msg_child child; /* as the keeper knows it */
	char name[32];
	struct keeping_end end;
	uint64_t since_ms;
	uint32_t relays; /* that it had */
	bool asked;      /* the keeper of now was told to give */
};

bool keeping_is_there(const struct supervisor *supervisor)
{
	return process_alive(supervisor->keeper);
}

static bool keeping_is_change(enum message_type type)
{
	return type == M2K_CHILD || type == M2K_GONE || type == M2K_LISTENER || type == M2K_DROP;
}

void keeping_send(struct supervisor *supervisor, struct message *message)
{
	supervisor->keeping.changes += keeping_is_change(message->type);
	message->slot = supervisor->keeper->slot;
	message->generation = supervisor->keeper->generation;
	if (keeping_is_there(supervisor) && !successor_holds(supervisor, message))
		channel_send(supervisor->keeper->channel, message);
}

/* ------------------------------------------------------------------ children */

void keeping_line(struct supervisor *supervisor, int fds_r[2])
{
	if ((keeping_is_there(supervisor) || supervisor->keeping.awaited) &&
		channel_pair(fds_r) < 0) {
		log_error("no line to the keeper");
		fds_r[0] = fds_r[1] = -1;
	}
}

static struct msg_child keeping_describe(const struct process *process)
{
	return (struct msg_child){
		.slot = process->slot,
		.generation = process->generation,
		.number = process->number,
		.role = process->role,
		.pid = process->pid,
	};
}

void keeping_child(struct process *process, int line_fd)
{
	struct supervisor *supervisor = process->supervisor;
	const struct msg_child child = keeping_describe(process);
	int fds[] = { channel_fd(process->channel), process->pidfd, line_fd };
	struct message message = {
		.type = M2K_CHILD,
		.payload = &child,
		.payload_bytes = sizeof(child),
		.fds = fds,
		.nfds = line_fd >= 0 ? 3 : 2,
	};

	if (supervisor->keeping.awaited && line_fd >= 0)
		process->line_fd = fcntl(line_fd, F_DUPFD_CLOEXEC, 3);
	/* A worker without a line is told of one as soon as there is a keeper. */
	if (process->role != CHILD_WORKER || line_fd >= 0)
		keeping_send(supervisor, &message);
}

static void keeping_send_gone(struct supervisor *supervisor, const struct msg_child *child)
{
	struct message message = {
		.type = M2K_GONE, .payload = child, .payload_bytes = sizeof(*child)
	};

	keeping_send(supervisor, &message);
}

void keeping_child_gone(struct process *process)
{
	const struct msg_child child = keeping_describe(process);

	keeping_send_gone(process->supervisor, &child);
}

/* A worker that was there before the keeper. */
static void keeping_reconnect(struct process *worker)
{
	int line[2] = { -1, -1 };

	keeping_line(worker->supervisor, line);
	if (line[0] < 0)
		return;
	process_tell(worker, M2W_KEEPER, line[1]);
	worker->lines_asked++;
	worker->settles = true;
	keeping_child(worker, line[0]);
	close(line[0]);
	close(line[1]);
}

/* ------------------------------------------------------------------ routes */

void keeping_route(struct supervisor *supervisor, const struct msg_route *route)
{
	struct message message = {
		.type = M2K_ROUTE, .payload = route, .payload_bytes = sizeof(*route)
	};

	if (route->count > 0)
		keeping_send(supervisor, &message);
}

/* Its relays, to those targets. */
static void keeping_route_to(struct supervisor *supervisor, uint32_t from, uint64_t relays,
	struct route_target *targets, size_t ntargets)
{
	struct msg_route route = { .from = from };

	route_fill(&route, targets, ntargets, relays, supervisor->keeping.turn++);
	keeping_route(supervisor, &route);
}

static void on_keeping_routes(evutil_socket_t fd, short what, void *arg)
{
	struct supervisor *supervisor = arg;
	struct route_target targets[SHM_WORKERS_MAX];
	const size_t ntargets = supervisor_targets(supervisor, targets);
	struct process *worker = NULL;
	struct departed *departed;

	(void)fd;
	(void)what;
	if (!keeping_is_there(supervisor) || supervisor->keeping.settling)
		return;
	TAILQ_FOREACH(departed, &supervisor->keeping.departed, link)
		keeping_route_to(
			supervisor, departed->child.slot, departed->relays, targets, ntargets);
	while ((worker = supervisor_next_worker(supervisor, worker)) != NULL) {
		if (worker->home->state == GENERATION_LEAVING && process_alive(worker))
			keeping_route_to(supervisor, worker->slot,
				shm_slot(supervisor->env->shm, worker->slot)->active, targets,
				ntargets);
	}
}

/* Where many workers come or go in one turn of the loop, once for all of them: each time it is as many routes as there
 * are workers that leave, and the keeper would be taken for one that does not read. It waits for a route where it has to give
 * and has none. */
void keeping_routes(struct supervisor *supervisor)
{
	event_active(supervisor->keeping.routes, EV_TIMEOUT, 0);
}

/* ------------------------------------------------------------------ the dead */

/* What it was let go of is others' already, or is on its way to them. */
static uint32_t keeping_count(struct shm *shm, uint32_t slot)
{
	uint32_t records = shm_slot(shm, slot)->records;
	uint32_t relays = 0;

	if (records > shm_records(shm))
		records = shm_records(shm);
	for (uint32_t i = 0; i < records; i++) {
		const struct relay_record *record = shm_record(shm, slot, i);

		relays += record->id != 0 && !(record->flags & RECORD_LET_GO);
	}
	return relays;
}

static void departed_say(struct supervisor *supervisor, const struct departed *departed,
	uint32_t moved, uint32_t lost)
{
	char relays[64] = "";
	char text[EVENT_TEXT_MAX];

	if (departed->end.planned && lost == 0) {
		log_debug("%s (pid %d) %s", departed->name, departed->child.pid, departed->end.end);
		return;
	}
	if (moved > 0)
		snprintf(relays, sizeof(relays), ", %u relays moved", moved);
	snprintf(text, sizeof(text), "(pid %d) %s%s, %u relays lost%s", departed->child.pid,
		departed->end.end, relays, lost, departed->end.next);
	supervisor_tell_people(supervisor, departed->name, EVENT_WARN, text);
}

/* The slot is free from now on. */
static void departed_finish(
	struct supervisor *supervisor, struct departed *departed, uint32_t moved, uint32_t lost)
{
	if (departed->relays > moved && departed->relays - moved > lost)
		lost = departed->relays - moved;
	TAILQ_REMOVE(&supervisor->keeping.departed, departed, link);
	(void)shm_slot_reap(supervisor->env->shm, departed->child.slot);
	keeping_send_gone(supervisor, &departed->child);
	departed_say(supervisor, departed, moved, lost);
	free(departed);
}

static void departed_give(struct supervisor *supervisor, struct departed *departed)
{
	const struct msg_slot slot = { .slot = departed->child.slot };
	struct message message = {
		.type = M2K_GIVE, .payload = &slot, .payload_bytes = sizeof(slot)
	};

	if (departed->asked || supervisor->keeping.settling || !keeping_is_there(supervisor))
		return;
	departed->asked = true;
	keeping_send(supervisor, &message);
}

/* Whether anybody may ever adopt: a worker that lives, or that comes. */
static bool keeping_has_hope(struct supervisor *supervisor)
{
	struct process *worker = NULL;

	while ((worker = supervisor_next_worker(supervisor, worker)) != NULL) {
		if (worker->home->state != GENERATION_LEAVING && worker->state != PROCESS_GONE)
			return true;
	}
	return false;
}

/* All workers speak to this keeper and to none before: nothing of theirs is on its way any more. */
static void keeping_check_settled(struct supervisor *supervisor)
{
	struct process *worker = NULL;
	struct departed *departed;

	if (!supervisor->keeping.settling || !keeping_is_there(supervisor))
		return;
	while ((worker = supervisor_next_worker(supervisor, worker)) != NULL) {
		if (process_alive(worker) && worker->lines_asked > 0)
			return;
	}
	supervisor->keeping.settling = false;
	while ((worker = supervisor_next_worker(supervisor, worker)) != NULL) {
		if (worker->settles)
			process_tell(worker, M2W_SETTLE, -1);
		worker->settles = false;
	}
	keeping_routes(supervisor);
	TAILQ_FOREACH(departed, &supervisor->keeping.departed, link)
		departed_give(supervisor, departed);
}

static struct departed *departed_add(
	struct supervisor *supervisor, const struct msg_child *child, const struct keeping_end *end)
{
	struct departed *departed =
		memory_or_exit(calloc(1, sizeof(*departed)), "the list of dead workers");
	struct shm *shm = supervisor->env->shm;

	shm_slot_died(shm, child->slot);
	departed->child = *child;
	departed->end = *end;
	departed->since_ms = clock_now_ms();
	departed->relays = keeping_count(shm, child->slot);
	spawn_name(CHILD_WORKER, child->number, departed->name, sizeof(departed->name));
	TAILQ_INSERT_TAIL(&supervisor->keeping.departed, departed, link);
	return departed;
}

void keeping_died(struct process *process, const struct keeping_end *end)
{
	struct supervisor *supervisor = process->supervisor;
	const struct msg_child child = keeping_describe(process);
	struct departed *departed = departed_add(supervisor, &child, end);

	process->lines_asked = 0;
	keeping_routes(supervisor);
	departed_give(supervisor, departed);
	keeping_check_settled(supervisor);
}

void keeping_found_dead(struct supervisor *supervisor, uint32_t slot)
{
	const struct shm_slot *pages = shm_slot(supervisor->env->shm, slot);
	const struct msg_child child = {
		.slot = slot,
		.generation = pages->generation,
		.number = pages->number,
		.role = CHILD_WORKER,
		.pid = (int32_t)pages->pid,
	};
	struct keeping_end end = { .end = "ended while there was no master" };
	struct departed *departed;

	departed = departed_add(supervisor, &child, &end);
	/* A place that was taken for one that was yet to come, or one that had nothing. */
	departed->end.planned = departed->relays == 0;
	departed_give(supervisor, departed);
}

bool keeping_waits_for(const struct supervisor *supervisor, uint32_t slot)
{
	const struct departed *departed;

	TAILQ_FOREACH(departed, &supervisor->keeping.departed, link) {
		if (departed->child.slot == slot)
			return true;
	}
	return false;
}

void keeping_take(struct supervisor *supervisor, uint32_t told)
{
	struct process *worker = NULL;

	supervisor->keeping.awaited = false;
	supervisor->keeping.told = told;
	while ((worker = supervisor_next_worker(supervisor, worker)) != NULL) {
		if (process_alive(worker) && worker->line_fd >= 0)
			keeping_child(worker, worker->line_fd);
		orphans_close(&worker->line_fd);
	}
}

void keeping_expect(struct supervisor *supervisor, pid_t pid)
{
	const struct msg_expect expect = { .pid = pid };
	struct message message = {
		.type = M2K_EXPECT, .payload = &expect, .payload_bytes = sizeof(expect)
	};

	keeping_send(supervisor, &message);
}

bool keeping_make_room(struct supervisor *supervisor)
{
	struct departed *departed = TAILQ_FIRST(&supervisor->keeping.departed);

	if (departed == NULL)
		return false;
	departed_finish(supervisor, departed, 0, 0);
	return true;
}

void keeping_give_up(struct supervisor *supervisor)
{
	struct departed *departed = TAILQ_FIRST(&supervisor->keeping.departed);

	while (departed != NULL) {
		struct departed *next = TAILQ_NEXT(departed, link);

		departed_finish(supervisor, departed, 0, 0);
		departed = next;
	}
}

void keeping_watch(struct supervisor *supervisor, uint64_t now_ms)
{
	const struct departed *first = TAILQ_FIRST(&supervisor->keeping.departed);

	if (first == NULL)
		return;
	if (!keeping_has_hope(supervisor) ||
		(!keeping_is_there(supervisor) && now_ms - first->since_ms > KEEPING_PATIENCE_MS))
		keeping_give_up(supervisor);
}

void keeping_init(struct supervisor *supervisor)
{
	TAILQ_INIT(&supervisor->keeping.departed);
	supervisor->keeping.routes =
		supervisor_event(evtimer_new(supervisor->base, on_keeping_routes, supervisor));
}

void keeping_deinit(struct supervisor *supervisor)
{
	keeping_give_up(supervisor);
	event_free(supervisor->keeping.routes);
}

/* ------------------------------------------------------------------ one keeper and the next */

void keeping_begin(struct supervisor *supervisor)
{
	struct process *worker = NULL;

	supervisor->keeping.told = supervisor->stopping ? UINT32_MAX : 0;
	keeping_listeners(supervisor);
	if (process_alive(&supervisor->checker))
		keeping_child(&supervisor->checker, -1);
	if (process_alive(&supervisor->admin))
		keeping_child(&supervisor->admin, -1);
	supervisor->keeping.settling = true;
	while ((worker = supervisor_next_worker(supervisor, worker)) != NULL) {
		if (process_alive(worker))
			keeping_reconnect(worker);
	}
	keeping_check_settled(supervisor);
}

void keeping_end(struct supervisor *supervisor)
{
	struct departed *departed;

	TAILQ_FOREACH(departed, &supervisor->keeping.departed, link)
		departed->asked = false;
}

void keeping_answered(struct process *process)
{
	if (process->lines_asked == 0) {
		process_broken(process, "it answered for a keeper that it was not told of");
		return;
	}
	process->lines_asked--;
	keeping_check_settled(process->supervisor);
}

static int keeping_given(struct supervisor *supervisor, const struct msg_given *given)
{
	struct departed *departed;

	TAILQ_FOREACH(departed, &supervisor->keeping.departed, link) {
		if (departed->child.slot == given->from)
			break;
	}
	/* It was not waited for any longer. */
	if (departed == NULL || !departed->asked)
		return 0;
	departed_finish(supervisor, departed, given->moved, given->lost);
	supervisor_check_done(supervisor);
	return 0;
}

int keeping_message(struct supervisor *supervisor, const struct message *message)
{
	const struct msg_expect *taken;

	switch (message->type) {
	case K2M_GIVEN:
		return keeping_given(supervisor, message_payload(message, K2M_GIVEN, NULL));
	case K2M_FILLED:
		return successor_filled(supervisor);
	case K2M_TAKEN:
		taken = message_payload(message, K2M_TAKEN, NULL);
		supervisor->handlers.on_taken(taken->pid, supervisor->handlers.arg);
		return 0;
	default:
		return -1;
	}
}
