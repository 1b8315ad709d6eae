/* What limits are in force, how much of each is used, and where it was said. One that is not there is not shown.
 */
#include <dirent.h>
#include <stdio.h>
#include <sys/resource.h>

#include "common/clock.h"
#include "common/instances.h"
#include "common/shm.h"
#include "common/sums.h"
#include "conf/conf.h"
#include "master/control/control.h"
#include "master/views/views.h"

#define NOFILE "open files (ulimit -n, LimitNOFILE=)"

static const struct view_column limits_columns[] = {
	{ "limit", "LIMIT", VIEW_TEXT },
	{ "name", "OF", VIEW_TEXT },
	{ "used", "USED", VIEW_COUNT },
	{ "max", "MAX", VIEW_COUNT },
	{ "from", "FROM", VIEW_TEXT },
};

struct limit {
	const char *what;
	const char *name; /* NULL: the daemon's */
	uint64_t used;
	bool unknown; /* how much is used */
	uint64_t max;
	const char *from;
};

static void limits_show(struct view_row *row_r, const struct limit *limit)
{
	view_text(row_r, limit->what);
	view_text(row_r, limit->name);
	if (limit->unknown)
		view_none(row_r);
	else
		view_number(row_r, limit->used);
	view_number(row_r, limit->max);
	view_text(row_r, limit->from);
}

/* ------------------------------------------------------------------ the daemon's */

static uint64_t limits_open_files(void)
{
	struct rlimit limit = { 0 };

	getrlimit(RLIMIT_NOFILE, &limit);
	return limit.rlim_cur;
}

static uint64_t limits_own_files(void)
{
	DIR *dir = opendir("/proc/self/fd");
	uint64_t files = 0;

	if (dir == NULL)
		return 0;
	while (readdir(dir) != NULL)
		files++;
	closedir(dir);
	return files > 3 ? files - 3 : 0; /* ".", ".." and the directory itself */
}

static uint64_t limits_slots(const struct view_source *source)
{
	uint64_t used = 0;

	for (uint32_t i = 0; i < shm_master(source->shm)->slots; i++)
		used += shm_slot(source->shm, i)->state != SLOT_FREE;
	return used;
}

static uint64_t limits_workers(const struct view_source *source)
{
	struct view_cursor cursor = { 0 };
	const char *state;
	uint64_t workers = 0;

	while (view_worker_next(source, &cursor, &state) != SHM_NONE)
		workers++;
	return workers;
}

/* Without one, what the workers have room for. */
static struct limit limits_maxconn(const struct view_source *source)
{
	struct limit limit = { "maxconn", NULL, shm_shared(source->shm)->active, false,
		source->conf->global.maxconn, "global.maxconn" };
	struct view_cursor cursor = { 0 };
	const char *state;
	uint32_t slot;

	if (limit.max != 0)
		return limit;
	limit.from = NOFILE;
	while ((slot = view_worker_next(source, &cursor, &state)) != SHM_NONE)
		limit.max += shm_slot(source->shm, slot)->room;
	return limit;
}

/* All of them. They are entries of 24 bytes in a table that nobody touches unless a frontend counts its sources. */
static struct limit limits_sources(const struct view_source *source)
{
	const struct sources *sources = &shm_shared(source->shm)->sources;
	struct limit limit = { "sources", NULL, 0, false, SOURCES_SIZE, "built in" };
	bool counted = false;

	for (size_t i = 0; i < source->conf->nfrontends; i++) {
		const struct conf_limits *limits = &source->conf->frontends[i].limits;

		counted = counted || limits->source_maxconn != 0 || limits->source_rate != 0;
	}
	for (size_t i = 0; counted && i < SOURCES_SIZE; i++)
		limit.used += sources->entries[i].active != 0;
	return limit;
}

