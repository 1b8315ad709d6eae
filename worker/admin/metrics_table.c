/* All metrics, one row each. packaging/doc/admin.md has the same list for people.
 */
#include <event2/buffer.h>
#include <stdio.h>

#include "common/clock.h"
#include "common/server_state.h"
#include "worker/admin/metrics.h"

#define ADDS(name)                                                                                 \
	static void name(const struct metrics *metrics, const struct metric *metric, size_t index, \
		struct evbuffer *out)

#define SECONDS *UINT64_C(1000000)

static const uint64_t connect_bounds_us[] = { 500, 1000, 2500, 5000, 10000, 25000, 50000, 100000,
	250000, 500000, 1 SECONDS, 2500000, 5 SECONDS, 10 SECONDS };

static const uint64_t session_bounds_us[] = { 10000, 100000, 500000, 1 SECONDS, 5 SECONDS,
	10 SECONDS, 30 SECONDS, 60 SECONDS, 300 SECONDS, 600 SECONDS, 1800 SECONDS, 3600 SECONDS };

static uint64_t number_at(const void *sum, size_t offset)
{
	return *(const uint64_t *)(const void *)((const char *)sum + offset);
}

/* ------------------------------------------------------------------ the daemon */

ADDS(add_build_info)
{
	const struct metric_label labels[] = { { "version", PROXYD_VERSION }, { NULL, NULL } };

	(void)metrics;
	(void)index;
	metric_count(out, metric->name, labels, 1);
}

ADDS(add_start_time)
{
	const uint64_t started_ms = shm_master(metrics->shm)->started_ms;

	(void)index;
	metric_ms(out, metric->name, NULL, clock_wall_ms() - (metrics->now_ms - started_ms));
}

ADDS(add_uptime)
{
	(void)index;
	metric_ms(out, metric->name, NULL, metrics->now_ms - shm_master(metrics->shm)->started_ms);
}

ADDS(add_master_up)
{
	(void)index;
	metric_count(out, metric->name, NULL, admin_has_master(metrics->admin));
}

ADDS(add_generation)
{
	(void)index;
	metric_count(out, metric->name, NULL, shm_master(metrics->shm)->generation);
}

ADDS(add_reloads)
{
	static const char *const results[SHM_RELOADS] = {
		[SHM_RELOAD_DONE] = "done",
		[SHM_RELOAD_UNCHANGED] = "unchanged",
		[SHM_RELOAD_REFUSED] = "refused",
	};

	(void)index;
	for (size_t i = 0; i < SHM_RELOADS; i++) {
		const struct metric_label labels[] = { { "result", results[i] }, { NULL, NULL } };

		metric_count(out, metric->name, labels, shm_master(metrics->shm)->reloads[i]);
	}
}

ADDS(add_events)
{
	(void)index;
	metric_count(out, metric->name, NULL, events_last(metrics->shm));
}

ADDS(add_daemon)
{
	(void)index;
	metric_count(out, metric->name, NULL, number_at(&metrics->daemon, metric->offset));
}

ADDS(add_keeper)
{
	(void)index;
	metric_count(out, metric->name, NULL, number_at(shm_keeper(metrics->shm), metric->offset));
}

/* ------------------------------------------------------------------ frontends */

ADDS(add_frontend)
{
	const struct metric_frontend *frontend = &metrics->frontends[index];
	const struct metric_label labels[] = { { "frontend", frontend->name }, { NULL, NULL } };

	metric_count(out, metric->name, labels, number_at(&frontend->sum, metric->offset));
}

ADDS(add_frontend_bytes)
{
	const struct metric_frontend *frontend = &metrics->frontends[index];
	struct metric_label labels[] = { { "frontend", frontend->name }, { "direction", "in" },
		{ NULL, NULL } };

	metric_count(out, metric->name, labels, frontend->sum.bytes_in);
	labels[1].value = "out";
	metric_count(out, metric->name, labels, frontend->sum.bytes_out);
}

ADDS(add_frontend_refused)
{
	const struct metric_frontend *frontend = &metrics->frontends[index];

	for (size_t i = 0; i < REFUSALS; i++) {
		const struct metric_label labels[] = { { "frontend", frontend->name },
			{ "reason", refusal_key((enum refusal)i) }, { NULL, NULL } };

		metric_count(out, metric->name, labels, frontend->sum.refused_by[i]);
	}
}

ADDS(add_frontend_failed)
{
	const struct metric_frontend *frontend = &metrics->frontends[index];

	for (size_t i = 0; i < FAILURES; i++) {
		const struct metric_label labels[] = { { "frontend", frontend->name },
			{ "reason", failure_key((enum failure)i) }, { NULL, NULL } };

		metric_count(out, metric->name, labels, frontend->sum.failed_by[i]);
	}
}

