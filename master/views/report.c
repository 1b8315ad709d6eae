/* From the rows of view_stats to one line, and from there to stdout.
 */
#include "master/views/report.h"

#include <errno.h>
#include <event2/buffer.h>
#include <event2/event.h>
#include <fcntl.h>
#include <poll.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/log.h"
#include "common/memory.h"
#include "master/config.h"
#include "master/views/objects.h"
#include "master/views/print.h"

#define REPORT_ROWS  256         /* in one turn of the loop */
#define REPORT_BYTES (64U << 10) /* in one write */

/* Those of the protocol foo, which this version does not speak. */
#define REPORT_FOO                                                                                 \
	"\"msg_total\":0,\"msg_req\":0,\"msg_ack\":0,\"msg_nak\":0,"                               \
	"\"request_rate_1s\":0.0,\"request_rate_10s\":0.0,"                                        \
	"\"response_rate_1s\":0.0,\"response_rate_10s\":0.0"

enum report_state {
	REPORT_IDLE,
	REPORT_MAKING,
	REPORT_WRITING, /* a part of it is out */
};

enum report_kind {
	REPORT_PLAIN,  /* a description of our own, or a regular file: write does not wait */
	REPORT_SHARED, /* somebody else's: poll first */
	REPORT_SOCKET,
};

struct report {
	struct event_base *base; /* borrowed */
	struct shm *shm;         /* the same */
	enum report_state state;
	struct event *more;     /* owned timer */
	struct event *writable; /* owned; NULL: none yet, or not WRITING */
	struct config *config;  /* held while MAKING */
	struct view_cursor cursor;
	struct evbuffer *parts[HISTORY_WORKER + 1]; /* owned: rows of each kind of object */
	struct evbuffer *out;                       /* owned */
	enum report_kind kind;
	int fd; /* owned unless it is stdout itself; -1 while IDLE */
};

static const char *const report_names[HISTORY_WORKER + 1] = {
	[HISTORY_DAEMON] = "daemon",
	[HISTORY_FRONTEND] = "frontends",
	[HISTORY_BACKEND] = "backends",
	[HISTORY_SERVER] = "servers",
	[HISTORY_WORKER] = "workers",
};

/* ------------------------------------------------------------------ stdout */

/* Anew each time: who asks may be somebody else's terminal by then. */
static void report_open(struct report *report)
{
	struct stat st;

	report->kind = REPORT_PLAIN;
	report->fd = STDOUT_FILENO;
	if (fstat(STDOUT_FILENO, &st) < 0 || S_ISREG(st.st_mode))
		return;
	if (S_ISSOCK(st.st_mode)) {
		report->kind = REPORT_SOCKET;
		return;
	}
	report->fd = open("/proc/self/fd/1", O_WRONLY | O_NONBLOCK | O_CLOEXEC | O_NOCTTY);
	if (report->fd < 0) {
		report->kind = REPORT_SHARED;
		report->fd = STDOUT_FILENO;
	}
}

static ssize_t report_put(const struct report *report, const void *bytes, size_t len)
{
	struct pollfd ask = { .fd = report->fd, .events = POLLOUT };

	switch (report->kind) {
	case REPORT_PLAIN:
		break;
	case REPORT_SOCKET:
		return send(report->fd, bytes, len, MSG_DONTWAIT | MSG_NOSIGNAL);
	case REPORT_SHARED:
		if (poll(&ask, 1, 0) != 1 || (ask.revents & POLLOUT) == 0) {
			errno = EAGAIN;
			return -1;
		}
		/* So much has room then, see pipe(7). */
		len = len < 512 ? len : 512;
		break;
	}
	return write(report->fd, bytes, len);
}

static void report_end(struct report *report)
{
	if (report->writable != NULL)
		event_free(report->writable);
	report->writable = NULL;
	if (report->fd >= 0 && report->fd != STDOUT_FILENO)
		close(report->fd);
	report->fd = -1;
	evbuffer_drain(report->out, evbuffer_get_length(report->out));
	report->state = REPORT_IDLE;
}

static void report_write(struct report *report);

static void on_report_writable(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	report_write(arg);
}

/* The rest of a line that was begun has to follow. Returns false where nobody tells when that can be. */
static bool report_wait(struct report *report)
{
	if (report->writable != NULL)
		return true;
	report->writable = event_new(
		report->base, report->fd, EV_WRITE | EV_PERSIST, on_report_writable, report);
	return report->writable != NULL && event_add(report->writable, NULL) == 0;
}

