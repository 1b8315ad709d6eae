/* Lines of the log: level, format, who speaks. Getting them out without blocking is sink.c's.
 */
#include "common/log.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/escape.h"
#include "common/sink.h"

#define LOG_LINE_BYTES    2048
#define LOG_PROCESS_BYTES 32
#define LOG_FIELDS_BYTES  640 /* what follows the message in JSON: two names of 127 bytes, escaped */
#define LOG_RATE_MS       1000

/* The one log of this process. */
static struct {
	struct sink *sink; /* borrowed; NULL before log_open */
	enum log_level level;
	enum log_format format;
	char process[LOG_PROCESS_BYTES];
	pid_t pid;   /* 0 until log_set_process */
	int copy_fd; /* borrowed: for errors; -1: none */
} the_log = { .level = LOG_LEVEL_WARN, .process = "proxyd", .copy_fd = -1 };

/* One event on its way to becoming a line. backend is NULL when it is about no server. */
struct log_event {
	enum log_level level;
	int error; /* errno to explain; 0: none */
	const char *backend;
	const char *server;
	uint32_t active;
};

static const struct {
	const char *name;
	int severity; /* syslog's */
} log_levels[] = {
	[LOG_LEVEL_DEBUG] = { "debug", 7 },
	[LOG_LEVEL_INFO] = { "info", 6 },
	[LOG_LEVEL_WARN] = { "warn", 4 },
	[LOG_LEVEL_ERROR] = { "error", 3 },
	[LOG_LEVEL_FATAL] = { "fatal", 2 },
	[LOG_LEVEL_NONE] = { "none", 2 },
};

static void log_format_time(char *text, size_t bytes)
{
	uint64_t now_ms = clock_wall_ms();
	time_t seconds = (time_t)(now_ms / 1000);
	struct tm tm;
	size_t len;

	gmtime_r(&seconds, &tm);
	len = strftime(text, bytes, "%Y-%m-%dT%H:%M:%S", &tm);
	snprintf(text + len, bytes - len, ".%03uZ", (unsigned)(now_ms % 1000));
}

static int log_pid(void)
{
	return (int)(the_log.pid != 0 ? the_log.pid : getpid());
}

static size_t log_line_text(
	const struct log_event *event, const char *message, size_t len, char *line, size_t bytes)
{
	char time_text[40];
	size_t at;

	log_format_time(time_text, sizeof(time_text));
	at = (size_t)snprintf(line, bytes, "%s %s %s[%d]: ", time_text,
		log_levels[event->level].name, the_log.process, log_pid());
	if (event->backend != NULL) {
		at += escape_json(event->backend, strlen(event->backend), line + at, bytes - at);
		at += escape_json("/", 1, line + at, bytes - at);
		at += escape_json(event->server, strlen(event->server), line + at, bytes - at);
		at += escape_json(": ", 2, line + at, bytes - at);
	}
	return at + escape_json(message, len, line + at, bytes - at);
}

/* The end of a JSON line: `"}`, or the fields of a server before it. */
static size_t log_fields(const struct log_event *event, char fields[LOG_FIELDS_BYTES])
{
	char backend[LOG_FIELDS_BYTES / 2 - 40];
	char server[LOG_FIELDS_BYTES / 2 - 40];

	if (event->backend == NULL)
		return (size_t)snprintf(fields, LOG_FIELDS_BYTES, "\"}");
	escape_json(event->backend, strlen(event->backend), backend, sizeof(backend));
	escape_json(event->server, strlen(event->server), server, sizeof(server));
	return (size_t)snprintf(fields, LOG_FIELDS_BYTES,
		"\",\"backend\":\"%s\",\"server\":\"%s\",\"active\":%u}", backend, server,
		event->active);
}

static size_t log_line_json(
	const struct log_event *event, const char *message, size_t len, char *line, size_t bytes)
{
	char fields[LOG_FIELDS_BYTES];
	size_t fields_len = log_fields(event, fields);
	char time_text[40];
	size_t at;

	log_format_time(time_text, sizeof(time_text));
	at = (size_t)snprintf(line, bytes,
		"{\"time\":\"%s\",\"level\":\"%s\",\"process\":\"%s\",\"pid\":%d,\"message\":\"",
		time_text, log_levels[event->level].name, the_log.process, log_pid());
	/* The message is what gets cut, not the end that makes it JSON. */
	MUST(at + fields_len < bytes);
	at += escape_json(message, len, line + at, bytes - at - fields_len);
	memcpy(line + at, fields, fields_len + 1);
	return at + fields_len;
}

static size_t log_note(enum log_format format, uint64_t lost, char *line, size_t bytes)
{
	const struct log_event event = { .level = LOG_LEVEL_WARN };
	char message[64];
	int len = snprintf(
		message, sizeof(message), "%llu log lines were lost", (unsigned long long)lost);

	if (format == LOG_FORMAT_JSON)
		return log_line_json(&event, message, (size_t)len, line, bytes);
	return log_line_text(&event, message, (size_t)len, line, bytes);
}

static size_t log_note_text(uint64_t lost, char *line, size_t bytes)
{
	return log_note(LOG_FORMAT_TEXT, lost, line, bytes);
}

static size_t log_note_json(uint64_t lost, char *line, size_t bytes)
{
	return log_note(LOG_FORMAT_JSON, lost, line, bytes);
}

