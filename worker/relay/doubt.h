/* Sockets that were read to their end, and may have been reset with their last bytes: libevent does not tell. All those
 * of a turn are asked together, for a fraction of what one more look at each would cost.
 */
#ifndef PROXYD_WORKER_RELAY_DOUBT_H
#define PROXYD_WORKER_RELAY_DOUBT_H

#include <poll.h>
#include <stdint.h>

#define DOUBTS_MAX 256

struct relay;
struct stream;

/* Zero at the beginning. */
struct doubts {
	uint32_t n;
	struct pollfd fds[DOUBTS_MAX];
	struct stream *streams[DOUBTS_MAX];
	struct relay *relays[DOUBTS_MAX];
};

/* This stream of relay is in doubt (STREAM_DOUBT), and not any more: it is asked with the others. */
void doubt_add(struct relay *relay, struct stream *stream);

/* At a turn's end: asks them all. Where there is more to read than an edge will tell of, it is readable again and its
 * relay on the run queue. */
void doubts_ask(struct doubts *doubts);

#endif
