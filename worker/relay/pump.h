/* One direction of a relay: from the socket it reads to the socket it writes. Three ways:
 *
 *   carry    take, send: for small messages back and forth, which the writer has room for. On its way a message lies in
 *            shared memory (common/carry.h); should there be no room after all, in a pipe
 *   look     peek, send, then drop what was sent: for whatever gets longer, or has a slow reader. What the writer's
 *            socket did not take stays in the reader's receive queue, and TCP's window stops the sender
 *   splice   through a pipe borrowed for as long as bytes lie in it: for bulk, which is a direction whose looks keep
 *            being big
 *
 * Between two turns no byte lies anywhere but in the kernel. After a death at any instant its counts say where each one is
 * (common/record.h).
 */
#ifndef PROXYD_WORKER_RELAY_PUMP_H
#define PROXYD_WORKER_RELAY_PUMP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/carry.h"
#include "worker/relay/pipes.h"
#include "worker/relay/stream.h"

#define PUMP_SCRATCH_BYTES (256U << 10)

/* Of one direction in one turn; then others get theirs. */
#define PUMP_BUDGET_BYTES (1U << 20)

enum pump_mode { PUMP_COPY, PUMP_SPLICE };

/* What a direction remembers between its turns. Zero at the beginning. */
struct pump {
	struct pipe *pipe; /* borrowed; NULL unless bytes lie in it */
	uint16_t *
		number; /* in the relay's record, kept to the pipe's number + 1 or 0; NULL: nowhere */
	uint32_t
		peek_bytes; /* how much to look at: what the writer takes; 0 before the first turn */
	uint8_t mode;       /* enum pump_mode */
	uint8_t streak;     /* turns in a row that spoke for the other mode */
	uint16_t burst;     /* carried since the other direction moved, see pump_answered */
};

enum pump_result {
	PUMP_BLOCKED, /* until an event comes */
	PUMP_BUDGET,  /* more can be done, in the next turn */
	PUMP_FIN,     /* the reader's end came and every byte before it is queued at the writer */
	PUMP_FROM_RESET, /* what came before was passed on where it was possible */
	PUMP_TO_RESET,
};

/* What all directions of a worker share. */
struct pump_tools {
	char *scratch;       /* PUMP_SCRATCH_BYTES; borrowed */
	struct carry *carry; /* borrowed; nothing is in it between two turns */
	struct pipes *pipes;
};

/* What the relay's record says of the direction. */
struct pump_books {
	uint64_t relay;     /* its id */
	uint64_t forwarded; /* added to with every byte queued at the writer */
	uint32_t *in_pipe;  /* kept equal to what lies in the pipe */
	bool up;            /* from the client to the server */
};

/* Move what can be moved. */
enum pump_result pump_run(struct pump *pump, struct stream *from, struct stream *to,
	const struct pump_tools *tools, struct pump_books *books);

/* The other direction moved bytes: whoever read what this one brought goes on reading. */
static inline void pump_answered(struct pump *pump)
{
	pump->burst = 0;
}

/* A direction taken over from another worker, with bytes in this pipe. */
void pump_resume(struct pump *pump, struct pipe *pipe);

/* Another worker goes on with it, and with its pipe. */
void pump_leave(struct pump *pump, const struct pump_tools *tools);

/* Gives the pipe back when the relay ends. */
void pump_end(struct pump *pump, const struct pump_tools *tools);

#endif
