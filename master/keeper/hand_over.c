/* A keeper and its successor. The old one stops reading its lines and tells all it has; it gives nothing up before the
 * successor says K2M_FILLED, for either may die in between:
 *
 *   the successor, before K2M_FILLED     the old one goes on as if nothing had been
 *   the old one, before M2K_FILLED       the successor exits 1, and the master starts one that workers fill
 *
 * Workers notice nothing: what they say meanwhile waits in their lines.
 */
#include <event2/event.h>
#include <unistd.h>

#include "common/child.h"
#include "common/clock.h"
#include "master/keeper/parts.h"

#define HAND_OVER_LOOK_MS 10   /* whether all that we said to workers has gone out */
#define HAND_OVER_ALL_MS  8000 /* until K2M_FILLED */

enum hand_over_state {
	HAND_OVER_QUIET, /* the lines' queues are to be empty */
	HAND_OVER_LISTENERS,
	HAND_OVER_CHILDREN,
	HAND_OVER_PIPES,
	HAND_OVER_ENTRIES,
	HAND_OVER_ROUTES,
	HAND_OVER_TOLD, /* waits for K2M_FILLED */
};

static void hand_over_give_up(struct keeper *keeper, const char *why)
{
	log_warnx("no successor: %s", why);
	inherit_free(keeper);
	inherit_thaw(keeper);
	keeper_check_use(keeper);
}

static void hand_over_next(struct keeper_inherit *inherit)
{
	inherit->state++;
	inherit->slot = 0;
	inherit->at = 0;
}

static void hand_over_listener(struct keeper_inherit *inherit)
{
	const struct keeper *keeper = inherit->keeper;
	struct keeper_listener *listener;

	if (inherit->at == keeper->nlisteners) {
		hand_over_next(inherit);
		return;
	}
	listener = &keeper->listeners[inherit->at++];
	channel_send(inherit->line,
		&(const struct message){ .type = M2K_LISTENER,
			.payload = &listener->what,
			.payload_bytes = sizeof(listener->what),
			.fds = &listener->fd,
			.nfds = 1 });
}

static void hand_over_child(struct keeper_inherit *inherit)
{
	const struct keeper *keeper = inherit->keeper;
	const struct keeper_child *child;
	int fds[3];
	size_t nfds = 2;

	if (inherit->at == keeper->nchildren) {
		hand_over_next(inherit);
		return;
	}
	child = &keeper->children[inherit->at++];
	fds[0] = child->channel_fd;
	fds[1] = child->pidfd;
	if (child->what.role == CHILD_WORKER && keeper->workers[child->what.slot] != NULL &&
		keeper->workers[child->what.slot]->frozen_fd >= 0)
		fds[nfds++] = keeper->workers[child->what.slot]->frozen_fd;
	channel_send(inherit->line,
		&(const struct message){ .type = M2K_CHILD,
			.payload = &child->what,
			.payload_bytes = sizeof(child->what),
			.fds = fds,
			.nfds = nfds });
}

/* On to the next slot that was ever spoken of. NULL, and the next state, when there is none. */
static struct keeper_worker *hand_over_worker(struct keeper_inherit *inherit)
{
	for (; inherit->slot < SHM_SLOTS; inherit->slot++, inherit->at = 0) {
		if (inherit->keeper->workers[inherit->slot] != NULL)
			return inherit->keeper->workers[inherit->slot];
	}
	hand_over_next(inherit);
	return NULL;
}

static void hand_over_pipe(struct keeper_inherit *inherit)
{
	const struct keeper_worker *worker = hand_over_worker(inherit);
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
	channel_send(inherit->line,
		&(const struct message){ .type = M2K_PIPE,
			.payload = &what,
			.payload_bytes = sizeof(what),
			.fds = worker->pipes[inherit->at++].fds,
			.nfds = 2 });
}

static const enum msg_entry_state hand_over_states[] = {
	[ENTRY_KEPT] = MSG_ENTRY_KEPT,
	[ENTRY_LET_GO] = MSG_ENTRY_LET_GO,
	[ENTRY_GIVEN] = MSG_ENTRY_GIVEN,
};

static void hand_over_entries(struct keeper_inherit *inherit)
{
	const struct keeper_worker *worker = hand_over_worker(inherit);
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
			.state = hand_over_states[entry->state],
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
		channel_send(inherit->line,
			&(const struct message){ .type = M2K_ENTRY,
				.payload = what,
				.payload_bytes = n * sizeof(what[0]),
				.fds = fds,
				.nfds = nfds });
	if (inherit->at == store_used(store, worker->slot)) {
		inherit->slot++;
		inherit->at = 0;
	}
}