ADDS(add_session_seconds)
{
	const struct metric_frontend *frontend = &metrics->frontends[index];
	const struct metric_label label = { "frontend", frontend->name };
	struct histogram sum = { 0 };

	shm_sum_session(metrics->shm, frontend->place, &sum);
	metric_histogram(
		out, metric->name, &label, &sum, session_bounds_us, NELEMS(session_bounds_us));
}

/* ------------------------------------------------------------------ backends */

ADDS(add_backend)
{
	const struct metric_backend *backend = &metrics->backends[index];
	const struct metric_label labels[] = { { "backend", backend->name }, { NULL, NULL } };

	metric_count(out, metric->name, labels, number_at(&backend->sum, metric->offset));
}

ADDS(add_backend_servers)
{
	const struct metric_backend *backend = &metrics->backends[index];

	for (size_t i = 0; i < SERVER_STATE_ABSENT; i++) {
		const struct metric_label labels[] = { { "backend", backend->name },
			{ "state", server_state_name((enum server_state)i) }, { NULL, NULL } };

		metric_count(out, metric->name, labels, backend->states[i]);
	}
}

ADDS(add_backend_ejected)
{
	const struct metric_backend *backend = &metrics->backends[index];
	const struct metric_label labels[] = { { "backend", backend->name }, { NULL, NULL } };

	metric_count(out, metric->name, labels, backend->ejected);
}

ADDS(add_backend_panic)
{
	const struct metric_backend *backend = &metrics->backends[index];
	const struct metric_label labels[] = { { "backend", backend->name }, { NULL, NULL } };

	metric_count(out, metric->name, labels,
		shm_shared(metrics->shm)->backends[backend->place].panic != 0);
}

ADDS(add_connect_seconds)
{
	const struct metric_backend *backend = &metrics->backends[index];
	const struct metric_label label = { "backend", backend->name };
	struct histogram sum = { 0 };

	shm_sum_connect(metrics->shm, backend->place, &sum);
	metric_histogram(
		out, metric->name, &label, &sum, connect_bounds_us, NELEMS(connect_bounds_us));
}

/* ------------------------------------------------------------------ servers */

#define SERVER_LABELS(server, third, value)                                                        \
	{                                                                                          \
		{ "backend", (server)->backend }, { "server", (server)->name },                    \
			{ (third), (value) },                                                      \
		{                                                                                  \
			NULL, NULL                                                                 \
		}                                                                                  \
	}

ADDS(add_server)
{
	const struct metric_server *server = &metrics->servers[index];
	const struct metric_label labels[] = SERVER_LABELS(server, NULL, NULL);

	metric_count(out, metric->name, labels, number_at(&server->sum, metric->offset));
}

ADDS(add_server_up)
{
	const struct metric_server *server = &metrics->servers[index];
	const struct metric_label labels[] = SERVER_LABELS(server, NULL, NULL);

	metric_count(out, metric->name, labels,
		server->state == SERVER_STATE_UP || server->state == SERVER_STATE_NOCHECK);
}

ADDS(add_server_state)
{
	const struct metric_server *server = &metrics->servers[index];

	for (size_t i = 0; i < SERVER_STATE_ABSENT; i++) {
		const struct metric_label labels[] =
			SERVER_LABELS(server, "state", server_state_name((enum server_state)i));

		metric_count(out, metric->name, labels, server->state == i);
	}
}

ADDS(add_server_ejected)
{
	const struct metric_server *server = &metrics->servers[index];
	const struct metric_label labels[] = SERVER_LABELS(server, NULL, NULL);

	metric_count(out, metric->name, labels, server->ejected);
}

ADDS(add_server_failed)
{
	const struct metric_server *server = &metrics->servers[index];

	for (size_t i = 0; i < CONNECT_FAILURES; i++) {
		const struct metric_label labels[] = SERVER_LABELS(
			server, "reason", connect_failure_key((enum connect_failure)i));

		metric_count(out, metric->name, labels, server->sum.failed_by[i]);
	}
}

ADDS(add_server_bytes)
{
	const struct metric_server *server = &metrics->servers[index];
	const struct metric_label in[] = SERVER_LABELS(server, "direction", "in");
	const struct metric_label to[] = SERVER_LABELS(server, "direction", "out");

	metric_count(out, metric->name, in, server->sum.bytes_in);
	metric_count(out, metric->name, to, server->sum.bytes_out);
}

ADDS(add_server_weight)
{
	const struct metric_server *server = &metrics->servers[index];
	const struct metric_label labels[] = SERVER_LABELS(server, NULL, NULL);

	metric_count(
		out, metric->name, labels, shm_master(metrics->shm)->admin[server->place].weight);
}

