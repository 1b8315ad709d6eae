/* What metrics.c (a scrape from its beginning to its end), metrics_table.c (which metrics there are) and metrics_write.c (how
 * a value is written) share. Nobody else includes it.
 */
#ifndef PROXYD_WORKER_ADMIN_METRICS_H
#define PROXYD_WORKER_ADMIN_METRICS_H

#include <stddef.h>
#include <stdint.h>

#include "common/sums.h"
#include "worker/admin/impl.h"

struct evbuffer;

/* What a metric has one value of; each is gone through in turn. */
enum metric_of {
	METRIC_DAEMON,
	METRIC_FRONTEND,
	METRIC_BACKEND,
	METRIC_SERVER,
	METRIC_WORKER,  /* by its number, over all its processes */
	METRIC_PROCESS, /* of the daemon */
	METRIC_OF,
};

struct metric_frontend {
	const char *name; /* in shared memory */
	uint32_t place;
	struct shm_frontend_sum sum;
};

struct metric_backend {
	const char *name;
	uint32_t place;
	struct shm_server_sum sum;
	uint32_t states[8]; /* servers by enum server_state */
	uint32_t ejected;
};

struct metric_server {
	const char *backend;
	const char *name; /* without its backend */
	uint32_t place;
	uint32_t state; /* enum server_state */
	bool ejected;
	struct shm_server_sum sum;
};

struct metric_worker {
	bool exists;
	bool alive;
	uint32_t number;
	uint64_t restarts;
	uint64_t active;
	uint64_t silent_ms;
};

struct metric_process {
	char pid[16];
	char name[16]; /* "master", "worker-0" */
	uint64_t resident_bytes;
	uint64_t fds; /* UINT64_MAX: not ours to see */
};

#define METRIC_PROCESSES_MAX 256

/* All numbers of one scrape are of one short moment. */
struct metrics {
	struct source source;
	struct admin *admin; /* borrowed */
	struct shm *shm;     /* borrowed */
	uint64_t now_ms;
	size_t counts[METRIC_OF];
	struct shm_frontend_sum daemon;
	struct metric_frontend *frontends; /* owned */
	struct metric_backend *backends;   /* owned */
	struct metric_server *servers;     /* owned */
	struct metric_worker workers[SHM_WORKERS_MAX];
	struct metric_process *processes; /* owned */

	/* where it is: collecting, then metric by metric */
	enum metric_of collecting; /* METRIC_OF: all is there */
	uint32_t place;
	size_t metric;
	size_t index;
};

struct metric {
	const char *name;
	const char *type;
	const char *help;
	enum metric_of of;
	/* One line, or several: of the index-th of them. */
	void (*add)(const struct metrics *metrics, const struct metric *metric, size_t index,
		struct evbuffer *out);
	size_t offset; /* of a number in the sum, for those that are no more than that */
};

extern const struct metric metrics_table[];
extern const size_t metrics_count;

/* ------------------------------------------------------------------ metrics_write.c */

#define METRIC_LABELS_MAX 4

/* name="value", escaped; a name of NULL ends them. */
struct metric_label {
	const char *name;
	const char *value;
};

void metric_head(const struct metric *metric, struct evbuffer *out);
void metric_count(
	struct evbuffer *out, const char *name, const struct metric_label *labels, uint64_t value);

/* In seconds. */
void metric_ms(
	struct evbuffer *out, const char *name, const struct metric_label *labels, uint64_t ms);

/* bounds_us: of the buckets, ascending. labels: at most one. */
void metric_histogram(struct evbuffer *out, const char *name, const struct metric_label *label,
	const struct histogram *histogram, const uint64_t *bounds_us, size_t nbounds);

/* ------------------------------------------------------------------ metrics_collect.c */

/* A portion of what is yet to be collected. Returns false when there is no memory. */
bool metrics_collect(struct metrics *metrics);

#endif
