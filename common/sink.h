/* Where lines go: stderr, syslog or a file. Never blocks the caller: a line that cannot be written
 * whole now is lost and counted, and when lines go through again a line says how many were lost.
 *
 * stderr and files: a description of our own with O_NONBLOCK and O_APPEND where that can be had
 * (/proc/self/fd/2 opened anew, so that the shell's own terminal does not become non-blocking), else
 * poll before write. syslog: a datagram to /dev/log, RFC 3164, facility daemon, connected again at most
 * once a second when it vanished. A line that was written in part is finished before the next one, or taken back
 * where it is a file, so lines are never mixed. SIGPIPE must be ignored.
 *
 * A sink may be used on after a fork by both processes: a line goes out in one write, so theirs do not
 * mix; what was buffered at the fork stays with the parent.
 */
#ifndef PROXYD_COMMON_SINK_H
#define PROXYD_COMMON_SINK_H

#include <stddef.h>
#include <stdint.h>

#include "common/must.h"

struct sink;

/* to: "stderr", "syslog" or a path (created 0640, appended). Returns NULL and *error_r (static storage)
 * when it cannot be opened. The caller frees it with sink_close. */
MUST_USE struct sink *sink_open(const char *to, const char **error_r);
void sink_close(struct sink *sink);

/* Syslog at another place than /dev/log; as sink_open in all else. */
MUST_USE struct sink *sink_open_syslog_at(const char *path, const char **error_r);

/* How the line about lost lines reads: note writes it to line (without a newline, never over bytes) and
 * returns its length. It must not log. Without one it is "proxyd: N log lines were lost". */
typedef size_t sink_note_fn(uint64_t lost, char *line, size_t bytes);
void sink_set_note(struct sink *sink, sink_note_fn *note);

/* One line, without its newline. severity is syslog's (3 error, 4 warning, 6 info, 7 debug); the other
 * kinds ignore it. */
void sink_write(struct sink *sink, int severity, const char *line, size_t len);

/* As sink_write but kept in a buffer of 64 KiB until sink_flush or until the buffer is full: for the
 * access log, one write(2) per turn of the loop. A line longer than 4 KiB is cut. Never allocates after
 * the first call. */
void sink_append(struct sink *sink, const char *line, size_t len);
void sink_flush(struct sink *sink);

/* The same place opened again under its name, for a file that was moved away; nothing to do where `to` is no path. What is
 * buffered goes to the old file. Returns -1 and *error_r (static storage) when it cannot be opened: the old one stays. */
MUST_USE int sink_reopen(struct sink *sink, const char *to, const char **error_r);

/* Another process's sink shall write to the same place as this one: what it has to be told. */
struct sink_place {
	uint32_t kind;
	int fd; /* borrowed */
};
struct sink_place sink_place(const struct sink *sink);

/* In that process: from now on there, in one description with the sender. What is buffered goes to the old place, as far
 * as that is possible now; the rest is lost and counted. Takes place->fd over. sink NULL: a new one; returns it, or NULL
 * when the place is none or there is no memory (sink is then as it was). */
MUST_USE struct sink *sink_follow(struct sink *sink, const struct sink_place *place);

/* Lines lost since the start. */
uint64_t sink_lost(const struct sink *sink);

/* The fds that a child must not close; returns how many were written to fds (at most 2). */
size_t sink_fds(const struct sink *sink, int *fds);

#endif
