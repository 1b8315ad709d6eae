/* What can be said of a relay of another worker. Its record is in another process's memory, so a copy is judged, not the
 * original; nothing is touched.
 */
#include <string.h>

#include "common/shm.h"
#include "worker/relay/adopt.h"
#include "worker/relay/impl.h"
#include "worker/relay/places.h"

/* ------------------------------------------------------------------ can it be true */

/* Before the kernel is asked what is true. */
static void adopt_note_counted(struct adoption *adoption)
{
	const struct relay_record *record = &adoption->record;
	const bool served = record->server == SHM_NONE;

	adoption->counted_in = served ? record->counted.in : record->bytes_in;
	adoption->counted_out = served ? record->counted.out : record->bytes_out;
}

static const char *adopt_read(struct adoption *adoption)
{
	const struct msg_adopt *which = adoption->which;
	struct shm *shm = adoption->relays->shm;

	memset(&adoption->record, 0, sizeof(adoption->record));
	if (which->slot >= SHM_SLOTS || which->record >= shm_records(shm))
		return "there is no such record";
	memcpy(&adoption->record, shm_record(shm, which->slot, which->record),
		sizeof(adoption->record));
	if (adoption->record.id != which->id || which->id == 0)
		return "its record is another's";
	adopt_note_counted(adoption);
	adoption->let_go = (adoption->record.flags & RECORD_LET_GO) != 0;
	return NULL;
}

static const char *adopt_check_service(const struct adoption *adoption)
{
	if (adoption->record.server != SHM_NONE)
		return "a service with a server";
	if (adoption->record.state == RELAY_SERVING && adoption->server_fd >= 0)
		return "a service with a server's socket";
	return NULL;
}

static const char *adopt_check(const struct adoption *adoption)
{
	const struct relay_record *record = &adoption->record;

	if (adoption->client_fd < 0)
		return "the client's socket is missing";
	if (record->up_flow > FLOW_DONE || record->down_flow > FLOW_DONE ||
		record->why >= CLOSE_REASONS)
		return "its record cannot be true";
	switch ((enum relay_state)record->state) {
	case RELAY_SERVING:
		return adopt_check_service(adoption);
	case RELAY_RELAYING:
		return record->server == SHM_NONE || adoption->server_fd < 0
			? "the server's socket is missing"
			: NULL;
	case RELAY_LINGERING:
		if (adoption->server_fd < 0 && !(record->aborts & RECORD_SERVER))
			return "the server's socket is missing";
		return record->server == SHM_NONE ? "it has no server" : NULL;
	case RELAY_CLOSING:
		return NULL;
	case RELAY_FREE:
	case RELAY_CHOOSING:
	case RELAY_QUEUED:
	case RELAY_CONNECTING:
	case RELAY_STATES:
		break;
	}
	return "it was not relaying";
}

const char *adopt_judge(struct adoption *adoption)
{
	const char *why = adopt_read(adoption);

	return why != NULL ? why : adopt_check(adoption);
}

const char *adopt_place(struct adoption *adoption)
{
	const struct relay_record *record = &adoption->record;
	struct places *places = adoption->relays->places;

	adoption->frontend = places_frontend(places, record->frontend);
	if (adoption->frontend == NULL)
		return "its frontend is gone";
	if (record->server != SHM_NONE) {
		adoption->server = places_server(places, record->server);
		return adoption->server == NULL ? "its server is gone" : NULL;
	}
	if (adoption->frontend->service == SERVICE_NONE ||
		serve_which(record) != adoption->frontend->service)
		return "its service is gone";
	return NULL;
}

/* ------------------------------------------------------------------ what the kernel knows */

/* Of one that was let go there is nothing to be found out, and its owner mostly knew what its sockets are. */
static int adopt_look_side(struct adoption *adoption, bool client)
{
	struct ledger_side *side = client ? &adoption->client_side : &adoption->server_side;
	const int fd = client ? adoption->client_fd : adoption->server_fd;
	const unsigned plain = client ? RECORD_CLIENT_PLAIN : RECORD_SERVER_PLAIN;

	if (!adoption->let_go)
		return ledger_look(fd, !client, side);
	if ((adoption->record.flags & plain) == 0)
		return ledger_kind(fd, side);
	*side = (struct ledger_side){ .plain = true };
	return 0;
}

