/* Adopt: a relay of another worker, which let go of it or died, is this one's from now on.
 *
 * Nothing is touched until our own record is whole: who comes after us, should we die right then, begins with that
 * and finds the same.
 */
#include "worker/relay/adopt.h"

#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/channel.h"
#include "common/child.h"
#include "common/clock.h"
#include "common/connect.h"
#include "common/log.h"
#include "worker/relay/admit.h"
#include "worker/relay/keep.h"
#include "worker/relay/places.h"

/* ------------------------------------------------------------------ what came */

static size_t adopt_fds(uint32_t mask)
{
	return (mask & MSG_FD_CLIENT ? 1U : 0) + (mask & MSG_FD_SERVER ? 1U : 0) +
		(mask & MSG_FD_UP_PIPE ? 2U : 0) + (mask & MSG_FD_DOWN_PIPE ? 2U : 0);
}

static void adopt_take_fds(struct adoption *adoption)
{
	uint32_t mask = adoption->which->fds;
	int *fd = adoption->fds;

	adoption->client_fd = mask & MSG_FD_CLIENT ? *fd++ : -1;
	adoption->server_fd = mask & MSG_FD_SERVER ? *fd++ : -1;
	adoption->up.pipe[PIPE_READ] = mask & MSG_FD_UP_PIPE ? *fd++ : -1;
	adoption->up.pipe[PIPE_WRITE] = mask & MSG_FD_UP_PIPE ? *fd++ : -1;
	adoption->down.pipe[PIPE_READ] = mask & MSG_FD_DOWN_PIPE ? *fd++ : -1;
	adoption->down.pipe[PIPE_WRITE] = mask & MSG_FD_DOWN_PIPE ? *fd++ : -1;
}

/* From now on it is the relay's: the message no longer closes it. */
static void adopt_keep_fd(struct adoption *adoption, int fd)
{
	for (size_t i = 0; i < adopt_fds(adoption->which->fds); i++) {
		if (adoption->fds[i] == fd)
			adoption->fds[i] = -1;
	}
}

/* ------------------------------------------------------------------ it is ours */

static bool adopt_wants_pipe(const struct adoption *adoption, const struct adopt_flow *flow)
{
	return adoption->record.state == RELAY_RELAYING &&
		flow->pipe_bytes + flow->found.carried > 0;
}

/* The one in which bytes lie, else an empty one of ours. */
static struct pipe *adopt_take_pipe(struct adoption *adoption, const struct adopt_flow *flow)
{
	struct pipes *pipes = adoption->relays->tools.pipes;
	struct pipe *pipe;

	if (flow->pipe_bytes == 0)
		return pipes_take(pipes);
	pipe = pipes_adopt(
		pipes, flow->pipe[PIPE_READ], flow->pipe[PIPE_WRITE], (uint32_t)flow->pipe_bytes);
	if (pipe != NULL) {
		adopt_keep_fd(adoption, flow->pipe[PIPE_READ]);
		adopt_keep_fd(adoption, flow->pipe[PIPE_WRITE]);
	}
	return pipe;
}

/* With what lies in it, and what was carried: in a pipe from now on. Should we die before the record is ours, who comes
 * next finds the same: an old pipe has more in it then, and less is missing. */
static struct pipe *adopt_pipe(struct adoption *adoption, const struct adopt_flow *flow)
{
	struct pipes *pipes = adoption->relays->tools.pipes;
	const size_t carried = (size_t)flow->found.carried;
	struct pipe *pipe =
		adopt_wants_pipe(adoption, flow) ? adopt_take_pipe(adoption, flow) : NULL;

	if (pipe == NULL || carried == 0)
		return pipe;
	if (write(pipe->write_fd, flow->found.bytes, carried) != (ssize_t)carried) {
		pipes_leave(pipes, pipe);
		return NULL;
	}
	pipe->bytes += (uint32_t)carried;
	return pipe;
}

