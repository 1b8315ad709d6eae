/* The lines to the workers: deposits, what is forgotten and let go, and the answers.
 *
 * Nothing that a worker says is believed but what was checked; who lies is ended, and its relays are given to others
 * like those of any dead worker.
 */
#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/pidfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/child.h"
#include "master/keeper/parts.h"

/* ------------------------------------------------------------------ answers */

void lines_flush(struct keeper_worker *worker)
{
	struct keeper_answer *answer = &worker->answer;
	const struct message message = {
		.type = answer->type,
		.slot = worker->slot,
		.payload = answer->relays,
		.payload_bytes = answer->count * sizeof(answer->relays[0]),
	};

	if (answer->count > 0 && worker->line != NULL)
		channel_send(worker->line, &message);
	answer->count = 0;
}

void lines_answer(
	struct keeper_worker *worker, enum message_type type, uint32_t record, uint64_t id)
{
	struct keeper_answer *answer = &worker->answer;

	if (worker->line == NULL)
		return;
	if (answer->count > 0 && (answer->type != type || answer->count == NELEMS(answer->relays)))
		lines_flush(worker);
	answer->type = type;
	answer->relays[answer->count++] = (struct msg_relay){ .record = record, .id = id };
	give_soon(worker->keeper);
}

/* ------------------------------------------------------------------ the end of a line */

static void lines_close(struct keeper_worker *worker)
{
	channel_free(worker->line);
	worker->line = NULL;
	worker->answer.count = 0;
	worker->batch.count = worker->batch.nfds = 0;
	keeper_check_use(worker->keeper);
}

void lines_accuse(struct keeper_worker *worker, const char *why)
{
	int pidfd = children_pidfd(worker->keeper, worker->slot);

	if (worker->line == NULL)
		return;
	log_errorx("slot %" PRIu32 ": %s; its worker is ended", worker->slot, why);
	lines_close(worker);
	if (pidfd >= 0 && pidfd_send_signal(pidfd, SIGKILL, NULL, 0) < 0 && errno != ESRCH)
		log_error("slot %" PRIu32 ": its worker cannot be ended", worker->slot);
}

static void on_line_end(struct channel *channel, enum channel_end end, const char *why, void *arg)
{
	struct keeper_worker *worker = arg;

	(void)channel;
	if (end != CHANNEL_CLOSED)
		lines_accuse(worker, why);
	else
		lines_close(worker);
	give_soon(worker->keeper); /* others may have waited for it */
}

/* ------------------------------------------------------------------ deposits */

static int lines_highest(const int fds[2])
{
	return fds[0] > fds[1] ? fds[0] : fds[1];
}

/* The kernel gives the lowest number that is free: a high one means that all below are in use. */
bool lines_may_keep(const struct keeper *keeper, const int fds[2])
{
	return lines_highest(fds) < keeper->fds_keep_max;
}

void lines_refused(struct keeper_worker *worker, uint32_t record, uint64_t id)
{
	struct keeper *keeper = worker->keeper;

	shm_count(&keeper->pages->refused, 1);
	lines_answer(worker, K2W_REFUSED, record, id);
	if (log_rate_ok(&keeper->refused_rate))
		log_warnx("no room to keep more than %" PRIu64
			  " relays (ulimit -n, LimitNOFILE=)%s",
			store_total(keeper->store), log_rate_note(&keeper->refused_rate));
}

static bool lines_is(int fd, mode_t type)
{
	struct stat st;

	return fstat(fd, &st) == 0 && (st.st_mode & S_IFMT) == type;
}

static size_t deposit_fds(const struct msg_deposit *deposit)
{
	return (deposit->flags & MSG_DEPOSIT_CLIENT_ONLY) != 0 ? 1 : 2;
}

/* NULL, or what is wrong with the message. */
static const char *deposit_fault(const struct keeper *keeper, const struct message *message)
{
	size_t count;
	size_t nfds = 0;
	const struct msg_deposit *deposits = message_payload(message, W2K_DEPOSIT, &count);

	for (size_t i = 0; i < count; i++) {
		if (deposits[i].record >= shm_records(keeper->shm) || deposits[i].id == 0)
			return "a deposit of no record";
		if ((deposits[i].flags &
			    ~(uint32_t)(MSG_DEPOSIT_CLIENT_ONLY | MSG_DEPOSIT_MOVING)) != 0)
			return "a deposit with unknown flags";
		nfds += deposit_fds(&deposits[i]);
	}
	if (nfds != message->nfds)
		return "deposits with a wrong number of fds";
	for (size_t i = 0; i < nfds; i++) {
		if (!lines_is(message->fds[i], S_IFSOCK))
			return "a deposit that is no socket";
	}
	return NULL;
}

