/* What is shown of the daemon, its frontends, servers and workers: sums over the slots of all workers. A slot
 * keeps its counters when its worker dies, so the sums never go back.
 */
#include "master/views/views.h"

#include <unistd.h>

#include "common/check_result.h"
#include "common/clock.h"
#include "common/instances.h"
#include "common/log.h"
#include "common/server_state.h"
#include "common/shm.h"
#include "common/sums.h"
#include "conf/conf.h"
#include "master/change/reload.h"

/* A worker that missed two of its signs of life, of which it owes four in that time. */
#define HUNG_MS(timeout_ms) ((timeout_ms) / 2)

static struct view_cell *view_cell(struct view_row *row)
{
	MUST(row->ncells < VIEW_COLUMNS_MAX);
	if (row->ncells == 0)
		row->nnumbers = 0;
	row->cells[row->ncells] = (struct view_cell){ 0 };
	return &row->cells[row->ncells++];
}

void view_none(struct view_row *row)
{
	view_cell(row)->none = true;
}

void view_text(struct view_row *row, const char *text)
{
	view_cell(row)->text = text;
}

void view_number(struct view_row *row, uint64_t number)
{
	view_cell(row)->number = number;
}

void view_real(struct view_row *row, double real)
{
	view_cell(row)->real = real;
}

union view_number *view_numbers(struct view_row *row, size_t count)
{
	struct view_cell *cell = view_cell(row);
	union view_number *numbers = &row->numbers[row->nnumbers];

	MUST(count <= VIEW_NUMBERS_MAX - row->nnumbers);
	row->nnumbers += count;
	cell->numbers = numbers;
	cell->count = count;
	return numbers;
}

union view_number *view_counts(
	struct view_row *row, const char *(*item)(const void *none, size_t index), size_t count)
{
	union view_number *numbers = view_numbers(row, count);

	row->cells[row->ncells - 1].item = item;
	return numbers;
}

void view_list(struct view_row *row, const char *(*item)(const void *list, size_t index),
	const void *list, size_t count)
{
	struct view_cell *cell = view_cell(row);

	cell->item = item;
	cell->list = list;
	cell->count = count;
}

uint64_t view_since_ms(uint64_t now_ms, uint64_t then_ms)
{
	return now_ms > then_ms ? now_ms - then_ms : 0;
}

bool view_slot_state(const struct view_source *source, uint32_t slot, const char **state_r)
{
	const struct shm_slot *worker = shm_slot(source->shm, slot);
	uint64_t silent_ms = view_since_ms(clock_now_ms(), worker->heartbeat_ms);
	bool hung = silent_ms > HUNG_MS(source->conf->global.heartbeat_timeout_ms);
	const uint32_t state = worker->state;

	switch (state) {
	case SLOT_SERVING:
		*state_r = hung ? "hung" : "serving";
		return true;
	case SLOT_DRAINING:
		*state_r = hung ? "hung" : "draining";
		return true;
	case SLOT_FREE:
	case SLOT_DEAD:
		return false;
	default:
		*state_r = "starting";
		return true;
	}
}

/* ------------------------------------------------------------------ status */

static const struct view_column status_columns[] = {
	{ "version", "version", VIEW_TEXT },
	{ "state", "state", VIEW_TEXT },
	{ "pid", "pid", VIEW_COUNT },
	{ "uptime_s", "uptime", VIEW_SECONDS },
	{ "generation", "generation", VIEW_COUNT },
	{ "workers", "workers", VIEW_COUNT },
	{ "connections.active", "connections now", VIEW_COUNT },
	{ "connections.total", "connections", VIEW_COUNT },
	{ "connections.killed", "killed", VIEW_COUNT },
	{ "moves.moved", "moved", VIEW_COUNT },
	{ "moves.failed", "moves failed", VIEW_COUNT },
	{ "moves.kept", "kept", VIEW_COUNT },
	{ "log.level", "log level", VIEW_TEXT },
	{ "log.lost", "log lines lost", VIEW_COUNT },
	{ "last_reload.at", "last reload", VIEW_TEXT },
	{ "last_reload.generation", "  generation", VIEW_COUNT },
	{ "last_reload.result", "  result", VIEW_TEXT },
	{ "last_reload.message", "  message", VIEW_TEXT },
};