/* Ours is the same, but for whose it is. Without its id it does not count yet. */
static void adopt_write_record(const struct adoption *adoption, struct relay *relay)
{
	struct relay_record ours = adoption->record;
	struct relay_record *record = relay->record;
	const struct conf_backend *backend = relay->backend;

	ours.id = 0;
	ours.flags = RECORD_KEPT | (relay->source_key != 0 ? RECORD_SOURCE_COUNTED : 0U);
	ours.moves++;
	ours.generation = relay->relays->child->generation;
	ours.backend = backend != NULL ? backend->place : SHM_NONE;
	ours.up_pipe = relay->up.pipe != NULL ? (uint16_t)(relay->up.pipe->number + 1) : 0;
	ours.down_pipe = relay->down.pipe != NULL ? (uint16_t)(relay->down.pipe->number + 1) : 0;
	ours.up_pipe_bytes = relay->up.pipe != NULL ? relay->up.pipe->bytes : 0;
	ours.down_pipe_bytes = relay->down.pipe != NULL ? relay->down.pipe->bytes : 0;
	ours.client_timeout_ms = relay->frontend->timeouts.client_ms;
	ours.server_timeout_ms = backend != NULL ? backend->timeouts.server_ms : 0;
	record_change_begin(record);
	memcpy((char *)record + sizeof(record->sequence), (char *)&ours + sizeof(ours.sequence),
		sizeof(ours) - sizeof(ours.sequence));
	record_change_end(record);
}

static uint64_t adopt_more(uint64_t now, uint64_t counted)
{
	return now > counted ? now - counted : 0;
}

/* It is ours, and what its worker had moved and not counted is counted: all at once, so that it is either ours or as if
 * it had never come here. One that is over and counted only has to be finished. */
static void adopt_commit(const struct adoption *adoption, struct relay *relay)
{
	struct shm_slot *slot = relay->relays->slot;
	struct relay_record *record = relay->record;
	struct shm_frontend_counters *frontend = &slot->frontends[record->frontend];
	struct journal_change change = { .slot = slot, .journal = &slot->journal };
	const bool served = record->server == SHM_NONE;
	const uint64_t through = served ? serve_sent(record) : record->bytes_out;
	const uint64_t in = adopt_more(record->bytes_in, adoption->counted_in);
	const uint64_t out = adopt_more(through, adoption->counted_out);

	if (served) {
		record->counted.in = adoption->counted_in + in;
		record->counted.out = adoption->counted_out + out;
	}
	journal_set(&change, &record->id, adoption->which->id);
	if (record->ended == 0)
		journal_add(&change, &frontend->adopted, 1);
	journal_add(&change, &frontend->bytes_in, in);
	journal_add(&change, &frontend->bytes_out, out);
	if (!served) {
		journal_add(&change, &slot->servers[record->server].bytes_in, in);
		journal_add(&change, &slot->servers[record->server].bytes_out, out);
	}
	journal_commit(&change);
}

static uint16_t adopt_local_port(int fd)
{
	struct sockaddr_storage local;
	socklen_t len = sizeof(local);
	struct sockaddr_any addr;

	if (getsockname(fd, (struct sockaddr *)&local, &len) < 0)
		return 0;
	sockaddr_from_kernel((struct sockaddr *)&local, len, &addr);
	return addr.len > 0 ? sockaddr_port(&addr) : 0;
}

static void adopt_count(struct relay *relay)
{
	struct relays *relays = relay->relays;

	admit_adopt(relays, relay->frontend);
	relays->active++;
	if (relay->backend != NULL)
		shm_count(&relays->slot->backends[relay->backend->place].active, 1);
	if (relay->chosen != NULL)
		relay_count_server(relay, 1);
	shm_count(&relays->slot->adopted, 1);
}

