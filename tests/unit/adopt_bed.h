/* Real workers, forked, with a master and a keeper that live in the test: the keeper's part of the protocol is played by
 * the book, in as few lines as that takes. Workers can be killed, told to leave, to shed; the keeper can be replaced.
 */
#ifndef PROXYD_TESTS_UNIT_ADOPT_BED_H
#define PROXYD_TESTS_UNIT_ADOPT_BED_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <arpa/inet.h>
#include <cmocka.h>
#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "common/channel.h"
#include "common/child.h"
#include "common/clock.h"
#include "common/counts.h"
#include "common/log.h"
#include "common/shm.h"
#include "conf/conf.h"
#include "conf/load.h"
#include "master/place.h"

#define BED_RECORDS 8192
#define BED_SLOTS   16
#define BED_PIPES   (128 + 8192)
#define BED_WORKERS 3

enum entry_state { ENTRY_FREE, ENTRY_KEPT, ENTRY_LET_GO, ENTRY_GIVEN };

struct entry {
	uint64_t id;
	int fds[2];
	uint32_t to;
	uint32_t refusals;
	uint8_t state; /* enum entry_state */
};

struct kept_pipe {
	int fds[2]; /* 0 when there is none */
};

struct bed_worker {
	struct bed *bed;
	uint32_t slot;
	pid_t pid; /* 0: this place is free */
	struct channel *master;
	struct channel *keeper; /* NULL once the keeper is dead */
	bool ready;
	bool leaving;
	bool new_line; /* it answered M2W_KEEPER */
	bool died;
};

struct bed {
	struct event_base *base;
	struct shm *shm;
	struct conf *conf;
	struct bed_worker workers[BED_SLOTS]; /* by slot */
	struct entry *entries[BED_SLOTS];
	struct kept_pipe *pipes[BED_SLOTS];
	int *listeners; /* one for each frontend, borrowed */
	uint32_t turn;  /* who adopts next */
	uint32_t generation;
	void (*on_buried)(
		struct bed *bed, uint32_t slot); /* before anything is given; may be NULL */
	bool full;                               /* the keeper has no room */
	/* counted */
	uint64_t deposits;
	uint64_t moved;
	uint64_t unproven;
	uint64_t back;
	uint64_t lost;
	uint64_t refused;
	uint64_t pipes_made;
	uint64_t pipes_given;
};

/* ------------------------------------------------------------------ the keeper's store */

static inline void entry_drop(struct entry *entry)
{
	for (int i = 0; i < 2; i++) {
		if (entry->fds[i] >= 0)
			close(entry->fds[i]);
		entry->fds[i] = -1;
	}
	entry->state = ENTRY_FREE;
	entry->id = 0;
}

static inline struct entry *bed_entry(struct bed *bed, uint32_t slot, uint32_t record, uint64_t id)
{
	struct entry *entry;

	if (slot >= BED_SLOTS || record >= BED_RECORDS)
		return NULL;
	entry = &bed->entries[slot][record];
	return entry->state != ENTRY_FREE && entry->id == id ? entry : NULL;
}

static inline void bed_send(
	struct channel *channel, uint32_t type, const void *payload, size_t bytes)
{
	struct message message = {
		.type = (enum message_type)type,
		.payload = payload,
		.payload_bytes = bytes,
	};

	if (channel != NULL)
		channel_send(channel, &message);
}

static inline void bed_send_relay(
	struct bed *bed, uint32_t slot, uint32_t type, uint32_t record, uint64_t id)
{
	const struct msg_relay relay = { .record = record, .id = id };

	if (bed->workers[slot].pid != 0)
		bed_send(bed->workers[slot].keeper, type, &relay, sizeof(relay));
}

static inline struct bed_worker *bed_next(struct bed *bed, uint32_t from)
{
	for (unsigned i = 0; i < BED_SLOTS; i++) {
		struct bed_worker *worker = &bed->workers[(bed->turn + i) % BED_SLOTS];

		if (worker->slot != from && worker->pid != 0 && worker->ready && !worker->leaving &&
			!worker->died && worker->keeper != NULL) {
			bed->turn = worker->slot + 1;
			return worker;
		}
	}
	return NULL;
}

