/* One direction of a relay: from the socket it reads to the socket it writes, without ever holding a byte.
 *
 * peek, send, then drop what was sent: what the writer's socket did not take stays in the reader's receive
 * queue, and TCP's window stops the sender. A direction whose looks keep being big is
 * bulk: it goes by splice through a pipe borrowed for as long as bytes lie in it. After a death at any
 * instant the kernel knows where each byte is (common/record.h).
 */
#ifndef PROXYD_WORKER_RELAY_PUMP_H
#define PROXYD_WORKER_RELAY_PUMP_H

#include <stddef.h>
#include <stdint.h>

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
	uint8_t fin;        /* the reader's end was seen while bytes lay in the pipe */
	uint8_t unused;
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
	char *scratch; /* PUMP_SCRATCH_BYTES; borrowed */
	struct pipes *pipes;
};

/* Move what can be moved. *moved is added to with every byte queued at the writer, *in_pipe is kept equal
 * to what lies in the pipe: both lie in the relay's record. */
enum pump_result pump_run(struct pump *pump, struct stream *from, struct stream *to,
	const struct pump_tools *tools, uint64_t *moved, uint32_t *in_pipe);

/* A direction taken over from another worker, with bytes in this pipe. */
void pump_resume(struct pump *pump, struct pipe *pipe);

/* Another worker goes on with it, and with its pipe. */
void pump_leave(struct pump *pump, const struct pump_tools *tools);

/* Gives the pipe back when the relay ends. */
void pump_end(struct pump *pump, const struct pump_tools *tools);

#endif