ADDS(add_server_maxconn)
{
	const struct metric_server *server = &metrics->servers[index];
	const struct metric_label labels[] = SERVER_LABELS(server, NULL, NULL);

	metric_count(
		out, metric->name, labels, shm_master(metrics->shm)->admin[server->place].maxconn);
}

ADDS(add_server_checks)
{
	const struct metric_server *server = &metrics->servers[index];
	const struct metric_label labels[] = SERVER_LABELS(server, NULL, NULL);

	metric_count(out, metric->name, labels,
		shm_checker(metrics->shm)->servers[server->place].checks);
}

ADDS(add_server_since)
{
	const struct metric_server *server = &metrics->servers[index];
	const struct metric_label labels[] = SERVER_LABELS(server, NULL, NULL);
	uint64_t at_ms = shm_checker(metrics->shm)->servers[server->place].last_change_ms;

	if (at_ms == 0 || at_ms > metrics->now_ms)
		at_ms = shm_master(metrics->shm)->started_ms;
	metric_ms(out, metric->name, labels, metrics->now_ms - at_ms);
}

/* ------------------------------------------------------------------ workers, processes */

/* The number that people call a worker by. */
static const char *worker_label(const struct metric_worker *worker, char buf[12])
{
	snprintf(buf, 12, "%u", worker->number);
	return buf;
}

ADDS(add_worker)
{
	const struct metric_worker *worker = &metrics->workers[index];
	char number[12];
	const struct metric_label labels[] = { { "slot", worker_label(worker, number) },
		{ NULL, NULL } };

	metric_count(out, metric->name, labels, number_at(worker, metric->offset));
}

ADDS(add_worker_up)
{
	const struct metric_worker *worker = &metrics->workers[index];
	char number[12];
	const struct metric_label labels[] = { { "slot", worker_label(worker, number) },
		{ NULL, NULL } };

	metric_count(out, metric->name, labels, worker->alive);
}

ADDS(add_worker_heartbeat)
{
	const struct metric_worker *worker = &metrics->workers[index];
	char number[12];
	const struct metric_label labels[] = { { "slot", worker_label(worker, number) },
		{ NULL, NULL } };

	metric_ms(out, metric->name, labels, worker->silent_ms);
}

ADDS(add_process_memory)
{
	const struct metric_process *process = &metrics->processes[index];
	const struct metric_label labels[] = { { "process", process->name }, { NULL, NULL } };

	metric_count(out, metric->name, labels, process->resident_bytes);
}

ADDS(add_process_fds)
{
	const struct metric_process *process = &metrics->processes[index];
	const struct metric_label labels[] = { { "process", process->name }, { NULL, NULL } };

	if (process->fds != UINT64_MAX)
		metric_count(out, metric->name, labels, process->fds);
}

/* ------------------------------------------------------------------ the table */

#define DAEMON(field)   METRIC_DAEMON, add_daemon, offsetof(struct shm_frontend_sum, field)
#define KEEPER(field)   METRIC_DAEMON, add_keeper, offsetof(struct shm_keeper, field)
#define FRONTEND(field) METRIC_FRONTEND, add_frontend, offsetof(struct shm_frontend_sum, field)
#define BACKEND(field)  METRIC_BACKEND, add_backend, offsetof(struct shm_server_sum, field)
#define SERVER(field)   METRIC_SERVER, add_server, offsetof(struct shm_server_sum, field)
#define WORKER(field)   METRIC_WORKER, add_worker, offsetof(struct metric_worker, field)
#define COUNTER         "counter"
#define GAUGE           "gauge"

#define ROW(of, add) METRIC_##of, add, 0