static inline void bed_give_pipe(
	struct bed *bed, uint32_t slot, uint16_t number, int *fds, size_t *nfds)
{
	const struct kept_pipe *pipe = &bed->pipes[slot][number - 1];

	bed->pipes_given++;
	fds[(*nfds)++] = pipe->fds[0];
	fds[(*nfds)++] = pipe->fds[1];
}

static inline bool bed_has_pipe(struct bed *bed, uint32_t slot, uint16_t number)
{
	return number > 0 && number <= BED_PIPES && bed->pipes[slot][number - 1].fds[1] > 0;
}

/* To the next worker, at most MESSAGE_BATCH at once. */
static inline void bed_give_some(
	struct bed *bed, struct bed_worker *to, const struct msg_adopt *adopts, uint32_t count)
{
	struct msg_adopt out[MESSAGE_BATCH];
	int fds[CHANNEL_FDS_MAX];
	struct message message = { .type = K2W_ADOPT, .payload = out, .fds = fds };

	for (uint32_t i = 0; i < count; i++) {
		struct entry *entry = &bed->entries[adopts[i].slot][adopts[i].record];
		const struct relay_record *record =
			shm_record(bed->shm, adopts[i].slot, adopts[i].record);

		out[i] = adopts[i];
		out[i].fds = MSG_FD_CLIENT;
		fds[message.nfds++] = entry->fds[0];
		if (entry->fds[1] >= 0) {
			out[i].fds |= MSG_FD_SERVER;
			fds[message.nfds++] = entry->fds[1];
		}
		if (bed_has_pipe(bed, adopts[i].slot, record->up_pipe)) {
			out[i].fds |= MSG_FD_UP_PIPE;
			bed_give_pipe(bed, adopts[i].slot, record->up_pipe, fds, &message.nfds);
		}
		if (bed_has_pipe(bed, adopts[i].slot, record->down_pipe)) {
			out[i].fds |= MSG_FD_DOWN_PIPE;
			bed_give_pipe(bed, adopts[i].slot, record->down_pipe, fds, &message.nfds);
		}
		entry->state = ENTRY_GIVEN;
		entry->to = to->slot;
	}
	message.payload_bytes = count * sizeof(out[0]);
	channel_send(to->keeper, &message);
}

static inline void bed_give(struct bed *bed, const struct msg_adopt *adopts, uint32_t count)
{
	struct bed_worker *to = count > 0 ? bed_next(bed, adopts[0].slot) : NULL;

	if (to != NULL)
		bed_give_some(bed, to, adopts, count);
}

/* All of a slot that are let go of, or, when it is dead, kept. */
static inline void bed_give_slot(struct bed *bed, uint32_t slot)
{
	bool dead = bed->workers[slot].died;
	struct msg_adopt batch[MESSAGE_BATCH];
	uint32_t n = 0;

	for (uint32_t i = 0; i < BED_RECORDS; i++) {
		const struct entry *entry = &bed->entries[slot][i];

		if (entry->state != ENTRY_LET_GO && !(dead && entry->state == ENTRY_KEPT))
			continue;
		batch[n++] = (struct msg_adopt){ .slot = slot, .record = i, .id = entry->id };
		if (n == MESSAGE_BATCH) {
			bed_give(bed, batch, n);
			n = 0;
		}
	}
	bed_give(bed, batch, n);
}

/* ------------------------------------------------------------------ what workers say to the keeper */

static inline void on_deposit(struct bed *bed, uint32_t slot, struct message *message)
{
	size_t count;
	const struct msg_deposit *deposits = message_payload(message, W2K_DEPOSIT, &count);
	size_t at = 0;

	for (size_t i = 0; i < count; i++) {
		struct entry *entry = &bed->entries[slot][deposits[i].record];
		size_t n = deposits[i].flags & MSG_DEPOSIT_CLIENT_ONLY ? 1 : 2;

		bed->deposits++;
		if (bed->full && !(deposits[i].flags & MSG_DEPOSIT_MOVING)) {
			bed->refused++;
			bed_send_relay(bed, slot, K2W_REFUSED, deposits[i].record, deposits[i].id);
			at += n;
			continue;
		}
		if (entry->state != ENTRY_FREE)
			entry_drop(entry);
		*entry = (struct entry){
			.id = deposits[i].id, .fds = { -1, -1 }, .state = ENTRY_KEPT
		};
		for (size_t k = 0; k < n; k++) {
			entry->fds[k] = message->fds[at];
			message->fds[at++] = -1;
		}
	}
	assert_int_equal(at, message->nfds);
}