static const char *status_result(enum reload_result result)
{
	switch (result) {
	case RELOAD_NEVER:
		break;
	case RELOAD_DONE:
		return "done";
	case RELOAD_UNCHANGED:
		return "unchanged";
	case RELOAD_REFUSED:
		return "refused";
	}
	return NULL;
}

static void status_reload(const struct reload_last *last, struct view_row *row_r)
{
	const bool ever = last != NULL && last->result != RELOAD_NEVER;

	view_text(row_r,
		ever ? view_format_wall(last->at_wall_s, row_r->address, sizeof(row_r->address))
		     : NULL);
	view_number(row_r, ever ? last->generation : 0);
	view_text(row_r, ever ? status_result(last->result) : NULL);
	view_text(row_r, ever ? last->message : NULL);
}

static enum view_step status_next(
	const struct view_source *source, struct view_cursor *cursor, struct view_row *row_r)
{
	const struct shm_master *master = shm_master(source->shm);
	uint64_t active = 0;
	uint64_t total = 0;
	uint64_t lost = log_lost();
	uint64_t killed = 0;
	uint32_t workers = 0;

	if (cursor->outer++ > 0)
		return VIEW_END;
	for (uint32_t i = 0; i < master->slots; i++) {
		const struct shm_slot *slot = shm_slot(source->shm, i);

		workers += slot->state != SLOT_FREE && slot->state != SLOT_DEAD;
		active += slot->active;
		total += slot->accepted;
		lost += slot->log_lost;
		killed += slot->killed;
	}
	view_text(row_r, PROXYD_VERSION);
	view_text(row_r, source->stopping ? "stopping" : "serving");
	view_number(row_r, (uint64_t)getpid());
	view_number(row_r, view_since_ms(clock_now_ms(), master->started_ms) / 1000);
	view_number(row_r, master->generation);
	view_number(row_r, workers);
	view_number(row_r, active);
	view_number(row_r, total);
	view_number(row_r, killed);
	view_number(row_r, shm_keeper(source->shm)->moved);
	view_number(row_r, shm_keeper(source->shm)->lost);
	view_number(row_r, shm_keeper(source->shm)->kept);
	view_text(row_r, log_level_name(log_level_now()));
	view_number(row_r, lost);
	status_reload(source->last_reload, row_r);
	return VIEW_ROW;
}

const struct view view_status = {
	.columns = status_columns,
	.ncolumns = NELEMS(status_columns),
	.single = true,
	.next = status_next,
};

/* ------------------------------------------------------------------ frontends */

static const struct view_column frontends_columns[] = {
	{ "name", "FRONTEND", VIEW_TEXT },
	{ "bind", "BIND", VIEW_LIST },
	{ "active", "ACTIVE", VIEW_COUNT },
	{ "total", "TOTAL", VIEW_COUNT },
	{ "refused", "REFUSED", VIEW_COUNT },
	{ "failed", "FAILED", VIEW_COUNT },
	{ "bytes_in", "IN", VIEW_BYTES },
	{ "bytes_out", "OUT", VIEW_BYTES },
};

static const char *frontend_bind(const void *list, size_t index)
{
	return ((const struct address *)list)[index].text;
}

static enum view_step frontends_next(
	const struct view_source *source, struct view_cursor *cursor, struct view_row *row_r)
{
	struct shm_frontend_sum sum;
	const struct conf_frontend *frontend;

	if (cursor->outer >= source->conf->nfrontends)
		return VIEW_END;
	frontend = &source->conf->frontends[cursor->outer++];
	shm_sum_frontend(source->shm, frontend->place, &sum);
	view_text(row_r, frontend->name);
	view_list(row_r, frontend_bind, frontend->binds, frontend->nbinds);
	view_number(row_r, sum.active);
	view_number(row_r, sum.total);
	view_number(row_r, sum.refused);
	view_number(row_r, sum.failed);
	view_number(row_r, sum.bytes_in);
	view_number(row_r, sum.bytes_out);
	return VIEW_ROW;
}

