/* The log: one line per event to stderr, syslog or a file, as text or JSON, never blocking.
 *
 * Text:  2026-11-21T10:20:46.123Z warn worker-2[4711]: the message
 * JSON:  {"time":"2026-11-21T10:20:46.123Z","level":"warn","process":"worker-2","pid":4711,"message":"..."}
 *        and "backend", "server", "active" where log_with_server() gave them.
 * Control characters, quotes and backslashes of the message are escaped in both, so that nothing a peer
 * sent can start a line of its own.
 */
#ifndef PROXYD_COMMON_LOG_H
#define PROXYD_COMMON_LOG_H

#include <stdbool.h>
#include <stdint.h>

#include "common/must.h"

struct sink;

enum log_level {
	LOG_LEVEL_DEBUG,
	LOG_LEVEL_INFO,
	LOG_LEVEL_WARN,
	LOG_LEVEL_ERROR,
	LOG_LEVEL_FATAL, /* 4 to 6 of the command line: only what ends the process */
	LOG_LEVEL_NONE,  /* 7: nothing at all */
};

enum log_format { LOG_FORMAT_TEXT, LOG_FORMAT_JSON };

/* Before the first call everything goes to stderr as "proxyd: message" from level warn up. sink is
 * borrowed and must outlive the log; the previous one is no longer used afterwards. NULL: as before the
 * first call. */
void log_open(struct sink *sink, enum log_level level, enum log_format format);

/* The log goes on at another process's place (sink_follow), which takes place->fd over. */
struct sink_place;
void log_follow(const struct sink_place *place, enum log_format format);

/* What is wrong is told here, too: the message of every error as a line; fd is borrowed. -1: no more. */
void log_copy_errors(int fd);
void log_set_level(enum log_level level);
enum log_level log_level_now(void);
const char *log_level_name(enum log_level level); /* "debug" to "none" */

/* What came of log_open's sink: lines that it lost since. */
uint64_t log_lost(void);
bool log_enabled(enum log_level level);

/* What a sink says of lines that it lost becomes a line of this format; log_open does it for its own. */
void log_lost_lines(struct sink *sink, enum log_format format);

/* Who speaks: "master", "worker-2", "checker". Copied. Call again after a fork. */
void log_set_process(const char *name);

/* errno survives each of these. log_warn and log_error add ": " and the text of errno; those with an x
 * do not. Lines longer than 2 KiB are cut. */
void log_debug(const char *format, ...) PRINTF_LIKE(1, 2);
void log_info(const char *format, ...) PRINTF_LIKE(1, 2);
void log_warn(const char *format, ...) PRINTF_LIKE(1, 2);
void log_warnx(const char *format, ...) PRINTF_LIKE(1, 2);
void log_error(const char *format, ...) PRINTF_LIKE(1, 2);
void log_errorx(const char *format, ...) PRINTF_LIKE(1, 2);
void log_fatal(const char *format, ...) PRINTF_LIKE(1, 2);
void log_fatalx(const char *format, ...) PRINTF_LIKE(1, 2);

/* A line about a server: "backend/server: message" in text, fields of their own in JSON. */
void log_server(enum log_level level, const char *backend, const char *server, uint32_t active,
	const char *format, ...) PRINTF_LIKE(5, 6);

/* At most one line a second of each kind. A static one per place; how many were held back is added to
 * the next line: if (log_rate_ok(&rate)) log_warnx("... %s", log_rate_note(&rate)). */
struct log_rate {
	uint64_t last_ms;
	uint64_t held;
};
bool log_rate_ok(struct log_rate *rate);
/* "" or " (N more like this)", in a static buffer; resets the count. */
const char *log_rate_note(struct log_rate *rate);

#endif