static const char *adopt_look(struct adoption *adoption)
{
	int failed = adopt_look_side(adoption, true);

	if (failed == 0 && adoption->server_fd >= 0)
		failed = adopt_look_side(adoption, false);
	if (failed < 0)
		return "its sockets cannot be looked at";
	if (adoption->up.pipe[PIPE_READ] >= 0)
		failed = ledger_pipe(adoption->up.pipe[PIPE_READ], &adoption->up.pipe_bytes);
	if (failed == 0 && adoption->down.pipe[PIPE_READ] >= 0)
		failed = ledger_pipe(adoption->down.pipe[PIPE_READ], &adoption->down.pipe_bytes);
	return failed < 0 ? "its pipe cannot be looked at" : NULL;
}

static const char *adopt_prove_flow(struct adoption *adoption, bool up)
{
	const struct relay_record *record = &adoption->record;
	const struct record_side *from = up ? &record->client : &record->server_side;
	const struct record_side *to = up ? &record->server_side : &record->client;
	uint8_t other = up ? record->down_flow : record->up_flow;
	uint8_t from_side = up ? RECORD_CLIENT : RECORD_SERVER;
	const struct carry *carry = shm_carry(adoption->relays->shm, adoption->which->slot);
	struct adopt_flow *ours = up ? &adoption->up : &adoption->down;
	const struct ledger_flow flow = {
		.from = up ? &adoption->client_side : &adoption->server_side,
		.to = up ? &adoption->server_side : &adoption->client_side,
		.from_fd = up ? adoption->client_fd : adoption->server_fd,
		.rx_base = from->rx_base,
		.tx_base = to->tx_base,
		.pipe_bytes = ours->pipe_bytes,
		.carry = carry_is(carry, record->id, up) ? carry : NULL,
		.ended = other == FLOW_DONE && (record->resets & from_side) == 0,
	};

	return ledger_find(&flow, &ours->found);
}

static const char *adopt_prove_relaying(struct adoption *adoption)
{
	struct relay_record *record = &adoption->record;
	const char *why = NULL;

	if (record->up_flow != FLOW_DONE) {
		why = adopt_prove_flow(adoption, true);
		record->bytes_in = adoption->up.found.forwarded;
		record->resets |= adoption->up.found.reset ? RECORD_CLIENT : 0U;
	}
	if (why == NULL && record->down_flow != FLOW_DONE) {
		why = adopt_prove_flow(adoption, false);
		record->bytes_out = adoption->down.found.forwarded;
		record->resets |= adoption->down.found.reset ? RECORD_SERVER : 0U;
	}
	return why;
}

static const char *adopt_prove_serving(struct adoption *adoption)
{
	struct relay_record *record = &adoption->record;
	const struct ledger_side *side = &adoption->client_side;
	uint64_t consumed;
	const char *why;

	if (record->down_flow == FLOW_DONE)
		return NULL;
	if (side->plain && side->closed) {
		record->resets |= RECORD_CLIENT;
		return NULL;
	}
	if (side->fin_out)
		return "its record says that the end was not passed on";
	why = ledger_consumed(side, &consumed);
	return why != NULL ? why : serve_restore(record, consumed, side->queued);
}

/* One function for each kind of relay. */
static const char *adopt_prove_kind(struct adoption *adoption)
{
	if (adoption->let_go)
		return NULL;
	if (adoption->record.state == RELAY_RELAYING)
		return adopt_prove_relaying(adoption);
	if (adoption->record.state == RELAY_SERVING)
		return adopt_prove_serving(adoption);
	return NULL;
}

const char *adopt_prove(struct adoption *adoption)
{
	const char *why = adopt_look(adoption);

	return why != NULL ? why : adopt_prove_kind(adoption);
}