static void report_write(struct report *report)
{
	size_t left;

	while ((left = evbuffer_get_length(report->out)) > 0) {
		const size_t len = left < REPORT_BYTES ? left : REPORT_BYTES;
		ssize_t n = report_put(report, evbuffer_pullup(report->out, (ssize_t)len), len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN && report->state == REPORT_WRITING &&
			report_wait(report))
			return;
		if (n < 0) {
			log_warn("SIGUSR1: stdout takes nothing, the statistics are lost");
			break;
		}
		report->state = REPORT_WRITING;
		evbuffer_drain(report->out, (size_t)n);
	}
	report_end(report);
}

/* ------------------------------------------------------------------ the line */

static enum history_of report_part(const char *scope)
{
	for (unsigned of = HISTORY_DAEMON; of <= HISTORY_WORKER; of++) {
		/* Both are view_scope_name's. */
		if (scope == view_scope_name((enum history_of)of))
			return (enum history_of)of;
	}
	MUST(!"a scope");
	return HISTORY_DAEMON;
}

static int report_add(struct report *report, const struct view_row *row)
{
	struct evbuffer *part = report->parts[report_part(row->cells[0].text)];

	if (evbuffer_get_length(part) > 0 && evbuffer_add(part, ",", 1) < 0)
		return -1;
	return json_add_row(part, &view_stats, row);
}

static int report_close_line(struct report *report)
{
	int result = evbuffer_add_printf(report->out, "{%s", REPORT_FOO);

	for (unsigned of = HISTORY_DAEMON; of <= HISTORY_WORKER && result >= 0; of++) {
		const bool list = of != HISTORY_DAEMON;

		result = evbuffer_add_printf(
			report->out, ",\"%s\":%s", report_names[of], list ? "[" : "");
		if (result >= 0)
			result = evbuffer_add_buffer(report->out, report->parts[of]);
		if (result >= 0 && list)
			result = evbuffer_add(report->out, "]", 1);
	}
	return result < 0 ? -1 : evbuffer_add(report->out, "}\n", 2);
}

/* It is complete, or cannot be. */
static void report_made(struct report *report, bool failed)
{
	event_del(report->more);
	config_release(report->config);
	report->config = NULL;
	if (!failed)
		failed = report_close_line(report) < 0;
	for (unsigned of = HISTORY_DAEMON; of <= HISTORY_WORKER; of++)
		evbuffer_drain(report->parts[of], evbuffer_get_length(report->parts[of]));
	if (failed) {
		log_errorx("SIGUSR1: no memory for the statistics");
		report_end(report);
		return;
	}
	report_open(report);
	report_write(report);
}

static void on_report_more(evutil_socket_t fd, short what, void *arg)
{
	static const struct timeval at_once = { 0 };
	struct report *report = arg;
	const struct view_source source = { .conf = report->config->conf, .shm = report->shm };
	struct view_row row;

	(void)fd;
	(void)what;
	for (unsigned rows = 0; rows < REPORT_ROWS; rows++) {
		row.ncells = 0;
		if (view_stats.next(&source, &report->cursor, &row) == VIEW_END) {
			report_made(report, false);
			return;
		}
		if (report_add(report, &row) < 0) {
			report_made(report, true);
			return;
		}
	}
	event_add(report->more, &at_once);
}

void report_ask(struct report *report, struct config *config)
{
	switch (report->state) {
	case REPORT_WRITING:
		log_warnx(
			"SIGUSR1: stdout has not taken all of the last statistics, these are lost");
		return;
	case REPORT_MAKING:
		return;
	case REPORT_IDLE:
		break;
	}
	report->state = REPORT_MAKING;
	report->config = config_hold(config);
	report->cursor = (struct view_cursor){ 0 };
	on_report_more(-1, 0, report);
}

/* ------------------------------------------------------------------ begin and end */

struct report *report_new(struct event_base *base, struct shm *shm)
{
	struct report *report =
		memory_or_exit(calloc(1, sizeof(*report)), "no memory for statistics");

	report->base = base;
	report->shm = shm;
	report->fd = -1;
	report->more = memory_or_exit(
		evtimer_new(base, on_report_more, report), "no memory for statistics");
	report->out = memory_or_exit(evbuffer_new(), "no memory for statistics");
	for (unsigned of = HISTORY_DAEMON; of <= HISTORY_WORKER; of++)
		report->parts[of] = memory_or_exit(evbuffer_new(), "no memory for statistics");
	return report;
}

void report_free(struct report *report)
{
	if (report == NULL)
		return;
	report_end(report);
	if (report->config != NULL)
		config_release(report->config);
	event_free(report->more);
	evbuffer_free(report->out);
	for (unsigned of = HISTORY_DAEMON; of <= HISTORY_WORKER; of++)
		evbuffer_free(report->parts[of]);
	free(report);
}
