/* Lines to a file, a pipe, a terminal, a socket or syslog, without ever waiting for it. How a line reads
 * is log.c's, except for the one about lines that were lost.
 */
#include "common/sink.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <syslog.h>
#include <time.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/sockaddr.h"

#define SINK_MAGIC     0x53494e4bu
#define SINK_BUF_BYTES (64 * 1024)
/* With its newline a line is one atomic write into a pipe, and in practice into anything else. */
#define SINK_LINE_BYTES    PIPE_BUF
#define SINK_RECONNECT_MS  1000
#define SINK_SYSLOG_PATH   "/dev/log"
#define SINK_SYSLOG_PREFIX 64 /* "<30>Nov 21 10:20:46 proxyd[4711]: " */

enum sink_kind {
	SINK_NONBLOCK, /* a description of our own, or a regular file: write does not wait */
	SINK_SHARED,   /* somebody else's description: poll first */
	SINK_SOCKET,   /* stderr is a socket */
	SINK_SYSLOG,
};

struct sink {
	uint32_t magic;
	enum sink_kind kind;
	int fd; /* owned unless it is stderr itself */
	bool is_pipe;
	bool is_file;
	struct sockaddr_any syslog_addr;
	uint64_t syslog_tried_ms;
	sink_note_fn *note; /* NULL: plain text */
	uint64_t lost;
	uint64_t lost_said;
	unsigned forks; /* sink_forks when buf was filled */
	size_t len;     /* of buf: whole lines, the first one perhaps without its beginning */
	char buf[SINK_BUF_BYTES];
};

/* How many forks lie between the first process and this one: tells a child that what a sink holds is its
 * parent's to write. */
static unsigned sink_forks;

static void on_sink_fork(void)
{
	sink_forks++;
}

static void sink_enter(struct sink *sink, enum sink_kind kind, int fd)
{
	struct stat st;

	sink->kind = kind;
	sink->fd = fd;
	memset(&st, 0, sizeof(st));
	(void)fstat(fd, &st);
	sink->is_pipe = S_ISFIFO(st.st_mode);
	sink->is_file = S_ISREG(st.st_mode);
}

static struct sink *sink_new(enum sink_kind kind, int fd, const char **error_r)
{
	static bool watching;
	struct sink *sink = calloc(1, sizeof(*sink));

	if (sink == NULL) {
		*error_r = "out of memory";
		return NULL;
	}
	if (!watching)
		watching = pthread_atfork(NULL, NULL, on_sink_fork) == 0;
	sink->magic = SINK_MAGIC;
	sink_enter(sink, kind, fd);
	sink->forks = sink_forks;
	return sink;
}

static const char *sink_error(const char *what, const char *path)
{
	static char text[256];

	snprintf(text, sizeof(text), "cannot %s %s: %s", what, path, strerror(errno));
	return text;
}

static struct sink *sink_open_stderr(const char **error_r)
{
	struct stat st;
	int fd;

	if (fstat(STDERR_FILENO, &st) == -1) {
		*error_r = sink_error("use", "stderr");
		return NULL;
	}
	if (S_ISSOCK(st.st_mode))
		return sink_new(SINK_SOCKET, STDERR_FILENO, error_r);
	if (S_ISREG(st.st_mode)) {
		/* Not opened anew: others write to fd 2 as well (libraries, sanitizers), and at an offset
		 * of its own would write over our lines. A regular file does not block anyway. */
		int flags = fcntl(STDERR_FILENO, F_GETFL);

		if (flags != -1)
			(void)fcntl(STDERR_FILENO, F_SETFL, flags | O_APPEND);
		return sink_new(SINK_NONBLOCK, STDERR_FILENO, error_r);
	}
	fd = open("/proc/self/fd/2", O_WRONLY | O_NONBLOCK | O_APPEND | O_CLOEXEC | O_NOCTTY);
	/* No /proc, somebody else's terminal, or a pipe that nobody reads yet. */
	if (fd == -1)
		return sink_new(SINK_SHARED, STDERR_FILENO, error_r);
	return sink_new(SINK_NONBLOCK, fd, error_r);
}

