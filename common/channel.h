/* Typed messages between the master and one child, over a SOCK_SEQPACKET socketpair, with fds where the
 * type allows them. messages.def is the list of all types; direction, size and number of fds are checked
 * here, so that a handler only ever sees a well-formed message.
 */
#ifndef PROXYD_COMMON_CHANNEL_H
#define PROXYD_COMMON_CHANNEL_H

#include <stddef.h>
#include <stdint.h>

#include "common/messages.h"
#include "common/must.h"

struct channel;
struct event_base;

#define CHANNEL_FDS_MAX   64   /* of the kernel's 253: a batch that stays cheap */
#define CHANNEL_BYTES_MAX 8192 /* payload of one message */

enum channel_side { CHANNEL_MASTER, CHANNEL_CHILD };

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

struct channel_handlers {
	channel_message_fn *on_message;
	channel_end_fn *on_end;
	void *arg;
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

/* The message's payload as the struct of its type, whole and well-formed. count_r (may be NULL) gives
 * the number of elements of a type that repeats. */
const void *message_payload(const struct message *message, enum message_type type, size_t *count_r);
const char *message_type_name(enum message_type type);

/* Why what a side sent is no message (static), or NULL when it is one. type may be any number. */
const char *message_fault(uint32_t type, enum channel_side from, size_t payload_bytes, size_t nfds);

#endif