enum {
	LIMIT_MAXCONN,
	LIMIT_FILES,
	LIMIT_KEPT,
	LIMIT_SOURCES,
	LIMIT_CLIENTS,
	LIMIT_WORKERS,
	LIMIT_SLOTS,
	LIMIT_FRONTENDS,
	LIMIT_BACKENDS,
	LIMIT_SERVERS,
	LIMITS_DAEMON,
};

static struct limit limits_daemon(const struct view_source *source, uint32_t which)
{
	static const char built_in[] = "built in";
	struct shm *shm = source->shm;

	switch (which) {
	case LIMIT_MAXCONN:
		return limits_maxconn(source);
	case LIMIT_FILES:
		return (struct limit){ "open files", "master", limits_own_files(), false,
			limits_open_files(), NOFILE };
	case LIMIT_KEPT:
		return (struct limit){ "relays", "keeper", shm_keeper(shm)->kept, false,
			limits_open_files() / 2, NOFILE };
	case LIMIT_SOURCES:
		return limits_sources(source);
	case LIMIT_CLIENTS:
		return (struct limit){ "control clients", NULL, source->control_clients, false,
			CONTROL_CLIENTS_MAX, built_in };
	case LIMIT_WORKERS:
		return (struct limit){ "workers", NULL, limits_workers(source), false,
			SHM_WORKERS_MAX, built_in };
	case LIMIT_SLOTS:
		return (struct limit){ "worker slots", NULL, limits_slots(source), false, SHM_SLOTS,
			built_in };
	case LIMIT_FRONTENDS:
		return (struct limit){ "frontends ever", NULL, shm_placed(shm, SHM_FRONTEND), false,
			SHM_FRONTENDS_MAX, built_in };
	case LIMIT_BACKENDS:
		return (struct limit){ "backends ever", NULL, shm_placed(shm, SHM_BACKEND), false,
			SHM_BACKENDS_MAX, built_in };
	default:
		return (struct limit){ "servers ever", NULL, shm_placed(shm, SHM_SERVER), false,
			SHM_SERVERS_MAX, built_in };
	}
}

/* ------------------------------------------------------------------ of workers, frontends, backends, servers */

static bool limits_worker(
	const struct view_source *source, struct view_cursor *cursor, struct view_row *row_r)
{
	const char *state;
	const uint32_t slot = view_worker_next(source, cursor, &state);
	struct limit limit = { .what = "relays", .name = row_r->scratch, .from = NOFILE };

	if (slot == SHM_NONE)
		return false;
	snprintf(row_r->scratch, sizeof(row_r->scratch), "worker %u",
		shm_slot(source->shm, slot)->number);
	limit.used = shm_slot(source->shm, slot)->active;
	limit.max = shm_slot(source->shm, slot)->room;
	limits_show(row_r, &limit);
	return true;
}

enum {
	FRONTEND_MAXCONN,
	FRONTEND_RATE,
	FRONTEND_SOURCE_MAXCONN,
	FRONTEND_SOURCE_RATE,
	FRONTEND_LIMITS
};

/* Of all sources, in this second. */
static uint64_t limits_opened(const struct shm_shared_frontend *shared)
{
	return shared->second == (uint32_t)(clock_coarse_ms() / 1000) ? shared->opened : 0;
}

static struct limit limits_of_frontend(
	const struct view_source *source, const struct conf_frontend *frontend, uint32_t which)
{
	const struct shm_shared_frontend *shared =
		&shm_shared(source->shm)->frontends[frontend->place];
	const struct conf_limits *limits = &frontend->limits;
	const char *name = frontend->name;

	switch (which) {
	case FRONTEND_MAXCONN:
		return (struct limit){ "maxconn", name, shared->active, false, frontend->maxconn,
			"frontends.*.maxconn" };
	case FRONTEND_RATE:
		return (struct limit){ "rate", name, limits_opened(shared), false, limits->rate,
			"frontends.*.limits.rate" };
	case FRONTEND_SOURCE_MAXCONN:
		return (struct limit){ "maxconn of a source", name, 0, true, limits->source_maxconn,
			"frontends.*.limits.source_maxconn" };
	default:
		return (struct limit){ "rate of a source", name, 0, true, limits->source_rate,
			"frontends.*.limits.source_rate" };
	}
}