static int sink_open_path(const char *to, const char **error_r)
{
	int fd = open(to, O_WRONLY | O_CREAT | O_APPEND | O_NONBLOCK | O_CLOEXEC | O_NOCTTY, 0640);

	if (fd == -1)
		*error_r = sink_error("open", to);
	return fd;
}

struct sink *sink_open(const char *to, const char **error_r)
{
	struct sink *sink;
	int fd;

	if (strcmp(to, "stderr") == 0)
		return sink_open_stderr(error_r);
	if (strcmp(to, "syslog") == 0)
		return sink_open_syslog_at(SINK_SYSLOG_PATH, error_r);
	fd = sink_open_path(to, error_r);
	if (fd == -1)
		return NULL;
	sink = sink_new(SINK_NONBLOCK, fd, error_r);
	if (sink == NULL)
		close(fd);
	return sink;
}

struct sink *sink_open_syslog_at(const char *path, const char **error_r)
{
	struct sockaddr_any addr;
	struct sink *sink = NULL;
	int fd = -1;

	if (sockaddr_from_path(path, &addr) == -1) {
		*error_r = "the path of the syslog socket is too long";
		return NULL;
	}
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd == -1 || connect(fd, &addr.u.sa, addr.len) == -1) {
		*error_r = sink_error("connect to", path);
		goto fail;
	}
	sink = sink_new(SINK_SYSLOG, fd, error_r);
	if (sink == NULL)
		goto fail;
	sink->syslog_addr = addr;
	tzset(); /* syslog's time is local; the rules are read now, not after a chroot */
	return sink;
fail:
	if (fd != -1)
		close(fd);
	return NULL;
}

void sink_set_note(struct sink *sink, sink_note_fn *note)
{
	MUST(sink->magic == SINK_MAGIC);
	sink->note = note;
}

/* In a process that was forked since: what is buffered is the parent's to write, and what was lost the
 * parent's to tell. */
static void sink_check_fork(struct sink *sink)
{
	MUST(sink->magic == SINK_MAGIC);
	if (sink->forks == sink_forks)
		return;
	sink->forks = sink_forks;
	sink->len = 0;
	sink->lost = 0;
	sink->lost_said = 0;
}

/* As write(2), never waiting. */
static ssize_t sink_put(struct sink *sink, const char *data, size_t len)
{
	struct pollfd pfd = { .fd = sink->fd, .events = POLLOUT };
	ssize_t n;

	switch (sink->kind) {
	case SINK_NONBLOCK:
		break;
	case SINK_SHARED:
		if (poll(&pfd, 1, 0) != 1 || (pfd.revents & POLLOUT) == 0) {
			errno = EAGAIN;
			return -1;
		}
		break;
	case SINK_SOCKET:
	case SINK_SYSLOG:
		return send(sink->fd, data, len, MSG_DONTWAIT | MSG_NOSIGNAL);
	}
	do {
		n = write(sink->fd, data, len);
	} while (n == -1 && errno == EINTR);
	return n;
}

/* The daemon behind it was restarted, say: connect the same socket again, which serves every process
 * that shares it. Returns false when it is not time yet, or in vain. */
static bool sink_syslog_reconnect(struct sink *sink)
{
	uint64_t now_ms = clock_now_ms();

	if (sink->syslog_tried_ms != 0 && now_ms - sink->syslog_tried_ms < SINK_RECONNECT_MS)
		return false;
	sink->syslog_tried_ms = now_ms;
	return connect(sink->fd, &sink->syslog_addr.u.sa, sink->syslog_addr.len) == 0;
}

