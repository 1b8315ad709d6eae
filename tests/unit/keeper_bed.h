/* A keeper in the test's own loop and process, with a fake master and fake workers at the other ends of its lines. */
#ifndef PROXYD_TESTS_UNIT_KEEPER_BED_H
#define PROXYD_TESTS_UNIT_KEEPER_BED_H

#include <dirent.h>
#include <event2/event.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/channel.h"
#include "common/child.h"
#include "common/log.h"
#include "common/shm.h"
#include "conf/conf.h"
#include "master/keeper/keeper.h"

#define BED_RECORDS 1024
#define BED_WORKERS 6
#define BED_SEEN    1024

/* What one fake worker was told. */
struct fake {
	uint32_t slot;
	struct channel *line; /* NULL: ended */
	unsigned ends;
	unsigned adopts;
	unsigned messages; /* K2W_ADOPT */
	struct msg_adopt adopt[BED_SEEN];
	int fds[BED_SEEN][6]; /* owned: client, server, up, up, down, down; -1 */
	unsigned taken;
	struct msg_relay last_taken;
	unsigned refused;
	struct msg_relay last_refused;
	unsigned back;
	struct msg_relay last_back;
};

/* What the fake master was told. */
struct boss {
	struct channel *line;
	unsigned ends;
	unsigned ready;
	unsigned given;
	struct msg_given last_given;
	unsigned taken;
	unsigned yours;
	unsigned no;
	unsigned filled;
	bool leaves; /* on K2M_TAKEN */
};

struct bed {
	struct event_base *base;
	struct shm *shm;
	struct conf conf;
	struct child child;
	struct keeper *keeper;
	struct boss boss;
	struct fake fakes[BED_WORKERS];
	pid_t pids[BED_WORKERS]; /* processes that stand for workers; 0 */
	unsigned fds_before;
};

static struct bed bed;

static inline unsigned bed_count_fds(void)
{
	DIR *dir = opendir("/proc/self/fd");
	unsigned n = 0;

	assert_non_null(dir);
	while (readdir(dir) != NULL)
		n++;
	closedir(dir);
	return n;
}

/* ------------------------------------------------------------------ the fake master */

static inline void on_boss_message(struct channel *channel, struct message *message, void *arg)
{
	struct boss *boss = arg;

	switch (message->type) {
	case C2M_READY:
		boss->ready++;
		break;
	case K2M_GIVEN:
		boss->given++;
		boss->last_given =
			*(const struct msg_given *)message_payload(message, K2M_GIVEN, NULL);
		break;
	case K2M_TAKEN:
		boss->taken++;
		if (boss->leaves) {
			channel_free(channel);
			boss->line = NULL;
		}
		break;
	case K2M_YOURS:
		boss->yours++;
		break;
	case K2M_NO:
		boss->no++;
		break;
	case K2M_FILLED:
		boss->filled++;
		break;
	default:
		fail_msg("the master was told %s", message_type_name(message->type));
	}
}

static inline void on_boss_end(
	struct channel *channel, enum channel_end end, const char *why, void *arg)
{
	struct boss *boss = arg;

	(void)end;
	(void)why;
	boss->ends++;
	boss->line = NULL;
	channel_free(channel);
}

static inline void bed_boss(struct boss *boss, int fd)
{
	const struct channel_handlers handlers = { on_boss_message, on_boss_end, boss, NULL };

	*boss = (struct boss){ .line = NULL };
	boss->line = channel_new(bed.base, fd, CHANNEL_MASTER, &handlers);
}

static inline void bed_say(struct channel *line, enum message_type type, const void *payload,
	size_t payload_bytes, int *fds, size_t nfds)
{
	const struct message message = {
		.type = type,
		.payload = payload,
		.payload_bytes = payload_bytes,
		.fds = fds,
		.nfds = nfds,
	};

	channel_send(line, &message);
}

#define BED_SAY(line, type, payload, fds, nfds)                                                    \
	bed_say(line, type, &(payload), sizeof(payload), fds, nfds)

static inline void bed_run(void)
{
	for (int i = 0; i < 60; i++)
		event_base_loop(bed.base, EVLOOP_NONBLOCK);
}

/* ------------------------------------------------------------------ fake workers */