static void adopt_fill(struct adoption *adoption, struct relay *relay)
{
	relay_clear(relay);
	relay->frontend = adoption->frontend;
	if (adoption->server != NULL) {
		relay->backend = adoption->server->backend;
		relay->chosen = adoption->server->server;
	} else {
		relay->service = service_find(adoption->frontend->service);
		relay->local_port = adopt_local_port(adoption->client_fd);
	}
	relay->keeping = KEEPING_KEPT;
	relay->begun_ms = 0;
	relay->since_ms = clock_coarse_ms();
	relay->source_key = admit_adopt_source(adoption->relays, &adoption->record);
}

/* Of one whose worker died: readable and writable until a call says that it is not. Of one that was let go the loop tells
 * within this turn what there is to be read. */
static int adopt_open(struct adoption *adoption, struct relay *relay, bool client)
{
	struct stream *stream = client ? &relay->client : &relay->server;
	int fd = client ? adoption->client_fd : adoption->server_fd;
	const struct ledger_side *side = client ? &adoption->client_side : &adoption->server_side;
	bool reset = (adoption->record.resets & (client ? RECORD_CLIENT : RECORD_SERVER)) != 0;
	uint8_t flags = STREAM_WRITABLE | STREAM_KEPT | STREAM_COPIED;

	if (fd < 0)
		return 0;
	if (!adoption->let_go || reset)
		flags |= STREAM_READABLE;
	if (side->is_unix)
		flags |= STREAM_UNIX;
	if (side->plain)
		flags |= STREAM_PLAIN;
	if (reset)
		flags |= STREAM_RESET;
	adopt_keep_fd(adoption, fd);
	return stream_open(stream, adoption->relays->poller, fd, flags,
		client ? on_client_event : on_server_event);
}

/* Which of its sides were sent and not dropped; the same again should we die in the middle. */
static void adopt_drop(struct adoption *adoption, struct relay *relay)
{
	char *scratch = adoption->relays->tools.scratch;

	if (adoption->let_go || adoption->record.state != RELAY_RELAYING)
		return;
	stream_drop(&relay->client, scratch, (size_t)adoption->up.found.drop);
	stream_drop(&relay->server, scratch, (size_t)adoption->down.found.drop);
}

/* Of one that lingers only one side is left. */
static void adopt_abort_side(struct adoption *adoption, struct relay *relay)
{
	if (adoption->record.state != RELAY_LINGERING)
		return;
	if (adoption->record.aborts & RECORD_CLIENT)
		stream_abort(&relay->client);
	else
		stream_abort(&relay->server);
}

/* Undoes what adopt_own did when epoll has no room: the keeper still has the sockets. */
static void adopt_disown(struct relay *relay)
{
	struct relays *relays = relay->relays;

	stream_leave(&relay->client);
	stream_leave(&relay->server);
	pump_leave(&relay->up, &relays->tools);
	pump_leave(&relay->down, &relays->tools);
	admit_leave(relays, relay->source_key);
	relay_give(relay);
}

static bool adopt_own(struct adoption *adoption, struct relay *relay)
{
	struct pipe *up = adopt_pipe(adoption, &adoption->up);
	struct pipe *down = adopt_pipe(adoption, &adoption->down);

	adopt_fill(adoption, relay);
	if (up != NULL)
		pump_resume(&relay->up, up);
	if (down != NULL)
		pump_resume(&relay->down, down);
	if ((up == NULL && adopt_wants_pipe(adoption, &adoption->up)) ||
		(down == NULL && adopt_wants_pipe(adoption, &adoption->down)) ||
		adopt_open(adoption, relay, true) < 0 || adopt_open(adoption, relay, false) < 0) {
		adopt_disown(relay);
		return false;
	}
	adopt_write_record(adoption, relay);
	adopt_commit(adoption, relay);
	adopt_count(relay);
	adopt_drop(adoption, relay);
	adopt_abort_side(adoption, relay);
	if (!adoption->let_go && relay->service != NULL)
		stream_made_room(&relay->client);
	return true;
}

/* ------------------------------------------------------------------ the answer */

static enum msg_adopt_result adopt_unproven(struct adoption *adoption, const char *why)
{
	static struct log_rate rate;

