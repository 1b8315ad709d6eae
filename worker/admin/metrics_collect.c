/* The numbers of a scrape, before the first of them is written: from shared memory, a portion in a turn of the loop.
 */
#include <ctype.h>
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/server_state.h"
#include "worker/admin/metrics.h"

#define COLLECT_PORTION 256 /* objects */

/* ------------------------------------------------------------------ objects */

static void collect_frontend(struct metrics *metrics, uint32_t place)
{
	struct metric_frontend *frontend = &metrics->frontends[metrics->counts[METRIC_FRONTEND]++];

	frontend->name = shm_name(metrics->shm, SHM_FRONTEND, place);
	frontend->place = place;
	shm_sum_frontend(metrics->shm, place, &frontend->sum);
}

static void collect_backend(struct metrics *metrics, uint32_t place)
{
	struct metric_backend *backend = &metrics->backends[metrics->counts[METRIC_BACKEND]++];
	struct shm *shm = metrics->shm;

	*backend = (struct metric_backend){ .name = shm_name(shm, SHM_BACKEND, place),
		.place = place };
	shm_sum_backend(shm, place, &backend->sum);
	for (uint32_t i = shm_first_server(shm, place); i < SHM_SERVERS_MAX;
		i = shm_next_server(shm, i)) {
		if (!shm_place_is_current(shm, SHM_SERVER, i))
			continue;
		backend->states[server_state(shm, i)]++;
		backend->ejected += server_is_ejected(shm, i, metrics->now_ms);
	}
}

static void collect_server(struct metrics *metrics, uint32_t place)
{
	const uint32_t backend = shm_master(metrics->shm)->belongings.owner[place] - 1;
	struct metric_server *server = &metrics->servers[metrics->counts[METRIC_SERVER]];
	const char *name = shm_name(metrics->shm, SHM_SERVER, place);
	const char *slash = strchr(name, '/');

	if (backend >= SHM_BACKENDS_MAX || slash == NULL)
		return;
	server->state = server_state(metrics->shm, place);
	if (server->state == SERVER_STATE_ABSENT)
		return;
	metrics->counts[METRIC_SERVER]++;
	server->backend = shm_name(metrics->shm, SHM_BACKEND, backend);
	server->name = slash + 1;
	server->place = place;
	server->ejected = server_is_ejected(metrics->shm, place, metrics->now_ms);
	shm_sum_server(metrics->shm, place, &server->sum);
}

/* Those of a kind that the configuration has. Returns false when all are there. */
static bool collect_objects(struct metrics *metrics, enum shm_kind kind,
	void collect(struct metrics *metrics, uint32_t place))
{
	const uint32_t most = shm_placed(metrics->shm, kind);
	uint32_t end = metrics->place + COLLECT_PORTION;

	for (; metrics->place < most && metrics->place < end; metrics->place++) {
		if (shm_place_is_current(metrics->shm, kind, metrics->place))
			collect(metrics, metrics->place);
	}
	return metrics->place < most;
}

/* ------------------------------------------------------------------ workers */

static void collect_slot(struct metrics *metrics, const struct shm_slot *slot)
{
	const uint32_t number = slot->number;
	const uint32_t state = slot->state;
	const bool alive =
		state == SLOT_STARTING || state == SLOT_SERVING || state == SLOT_DRAINING;
	const uint64_t heartbeat_ms = slot->heartbeat_ms;
	struct metric_worker *worker;

	if (number >= SHM_WORKERS_MAX || slot->pid == 0)
		return;
	worker = &metrics->workers[number];
	worker->exists = true;
	worker->number = number;
	if (worker->restarts < slot->restarts)
		worker->restarts = slot->restarts;
	worker->active += slot->active;
	if (!alive)
		return;
	worker->alive = true;
	if (heartbeat_ms < metrics->now_ms && metrics->now_ms - heartbeat_ms > worker->silent_ms)
		worker->silent_ms = metrics->now_ms - heartbeat_ms;
}

static void collect_workers(struct metrics *metrics)
{
	const uint32_t slots = shm_master(metrics->shm)->slots;
	size_t n = 0;

	for (uint32_t i = 0; i < slots && i < SHM_SLOTS; i++)
		collect_slot(metrics, shm_slot(metrics->shm, i));
	/* Those that there are, together. */
	for (size_t i = 0; i < SHM_WORKERS_MAX; i++) {
		if (metrics->workers[i].exists)
			metrics->workers[n++] = metrics->workers[i];
	}
	metrics->counts[METRIC_WORKER] = n;
}

/* ------------------------------------------------------------------ processes */

static bool process_read(const char *pid, const char *file, char *buf, size_t bytes)
{
	char path[64];
	FILE *from;
	size_t got;

	snprintf(path, sizeof(path), "/proc/%.16s/%s", pid, file);
	from = fopen(path, "re");
	if (from == NULL)
		return false;
	got = fread(buf, 1, bytes - 1, from);
	fclose(from);
	buf[got] = '\0';
	return got > 0;
}

