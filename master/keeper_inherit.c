/* A keeper and its successor. The old one stops reading its lines and tells all it has; it gives nothing up before the
 * successor says K2M_FILLED, for either may die in between:
 *
 *   the successor, before K2M_FILLED     the old one goes on as if nothing had been
 *   the old one, before M2K_FILLED       the successor exits 1, and the master starts one that workers fill
 *
 * Workers notice nothing: what they say meanwhile waits in their lines.
 */
#include <event2/event.h>
#include <stdlib.h>
#include <unistd.h>

#include "common/child.h"
#include "common/clock.h"
#include "master/keeper_own.h"

#define INHERIT_LOOK_MS 10   /* whether all that we said to workers has gone out */
#define INHERIT_ALL_MS  8000 /* until K2M_FILLED */

enum inherit_state {
	INHERIT_QUIET, /* old: the lines' queues are to be empty */
	INHERIT_LISTENERS,
	INHERIT_CHILDREN,
	INHERIT_PIPES,
	INHERIT_ENTRIES,
	INHERIT_ROUTES,
	INHERIT_TOLD,  /* old: waits for K2M_FILLED */
	INHERIT_HEARS, /* the successor, all the time */
};

struct keeper_inherit {
	struct keeper *keeper; /* borrowed */
	enum inherit_state state;
	struct channel *line; /* owned */
	struct event *timer;  /* owned */
	uint64_t until_ms;
	uint32_t slot; /* where we are, in the state's array */
	size_t at;
};

void inherit_free(struct keeper *keeper)
{
	struct keeper_inherit *inherit = keeper->inherit;

	if (inherit == NULL)
		return;
	channel_free(inherit->line);
	event_free(inherit->timer);
	free(inherit);
	keeper->inherit = NULL;
}

/* Read the lines again, or for the first time. */
static void inherit_thaw(struct keeper *keeper)
{
	keeper->frozen = false;
	for (uint32_t i = 0; i < SHM_SLOTS; i++) {
		struct keeper_worker *worker = keeper->workers[i];

		if (worker == NULL || worker->frozen_fd < 0)
			continue;
		lines_open(worker, worker->frozen_fd);
		worker->frozen_fd = -1;
		if (worker->dead)
			give_dead(keeper, i);
	}
	give_soon(keeper);
}

/* ------------------------------------------------------------------ the old one */

static void inherit_give_up(struct keeper *keeper, const char *why)
{
	log_warnx("no successor: %s", why);
	inherit_free(keeper);
	inherit_thaw(keeper);
	keeper_check_use(keeper);
}

static void inherit_send(struct keeper_inherit *inherit, enum message_type type,
	const void *payload, size_t payload_bytes, int *fds, size_t nfds)
{
	const struct message message = {
		.type = type,
		.payload = payload,
		.payload_bytes = payload_bytes,
		.fds = fds,
		.nfds = nfds,
	};

	channel_send(inherit->line, &message);
}

static void inherit_next(struct keeper_inherit *inherit)
{
	inherit->state++;
	inherit->slot = 0;
	inherit->at = 0;
}

static void inherit_listener(struct keeper_inherit *inherit)
{
	const struct keeper *keeper = inherit->keeper;
	struct keeper_listener *listener;

	if (inherit->at == keeper->nlisteners) {
		inherit_next(inherit);
		return;
	}
	listener = &keeper->listeners[inherit->at++];
	inherit_send(
		inherit, M2K_LISTENER, &listener->what, sizeof(listener->what), &listener->fd, 1);
}

static void inherit_child(struct keeper_inherit *inherit)
{
	const struct keeper *keeper = inherit->keeper;
	const struct keeper_child *child;
	int fds[3];
	size_t nfds = 2;

	if (inherit->at == keeper->nchildren) {
		inherit_next(inherit);
		return;
	}
	child = &keeper->children[inherit->at++];
	fds[0] = child->channel_fd;
	fds[1] = child->pidfd;
	if (child->what.role == CHILD_WORKER && keeper->workers[child->what.slot] != NULL &&
		keeper->workers[child->what.slot]->frozen_fd >= 0)
		fds[nfds++] = keeper->workers[child->what.slot]->frozen_fd;
	inherit_send(inherit, M2K_CHILD, &child->what, sizeof(child->what), fds, nfds);
}

