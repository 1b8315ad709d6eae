/* The relays of all workers, from their records in shared memory: it answers also for a worker that hangs. What
 * a worker wrote there is believed in nothing: every index and enum is checked before it is used.
 */
#include <arpa/inet.h>
#include <string.h>

#include "common/clock.h"
#include "common/record.h"
#include "common/shm.h"
#include "common/sockaddr.h"
#include "master/views/views.h"

#define SESSIONS_BUDGET 4096 /* records looked at in one step */
#define SESSIONS_TRIES  8    /* for a copy that nobody wrote to meanwhile */

static const struct view_column sessions_columns[] = {
	{ "id", "ID", VIEW_COUNT }, { "worker", "WORKER", VIEW_COUNT },
	{ "worker_state", "(STATE)", VIEW_TEXT }, { "generation", "GENERATION", VIEW_COUNT },
	{ "frontend", "FRONTEND", VIEW_TEXT }, { "client", "CLIENT", VIEW_TEXT },
	{ "backend", "BACKEND", VIEW_TEXT }, { "server", "SERVER", VIEW_TEXT },
	{ "state", "STATE", VIEW_TEXT }, { "age_ms", "AGE", VIEW_MS },
	{ "idle_ms", "IDLE", VIEW_MS }, { "bytes_in", "IN", VIEW_BYTES },
	{ "bytes_out", "OUT", VIEW_BYTES },
	{ "kept", "KEPT", VIEW_TEXT }, /* its worker may die: yes or no */
};

static const char *session_state(uint8_t state)
{
	static const char *const names[] = {
#define RELAY_STATE(name, text) [name] = text,
#include "common/relay_states.def"
#undef RELAY_STATE
	};

	return state < RELAY_STATES ? names[state] : NULL;
}

static const char *session_object(struct shm *shm, enum shm_kind kind, uint32_t place)
{
	return place < shm_placed(shm, kind) ? shm_name(shm, kind, place) : NULL;
}

/* The name that lies there is "backend/server". */
static const char *session_server(struct shm *shm, uint32_t place)
{
	const char *name = session_object(shm, SHM_SERVER, place);
	const char *slash = name != NULL ? strchr(name, '/') : NULL;

	return slash != NULL ? slash + 1 : NULL;
}

/* Writes it to buf, which has room for SOCKADDR_TEXT_MAX. */
static const char *session_client(const struct relay_record *record, char *buf)
{
	struct sockaddr_any addr = { 0 };

	switch (record->client_family) {
	case AF_INET:
		addr.len = sizeof(addr.u.in);
		addr.u.in.sin_family = AF_INET;
		memcpy(&addr.u.in.sin_addr, record->client_addr, sizeof(addr.u.in.sin_addr));
		break;
	case AF_INET6:
		addr.len = sizeof(addr.u.in6);
		addr.u.in6.sin6_family = AF_INET6;
		memcpy(&addr.u.in6.sin6_addr, record->client_addr, sizeof(addr.u.in6.sin6_addr));
		break;
	case AF_UNIX:
		return "unix:";
	default:
		return NULL;
	}
	sockaddr_set_port(&addr, record->client_port);
	return sockaddr_format(&addr, buf, SOCKADDR_TEXT_MAX);
}

/* A copy. When its worker stopped half-way through a change, or changes it all the time, the last look has to
 * do: it may be two instants in one, but nothing of it is trusted anyway. False when the record is free. */
static bool session_read(const struct relay_record *shared, struct relay_record *copy_r)
{
	if (shared->id == 0)
		return false;
	for (int i = 0; i < SESSIONS_TRIES; i++) {
		uint32_t before = atomic_load_explicit(&shared->sequence, memory_order_acquire);

		memcpy(copy_r, shared, sizeof(*copy_r));
		atomic_thread_fence(memory_order_acquire);
		if (before % 2 == 0 &&
			atomic_load_explicit(&shared->sequence, memory_order_relaxed) == before)
			break;
	}
	/* One that was let go is shown where it was taken up. */
	return copy_r->id != 0 && copy_r->state != RELAY_FREE && !(copy_r->flags & RECORD_LET_GO);
}

static void session_show(const struct view_source *source, uint32_t slot,
	const struct relay_record *record, struct view_row *row_r)
{
	const uint64_t now_ms = clock_now_ms();
	const uint64_t age_ms = view_since_ms(now_ms, record->accepted_ms);
	const uint64_t idle_ms = view_since_ms(now_ms, record->moved_ms);
	const char *worker_state;

	if (!view_slot_state(source, slot, &worker_state))
		worker_state = NULL;
	view_number(row_r, record->id);
	view_number(row_r, shm_slot(source->shm, slot)->number);
	view_text(row_r, worker_state);
	view_number(row_r, record->generation);
	view_text(row_r, session_object(source->shm, SHM_FRONTEND, record->frontend));
	view_text(row_r, session_client(record, row_r->scratch));
	view_text(row_r, session_object(source->shm, SHM_BACKEND, record->backend));
	view_text(row_r, session_server(source->shm, record->server));
	view_text(row_r, session_state(record->state));
	view_number(row_r, age_ms);
	/* The two come from clocks that are some milliseconds apart. */
	view_number(row_r, idle_ms < age_ms ? idle_ms : age_ms);
	view_number(row_r, record->bytes_in);
	view_number(row_r, record->bytes_out);
	view_text(row_r, record->flags & RECORD_KEPT ? "yes" : "no");
}

static enum view_step sessions_next(
	const struct view_source *source, struct view_cursor *cursor, struct view_row *row_r)
{
	const uint32_t slots = shm_master(source->shm)->slots;
	struct relay_record record;
	uint32_t looked = 0;

	_Static_assert(VIEW_SCRATCH >= SOCKADDR_TEXT_MAX, "a client's address fits");
	for (; cursor->outer < slots; cursor->outer++, cursor->inner = 0) {
		const struct shm_slot *worker = shm_slot(source->shm, cursor->outer);
		uint32_t records = worker->records;

		/* Its relays are being taken up by others. */
		if (worker->state == SLOT_DEAD)
			continue;
		if (records > shm_records(source->shm))
			records = shm_records(source->shm);
		while (cursor->inner < records) {
			if (looked++ == SESSIONS_BUDGET)
				return VIEW_PAUSE;
			if (!session_read(shm_record(source->shm, cursor->outer, cursor->inner++),
				    &record))
				continue;
			session_show(source, cursor->outer, &record, row_r);
			return VIEW_ROW;
		}
	}
	return VIEW_END;
}

const struct view view_sessions = {
	.columns = sessions_columns,
	.ncolumns = NELEMS(sessions_columns),
	.spare = "worker_state generation worker idle_ms bytes_in bytes_out state age_ms frontend",
	.next = sessions_next,
};