/* The kernel shows the files of a process to its own user alone. */
static uint64_t process_fds(const char *pid)
{
	char path[64];
	uint64_t n = 0;
	DIR *dir;

	snprintf(path, sizeof(path), "/proc/%.16s/fd", pid);
	dir = opendir(path);
	if (dir == NULL)
		return UINT64_MAX;
	for (const struct dirent *entry = readdir(dir); entry != NULL; entry = readdir(dir))
		n += entry->d_name[0] != '.';
	closedir(dir);
	return n;
}

static void collect_pid(struct metrics *metrics, const char *pid)
{
	struct metric_process *process = &metrics->processes[metrics->counts[METRIC_PROCESS]];
	char text[512];

	if (metrics->counts[METRIC_PROCESS] == METRIC_PROCESSES_MAX ||
		!process_read(pid, "comm", text, sizeof(text)) || strncmp(text, "proxyd-", 7) != 0)
		return;
	snprintf(process->pid, sizeof(process->pid), "%s", pid);
	snprintf(process->name, sizeof(process->name), "%.*s", (int)strcspn(text + 7, "\n"),
		text + 7);
	/* Two workers of two generations may have one name: they would be one time series twice. */
	for (size_t i = 0; i < metrics->counts[METRIC_PROCESS]; i++) {
		if (strcmp(metrics->processes[i].name, process->name) == 0)
			return;
	}
	metrics->counts[METRIC_PROCESS]++;
}

/* The master and its children; without a master its children are somebody else's, and not found. */
static void collect_pids(struct metrics *metrics)
{
	char children[METRIC_PROCESSES_MAX * 12];
	char pid[16];
	char file[48];
	char *next = children;
	const char *word;

	snprintf(pid, sizeof(pid), "%u", (unsigned)shm_master(metrics->shm)->pid);
	collect_pid(metrics, pid);
	snprintf(file, sizeof(file), "task/%s/children", pid);
	if (!process_read(pid, file, children, sizeof(children)))
		return;
	while ((word = strsep(&next, " \n")) != NULL) {
		if (isdigit((unsigned char)*word))
			collect_pid(metrics, word);
	}
}

static void collect_process(struct metric_process *process)
{
	char text[128];
	const char *pages;

	process->fds = process_fds(process->pid);
	/* All of it, then what is resident. */
	if (!process_read(process->pid, "statm", text, sizeof(text)))
		return;
	pages = strchr(text, ' ');
	if (pages != NULL)
		process->resident_bytes =
			strtoull(pages, NULL, 10) * (uint64_t)sysconf(_SC_PAGESIZE);
}

/* One in a turn: it may have many files. Returns false when all are there. */
static bool collect_processes(struct metrics *metrics)
{
	if (metrics->place == 0)
		collect_pids(metrics);
	if (metrics->place < metrics->counts[METRIC_PROCESS])
		collect_process(&metrics->processes[metrics->place++]);
	return metrics->place < metrics->counts[METRIC_PROCESS];
}

/* ------------------------------------------------------------------ all of it */

static bool collect_begin(struct metrics *metrics)
{
	metrics->now_ms = clock_now_ms();
	metrics->frontends =
		calloc(shm_placed(metrics->shm, SHM_FRONTEND) + 1, sizeof(*metrics->frontends));
	metrics->backends =
		calloc(shm_placed(metrics->shm, SHM_BACKEND) + 1, sizeof(*metrics->backends));
	metrics->servers =
		calloc(shm_placed(metrics->shm, SHM_SERVER) + 1, sizeof(*metrics->servers));
	metrics->processes = calloc(METRIC_PROCESSES_MAX + 1, sizeof(*metrics->processes));
	if (metrics->frontends == NULL || metrics->backends == NULL || metrics->servers == NULL ||
		metrics->processes == NULL)
		return false;
	metrics->counts[METRIC_DAEMON] = 1;
	shm_sum_daemon(metrics->shm, &metrics->daemon);
	return true;
}

bool metrics_collect(struct metrics *metrics)
{
	bool more = false;

	switch (metrics->collecting) {
	case METRIC_DAEMON:
		if (!collect_begin(metrics))
			return false;
		break;
	case METRIC_FRONTEND:
		more = collect_objects(metrics, SHM_FRONTEND, collect_frontend);
		break;
	case METRIC_BACKEND:
		more = collect_objects(metrics, SHM_BACKEND, collect_backend);
		break;
	case METRIC_SERVER:
		more = collect_objects(metrics, SHM_SERVER, collect_server);
		break;
	case METRIC_WORKER:
		collect_workers(metrics);
		break;
	case METRIC_PROCESS:
		more = collect_processes(metrics);
		break;
	case METRIC_OF:
		break;
	}
	if (!more) {
		metrics->collecting++;
		metrics->place = 0;
	}
	return true;
}