/* On to the next slot that was ever spoken of. NULL, and the next state, when there is none. */
static struct keeper_worker *inherit_worker(struct keeper_inherit *inherit)
{
	for (; inherit->slot < SHM_SLOTS; inherit->slot++, inherit->at = 0) {
		if (inherit->keeper->workers[inherit->slot] != NULL)
			return inherit->keeper->workers[inherit->slot];
	}
	inherit_next(inherit);
	return NULL;
}

static void inherit_pipe(struct keeper_inherit *inherit)
{
	const struct keeper_worker *worker = inherit_worker(inherit);
	struct msg_kept_pipe what;

	if (worker == NULL)
		return;
	while (inherit->at < worker->npipes && worker->pipes[inherit->at].fds[0] < 0)
		inherit->at++;
	if (inherit->at == worker->npipes) {
		inherit->slot++;
		inherit->at = 0;
		return;
	}
	what = (struct msg_kept_pipe){ worker->slot, (uint32_t)inherit->at };
	inherit_send(inherit, M2K_PIPE, &what, sizeof(what), worker->pipes[inherit->at++].fds, 2);
}

static const enum msg_entry_state inherit_states[] = {
	[ENTRY_KEPT] = MSG_ENTRY_KEPT,
	[ENTRY_LET_GO] = MSG_ENTRY_LET_GO,
	[ENTRY_GIVEN] = MSG_ENTRY_GIVEN,
};

static void inherit_entries(struct keeper_inherit *inherit)
{
	const struct keeper_worker *worker = inherit_worker(inherit);
	struct store *store = inherit->keeper->store;
	struct msg_entry what[MESSAGE_BATCH];
	int fds[2 * MESSAGE_BATCH];
	size_t n = 0;
	size_t nfds = 0;

	if (worker == NULL)
		return;
	for (; n < NELEMS(what) && inherit->at < store_used(store, worker->slot); inherit->at++) {
		const struct store_entry *entry =
			store_get(store, worker->slot, (uint32_t)inherit->at);

		if (entry == NULL)
			continue;
		what[n] = (struct msg_entry){
			.slot = worker->slot,
			.record = (uint32_t)inherit->at,
			.id = entry->id,
			.state = inherit_states[entry->state],
			.to = entry->to,
		};
		for (unsigned i = 0; i < NELEMS(entry->fds); i++) {
			if (entry->fds[i] < 0)
				continue;
			fds[nfds++] = entry->fds[i];
			what[n].fds |= i == 0 ? MSG_FD_CLIENT : MSG_FD_SERVER;
		}
		n++;
	}
	if (n > 0)
		inherit_send(inherit, M2K_ENTRY, what, n * sizeof(what[0]), fds, nfds);
	if (inherit->at == store_used(store, worker->slot)) {
		inherit->slot++;
		inherit->at = 0;
	}
}

static void inherit_route(struct keeper_inherit *inherit)
{
	const struct keeper_worker *worker = inherit_worker(inherit);
	struct msg_route route = { 0 };
	struct msg_slot slot = { 0 };

	if (worker == NULL) {
		inherit_send(inherit, M2K_FILLED, NULL, 0, NULL, 0);
		return;
	}
	inherit->slot++;
	route.from = slot.slot = worker->slot;
	route.count = worker->route.count;
	for (uint32_t i = 0; i < route.count; i++)
		route.to[i] = worker->route.ring[i];
	if (route.count > 0)
		inherit_send(inherit, M2K_ROUTE, &route, sizeof(route), NULL, 0);
	if (worker->dead)
		inherit_send(inherit, M2K_GIVE, &slot, sizeof(slot), NULL, 0);
}

/* One message, or on to what comes next. */
static void inherit_tell(struct keeper_inherit *inherit)
{
	switch (inherit->state) {
	case INHERIT_LISTENERS:
		inherit_listener(inherit);
		break;
	case INHERIT_CHILDREN:
		inherit_child(inherit);
		break;
	case INHERIT_PIPES:
		inherit_pipe(inherit);
		break;
	case INHERIT_ENTRIES:
		inherit_entries(inherit);
		break;
	case INHERIT_ROUTES:
		inherit_route(inherit);
		break;
	case INHERIT_QUIET:
	case INHERIT_TOLD:
	case INHERIT_HEARS:
		break;
	}
}