static inline void on_pipe(struct bed *bed, uint32_t slot, struct message *message)
{
	const struct msg_pipe *msg = message_payload(message, W2K_PIPE, NULL);
	struct kept_pipe *pipe = &bed->pipes[slot][msg->number];

	assert_true(msg->number < BED_PIPES);
	bed->pipes_made++;
	for (int i = 0; i < 2; i++) {
		if (pipe->fds[i] > 0)
			close(pipe->fds[i]);
		pipe->fds[i] = message->fds[i];
		message->fds[i] = -1;
	}
}

static inline void on_adopted_one(struct bed *bed, uint32_t slot, const struct msg_adopted *adopted)
{
	struct entry *entry = bed_entry(bed, adopted->from_slot, adopted->from_record, adopted->id);
	struct entry *own;

	if (entry == NULL || entry->state != ENTRY_GIVEN || entry->to != slot)
		return;
	switch ((enum msg_adopt_result)adopted->result) {
	case MSG_ADOPTED:
		own = &bed->entries[slot][adopted->record];
		if (own->state != ENTRY_FREE)
			entry_drop(own);
		*own = *entry;
		own->state = ENTRY_KEPT;
		own->refusals = 0;
		*entry = (struct entry){ .fds = { -1, -1 } };
		bed->moved++;
		bed_send_relay(
			bed, adopted->from_slot, K2W_TAKEN, adopted->from_record, adopted->id);
		break;
	case MSG_ADOPT_NO_ROOM:
		entry->state = ENTRY_LET_GO;
		if (++entry->refusals < 2) {
			bed_give(bed,
				&(struct msg_adopt){ .slot = adopted->from_slot,
					.record = adopted->from_record,
					.id = adopted->id },
				1);
		} else if (!bed->workers[adopted->from_slot].died) {
			entry->state = ENTRY_KEPT;
			entry->refusals = 0;
			bed->back++;
			bed_send_relay(bed, adopted->from_slot, K2W_BACK, adopted->from_record,
				adopted->id);
		} else {
			bed->lost++;
			entry_drop(entry);
		}
		break;
	case MSG_ADOPT_UNPROVEN:
		bed->unproven++;
		entry_drop(entry);
	}
}

static inline void on_adopted(struct bed *bed, uint32_t slot, const struct message *message)
{
	size_t count;
	const struct msg_adopted *adopted = message_payload(message, W2K_ADOPTED, &count);

	for (size_t i = 0; i < count; i++)
		on_adopted_one(bed, slot, &adopted[i]);
}

static inline void on_relays(
	struct bed *bed, uint32_t slot, const struct message *message, enum message_type type)
{
	size_t count;
	const struct msg_relay *relays = message_payload(message, type, &count);

	for (size_t i = 0; i < count; i++) {
		struct entry *entry = bed_entry(bed, slot, relays[i].record, relays[i].id);

		if (type == W2K_FORGET) {
			if (entry != NULL)
				entry_drop(entry);
		} else if (entry != NULL) {
			entry->state = ENTRY_LET_GO;
		} else {
			/* It was refused meanwhile. */
			bed_send_relay(bed, slot, K2W_BACK, relays[i].record, relays[i].id);
		}
	}
	if (type == W2K_LET_GO)
		bed_give_slot(bed, slot);
}

static inline void on_kept_message(struct channel *channel, struct message *message, void *arg)
{
	struct bed_worker *worker = arg;

	(void)channel;
	switch (message->type) {
	case W2K_DEPOSIT:
		on_deposit(worker->bed, worker->slot, message);
		break;
	case W2K_PIPE:
		on_pipe(worker->bed, worker->slot, message);
		break;
	case W2K_FORGET:
	case W2K_LET_GO:
		on_relays(worker->bed, worker->slot, message, message->type);
		break;
	case W2K_ADOPTED:
		on_adopted(worker->bed, worker->slot, message);
		break;
	default:
		fail();
	}
}