static inline void fake_adopt(struct fake *fake, struct message *message)
{
	size_t count;
	size_t at = 0;
	const struct msg_adopt *adopt = message_payload(message, K2W_ADOPT, &count);

	fake->messages++;
	for (size_t i = 0; i < count; i++) {
		int *fds = fake->fds[fake->adopts];

		assert_true(fake->adopts < BED_SEEN);
		memset(fds, 0xff, sizeof(fake->fds[0]));
		for (unsigned f = 0; f < 6; f++) {
			static const uint32_t flag[6] = { MSG_FD_CLIENT, MSG_FD_SERVER,
				MSG_FD_UP_PIPE, MSG_FD_UP_PIPE, MSG_FD_DOWN_PIPE,
				MSG_FD_DOWN_PIPE };

			if ((adopt[i].fds & flag[f]) == 0)
				continue;
			assert_true(at < message->nfds);
			fds[f] = message->fds[at];
			message->fds[at++] = -1;
		}
		fake->adopt[fake->adopts++] = adopt[i];
	}
	assert_int_equal(at, message->nfds);
}

static inline void on_fake_message(struct channel *channel, struct message *message, void *arg)
{
	struct fake *fake = arg;
	const struct msg_relay *relays;
	size_t count;

	(void)channel;
	if (message->type == K2W_ADOPT) {
		fake_adopt(fake, message);
		return;
	}
	relays = message_payload(message, message->type, &count);
	switch (message->type) {
	case K2W_TAKEN:
		fake->taken += (unsigned)count;
		fake->last_taken = relays[count - 1];
		break;
	case K2W_REFUSED:
		fake->refused += (unsigned)count;
		fake->last_refused = relays[count - 1];
		break;
	case K2W_BACK:
		fake->back += (unsigned)count;
		fake->last_back = relays[count - 1];
		break;
	default:
		fail_msg("a worker was told %s", message_type_name(message->type));
	}
}

static inline void on_fake_end(
	struct channel *channel, enum channel_end end, const char *why, void *arg)
{
	struct fake *fake = arg;

	(void)end;
	(void)why;
	fake->ends++;
	fake->line = NULL;
	channel_free(channel);
}

/* A process that only waits to be killed: what stands behind a worker's pidfd. */
static inline pid_t bed_process(void)
{
	pid_t pid = fork();

	if (pid == 0) {
		for (;;)
			pause();
	}
	assert_true(pid > 0);
	return pid;
}

static inline int bed_pidfd(pid_t pid)
{
	int pidfd = pidfd_open(pid, 0);

	assert_true(pidfd >= 0);
	return pidfd;
}

/* Worker in the slot of that number, told to the keeper whose master is boss. pid 0: we stand for it. */
static inline struct fake *bed_worker_of(struct boss *boss, uint32_t slot, pid_t pid)
{
	const struct channel_handlers handlers = { on_fake_message, on_fake_end, &bed.fakes[slot],
		NULL };
	const struct msg_child what = {
		.slot = slot,
		.generation = 1,
		.number = slot,
		.role = CHILD_WORKER,
		.pid = pid != 0 ? pid : getpid(),
	};
	struct fake *fake = &bed.fakes[slot];
	int line[2];
	int channel[2];
	int fds[3];

	assert_int_equal(channel_pair(line), 0);
	assert_int_equal(channel_pair(channel), 0);
	memset(fake, 0, sizeof(*fake));
	fake->slot = slot;
	fake->line = channel_new(bed.base, line[0], CHANNEL_KEPT, &handlers);
	fds[0] = channel[0];
	fds[1] = bed_pidfd(what.pid);
	fds[2] = line[1];
	BED_SAY(boss->line, M2K_CHILD, what, fds, 3);
	for (unsigned i = 0; i < 3; i++)
		close(fds[i]);
	close(channel[1]);
	shm_slot_use(bed.shm, slot);
	bed_run();
	return fake;
}

static inline struct fake *bed_worker(uint32_t slot)
{
	return bed_worker_of(&bed.boss, slot, 0);
}

static inline void fake_close_fds(struct fake *fake)
{
	for (unsigned i = 0; i < fake->adopts; i++) {
		for (unsigned f = 0; f < 6; f++) {
			if (fake->fds[i][f] >= 0)
				close(fake->fds[i][f]);
			fake->fds[i][f] = -1;
		}
	}
}

/* As a process that is killed: its line ends. */
static inline void fake_die(struct fake *fake)
{
	channel_free(fake->line);
	fake->line = NULL;
}

/* The record that a worker writes for a relay. */
static inline struct relay_record *fake_record(uint32_t slot, uint32_t record, uint64_t id)
{
	struct relay_record *r = shm_record(bed.shm, slot, record);
	struct shm_slot *s = shm_slot(bed.shm, slot);

	r->id = id;
	if (s->records <= record)
		s->records = record + 1;
	return r;
}