/* fds: set to -1 when they are kept. */
static void lines_deposit_one(
	struct keeper_worker *worker, const struct msg_deposit *deposit, int *fds)
{
	struct keeper *keeper = worker->keeper;
	const struct store_entry *entry = store_get(keeper->store, worker->slot, deposit->record);
	const int both[2] = { fds[0], deposit_fds(deposit) == 2 ? fds[1] : -1 };
	bool moving = (deposit->flags & MSG_DEPOSIT_MOVING) != 0;

	if (entry != NULL && entry->state == ENTRY_GIVEN) {
		log_warnx("slot %" PRIu32 ": a deposit of what is under way", worker->slot);
		lines_answer(worker, K2W_REFUSED, deposit->record, deposit->id);
		return;
	}
	if ((!lines_may_keep(keeper, both) && !moving) || lines_highest(both) >= keeper->fds_max ||
		store_put(keeper->store, worker->slot, deposit->record, deposit->id, both) < 0) {
		lines_refused(worker, deposit->record, deposit->id);
		return;
	}
	for (size_t i = 0; i < deposit_fds(deposit); i++)
		fds[i] = -1;
}

static void lines_deposit(struct keeper_worker *worker, struct message *message)
{
	const char *fault = deposit_fault(worker->keeper, message);
	size_t count;
	size_t at = 0;
	const struct msg_deposit *deposits = message_payload(message, W2K_DEPOSIT, &count);

	if (fault != NULL) {
		lines_accuse(worker, fault);
		return;
	}
	for (size_t i = 0; i < count; i++) {
		lines_deposit_one(worker, &deposits[i], message->fds + at);
		at += deposit_fds(&deposits[i]);
	}
}

static void pipe_close(struct keeper_pipe *pipe)
{
	for (unsigned i = 0; i < NELEMS(pipe->fds); i++) {
		if (pipe->fds[i] >= 0)
			close(pipe->fds[i]);
		pipe->fds[i] = -1;
	}
}

/* The array reaches to this number. -1 when there is no memory. */
static int lines_pipes_reach(struct keeper_worker *worker, uint32_t number)
{
	size_t npipes = (size_t)number / 64 * 64 + 64;
	struct keeper_pipe *pipes;

	if (number < worker->npipes)
		return 0;
	pipes = reallocarray(worker->pipes, npipes, sizeof(*pipes));
	if (pipes == NULL)
		return -1;
	worker->pipes = pipes;
	while (worker->npipes < npipes)
		pipes[worker->npipes++] = (struct keeper_pipe){ { -1, -1 } };
	return 0;
}

int lines_keep_pipe(struct keeper_worker *worker, uint32_t number, int fds[2])
{
	if (lines_highest(fds) >= worker->keeper->fds_max || lines_pipes_reach(worker, number) < 0)
		return -1;
	pipe_close(&worker->pipes[number]);
	for (unsigned i = 0; i < 2; i++) {
		worker->pipes[number].fds[i] = fds[i];
		fds[i] = -1;
	}
	return 0;
}

static void lines_pipe(struct keeper_worker *worker, struct message *message)
{
	const struct msg_pipe *pipe = message_payload(message, W2K_PIPE, NULL);

	if (pipe->number >= UINT16_MAX || !lines_is(message->fds[0], S_IFIFO) ||
		!lines_is(message->fds[1], S_IFIFO)) {
		lines_accuse(worker, "a pipe that is none");
		return;
	}
	if (lines_keep_pipe(worker, pipe->number, message->fds) < 0)
		log_warnx("slot %" PRIu32 ": no room to keep a pipe", worker->slot);
}

/* ------------------------------------------------------------------ forget, let go */

/* NULL, or the entry that the worker speaks of; *lie_r when there cannot be one. */
static struct store_entry *lines_entry(
	struct keeper_worker *worker, const struct msg_relay *relay, bool *lie_r)
{
	struct store_entry *entry;

	*lie_r = relay->record >= shm_records(worker->keeper->shm);
	if (*lie_r)
		return NULL;
	entry = store_get(worker->keeper->store, worker->slot, relay->record);
	return entry != NULL && entry->id == relay->id ? entry : NULL;
}

/* An entry that is GIVEN stays: who has it answers first. */
static void lines_forget(struct keeper_worker *worker, const struct message *message)
{
	size_t count;
	const struct msg_relay *relays = message_payload(message, W2K_FORGET, &count);

	for (size_t i = 0; i < count; i++) {
		bool lie;
		const struct store_entry *entry = lines_entry(worker, &relays[i], &lie);

		if (lie) {
			lines_accuse(worker, "it forgets what is no record");
			return;
		}
		if (entry != NULL && entry->state != ENTRY_GIVEN)
			store_drop(worker->keeper->store, worker->slot, relays[i].record);
	}
}