static bool sink_put_syslog(struct sink *sink, int severity, const char *line, size_t len)
{
	char packet[SINK_SYSLOG_PREFIX + SINK_LINE_BYTES];
	char date[32];
	time_t now = time(NULL);
	struct tm tm;
	int n;

	localtime_r(&now, &tm);
	strftime(date, sizeof(date), "%b %e %H:%M:%S", &tm);
	n = snprintf(packet, SINK_SYSLOG_PREFIX, "<%d>%s proxyd[%d]: ", LOG_DAEMON | severity, date,
		(int)getpid());
	memcpy(packet + n, line, len);
	if (sink_put(sink, packet, (size_t)n + len) != -1)
		return true;
	if (errno == EAGAIN || errno == ENOBUFS || errno == EMSGSIZE ||
		!sink_syslog_reconnect(sink))
		return false;
	return sink_put(sink, packet, (size_t)n + len) != -1;
}

/* The disk was full in the middle of a line: it is taken back, for another process may be the first to write when there is
 * room again. Until then nobody can, so what lies at the end is ours. Returns how many of the n bytes stay written. */
static size_t sink_take_back(struct sink *sink, const char *data, size_t n)
{
	const char *newline = memrchr(data, '\n', n);
	const size_t whole = newline != NULL ? (size_t)(newline - data) + 1 : 0;
	struct stat st;

	if (!sink->is_file || whole == n || fstat(sink->fd, &st) == -1 ||
		st.st_size < (off_t)(n - whole) ||
		ftruncate(sink->fd, st.st_size - (off_t)(n - whole)) == -1)
		return n;
	return whole;
}

/* One line as it goes out, now or not at all; false when it did not. The rest of a line that went out
 * in part is buffered: it counts as written. */
static bool sink_put_line(struct sink *sink, int severity, const char *line, size_t len)
{
	char text[SINK_LINE_BYTES];
	ssize_t n;

	if (len > sizeof(text) - 1)
		len = sizeof(text) - 1;
	if (sink->kind == SINK_SYSLOG)
		return sink_put_syslog(sink, severity, line, len);
	memcpy(text, line, len);
	text[len++] = '\n';
	n = sink_put(sink, text, len);
	if (n <= 0 || sink_take_back(sink, text, (size_t)n) == 0)
		return false;
	sink->len = len - (size_t)n;
	memcpy(sink->buf, text + n, sink->len);
	return true;
}

/* How much of len buffered bytes may go out in one write: whole lines, and only as many as a pipe takes
 * as a whole, so that another process's line never gets between. */
static size_t sink_chunk(const struct sink *sink, const char *data, size_t len)
{
	const char *newline;

	if (!sink->is_pipe || len <= PIPE_BUF)
		return len;
	newline = memrchr(data, '\n', PIPE_BUF);
	MUST(newline != NULL);
	return (size_t)(newline - data) + 1;
}

/* Write what is buffered, as far as it goes. */
static void sink_drain(struct sink *sink)
{
	size_t done = 0;

	while (done < sink->len) {
		const char *data = sink->buf + done;
		ssize_t n = sink_put(sink, data, sink_chunk(sink, data, sink->len - done));

		if (n <= 0)
			break;
		n = (ssize_t)sink_take_back(sink, data, (size_t)n);
		if (n == 0)
			break;
		done += (size_t)n;
	}
	if (done > 0) {
		sink->len -= done;
		memmove(sink->buf, sink->buf + done, sink->len);
	}
}

/* Lines were lost and the sink has nothing to finish: say so. */
static void sink_say_lost(struct sink *sink)
{
	char line[512];
	uint64_t lost = sink->lost - sink->lost_said;
	size_t len;

	if (sink->note != NULL) {
		len = sink->note(lost, line, sizeof(line));
	} else {
		len = (size_t)snprintf(line, sizeof(line), "proxyd: %llu log lines were lost",
			(unsigned long long)lost);
	}
	if (sink_put_line(sink, LOG_WARNING, line, len))
		sink->lost_said = sink->lost;
}