static inline void fake_deposit_fds(
	struct fake *fake, uint32_t record, uint64_t id, uint32_t flags, int *fds)
{
	const struct msg_deposit deposit = { .record = record, .id = id, .flags = flags };

	fake_record(fake->slot, record, id);
	BED_SAY(fake->line, W2K_DEPOSIT, deposit, fds,
		(flags & MSG_DEPOSIT_CLIENT_ONLY) != 0 ? 1 : 2);
}

/* Two ends of pairs whose other ends are closed already: enough where nobody looks. */
static inline void fake_deposit(struct fake *fake, uint32_t record, uint64_t id, uint32_t flags)
{
	int pair[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	fake_deposit_fds(fake, record, id, flags, pair);
	close(pair[0]);
	close(pair[1]);
}

static inline void fake_let_go(struct fake *fake, uint32_t record, uint64_t id)
{
	const struct msg_relay relay = { .record = record, .id = id };

	BED_SAY(fake->line, W2K_LET_GO, relay, NULL, 0);
}

static inline void fake_forget(struct fake *fake, uint32_t record, uint64_t id)
{
	const struct msg_relay relay = { .record = record, .id = id };

	BED_SAY(fake->line, W2K_FORGET, relay, NULL, 0);
}

/* Its answer to what it was asked as the i-th. */
static inline void fake_answer(
	struct fake *fake, unsigned i, enum msg_adopt_result result, uint32_t record)
{
	const struct msg_adopted answer = {
		.from_slot = fake->adopt[i].slot,
		.from_record = fake->adopt[i].record,
		.id = fake->adopt[i].id,
		.record = record,
		.result = result,
	};

	if (result == MSG_ADOPTED)
		fake_record(fake->slot, record, answer.id);
	BED_SAY(fake->line, W2K_ADOPTED, answer, NULL, 0);
}

/* ------------------------------------------------------------------ the master's words */

static inline void bed_route(uint32_t from, uint32_t count, const uint32_t *to)
{
	struct msg_route route = { .from = from, .count = count };

	memcpy(route.to, to, count * sizeof(*to));
	BED_SAY(bed.boss.line, M2K_ROUTE, route, NULL, 0);
}

#define BED_ROUTE(from, ...)                                                                       \
	bed_route(from, sizeof((uint32_t[]){ __VA_ARGS__ }) / sizeof(uint32_t),                    \
		(uint32_t[]){ __VA_ARGS__ })

static inline void bed_give(uint32_t slot)
{
	const struct msg_slot message = { .slot = slot };

	BED_SAY(bed.boss.line, M2K_GIVE, message, NULL, 0);
}

static inline uint64_t bed_kept(void)
{
	return shm_keeper(bed.shm)->kept;
}

/* ------------------------------------------------------------------ begin and end */

static inline void bed_begin(int takeover_fd)
{
	const char *error;
	int pair[2];

	memset(&bed, 0, sizeof(bed));
	bed.fds_before = bed_count_fds() - (takeover_fd >= 0);
	bed.base = event_base_new();
	assert_non_null(bed.base);
	bed.shm = shm_create(BED_RECORDS, &error);
	assert_non_null(bed.shm);
	bed.conf.global.heartbeat_timeout_ms = 500;
	assert_int_equal(channel_pair(pair), 0);
	bed.child = (struct child){
		.role = CHILD_KEEPER,
		.generation = 1,
		.channel_fd = pair[1],
		.keeper_fd = -1,
		.takeover_fd = takeover_fd,
		.conf = &bed.conf,
		.shm = bed.shm,
	};
	bed_boss(&bed.boss, pair[0]);
	bed.keeper = keeper_new(bed.base, &bed.child);
	bed_run();
	assert_int_equal(bed.boss.ready, 1);
}

/* Everything is closed: what is left then has leaked. */
static inline void bed_end(void)
{
	if (bed.keeper != NULL)
		keeper_free(bed.keeper);
	channel_free(bed.boss.line);
	for (unsigned i = 0; i < BED_WORKERS; i++) {
		fake_close_fds(&bed.fakes[i]);
		channel_free(bed.fakes[i].line);
		if (bed.pids[i] != 0) {
			kill(bed.pids[i], SIGKILL);
			waitpid(bed.pids[i], NULL, 0);
		}
	}
	event_base_free(bed.base);
	shm_free(bed.shm);
	assert_int_equal(bed_count_fds(), bed.fds_before);
}

static inline int bed_setup(void **state)
{
	(void)state;
	bed_begin(-1);
	return 0;
}

static inline int bed_teardown(void **state)
{
	(void)state;
	bed_end();
	return 0;
}

#endif