static void hand_over_route(struct keeper_inherit *inherit)
{
	const struct keeper_worker *worker = hand_over_worker(inherit);
	struct msg_route route = { 0 };
	struct msg_slot slot = { 0 };

	if (worker == NULL) {
		channel_send(inherit->line, &(const struct message){ .type = M2K_FILLED });
		return;
	}
	inherit->slot++;
	route.from = slot.slot = worker->slot;
	route.count = worker->route.count;
	for (uint32_t i = 0; i < route.count; i++)
		route.to[i] = worker->route.ring[i];
	if (route.count > 0)
		channel_send(inherit->line,
			&(const struct message){ .type = M2K_ROUTE,
				.payload = &route,
				.payload_bytes = sizeof(route) });
	if (worker->dead)
		channel_send(inherit->line,
			&(const struct message){ .type = M2K_GIVE,
				.payload = &slot,
				.payload_bytes = sizeof(slot) });
}

/* One message, or on to what comes next. */
static void hand_over_tell(struct keeper_inherit *inherit)
{
	switch ((enum hand_over_state)inherit->state) {
	case HAND_OVER_LISTENERS:
		hand_over_listener(inherit);
		break;
	case HAND_OVER_CHILDREN:
		hand_over_child(inherit);
		break;
	case HAND_OVER_PIPES:
		hand_over_pipe(inherit);
		break;
	case HAND_OVER_ENTRIES:
		hand_over_entries(inherit);
		break;
	case HAND_OVER_ROUTES:
		hand_over_route(inherit);
		break;
	case HAND_OVER_QUIET:
	case HAND_OVER_TOLD:
		break;
	}
}

static void hand_over_tell_all(struct keeper_inherit *inherit)
{
	while (inherit->state > HAND_OVER_QUIET && inherit->state < HAND_OVER_TOLD &&
		channel_has_room(inherit->line))
		hand_over_tell(inherit);
}

/* What was said to a worker and has not gone out would be lost with our channel. */
static bool hand_over_is_quiet(const struct keeper *keeper)
{
	for (uint32_t i = 0; i < SHM_SLOTS; i++) {
		const struct keeper_worker *worker = keeper->workers[i];

		if (worker != NULL && worker->line != NULL && !channel_has_room(worker->line))
			return false;
	}
	return true;
}

static void hand_over_freeze(struct keeper *keeper)
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

static void on_hand_over_timer(evutil_socket_t fd, short what, void *arg)
{
	const struct timeval again = { 0, HAND_OVER_LOOK_MS * 1000 };
	struct keeper *keeper = arg;
	struct keeper_inherit *inherit = keeper->inherit;

	(void)fd;
	(void)what;
	if (clock_now_ms() >= inherit->until_ms) {
		hand_over_give_up(keeper, "it takes too long");
		return;
	}
	if (inherit->state == HAND_OVER_QUIET) {
		give_run(keeper);
		if (hand_over_is_quiet(keeper)) {
			hand_over_freeze(keeper);
			hand_over_next(inherit);
			hand_over_tell_all(inherit);
		}
	}
	event_add(inherit->timer, &again);
}

static void on_old_room(struct channel *channel, void *arg)
{
	struct keeper *keeper = arg;

	(void)channel;
	hand_over_tell_all(keeper->inherit);
}

/* The successor speaks. */
static void on_old_message(struct channel *channel, struct message *message, void *arg)
{
	struct keeper *keeper = arg;

	(void)channel;
	if (message->type != K2M_FILLED || keeper->inherit->state != HAND_OVER_TOLD) {
		hand_over_give_up(keeper, "it speaks out of turn");
		return;
	}
	log_info("the successor has it all");
	keeper->stop = true;
	event_base_loopbreak(keeper->base);
}

static void on_old_end(struct channel *channel, enum channel_end end, const char *why, void *arg)
{
	struct keeper *keeper = arg;

	(void)channel;
	(void)end;
	if (!keeper->stop)
		hand_over_give_up(keeper, why);
}

void hand_over_begin(struct keeper *keeper, struct message *message)
{
	const struct channel_handlers handlers = {
		.on_message = on_old_message,
		.on_end = on_old_end,
		.arg = keeper,
		.on_room = on_old_room,
	};
	struct keeper_inherit *inherit = inherit_new(keeper, message, CHANNEL_MASTER, &handlers);

	if (inherit == NULL)
		return;
	keeper->inherit = inherit;
	inherit->state = HAND_OVER_QUIET;
	inherit->until_ms = clock_now_ms() + HAND_OVER_ALL_MS;
	inherit->timer = evtimer_new(keeper->base, on_hand_over_timer, keeper);
	if (inherit->timer == NULL)
		hand_over_give_up(keeper, "out of memory");
	else
		event_active(inherit->timer, EV_TIMEOUT, 0);
}