static bool limits_frontend(
	const struct view_source *source, struct view_cursor *cursor, struct view_row *row_r)
{
	for (; cursor->outer < source->conf->nfrontends; cursor->outer++, cursor->inner = 0) {
		while (cursor->inner < FRONTEND_LIMITS) {
			const struct limit limit = limits_of_frontend(
				source, &source->conf->frontends[cursor->outer], cursor->inner++);

			if (limit.max == 0)
				continue;
			limits_show(row_r, &limit);
			return true;
		}
	}
	return false;
}

/* Its maxqueue first, as inner 0; then the servers. */
static bool limits_queue(const struct view_source *source, const struct conf_backend *backend,
	struct view_row *row_r)
{
	struct shm_server_sum sum;
	struct limit limit = { .what = "maxqueue",
		.name = backend->name,
		.max = backend->maxqueue,
		.from = "backends.*.maxqueue" };

	if (limit.max == 0)
		return false;
	shm_sum_backend(source->shm, backend->place, &sum);
	limit.used = sum.queued;
	limits_show(row_r, &limit);
	return true;
}

static bool limits_server(const struct view_source *source, const struct conf_backend *backend,
	const struct conf_server *server, struct view_row *row_r)
{
	const struct shm_admin *admin = &shm_master(source->shm)->admin[server->place];
	struct limit limit = { .what = "maxconn", .name = row_r->scratch, .max = admin->maxconn };

	if (limit.max == 0)
		return false;
	snprintf(row_r->scratch, sizeof(row_r->scratch), "%s/%s", backend->name, server->name);
	limit.used = shm_shared(source->shm)->servers[server->place].active;
	limit.from = admin->maxconn == admin->file_maxconn ? "backends.*.servers.*.maxconn"
							   : "set server";
	limits_show(row_r, &limit);
	return true;
}

static bool limits_backend(
	const struct view_source *source, struct view_cursor *cursor, struct view_row *row_r)
{
	for (; cursor->outer < source->conf->nbackends; cursor->outer++, cursor->inner = 0) {
		const struct conf_backend *backend = &source->conf->backends[cursor->outer];
		struct view_cursor servers = { .outer = cursor->outer };
		const struct conf_server *server;
		struct instance instance;

		if (cursor->inner == 0) {
			cursor->inner = 1;
			if (limits_queue(source, backend, row_r))
				return true;
		}
		servers.inner = cursor->inner - 1;
		while ((server = view_server_next(source, &servers, &instance)) != NULL) {
			cursor->inner = servers.inner + 1;
			if (limits_server(source, backend, server, row_r))
				return true;
		}
	}
	return false;
}

/* ------------------------------------------------------------------ all of them */

static bool limits_own(
	const struct view_source *source, struct view_cursor *cursor, struct view_row *row_r)
{
	struct limit limit;

	if (cursor->outer == LIMITS_DAEMON)
		return false;
	limit = limits_daemon(source, cursor->outer++);
	limits_show(row_r, &limit);
	return true;
}

static enum view_step limits_next(
	const struct view_source *source, struct view_cursor *cursor, struct view_row *row_r)
{
	typedef bool limits_fn(
		const struct view_source *from, struct view_cursor *at, struct view_row *to);
	static limits_fn *const stages[] = { limits_own, limits_worker, limits_frontend,
		limits_backend };

	for (; cursor->stage < NELEMS(stages);
		cursor->stage++, cursor->outer = 0, cursor->inner = 0) {
		if (stages[cursor->stage](source, cursor, row_r))
			return VIEW_ROW;
	}
	return VIEW_END;
}

const struct view view_limits = {
	.columns = limits_columns,
	.ncolumns = NELEMS(limits_columns),
	.next = limits_next,
};