static inline void on_line_end(
	struct channel *channel, enum channel_end end, const char *why, void *arg)
{
	(void)channel;
	(void)arg;
	if (end != CHANNEL_CLOSED)
		fail_msg("%s", why);
}

static inline void on_master_message(struct channel *channel, struct message *message, void *arg)
{
	struct bed_worker *worker = arg;

	(void)channel;
	if (message->type == C2M_READY)
		worker->ready = true;
	if (message->type == W2M_KEEPER)
		worker->new_line = true;
}

/* ------------------------------------------------------------------ workers */

static inline void bed_child(struct bed *bed, uint32_t slot, int channel_fd, int keeper_fd)
{
	struct child child = {
		.role = CHILD_WORKER,
		.slot = slot,
		.number = slot,
		.generation = bed->generation,
		.channel_fd = 3,
		.keeper_fd = keeper_fd < 0 ? -1 : 4,
		.takeover_fd = -1,
		.conf = bed->conf,
		.shm = bed->shm,
	};
	int a = fcntl(channel_fd, F_DUPFD_CLOEXEC, 1000);
	int b = keeper_fd < 0 ? -1 : fcntl(keeper_fd, F_DUPFD_CLOEXEC, 1000);

	dup3(a, 3, O_CLOEXEC);
	if (b >= 0)
		dup3(b, 4, O_CLOEXEC);
	close_range(b >= 0 ? 5 : 4, ~0U, 0);
	child_ignore_signals();
	if (shm_restrict(bed->shm, SHM_WORKER, slot) < 0)
		_exit(9);
	_exit(worker_main(&child));
}

static inline void bed_send_listeners(struct bed *bed, struct bed_worker *worker)
{
	struct msg_listener listeners[8] = { { 0 } };
	struct message message = {
		.type = M2W_LISTENERS,
		.payload = listeners,
		.payload_bytes = bed->conf->nfrontends * sizeof(listeners[0]),
		.fds = bed->listeners,
		.nfds = bed->conf->nfrontends,
	};

	for (size_t i = 0; i < bed->conf->nfrontends; i++) {
		listeners[i].id = (uint32_t)i + 1;
		listeners[i].frontend = bed->conf->frontends[i].place;
	}
	channel_send(worker->master, &message);
}

static inline struct bed_worker *bed_spawn(struct bed *bed)
{
	uint32_t slot = shm_slot_take(bed->shm);
	struct bed_worker *worker = &bed->workers[slot];
	const struct channel_handlers master = { on_master_message, on_line_end, worker, NULL };
	const struct channel_handlers keeper = { on_kept_message, on_line_end, worker, NULL };
	int lines[4];

	assert_true(slot < BED_SLOTS);
	assert_int_equal(channel_pair(lines), 0);
	assert_int_equal(channel_pair(lines + 2), 0);
	*worker = (struct bed_worker){ .bed = bed, .slot = slot };
	worker->pid = fork();
	assert_true(worker->pid >= 0);
	if (worker->pid == 0) {
		close(lines[0]); /* which may be 0, 1 or 2, and so would stay open */
		close(lines[2]);
		bed_child(bed, slot, lines[1], lines[3]);
	}
	close(lines[1]);
	close(lines[3]);
	worker->master = channel_new(bed->base, lines[0], CHANNEL_MASTER, &master);
	worker->keeper = channel_new(bed->base, lines[2], CHANNEL_KEEPER, &keeper);
	bed_send_listeners(bed, worker);
	return worker;
}

static inline void bed_poll(struct bed *bed)
{
	event_base_loop(bed->base, EVLOOP_NONBLOCK);
}

static inline void bed_wait_ready(struct bed *bed)
{
	for (int i = 0; i < BED_SLOTS; i++) {
		while (bed->workers[i].pid != 0 && !bed->workers[i].died && !bed->workers[i].ready)
			bed_poll(bed);
	}
}