/* What is not here, because it was refused meanwhile, nobody can take: it goes back. */
static void lines_let_go(struct keeper_worker *worker, const struct message *message)
{
	size_t count;
	const struct msg_relay *relays = message_payload(message, W2K_LET_GO, &count);

	for (size_t i = 0; i < count; i++) {
		bool lie;
		const struct store_entry *entry = lines_entry(worker, &relays[i], &lie);

		if (lie) {
			lines_accuse(worker, "it lets go of what is no record");
			return;
		}
		if (entry == NULL)
			lines_answer(worker, K2W_BACK, relays[i].record, relays[i].id);
		else if (entry->state == ENTRY_KEPT)
			store_let_go(worker->keeper->store, worker->slot, relays[i].record);
	}
	give_soon(worker->keeper);
}

static void on_line_message(struct channel *channel, struct message *message, void *arg)
{
	struct keeper_worker *worker = arg;

	(void)channel;
	switch (message->type) {
	case W2K_DEPOSIT:
		lines_deposit(worker, message);
		break;
	case W2K_PIPE:
		lines_pipe(worker, message);
		break;
	case W2K_FORGET:
		lines_forget(worker, message);
		break;
	case W2K_LET_GO:
		lines_let_go(worker, message);
		break;
	case W2K_ADOPTED:
		give_adopted(worker, message);
		break;
	default:
		break; /* the channel lets no other through */
	}
	atomic_store_explicit(&worker->keeper->pages->kept, store_total(worker->keeper->store),
		memory_order_relaxed);
}

static void on_line_room(struct channel *channel, void *arg)
{
	struct keeper_worker *worker = arg;

	(void)channel;
	give_soon(worker->keeper);
}

/* ------------------------------------------------------------------ begin and end */

struct keeper_worker *lines_worker(struct keeper *keeper, uint32_t slot)
{
	struct keeper_worker *worker;

	MUST(slot < SHM_SLOTS);
	worker = keeper->workers[slot];
	if (worker != NULL)
		return worker;
	worker = calloc(1, sizeof(*worker));
	if (worker == NULL) {
		log_fatalx("out of memory for a line");
		exit(EXIT_CODE_FAILED); /* the next keeper is filled again */
	}
	worker->keeper = keeper;
	worker->slot = slot;
	worker->frozen_fd = -1;
	keeper->workers[slot] = worker;
	return worker;
}

void lines_open(struct keeper_worker *worker, int fd)
{
	const struct channel_handlers handlers = {
		.on_message = on_line_message,
		.on_end = on_line_end,
		.on_room = on_line_room,
		.arg = worker,
	};

	MUST(worker->line == NULL);
	worker->line = channel_new(worker->keeper->base, fd, CHANNEL_KEEPER, &handlers);
}

void lines_finish(struct keeper_worker *worker)
{
	if (worker->line != NULL)
		channel_drain(worker->line);
	if (worker->line != NULL)
		lines_close(worker);
}

void lines_release(struct keeper_worker *worker)
{
	if (worker->line != NULL)
		lines_close(worker);
	if (worker->frozen_fd >= 0)
		close(worker->frozen_fd);
	worker->frozen_fd = -1;
	dead_settle(worker);
	store_release(worker->keeper->store, worker->slot);
	for (size_t i = 0; i < worker->npipes; i++)
		pipe_close(&worker->pipes[i]);
	free(worker->pipes);
	worker->pipes = NULL;
	worker->npipes = 0;
	worker->dead = false;
	worker->moved = worker->lost = 0;
	worker->route = (struct keeper_route){ .count = 0 };
}

uint32_t lines_open_count(const struct keeper *keeper)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < SHM_SLOTS; i++) {
		const struct keeper_worker *worker = keeper->workers[i];

		if (worker != NULL && (worker->line != NULL || worker->frozen_fd >= 0))
			n++;
	}
	return n;
}

void lines_free(struct keeper *keeper)
{
	for (uint32_t i = 0; i < SHM_SLOTS; i++) {
		struct keeper_worker *worker = keeper->workers[i];

		if (worker == NULL)
			continue;
		keeper->workers[i] = NULL;
		worker->batch.count = 0;
		channel_free(worker->line);
		if (worker->frozen_fd >= 0)
			close(worker->frozen_fd);
		for (size_t p = 0; p < worker->npipes; p++)
			pipe_close(&worker->pipes[p]);
		free(worker->pipes);
		free(worker);
	}
}