const struct view view_frontends = {
	.columns = frontends_columns,
	.ncolumns = NELEMS(frontends_columns),
	.spare = "failed refused bytes_in bytes_out bind",
	.next = frontends_next,
};

/* ------------------------------------------------------------------ servers */

static const struct view_column servers_columns[] = {
	{ "backend", "BACKEND", VIEW_TEXT }, { "server", "SERVER", VIEW_TEXT },
	{ "address", "ADDRESS", VIEW_TEXT }, { "state", "STATE", VIEW_TEXT },
	{ "admin", "ADMIN", VIEW_TEXT }, { "check", "CHECK", VIEW_TEXT },
	{ "active", "ACTIVE", VIEW_COUNT }, { "total", "TOTAL", VIEW_COUNT },
	{ "failed", "FAILED", VIEW_COUNT }, { "bytes_in", "IN", VIEW_BYTES },
	{ "bytes_out", "OUT", VIEW_BYTES }, { "weight", "WEIGHT", VIEW_COUNT },
	{ "maxconn", "MAXCONN", VIEW_COUNT }, { "last_change_s", "SINCE", VIEW_SECONDS },
	{ "last_check_s", "CHECKED", VIEW_SECONDS }, /* how old the state is */
};

static const char *server_admin(const struct shm_admin *admin)
{
	const uint32_t state = admin->state;

	switch (state) {
	case ADMIN_DRAIN:
		return "drain";
	case ADMIN_MAINT:
		return "maint";
	default:
		return "ready";
	}
}

const char *view_server_state(const struct view_source *source, uint32_t place)
{
	const enum server_state state = server_state(source->shm, place);

	/* An instance whose address went just now. */
	return server_state_name(state != SERVER_STATE_ABSENT ? state : SERVER_STATE_DOWN);
}

/* What the last check said; NULL: there is none. */
static const char *server_check(const struct conf_backend *backend,
	const struct conf_server *server, const struct shm_health *health, char buf[VIEW_SCRATCH])
{
	if (server->naddrs == 0 && !server->dynamic)
		return check_result_describe(CHECKED_NO_ADDRESS, 0, buf, VIEW_SCRATCH);
	if (backend->check.type == CHECK_NONE)
		return NULL;
	if (health->checks == 0)
		return check_result_describe(CHECKED_NEVER, 0, buf, VIEW_SCRATCH);
	return check_result_describe(health->result, health->detail, buf, VIEW_SCRATCH);
}

static void server_counters(
	const struct view_source *source, uint32_t place, struct view_row *row_r)
{
	struct shm_server_sum sum;

	shm_sum_server(source->shm, place, &sum);
	view_number(row_r, sum.active);
	view_number(row_r, sum.total);
	view_number(row_r, sum.failed);
	view_number(row_r, sum.bytes_in);
	view_number(row_r, sum.bytes_out);
}

/* The address: that of the file, or what its name gives now. */
static const char *server_address(
	const struct conf_server *server, const struct instance *instance, char *buf, size_t bytes)
{
	return server->dynamic ? sockaddr_format(&instance->addr, buf, bytes)
			       : server->address.text;
}

const struct conf_server *view_server_next(
	const struct view_source *source, struct view_cursor *cursor, struct instance *instance_r)
{
	const struct conf_backend *backend = &source->conf->backends[cursor->outer];

	*instance_r = (struct instance){ 0 };
	while (cursor->inner < backend->nservers) {
		const struct conf_server *server = &backend->servers[cursor->inner++];

		if (!server->dynamic || instance_read(source->shm, server->place, instance_r))
			return server;
	}
	return NULL;
}