/* What was given to it and not answered: its records say whether it has it. */
static inline void bed_sort_given(struct bed *bed, uint32_t dead)
{
	for (uint32_t slot = 0; slot < BED_SLOTS; slot++) {
		for (uint32_t i = 0; i < BED_RECORDS; i++) {
			struct entry *entry = &bed->entries[slot][i];

			if (entry->state != ENTRY_GIVEN || entry->to != dead)
				continue;
			entry->state = ENTRY_LET_GO;
			for (uint32_t k = 0; k < BED_RECORDS; k++) {
				const struct relay_record *record = shm_record(bed->shm, dead, k);

				/* One that it let go of before, and did not hear that it was taken,
				 * does not count. */
				if (record->id != entry->id || (record->flags & RECORD_LET_GO))
					continue;
				bed->entries[dead][k] = *entry;
				bed->entries[dead][k].state = ENTRY_KEPT;
				bed_send_relay(bed, slot, K2W_TAKEN, i, entry->id);
				*entry = (struct entry){ .fds = { -1, -1 } };
				break;
			}
		}
		if (slot != dead)
			bed_give_slot(bed, slot);
	}
}

/* It is dead, or is about to be: waits for that, and gives what it had. */
static inline int bed_bury(struct bed *bed, struct bed_worker *worker)
{
	int status;

	assert_int_equal(waitpid(worker->pid, &status, 0), worker->pid);
	worker->ready = false;
	shm_slot_died(bed->shm, worker->slot);
	if (worker->keeper != NULL) {
		channel_drain(worker->keeper);
		channel_free(worker->keeper);
		worker->keeper = NULL;
	}
	channel_free(worker->master);
	worker->master = NULL;
	worker->died = true; /* not before all that it said was heard */
	if (bed->on_buried != NULL)
		bed->on_buried(bed, worker->slot);
	bed_sort_given(bed, worker->slot);
	bed_give_slot(bed, worker->slot);
	return status;
}

/* Those of which nothing is left are reaped. */
static inline void bed_reap(struct bed *bed)
{
	for (uint32_t slot = 0; slot < BED_SLOTS; slot++) {
		bool left = false;

		if (!bed->workers[slot].died)
			continue;
		for (uint32_t i = 0; i < BED_RECORDS && !left; i++)
			left = bed->entries[slot][i].state != ENTRY_FREE;
		if (left)
			continue;
		for (uint32_t i = 0; i < BED_PIPES; i++) {
			if (bed->pipes[slot][i].fds[1] <= 0)
				continue;
			close(bed->pipes[slot][i].fds[0]);
			close(bed->pipes[slot][i].fds[1]);
			memset(&bed->pipes[slot][i], 0, sizeof(bed->pipes[slot][i]));
		}
		shm_slot_reap(bed->shm, slot);
		memset(&bed->workers[slot], 0, sizeof(bed->workers[slot]));
	}
}

/* Those that nobody could take yet, because nobody was ready. */
static inline void bed_give_rest(struct bed *bed)
{
	for (uint32_t slot = 0; slot < BED_SLOTS; slot++) {
		if (bed->workers[slot].pid != 0)
			bed_give_slot(bed, slot);
	}
}

static inline void bed_leave(struct bed_worker *worker)
{
	const struct msg_stop stop = { .drain_ms = 60000 };

	worker->leaving = true;
	bed_send(worker->master, M2W_LEAVE, &stop, sizeof(stop));
}

static inline bool bed_has_exited(const struct bed_worker *worker)
{
	siginfo_t info = { .si_pid = 0 };

	return waitid(P_PID, (id_t)worker->pid, &info, WEXITED | WNOHANG | WNOWAIT) == 0 &&
		info.si_pid != 0;
}

/* ------------------------------------------------------------------ another keeper */

