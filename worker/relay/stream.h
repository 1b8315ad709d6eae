/* One socket of a relay, seen through edge-triggered readiness: what was ready stays so until a call says
 * EAGAIN. The plain kind; TLS will be the other one under the same calls.
 */
#ifndef PROXYD_WORKER_RELAY_STREAM_H
#define PROXYD_WORKER_RELAY_STREAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "common/must.h"
#include "worker/relay/poller.h"

enum stream_flags {
	STREAM_READABLE = 1 << 0,
	STREAM_WRITABLE = 1 << 1,
	STREAM_FIN = 1 << 2,   /* the peer's end, FIN or reset, waits behind its last bytes */
	STREAM_RESET = 1 << 3, /* the peer reset it, or the kernel gave it up */
	STREAM_UNIX = 1 << 4,  /* no TCP: no reset can be sent, the kernel keeps no byte counts */
	STREAM_KEPT =
		1 << 5, /* the keeper holds a copy: close alone would say nothing to the peer */
	STREAM_COPIED = 1 << 6, /* there is or was a copy: close alone leaves it in epoll */
	STREAM_PLAIN = 1 << 7,  /* TCP, and no MPTCP: a short look saw all that was there */
};

struct stream {
	struct poller_watch watch;
	struct poller *poller; /* borrowed */
	int fd;                /* owned; -1 when closed */
	uint8_t flags;
};

/* What a call on the stream came to, when it was not a number of bytes. */
enum stream_result {
	STREAM_AGAIN = -1,  /* not now; readiness was taken back, an event will tell */
	STREAM_BROKEN = -2, /* reset or error; STREAM_RESET is set */
};

/* Takes fd over, which is non-blocking, and watches it. Returns -1 with errno when epoll has no room; fd
 * is then closed. ready: flags that hold already. */
MUST_USE int stream_open(
	struct stream *stream, struct poller *poller, int fd, uint8_t ready, poller_fn *on_event);

/* What epoll said, into flags. */
void stream_note(struct stream *stream, uint32_t events);

/* A copy of what waits to be read, at most max bytes, nothing taken. 0 at the peer's FIN. */
ssize_t stream_peek(struct stream *stream, void *buf, size_t max);

/* The same, and it is out of the queue: ours now. */
ssize_t stream_take(struct stream *stream, void *buf, size_t max);

/* All was taken, or dropped after a look, that was shorter than asked for: where that says that nothing is left, it is not
 * readable any more. */
void stream_emptied(struct stream *stream);

/* Takes len bytes, which were peeked, out of the queue. buf has room for them: a Unix socket cannot drop
 * without copying. */
void stream_drop(struct stream *stream, void *buf, size_t len);

/* Queues as much as fits; less than len takes STREAM_WRITABLE back. */
ssize_t stream_send(struct stream *stream, const void *buf, size_t len);

/* An error of a call outside (splice): errno as STREAM_AGAIN or STREAM_BROKEN; flag is the readiness that
 * EAGAIN takes back. */
enum stream_result stream_failed(struct stream *stream, enum stream_flags flag);

/* Whether it may have something that was not read: what no event has told yet counts. */
bool stream_has_more(const struct stream *stream);

/* Whether nothing more can come: its FIN was announced, or it was reset (STREAM_RESET is set then). Asks the
 * kernel; for whoever waits for more without reading what is there. */
bool stream_ended(struct stream *stream);

/* Whoever leaves bytes in the queue because it needs more of them calls this. A buffer of the kernel that was
 * read in part still counts in full against the socket's memory: the window can stay closed over a few bytes.
 * Raising SO_RCVLOWAT for a moment lets that memory grow, by up to STREAM_ROOM_BYTES, and opens the window. */
#define STREAM_ROOM_BYTES (512 * 1024)
void stream_make_room(struct stream *stream);
void stream_made_room(struct stream *stream); /* its worker may have died in the middle of it */

void stream_fin(struct stream *stream); /* no more will be sent: FIN after what is queued */

/* Out of the loop, untouched but open; and in again. stream_watch returns -1 with errno when epoll has no room. */
void stream_rest(struct stream *stream);
MUST_USE int stream_watch(struct stream *stream);

/* Another process has it from now on: closes our copy and no more. */
void stream_leave(struct stream *stream);

/* Both ends it: queued bytes are still delivered by stream_close, not by stream_abort, after which the
 * peer sees a reset. By shutdown and disconnect, not by closing the last copy: another process may hold
 * one. Idempotent. */
void stream_close(struct stream *stream);
void stream_abort(struct stream *stream);

#endif
