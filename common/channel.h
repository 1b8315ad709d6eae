/* Typed messages between two processes, over a SOCK_SEQPACKET socketpair, with fds where the type allows them:
 * the master and each child, the keeper and each worker. messages.def is the list of all types; sender, size and
 * number of fds are checked here, so that a handler only ever sees a well-formed message.
 */
#ifndef PROXYD_COMMON_CHANNEL_H
#define PROXYD_COMMON_CHANNEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/messages.h"
#include "common/must.h"

struct channel;
struct event_base;

#define CHANNEL_FDS_MAX   252  /* the kernel's limit is 253 */
#define CHANNEL_BYTES_MAX 8192 /* payload of one message */

/* Whose end it is; the other end belongs to the one beside it. */
enum channel_side { CHANNEL_MASTER, CHANNEL_CHILD, CHANNEL_KEEPER, CHANNEL_KEPT };

/* A message that was received. payload is aligned for any message struct and valid during the call.
 * fds: owned by the handler from then on; those that it leaves >= 0 in the array are closed after it
 * returned (set one to -1 to keep it). */
struct message {
	enum message_type type;
	uint32_t slot;       /* of the sender, or of whom it is for */
	uint32_t generation; /* a recycled pid or slot cannot speak for another */
	const void *payload;
	size_t payload_bytes;
	int *fds;
	size_t nfds;
};

enum channel_end {
	CHANNEL_CLOSED, /* the other process is gone */
	CHANNEL_BROKEN, /* it sent what no message is: why says it */
	CHANNEL_FULL,   /* it does not read: over CHANNEL_QUEUE_MAX messages wait */
};

#define CHANNEL_QUEUE_MAX 1024

typedef void channel_message_fn(struct channel *channel, struct message *message, void *arg);
/* After it no further callback comes; the owner calls channel_free, which may happen inside. */
typedef void channel_end_fn(
	struct channel *channel, enum channel_end end, const char *why, void *arg);

/* What waited has been sent: there is room again. */
typedef void channel_room_fn(struct channel *channel, void *arg);

struct channel_handlers {
	channel_message_fn *on_message;
	channel_end_fn *on_end;
	void *arg;
	channel_room_fn *on_room; /* may be NULL */
};

/* Two connected fds, CLOEXEC and non-blocking, both owned by the caller. Returns -1 with errno. */
MUST_USE int channel_pair(int fds_r[2]);

/* Takes ownership of fd. Callbacks run from base's loop. Exits on no memory (start of a process). */
struct channel *channel_new(struct event_base *base, int fd, enum channel_side side,
	const struct channel_handlers *handlers);
void channel_free(struct channel *channel); /* closes the fd, drops what was queued */

/* Send, or queue when the socket is full; never blocks. fds are borrowed (duplicated when queued).
 * type must fit our side, payload_bytes and nfds the type: MUST. A channel that ended swallows it. */
void channel_send(struct channel *channel, const struct message *message);

/* Whether the next message goes out at once: nothing waits before it. Who sends many fds, or can wait, asks first
 * and goes on in on_room. A channel that ended has no room. */
bool channel_has_room(const struct channel *channel);

/* At most so many messages in one turn of the loop, for whom a message is much work and others wait. */
void channel_budget(struct channel *channel, unsigned messages);

/* Reads all that has arrived, now, until there is nothing more or the other side has ended; on_end comes from here too. For
 * what a dead process left behind. Not from within this channel's own callbacks. */
void channel_drain(struct channel *channel);

/* The fd, still the channel's: to give another process a copy. */
int channel_fd(const struct channel *channel);

/* Ends the channel without closing the fd, which becomes the caller's; what was queued is dropped. */
MUST_USE int channel_detach(struct channel *channel);

/* The message's payload as the struct of its type, whole and well-formed. count_r (may be NULL) gives
 * the number of elements of a type that repeats. */
const void *message_payload(const struct message *message, enum message_type type, size_t *count_r);
const char *message_type_name(enum message_type type);

/* Why what a side sent is no message (static), or NULL when it is one. type may be any number. */
const char *message_fault(uint32_t type, enum channel_side from, size_t payload_bytes, size_t nfds);

#endif