static inline void bed_kill_keeper(struct bed *bed)
{
	for (uint32_t slot = 0; slot < BED_SLOTS; slot++) {
		for (uint32_t i = 0; i < BED_RECORDS; i++)
			entry_drop(&bed->entries[slot][i]);
		for (uint32_t i = 0; i < BED_PIPES; i++) {
			if (bed->pipes[slot][i].fds[1] <= 0)
				continue;
			close(bed->pipes[slot][i].fds[0]);
			close(bed->pipes[slot][i].fds[1]);
			memset(&bed->pipes[slot][i], 0, sizeof(bed->pipes[slot][i]));
		}
		channel_free(bed->workers[slot].keeper);
		bed->workers[slot].keeper = NULL;
	}
}

static inline void bed_new_keeper(struct bed *bed)
{
	for (uint32_t slot = 0; slot < BED_SLOTS; slot++) {
		struct bed_worker *worker = &bed->workers[slot];
		const struct channel_handlers keeper = { on_kept_message, on_line_end, worker,
			NULL };
		int line[2];
		struct message message = { .type = M2W_KEEPER, .fds = &line[1], .nfds = 1 };

		if (worker->pid == 0 || worker->died)
			continue;
		assert_int_equal(channel_pair(line), 0);
		worker->new_line = false;
		worker->keeper = channel_new(bed->base, line[0], CHANNEL_KEEPER, &keeper);
		channel_send(worker->master, &message);
		close(line[1]);
	}
}

static inline bool bed_all_answered(const struct bed *bed)
{
	for (uint32_t slot = 0; slot < BED_SLOTS; slot++) {
		const struct bed_worker *worker = &bed->workers[slot];

		if (worker->pid != 0 && !worker->died && !worker->new_line &&
			!bed_has_exited(worker))
			return false;
	}
	return true;
}

static inline void bed_settle(struct bed *bed)
{
	for (uint32_t slot = 0; slot < BED_SLOTS; slot++) {
		if (bed->workers[slot].pid != 0 && !bed->workers[slot].died)
			bed_send(bed->workers[slot].master, M2W_SETTLE, NULL, 0);
	}
}

/* ------------------------------------------------------------------ open and close */

static inline void bed_open(struct bed *bed, const char *conf, int *listeners)
{
	struct conf_errors errors = { 0 };
	const char *error;
	struct rlimit limit;

	memset(bed, 0, sizeof(*bed));
	getrlimit(RLIMIT_NOFILE, &limit);
	limit.rlim_cur = limit.rlim_max;
	setrlimit(RLIMIT_NOFILE, &limit);
	signal(SIGPIPE, SIG_IGN);
	bed->base = event_base_new();
	bed->shm = shm_create(BED_RECORDS, &error);
	assert_non_null(bed->shm);
	bed->conf = conf_load_text("test", conf, strlen(conf), NULL, &errors);
	if (bed->conf == NULL)
		conf_errors_print(&errors, stderr);
	assert_non_null(bed->conf);
	assert_int_equal(place_objects(bed->conf, bed->shm), 0);
	place_commit(bed->conf, bed->shm, 1);
	bed->listeners = listeners;
	bed->generation = 1;
	for (int i = 0; i < BED_SLOTS; i++) {
		bed->entries[i] = calloc(BED_RECORDS, sizeof(struct entry));
		bed->pipes[i] = calloc(BED_PIPES, sizeof(struct kept_pipe));
	}
}

static inline void bed_close(struct bed *bed)
{
	for (int i = 0; i < BED_SLOTS; i++) {
		struct bed_worker *worker = &bed->workers[i];

		if (worker->pid != 0 && !worker->died) {
			kill(worker->pid, SIGKILL);
			waitpid(worker->pid, NULL, 0);
		}
		channel_free(worker->keeper);
		channel_free(worker->master);
		for (uint32_t k = 0; k < BED_RECORDS; k++) {
			if (bed->entries[i][k].state != ENTRY_FREE)
				entry_drop(&bed->entries[i][k]);
		}
		for (uint32_t k = 0; k < BED_PIPES; k++) {
			if (bed->pipes[i][k].fds[1] > 0) {
				close(bed->pipes[i][k].fds[0]);
				close(bed->pipes[i][k].fds[1]);
			}
		}
		free(bed->entries[i]);
		free(bed->pipes[i]);
	}
	conf_free(bed->conf);
	shm_free(bed->shm);
	event_base_free(bed->base);
}

#endif