static void inherit_tell_all(struct keeper_inherit *inherit)
{
	while (inherit->state > INHERIT_QUIET && inherit->state < INHERIT_TOLD &&
		channel_has_room(inherit->line))
		inherit_tell(inherit);
}

/* What was said to a worker and has not gone out would be lost with our channel. */
static bool inherit_is_quiet(const struct keeper *keeper)
{
	for (uint32_t i = 0; i < SHM_SLOTS; i++) {
		const struct keeper_worker *worker = keeper->workers[i];

		if (worker != NULL && worker->line != NULL && !channel_has_room(worker->line))
			return false;
	}
	return true;
}

static void inherit_freeze(struct keeper *keeper)
{
	keeper->frozen = true;
	for (uint32_t i = 0; i < SHM_SLOTS; i++) {
		struct keeper_worker *worker = keeper->workers[i];

		if (worker == NULL || worker->line == NULL)
			continue;
		worker->frozen_fd = channel_detach(worker->line);
		worker->line = NULL;
	}
}

static void on_inherit_timer(evutil_socket_t fd, short what, void *arg)
{
	const struct timeval again = { 0, INHERIT_LOOK_MS * 1000 };
	struct keeper *keeper = arg;
	struct keeper_inherit *inherit = keeper->inherit;

	(void)fd;
	(void)what;
	if (clock_now_ms() >= inherit->until_ms) {
		inherit_give_up(keeper, "it takes too long");
		return;
	}
	if (inherit->state == INHERIT_QUIET) {
		give_run(keeper);
		if (inherit_is_quiet(keeper)) {
			inherit_freeze(keeper);
			inherit_next(inherit);
			inherit_tell_all(inherit);
		}
	}
	event_add(inherit->timer, &again);
}

static void on_old_room(struct channel *channel, void *arg)
{
	struct keeper *keeper = arg;

	(void)channel;
	inherit_tell_all(keeper->inherit);
}

/* The successor speaks. */
static void on_old_message(struct channel *channel, struct message *message, void *arg)
{
	struct keeper *keeper = arg;

	(void)channel;
	if (message->type != K2M_FILLED || keeper->inherit->state != INHERIT_TOLD) {
		inherit_give_up(keeper, "it speaks out of turn");
		return;
	}
	log_info("the successor has it all");
	keeper->stop = true;
	event_base_loopbreak(keeper->base);
}

static void on_old_end(struct channel *channel, enum channel_end end, const char *why, void *arg)
{
	(void)channel;
	(void)end;
	inherit_give_up(arg, why);
}

/* ------------------------------------------------------------------ begin */

static struct keeper_inherit *inherit_new(
	struct keeper *keeper, struct message *message, const struct channel_handlers *handlers)
{
	bool old = message->type == M2K_HAND_OVER;
	struct keeper_inherit *inherit = calloc(1, sizeof(*inherit));

	if (inherit == NULL)
		goto fail;
	inherit->keeper = keeper;
	inherit->timer = evtimer_new(keeper->base, on_inherit_timer, keeper);
	if (inherit->timer == NULL)
		goto fail;
	inherit->line = channel_new(
		keeper->base, message->fds[0], old ? CHANNEL_MASTER : CHANNEL_CHILD, handlers);
	message->fds[0] = -1;
	inherit->until_ms = clock_now_ms() + INHERIT_ALL_MS;
	inherit->state = old ? INHERIT_QUIET : INHERIT_HEARS;
	return inherit;
fail:
	log_fatalx("out of memory for a successor");
	exit(EXIT_CODE_FAILED);
}

/* Whether there can be one now; else the fd is closed, and its other end sees that. */
static bool inherit_may(const struct keeper *keeper, const struct message *message)
{
	if (keeper->inherit == NULL && !takeover_server_busy(keeper->takeover))
		return true;
	log_errorx("%s out of turn", message_type_name(message->type));
	return false;
}

void inherit_hand_over(struct keeper *keeper, struct message *message)
{
	const struct channel_handlers handlers = {
		.on_message = on_old_message,
		.on_end = on_old_end,
		.arg = keeper,
		.on_room = on_old_room,
	};

	if (!inherit_may(keeper, message))
		return;
	keeper->inherit = inherit_new(keeper, message, &handlers);
	event_active(keeper->inherit->timer, EV_TIMEOUT, 0);
}