void log_lost_lines(struct sink *sink, enum log_format format)
{
	sink_set_note(sink, format == LOG_FORMAT_JSON ? log_note_json : log_note_text);
}

void log_open(struct sink *sink, enum log_level level, enum log_format format)
{
	the_log.sink = sink;
	the_log.level = sink != NULL ? level : LOG_LEVEL_WARN;
	the_log.format = format;
	if (sink != NULL)
		log_lost_lines(sink, format);
}

void log_follow(const struct sink_place *place, enum log_format format)
{
	struct sink *sink = sink_follow(the_log.sink, place);

	if (sink == NULL) {
		log_errorx("the log cannot be followed");
		return;
	}
	the_log.sink = sink;
	the_log.format = format;
	log_lost_lines(sink, format);
}

void log_copy_errors(int fd)
{
	the_log.copy_fd = fd;
}

void log_set_level(enum log_level level)
{
	the_log.level = level;
}

const char *log_level_name(enum log_level level)
{
	return log_levels[level].name;
}

enum log_level log_level_now(void)
{
	return the_log.level;
}

uint64_t log_lost(void)
{
	return the_log.sink != NULL ? sink_lost(the_log.sink) : 0;
}

bool log_enabled(enum log_level level)
{
	return level >= the_log.level && the_log.level < LOG_LEVEL_NONE;
}

void log_set_process(const char *name)
{
	escape_json(name, strlen(name), the_log.process, sizeof(the_log.process));
	the_log.pid = getpid();
}

/* Before the log is open: to a person at a terminal. */
static void log_early(const char *message, size_t len)
{
	char line[LOG_LINE_BYTES + 16];
	int n = snprintf(line, sizeof(line), "proxyd: %.*s\n", (int)len, message);
	ssize_t ignored = write(STDERR_FILENO, line, (size_t)n);

	(void)ignored;
}

static void log_event(const struct log_event *event, const char *format, va_list ap)
	PRINTF_LIKE(2, 0);
static void log_event(const struct log_event *event, const char *format, va_list ap)
{
	int saved_errno = errno;
	char message[LOG_LINE_BYTES];
	char line[LOG_LINE_BYTES];
	size_t len;
	int n;

	n = vsnprintf(message, sizeof(message), format, ap);
	len = n < 0 ? 0 : (size_t)n;
	if (len < sizeof(message) && event->error != 0)
		len += (size_t)snprintf(
			message + len, sizeof(message) - len, ": %s", strerror(event->error));
	if (len > sizeof(message) - 1)
		len = sizeof(message) - 1;
	if (the_log.copy_fd >= 0 && event->level >= LOG_LEVEL_ERROR)
		dprintf(the_log.copy_fd, "%.*s\n", (int)len, message);
	if (the_log.sink == NULL) {
		log_early(message, len);
	} else {
		if (the_log.format == LOG_FORMAT_JSON)
			len = log_line_json(event, message, len, line, sizeof(line));
		else
			len = log_line_text(event, message, len, line, sizeof(line));
		sink_write(the_log.sink, log_levels[event->level].severity, line, len);
	}
	errno = saved_errno;
}

/* The eight public functions differ in level and in whether errno is told. */
#define LOG_FUNCTION(name, its_level, its_error)                                                   \
	void name(const char *format, ...)                                                         \
	{                                                                                          \
		const struct log_event event = { .level = (its_level), .error = (its_error) };     \
		va_list ap;                                                                        \
                                                                                                   \
		if (!log_enabled(event.level))                                                     \
			return;                                                                    \
		va_start(ap, format);                                                              \
		log_event(&event, format, ap);                                                     \
		va_end(ap);                                                                        \
	}

LOG_FUNCTION(log_debug, LOG_LEVEL_DEBUG, 0)
LOG_FUNCTION(log_info, LOG_LEVEL_INFO, 0)
LOG_FUNCTION(log_warn, LOG_LEVEL_WARN, errno)
LOG_FUNCTION(log_warnx, LOG_LEVEL_WARN, 0)
LOG_FUNCTION(log_error, LOG_LEVEL_ERROR, errno)
LOG_FUNCTION(log_errorx, LOG_LEVEL_ERROR, 0)
LOG_FUNCTION(log_fatal, LOG_LEVEL_FATAL, errno)
LOG_FUNCTION(log_fatalx, LOG_LEVEL_FATAL, 0)

void log_server(enum log_level level, const char *backend, const char *server, uint32_t active,
	const char *format, ...)
{
	const struct log_event event = {
		.level = level, .backend = backend, .server = server, .active = active
	};
	va_list ap;

	MUST(level < LOG_LEVEL_NONE);
	if (!log_enabled(level))
		return;
	va_start(ap, format);
	log_event(&event, format, ap);
	va_end(ap);
}

bool log_rate_ok(struct log_rate *rate)
{
	uint64_t now_ms = clock_now_ms();

	if (rate->last_ms != 0 && now_ms - rate->last_ms < LOG_RATE_MS) {
		rate->held++;
		return false;
	}
	rate->last_ms = now_ms;
	return true;
}

const char *log_rate_note(struct log_rate *rate)
{
	static char note[48];

	if (rate->held == 0)
		return "";
	snprintf(note, sizeof(note), " (%llu more like this)", (unsigned long long)rate->held);
	rate->held = 0;
	return note;
}
