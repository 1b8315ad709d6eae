/* Three workers and a master that say to the keeper whatever is well-formed: each input is a run of
 *
 *     who, type, elements, sockets: a byte each; then the elements
 *
 * and the keeper lives through it, with its counts as they must be. */
#include <event2/event.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/channel.h"
#include "common/child.h"
#include "common/log.h"
#include "common/shm.h"
#include "conf/conf.h"
#include "master/keeper/keeper.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define LINES   4 /* the last is the master's */
#define MASTER  (LINES - 1)
#define RECORDS 64

struct fuzz {
	struct event_base *base;
	struct channel *lines[LINES]; /* NULL: ended */
	int sockets[2];
	int fds[CHANNEL_FDS_MAX];
};

static const size_t sizes[MSG_TYPES] = {
#define MSG_TYPE(name, side, payload, elements, fds) [name] = (elements) != 0 ? sizeof(payload) : 0,
#include "common/messages.def"
#undef MSG_TYPE
};

static void on_message(struct channel *channel, struct message *message, void *arg)
{
	(void)channel;
	(void)message;
	(void)arg;
}

static void on_end(struct channel *channel, enum channel_end end, const char *why, void *arg)
{
	struct channel **line = arg;

	(void)end;
	(void)why;
	*line = NULL;
	channel_free(channel);
}

static int fuzz_line(struct fuzz *fuzz, unsigned i)
{
	const struct channel_handlers handlers = { on_message, on_end, &fuzz->lines[i], NULL };
	int pair[2];

	MUST(channel_pair(pair) == 0);
	fuzz->lines[i] = channel_new(
		fuzz->base, pair[0], i == MASTER ? CHANNEL_MASTER : CHANNEL_KEPT, &handlers);
	return pair[1];
}

static void fuzz_turn(struct fuzz *fuzz)
{
	for (unsigned i = 0; i < 4; i++)
		event_base_loop(fuzz->base, EVLOOP_NONBLOCK);
}

static void fuzz_workers(struct fuzz *fuzz)
{
	for (uint32_t i = 0; i < MASTER; i++) {
		const struct msg_child what = { .slot = i, .role = CHILD_WORKER, .pid = 1 };
		int line = fuzz_line(fuzz, i);
		int fds[3] = { fuzz->sockets[0], fuzz->sockets[1], line };
		const struct message message = { .type = M2K_CHILD,
			.payload = &what,
			.payload_bytes = sizeof(what),
			.fds = fds,
			.nfds = 3 };

		channel_send(fuzz->lines[MASTER], &message);
		close(line);
	}
	fuzz_turn(fuzz);
}

/* Returns how much of data it was; 0: no more. */
static size_t fuzz_say(struct fuzz *fuzz, const uint8_t *data, size_t size)
{
	_Alignas(16) char payload[CHANNEL_BYTES_MAX];
	struct message message = { .payload = payload, .fds = fuzz->fds };
	struct channel *line;

	if (size < 4)
		return 0;
	line = fuzz->lines[data[0] % LINES];
	message.type = data[1] % MSG_TYPES;
	message.payload_bytes = data[2] * sizes[message.type];
	message.nfds = data[3] % CHANNEL_FDS_MAX;
	if (message.payload_bytes > size - 4 || message.payload_bytes > sizeof(payload))
		return 0;
	memcpy(payload, data + 4, message.payload_bytes);
	if (line != NULL &&
		message_fault(message.type,
			data[0] % LINES == MASTER ? CHANNEL_MASTER : CHANNEL_KEPT,
			message.payload_bytes, message.nfds) == NULL)
		channel_send(line, &message);
	return 4 + message.payload_bytes;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct conf conf = { .global.heartbeat_timeout_ms = 60000 };
	struct child child = { .role = CHILD_KEEPER, .takeover_fd = -1, .conf = &conf };
	struct fuzz fuzz = { .base = event_base_new() };
	const char *error;
	struct keeper *keeper;
	size_t said;
	int code;

	log_set_level(LOG_LEVEL_NONE);
	child.shm = shm_create(RECORDS, &error);
	MUST(fuzz.base != NULL && child.shm != NULL);
	MUST(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fuzz.sockets) == 0);
	for (size_t i = 0; i < CHANNEL_FDS_MAX; i++)
		fuzz.fds[i] = fuzz.sockets[i % 2];
	/* Every record says it is of relay 1 or 2. */
	for (uint32_t i = 0; i < MASTER * RECORDS; i++)
		shm_record(child.shm, i / RECORDS, i % RECORDS)->id = 1 + i % 2;
	child.channel_fd = fuzz_line(&fuzz, MASTER);
	keeper = keeper_new(fuzz.base, &child);
	fuzz_workers(&fuzz);
	while ((said = fuzz_say(&fuzz, data, size)) > 0 && !keeper_over(keeper, &code)) {
		data += said;
		size -= said;
		fuzz_turn(&fuzz);
	}
	keeper_free(keeper); /* which counts what it had */
	for (unsigned i = 0; i < LINES; i++)
		channel_free(fuzz.lines[i]);
	close(fuzz.sockets[0]);
	close(fuzz.sockets[1]);
	event_base_free(fuzz.base);
	shm_free(child.shm);
	return 0;
}