static const struct conf_server *servers_step(
	const struct view_source *source, struct view_cursor *cursor, struct instance *instance_r)
{
	for (; cursor->outer < source->conf->nbackends; cursor->outer++, cursor->inner = 0) {
		const struct conf_server *server = view_server_next(source, cursor, instance_r);

		if (server != NULL)
			return server;
	}
	return NULL;
}

/* Seconds since then; since the daemon's start when it never was. */
static uint64_t server_since_s(const struct view_source *source, uint64_t at_ms)
{
	if (at_ms == 0)
		at_ms = shm_master(source->shm)->started_ms;
	return view_since_ms(clock_now_ms(), at_ms) / 1000;
}

static enum view_step servers_next(
	const struct view_source *source, struct view_cursor *cursor, struct view_row *row_r)
{
	const struct conf_backend *backend;
	const struct conf_server *server;
	const struct shm_admin *admin;
	const struct shm_health *health;
	struct instance instance;

	server = servers_step(source, cursor, &instance);
	if (server == NULL)
		return VIEW_END;
	backend = &source->conf->backends[cursor->outer];
	admin = &shm_master(source->shm)->admin[server->place];
	health = &shm_checker(source->shm)->servers[server->place];
	view_text(row_r, backend->name);
	view_text(row_r, server->name);
	view_text(row_r, server_address(server, &instance, row_r->address, sizeof(row_r->address)));
	view_text(row_r, view_server_state(source, server->place));
	view_text(row_r, server_admin(admin));
	view_text(row_r, server_check(backend, server, health, row_r->scratch));
	server_counters(source, server->place, row_r);
	view_number(row_r, instance_weight(&instance, admin->weight, server->weight));
	view_number(row_r, admin->maxconn);
	view_number(row_r, server_since_s(source, health->last_change_ms));
	view_number(row_r, server_since_s(source, health->last_check_ms));
	return VIEW_ROW;
}

const struct view view_servers = {
	.columns = servers_columns,
	.ncolumns = NELEMS(servers_columns),
	.spare =
		"last_check_s admin maxconn weight last_change_s failed bytes_in bytes_out total address check",
	.next = servers_next,
};

/* ------------------------------------------------------------------ workers */

static const struct view_column workers_columns[] = {
	{ "slot", "SLOT", VIEW_COUNT },
	{ "pid", "PID", VIEW_COUNT },
	{ "generation", "GENERATION", VIEW_COUNT },
	{ "state", "STATE", VIEW_TEXT },
	{ "active", "ACTIVE", VIEW_COUNT },
	{ "accepted", "ACCEPTED", VIEW_COUNT },
	{ "restarts", "RESTARTS", VIEW_COUNT },
};

/* By their numbers, for the place where one lies in shared memory says nothing. */
uint32_t view_worker_next(
	const struct view_source *source, struct view_cursor *cursor, const char **state_r)
{
	const uint32_t slots = shm_master(source->shm)->slots;

	for (; cursor->outer < SHM_WORKERS_MAX; cursor->outer++, cursor->inner = 0) {
		while (cursor->inner < slots) {
			const uint32_t slot = cursor->inner++;

			if (view_slot_state(source, slot, state_r) &&
				shm_slot(source->shm, slot)->number == cursor->outer)
				return slot;
		}
	}
	return SHM_NONE;
}

static enum view_step workers_next(
	const struct view_source *source, struct view_cursor *cursor, struct view_row *row_r)
{
	const char *state;
	const uint32_t place = view_worker_next(source, cursor, &state);
	const struct shm_slot *slot;

	if (place == SHM_NONE)
		return VIEW_END;
	slot = shm_slot(source->shm, place);
	view_number(row_r, slot->number);
	view_number(row_r, slot->pid);
	view_number(row_r, slot->generation);
	view_text(row_r, state);
	view_number(row_r, slot->active);
	view_number(row_r, slot->accepted + slot->carried);
	view_number(row_r, slot->restarts);
	return VIEW_ROW;
}

const struct view view_workers = {
	.columns = workers_columns,
	.ncolumns = NELEMS(workers_columns),
	.next = workers_next,
};
