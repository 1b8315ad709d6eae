/* A successor: what it is told by the keeper before it, until it has all. Then, and not before, it reads the lines.
 */
#include <event2/event.h>
#include <inttypes.h>
#include <stdlib.h>

#include "common/child.h"
#include "master/keeper/parts.h"

void inherit_free(struct keeper *keeper)
{
	struct keeper_inherit *inherit = keeper->inherit;

	if (inherit == NULL)
		return;
	channel_free(inherit->line);
	if (inherit->timer != NULL)
		event_free(inherit->timer);
	free(inherit);
	keeper->inherit = NULL;
}

void inherit_thaw(struct keeper *keeper)
{
	keeper->frozen = false;
	for (uint32_t i = 0; i < SHM_SLOTS; i++) {
		struct keeper_worker *worker = keeper->workers[i];

		if (worker == NULL || worker->frozen_fd < 0)
			continue;
		lines_open(worker, worker->frozen_fd);
		worker->frozen_fd = -1;
		if (worker->dead)
			dead_give(keeper, i);
	}
	give_soon(keeper);
}

struct keeper_inherit *inherit_new(struct keeper *keeper, struct message *message,
	enum channel_side side, const struct channel_handlers *handlers)
{
	struct keeper_inherit *inherit;

	/* The fd is closed then, and its other end sees that. */
	if (keeper->inherit != NULL || takeover_server_busy(keeper->takeover)) {
		log_errorx("%s out of turn", message_type_name(message->type));
		return NULL;
	}
	inherit = calloc(1, sizeof(*inherit));
	if (inherit == NULL) {
		log_errorx("out of memory for a successor");
		return NULL;
	}
	inherit->keeper = keeper;
	inherit->line = channel_new(keeper->base, message->fds[0], side, handlers);
	message->fds[0] = -1;
	return inherit;
}

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

	/* The master first: when it sees the old one's end it is to know why. */
	keeper_send_master(keeper, &filled);
	channel_send(keeper->inherit->line, &filled);
	inherit_free(keeper);
	inherit_thaw(keeper);
	log_info("filled with %" PRIu64 " relays", store_total(keeper->store));
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
	struct keeper_inherit *inherit = inherit_new(keeper, message, CHANNEL_CHILD, &handlers);

	if (inherit == NULL)
		return;
	keeper->inherit = inherit;
	keeper->frozen = true;
}