/* Everything that must go out before a line of now. */
static void sink_catch_up(struct sink *sink)
{
	sink_check_fork(sink);
	sink_drain(sink);
	if (sink->lost != sink->lost_said && sink->len == 0)
		sink_say_lost(sink);
}

void sink_write(struct sink *sink, int severity, const char *line, size_t len)
{
	int saved_errno = errno;

	sink_catch_up(sink);
	if (sink->len > 0 || sink->lost != sink->lost_said ||
		!sink_put_line(sink, severity, line, len))
		sink->lost++;
	errno = saved_errno;
}

void sink_append(struct sink *sink, const char *line, size_t len)
{
	int saved_errno = errno;

	if (sink->kind == SINK_SYSLOG) {
		sink_write(sink, LOG_INFO, line, len); /* a datagram is a line */
		return;
	}
	sink_check_fork(sink);
	if (len > SINK_LINE_BYTES - 1)
		len = SINK_LINE_BYTES - 1;
	if (len + 1 > sizeof(sink->buf) - sink->len || sink->lost != sink->lost_said)
		sink_catch_up(sink);
	if (len + 1 > sizeof(sink->buf) - sink->len) {
		sink->lost++;
	} else {
		memcpy(sink->buf + sink->len, line, len);
		sink->len += len;
		sink->buf[sink->len++] = '\n';
	}
	errno = saved_errno;
}

void sink_flush(struct sink *sink)
{
	int saved_errno = errno;

	sink_catch_up(sink);
	errno = saved_errno;
}

/* ------------------------------------------------------------------ another place */

/* What the old place does not take now is lost: nothing waits for it. */
static void sink_leave(struct sink *sink)
{
	sink_check_fork(sink);
	sink_drain(sink);
	for (size_t i = 0; i < sink->len; i++)
		sink->lost += sink->buf[i] == '\n';
	sink->len = 0;
	if (sink->fd != STDERR_FILENO)
		close(sink->fd);
}

int sink_reopen(struct sink *sink, const char *to, const char **error_r)
{
	int fd;

	MUST(sink->magic == SINK_MAGIC);
	if (strcmp(to, "stderr") == 0 || strcmp(to, "syslog") == 0)
		return 0;
	fd = sink_open_path(to, error_r);
	if (fd == -1)
		return -1;
	sink_leave(sink);
	sink_enter(sink, SINK_NONBLOCK, fd);
	return 0;
}

struct sink_place sink_place(const struct sink *sink)
{
	MUST(sink->magic == SINK_MAGIC);
	return (struct sink_place){ .kind = sink->kind, .fd = sink->fd };
}

struct sink *sink_follow(struct sink *sink, const struct sink_place *place)
{
	const char *error;

	if (place->kind > SINK_SYSLOG) {
		close(place->fd);
		return NULL;
	}
	if (sink == NULL) {
		sink = sink_new((enum sink_kind)place->kind, place->fd, &error);
		if (sink == NULL)
			close(place->fd);
	} else {
		sink_leave(sink);
		sink_enter(sink, (enum sink_kind)place->kind, place->fd);
	}
	if (sink != NULL && sink->kind == SINK_SYSLOG)
		MUST(sockaddr_from_path(SINK_SYSLOG_PATH, &sink->syslog_addr) == 0);
	return sink;
}

void sink_close(struct sink *sink)
{
	if (sink == NULL)
		return;
	sink_flush(sink);
	if (sink->fd != STDERR_FILENO)
		close(sink->fd);
	sink->magic = 0;
	free(sink);
}

uint64_t sink_lost(const struct sink *sink)
{
	MUST(sink->magic == SINK_MAGIC);
	return sink->lost;
}

size_t sink_fds(const struct sink *sink, int *fds)
{
	MUST(sink->magic == SINK_MAGIC);
	fds[0] = sink->fd;
	return 1;
}
