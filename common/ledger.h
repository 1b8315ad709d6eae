/* What the kernel knows of the bytes of a relay whose worker died: how many were sent and not yet dropped, or taken and not
 * yet sent, and which of the two ends of a stream came.
 *
 * The arithmetic is that of common/record.h. It needs two plain TCP sockets that nobody else touches, and never
 * guesses: what fits two answers is not proven.
 */
#ifndef PROXYD_COMMON_LEDGER_H
#define PROXYD_COMMON_LEDGER_H

#include <stdbool.h>
#include <stdint.h>

#include "common/carry.h"
#include "common/must.h"

/* One socket, at one instant. */
struct ledger_side {
	bool plain; /* TCP, not MPTCP, not a Unix socket: else nothing below is known but is_unix */
	bool is_unix; /* it knows no reset, and drops nothing without copying */
	bool closed; /* state CLOSE: both ends came, or it was reset; the next two are unknown then */
	bool fin_in;  /* the peer's FIN came */
	bool fin_out; /* ours went */
	bool fin_unsure; /* whether the FIN that came is counted in received: it can have come with a SYN */
	bool error;        /* one waits to be told */
	uint64_t received; /* with the byte that a FIN counts as */
	uint64_t waiting;  /* received and not consumed */
	uint64_t queued;   /* given to the kernel to be sent, ever; ours, so without SYN and FIN */
};

/* connected: we called connect, not accept. Returns -1 with errno when it is no socket. */
MUST_USE int ledger_look(int fd, bool connected, struct ledger_side *side_r);

/* No more than plain and is_unix. */
MUST_USE int ledger_kind(int fd, struct ledger_side *side_r);

/* How many bytes lie in a pipe. */
MUST_USE int ledger_pipe(int fd, uint64_t *bytes_r);

/* One direction that still flows, from the socket it reads to the one it writes, to which no FIN of ours has gone. */
struct ledger_flow {
	const struct ledger_side *from;
	const struct ledger_side *to;
	int from_fd;
	uint64_t rx_base; /* of from */
	uint64_t tx_base; /* of to */
	uint64_t pipe_bytes;
	const struct carry *carry; /* what its worker carried was this flow's; NULL: it was not */
	bool ended; /* we passed a FIN on to from: then that can be closed without a reset */
};

struct ledger_found {
	uint64_t forwarded; /* queued at the writer, of all that was ever read */
	uint64_t drop;      /* of these are still in from's queue */
	uint64_t carried;   /* taken from it, and neither queued at the writer nor in the pipe: */
	const char *bytes;  /* these, in flow's carry; they come behind those in the pipe */
	bool fin;           /* the reader's FIN came, behind what is in its queue */
	bool reset;         /* it was reset, behind the same */
};

/* Returns NULL, or why it cannot be proven (static). May take the error that waits at from: `reset` then says so. */
MUST_USE const char *ledger_find(const struct ledger_flow *flow, struct ledger_found *found_r);

/* A side without a partner, which a service answers: how many bytes were consumed from it; it is not closed. Returns
 * NULL, or why that is not known. */
MUST_USE const char *ledger_consumed(const struct ledger_side *side, uint64_t *consumed_r);

#endif