	connect_abort(adoption->client_fd);
	connect_abort(adoption->server_fd);
	shm_count(&adoption->relays->slot->unproven, 1);
	if (log_rate_ok(&rate))
		log_warnx("relay #%llx of the worker that had slot %u was reset: %s%s",
			(unsigned long long)adoption->which->id, adoption->which->slot, why,
			log_rate_note(&rate));
	return MSG_ADOPT_UNPROVEN;
}

static bool adopt_has_room(const struct keep *keep)
{
	return !keep->leaving && relays_have_room(keep->relays);
}

static enum msg_adopt_result adopt_one(
	struct keep *keep, struct adoption *adoption, struct relay **relay_r)
{
	const char *why = adopt_judge(adoption);
	struct relay *relay;

	if (why != NULL)
		return adopt_unproven(adoption, why);
	why = adopt_place(adoption);
	if (why != NULL && adoption->let_go)
		return MSG_ADOPT_NO_ROOM; /* its owner lives, and has them */
	if (!adopt_has_room(keep))
		return MSG_ADOPT_NO_ROOM;
	if (why == NULL)
		why = adopt_prove(adoption);
	if (why != NULL)
		return adopt_unproven(adoption, why);
	relay = relay_take(keep->relays);
	if (relay == NULL || !adopt_own(adoption, relay))
		return MSG_ADOPT_NO_ROOM;
	*relay_r = relay;
	return MSG_ADOPTED;
}

/* fds_at: where its fds begin in the message. */
static void adopt_element(struct keep *keep, const struct msg_adopt *which,
	const struct message *message, size_t fds_at)
{
	struct adoption adoption = {
		.relays = keep->relays,
		.which = which,
		.fds = message->fds + fds_at,
	};
	struct relay *relay = NULL;
	enum msg_adopt_result result;

	adopt_take_fds(&adoption);
	result = adopt_one(keep, &adoption, &relay);
	keep->adopted[keep->nadopted++] = (struct msg_adopted){
		.from_slot = which->slot,
		.from_record = which->record,
		.id = which->id,
		.record = relay != NULL ? relay->index : 0,
		.result = result,
	};
	if (keep->nadopted == MESSAGE_BATCH)
		adopt_answer(keep);
	if (relay != NULL)
		relay_resume(relay);
}

void adopt_message(struct keep *keep, const struct message *message)
{
	size_t count;
	const struct msg_adopt *elements = message_payload(message, K2W_ADOPT, &count);
	size_t at = 0;

	for (size_t i = 0; i < count; i++) {
		size_t n = adopt_fds(elements[i].fds);

		if (n > message->nfds - at) {
			log_errorx("the keeper sent fewer fds than it says");
			return;
		}
		adopt_element(keep, &elements[i], message, at);
		at += n;
	}
}

/* With keep_after off the keeper only passed them on. */
static void adopt_unkeep(struct keep *keep)
{
	struct msg_relay relays[MESSAGE_BATCH];
	uint32_t n = 0;

	for (uint32_t i = 0; i < keep->nadopted; i++) {
		const struct msg_adopted *adopted = &keep->adopted[i];
		struct relay *relay = keep_find(keep, adopted->record, adopted->id);

		if (adopted->result != MSG_ADOPTED || relay == NULL ||
			relay->keeping != KEEPING_KEPT)
			continue;
		relay->keeping = KEEPING_NOT;
		keep_not(relay);
		relays[n++] = (struct msg_relay){ .record = relay->index, .id = adopted->id };
	}
	keep_send_forget(keep, relays, n);
}

void adopt_answer(struct keep *keep)
{
	struct message message = {
		.type = W2K_ADOPTED,
		.payload = keep->adopted,
		.payload_bytes = keep->nadopted * sizeof(keep->adopted[0]),
	};

	if (keep->nadopted > 0)
		keep_send(keep, &message);
	if (keep->after_ms == CONF_FOREVER)
		adopt_unkeep(keep);
	keep->nadopted = 0;
}