/* ------------------------------------------------------------------ the successor */

static void inherit_fail(struct keeper *keeper, const char *why)
{
	log_errorx("the old keeper: %s", why);
	keeper->code = EXIT_CODE_FAILED;
	keeper->stop = true;
	event_base_loopbreak(keeper->base);
}

static void inherit_hear_pipe(struct keeper *keeper, struct message *message)
{
	const struct msg_kept_pipe *what = message_payload(message, M2K_PIPE, NULL);

	if (what->slot >= SHM_SLOTS || what->number >= UINT16_MAX ||
		lines_keep_pipe(lines_worker(keeper, what->slot), what->number, message->fds) < 0)
		inherit_fail(keeper, "a pipe that cannot be kept");
}

/* fds: the entry's, set to -1 when they are kept. Returns how many, or -1. */
static int inherit_hear_entry(struct keeper *keeper, const struct msg_entry *what, int *fds)
{
	int both[2] = { -1, -1 };
	int n = 0;

	if (what->slot >= SHM_SLOTS || what->record >= shm_records(keeper->shm) || what->id == 0 ||
		(what->state == MSG_ENTRY_GIVEN && what->to >= SHM_SLOTS))
		return -1;
	if ((what->fds & MSG_FD_CLIENT) != 0)
		both[0] = fds[n++];
	if ((what->fds & MSG_FD_SERVER) != 0)
		both[1] = fds[n++];
	lines_worker(keeper, what->slot);
	if (store_put(keeper->store, what->slot, what->record, what->id, both) < 0)
		return -1;
	for (int i = 0; i < n; i++)
		fds[i] = -1;
	if (what->state == MSG_ENTRY_LET_GO)
		store_let_go(keeper->store, what->slot, what->record);
	if (what->state == MSG_ENTRY_GIVEN)
		store_give(keeper->store, what->slot, what->record, what->to);
	return n;
}

static void inherit_hear_entries(struct keeper *keeper, struct message *message)
{
	size_t count;
	size_t at = 0;
	const struct msg_entry *what = message_payload(message, M2K_ENTRY, &count);

	for (size_t i = 0; i < count; i++) {
		unsigned needed =
			((what[i].fds & MSG_FD_CLIENT) != 0) + ((what[i].fds & MSG_FD_SERVER) != 0);

		if (needed > message->nfds - at ||
			inherit_hear_entry(keeper, &what[i], message->fds + at) < 0) {
			inherit_fail(keeper, "an entry that cannot be kept");
			return;
		}
		at += needed;
	}
}

static void inherit_filled(struct keeper *keeper)
{
	struct message filled = { .type = K2M_FILLED };

	channel_send(keeper->inherit->line, &filled);
	inherit_free(keeper);
	inherit_thaw(keeper);
	keeper_send_master(keeper, &filled);
	log_info("filled with %llu relays", (unsigned long long)store_total(keeper->store));
	keeper_check_use(keeper);
}

static void on_new_message(struct channel *channel, struct message *message, void *arg)
{
	struct keeper *keeper = arg;

	(void)channel;
	switch (message->type) {
	case M2K_PIPE:
		inherit_hear_pipe(keeper, message);
		break;
	case M2K_ENTRY:
		inherit_hear_entries(keeper, message);
		break;
	case M2K_FILLED:
		inherit_filled(keeper);
		break;
	case M2K_LISTENER:
	case M2K_CHILD:
	case M2K_ROUTE:
	case M2K_GIVE:
		keeper_master_message(keeper, message);
		break;
	default:
		inherit_fail(keeper, "it speaks out of turn");
	}
}

static void on_new_end(struct channel *channel, enum channel_end end, const char *why, void *arg)
{
	(void)channel;
	(void)end;
	inherit_fail(arg, why);
}

void inherit_begin(struct keeper *keeper, struct message *message)
{
	const struct channel_handlers handlers = {
		.on_message = on_new_message,
		.on_end = on_new_end,
		.arg = keeper,
	};

	if (!inherit_may(keeper, message))
		return;
	keeper->inherit = inherit_new(keeper, message, &handlers);
	keeper->frozen = true;
}