const struct metric metrics_table[] = {
	{ "proxyd_build_info", GAUGE, "Version of the binary, as a label.",
		ROW(DAEMON, add_build_info) },
	{ "proxyd_start_time_seconds", GAUGE,
		"When the daemon began, since 1970, over all masters.",
		ROW(DAEMON, add_start_time) },
	{ "proxyd_uptime_seconds", GAUGE, "For how long the daemon runs, over all masters.",
		ROW(DAEMON, add_uptime) },
	{ "proxyd_master_up", GAUGE, "Whether the master runs.", ROW(DAEMON, add_master_up) },
	{ "proxyd_generation", GAUGE, "Number of the configuration that serves.",
		ROW(DAEMON, add_generation) },
	{ "proxyd_reloads_total", COUNTER, "Reloads, by what came of them.",
		ROW(DAEMON, add_reloads) },
	{ "proxyd_events_total", COUNTER, "Events, see show events.", ROW(DAEMON, add_events) },
	{ "proxyd_connections", GAUGE, "Relays now.", DAEMON(active) },
	{ "proxyd_connections_total", COUNTER, "Connections accepted.", DAEMON(total) },
	{ "proxyd_keeper_relays", GAUGE, "Relays that would survive their worker now.",
		KEEPER(kept) },
	{ "proxyd_keeper_refused_total", COUNTER, "Relays that the keeper had no room for.",
		KEEPER(refused) },
	{ "proxyd_relays_moved_total", COUNTER, "Relays that went from one worker to another.",
		KEEPER(moved) },
	{ "proxyd_relays_unmoved_total", COUNTER, "Relays that could not be moved, and were reset.",
		KEEPER(lost) },

	{ "proxyd_frontend_connections", GAUGE, "Relays now.", FRONTEND(active) },
	{ "proxyd_frontend_connections_total", COUNTER, "Connections accepted.", FRONTEND(total) },
	{ "proxyd_frontend_refused_total", COUNTER, "Connections closed as soon as accepted.",
		ROW(FRONTEND, add_frontend_refused) },
	{ "proxyd_frontend_failed_total", COUNTER, "Connections that reached no server.",
		ROW(FRONTEND, add_frontend_failed) },
	{ "proxyd_frontend_lost_total", COUNTER, "Relays that died with their worker.",
		FRONTEND(lost) },
	{ "proxyd_bytes_total", COUNTER, "Bytes relayed; in: from clients.",
		ROW(FRONTEND, add_frontend_bytes) },
	{ "proxyd_session_seconds", "histogram", "From accepted to ended.",
		ROW(FRONTEND, add_session_seconds) },

	{ "proxyd_backend_connections", GAUGE, "Relays now.", BACKEND(active) },
	{ "proxyd_backend_queue", GAUGE, "Clients that wait for a server now.", BACKEND(queued) },
	{ "proxyd_backend_queue_full_total", COUNTER, "Clients sent away: the queue was full.",
		BACKEND(queue_full) },
	{ "proxyd_backend_connects_failed_total", COUNTER,
		"Connects that failed; each was tried again elsewhere while retries were left.",
		BACKEND(failed) },
	{ "proxyd_backend_servers", GAUGE, "Servers, by state.",
		ROW(BACKEND, add_backend_servers) },
	{ "proxyd_backend_servers_ejected", GAUGE, "Servers that are ejected now.",
		ROW(BACKEND, add_backend_ejected) },
	{ "proxyd_backend_panic", GAUGE, "Whether only ejected servers are left, which then serve.",
		ROW(BACKEND, add_backend_panic) },
	{ "proxyd_connect_seconds", "histogram", "Time to connect to a server.",
		ROW(BACKEND, add_connect_seconds) },

	{ "proxyd_server_up", GAUGE, "1: up, or ready without a check.",
		ROW(SERVER, add_server_up) },
	{ "proxyd_server_state", GAUGE, "1 for the state that it is in.",
		ROW(SERVER, add_server_state) },
	{ "proxyd_server_state_seconds", GAUGE, "For how long the checks say so.",
		ROW(SERVER, add_server_since) },
	{ "proxyd_server_ejected", GAUGE, "Whether it is left out now, for connects to it failed.",
		ROW(SERVER, add_server_ejected) },
	{ "proxyd_server_connections", GAUGE, "Relays now.", SERVER(active) },
	{ "proxyd_server_connections_total", COUNTER, "Connections made.", SERVER(total) },
	{ "proxyd_server_failed_total", COUNTER, "Connects that failed.",
		ROW(SERVER, add_server_failed) },
	{ "proxyd_server_bytes_total", COUNTER, "Bytes relayed; in: from clients.",
		ROW(SERVER, add_server_bytes) },
	{ "proxyd_server_weight", GAUGE, "Its weight in force.", ROW(SERVER, add_server_weight) },
	{ "proxyd_server_limit_connections", GAUGE, "Its maxconn in force; 0: none.",
		ROW(SERVER, add_server_maxconn) },
	{ "proxyd_server_checks_total", COUNTER, "Checks done.", ROW(SERVER, add_server_checks) },

	{ "proxyd_worker_up", GAUGE, "Whether a process has this number.",
		ROW(WORKER, add_worker_up) },
	{ "proxyd_worker_restarts_total", COUNTER, "Processes of this number that were replaced.",
		WORKER(restarts) },
	{ "proxyd_worker_connections", GAUGE, "Relays now.", WORKER(active) },
	{ "proxyd_worker_heartbeat_age_seconds", GAUGE, "Since its last sign of life.",
		ROW(WORKER, add_worker_heartbeat) },

	{ "proxyd_process_resident_memory_bytes", GAUGE, "Resident memory, shared pages included.",
		ROW(PROCESS, add_process_memory) },
	{ "proxyd_process_open_fds", GAUGE, "Open files, of those that may be looked at.",
		ROW(PROCESS, add_process_fds) },
};
const size_t metrics_count = NELEMS(metrics_table);
