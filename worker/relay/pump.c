/* Copying and splicing, and the choice between them. */
#include "worker/relay/pump.h"

#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <unistd.h>

#include "common/child.h"
#include "common/log.h"

#define PUMP_PEEK_FIRST_BYTES (16U << 10)
#define PUMP_PEEK_LEAST_BYTES (4U << 10)

/* So many big looks in a row make a direction bulk; so many small fills of the pipe in a row make it
 * interactive again. */
#define PUMP_BULK_BYTES   (64U << 10)
#define PUMP_BULK_STREAK  3
#define PUMP_SMALL_BYTES  (16U << 10)
#define PUMP_SMALL_STREAK 4

/* How much is carried in one direction while nothing comes back: in units, each message rounded up. A peer that answers
 * has read. */
#define PUMP_BURST_UNIT 64
#define PUMP_BURST_MOST ((128U << 10) / PUMP_BURST_UNIT)

static enum pump_result pump_broken(enum pump_result which, ssize_t why)
{
	return why == STREAM_AGAIN ? PUMP_BLOCKED : which;
}

static void pump_note_size(struct pump *pump, size_t bytes)
{
	pump->streak = bytes >= PUMP_BULK_BYTES ? (uint8_t)(pump->streak + 1) : 0;
}

/* How much to peek next time: as much as the writer took when it was slow, twice as much when the look was
 * too small. */
static void pump_learn(struct pump *pump, size_t peeked, size_t sent)
{
	pump_note_size(pump, sent);
	if (sent < peeked)
		pump->peek_bytes =
			sent > PUMP_PEEK_LEAST_BYTES ? (uint32_t)sent : PUMP_PEEK_LEAST_BYTES;
	else if (peeked == pump->peek_bytes && peeked < PUMP_SCRATCH_BYTES)
		pump->peek_bytes =
			peeked < PUMP_SCRATCH_BYTES / 2 ? (uint32_t)peeked * 2 : PUMP_SCRATCH_BYTES;
}

static void pump_note_burst(struct pump *pump, size_t taken)
{
	pump->burst = (uint16_t)(pump->burst + (taken + PUMP_BURST_UNIT - 1) / PUMP_BURST_UNIT);
	pump_note_size(pump, taken);
	if (taken == CARRY_BYTES)
		pump->peek_bytes = PUMP_SCRATCH_BYTES;
}

/* ------------------------------------------------------------------ look */

/* One peek, send and drop. Returns the bytes moved, or 0 with *result_r. */
static size_t pump_look(struct pump *pump, struct stream *from, struct stream *to,
	const struct pump_tools *tools, enum pump_result *result_r)
{
	ssize_t peeked;
	ssize_t sent;

	if (pump->peek_bytes == 0)
		pump->peek_bytes = PUMP_PEEK_FIRST_BYTES;
	peeked = stream_peek(from, tools->scratch, pump->peek_bytes);
	if (peeked <= 0) {
		*result_r = peeked == 0 ? PUMP_FIN : pump_broken(PUMP_FROM_RESET, peeked);
		return 0;
	}
	sent = stream_send(to, tools->scratch, (size_t)peeked);
	if (sent < 0) {
		*result_r = pump_broken(PUMP_TO_RESET, sent);
		return 0;
	}
	stream_drop(from, tools->scratch, (size_t)sent);
	if (sent == peeked && (size_t)peeked < pump->peek_bytes)
		stream_emptied(from);
	pump_learn(pump, (size_t)peeked, (size_t)sent);
	return (size_t)sent;
}

/* ------------------------------------------------------------------ the pipe */

static void pump_give_pipe(struct pump *pump, const struct pump_tools *tools)
{
	if (pump->pipe == NULL)
		return;
	if (pump->number != NULL)
		*pump->number = 0;
	pipes_give(tools->pipes, pump->pipe);
	pump->pipe = NULL;
}

/* The record says which pipe before the first byte is in it. */
static bool pump_take_pipe(struct pump *pump, const struct pump_tools *tools)
{
	pump->pipe = pipes_take(tools->pipes);
	if (pump->pipe == NULL)
		return false;
	if (pump->number != NULL)
		*pump->number = (uint16_t)(pump->pipe->number + 1);
	return true;
}

/* ------------------------------------------------------------------ carry */

/* Only where the kernel could say what was carried, where the writer's buffer has room as far as can be told without
 * asking, and where there is a pipe should it have none. */
static bool pump_may_carry(const struct pump *pump, const struct stream *from,
	const struct stream *to, const struct pump_tools *tools)
{
	return pump->burst < PUMP_BURST_MOST && (from->flags & STREAM_PLAIN) != 0 &&
		(to->flags & STREAM_UNIX) == 0 && pipes_ready(tools->pipes);
}

/* What the writer had no room for goes into an empty pipe, which has. */
static void pump_spill(struct pump *pump, const struct pump_tools *tools, const char *bytes,
	size_t len, uint32_t *in_pipe)
{
	MUST(pump_take_pipe(pump, tools));
	if (write(pump->pipe->write_fd, bytes, len) != (ssize_t)len) {
		/* What is carried, and what got into the pipe, is another worker's then. */
		log_fatal("no memory for %zu bytes in a pipe", len);
		exit(EXIT_CODE_FAILED);
	}
	pump->pipe->bytes = *in_pipe = (uint32_t)len;
	pump->mode = PUMP_SPLICE;
	pump->streak = PUMP_SMALL_STREAK; /* only until it is empty */
	pump->burst = PUMP_BURST_MOST;
}

/* One take and send. Returns the bytes moved, or 0 with *result_r. */
static size_t pump_carry(struct pump *pump, struct stream *from, struct stream *to,
	const struct pump_tools *tools, struct pump_books *books, enum pump_result *result_r)
{
	struct carry *carry = tools->carry;
	ssize_t taken;
	ssize_t sent;

	carry_begin(carry, books->relay, books->up, books->forwarded);
	taken = stream_take(from, carry->bytes, CARRY_BYTES);
	if (taken <= 0) {
		carry_end(carry);
		*result_r = taken == 0 ? PUMP_FIN : pump_broken(PUMP_FROM_RESET, taken);
		return 0;
	}
	sent = stream_send(to, carry->bytes, (size_t)taken);
	if (sent == STREAM_BROKEN) {
		carry_end(carry);
		*result_r = PUMP_TO_RESET;
		return 0;
	}
	if (sent < 0)
		sent = 0;
	if ((size_t)taken < CARRY_BYTES)
		stream_emptied(from);
	pump_note_burst(pump, (size_t)taken);
	if (sent < taken)
		pump_spill(
			pump, tools, carry->bytes + sent, (size_t)(taken - sent), books->in_pipe);
	carry_end(carry);
	return (size_t)sent;
}

/* The end of a direction has to be seen also while the writer is slow, but only when nothing is left to be written; a read
 * tells both. Returns the bytes moved, or 0 with *result_r. */
static size_t pump_copy(struct pump *pump, struct stream *from, struct stream *to,
	const struct pump_tools *tools, struct pump_books *books, enum pump_result *result_r)
{
	*result_r = PUMP_BLOCKED;
	if ((from->flags & STREAM_READABLE) == 0 || (to->flags & STREAM_WRITABLE) == 0)
		return 0;
	if (pump_may_carry(pump, from, to, tools))
		return pump_carry(pump, from, to, tools, books, result_r);
	return pump_look(pump, from, to, tools, result_r);
}

/* ------------------------------------------------------------------ splice */

static void pump_interactive(struct pump *pump)
{
	pump->mode = PUMP_COPY;
	pump->streak = 0;
	pump->peek_bytes = PUMP_SCRATCH_BYTES / 4;
}

/* Fill an empty pipe. Returns false with *result_r when there is nothing to go on with. */
static bool pump_fill(struct pump *pump, struct stream *from, const struct pump_tools *tools,
	uint32_t *in_pipe, enum pump_result *result_r)
{
	ssize_t n;

	*result_r = PUMP_BLOCKED;
	if ((from->flags & STREAM_READABLE) == 0)
		return false;
	if (pump->pipe == NULL && !pump_take_pipe(pump, tools)) {
		pump_interactive(pump);
		*result_r = PUMP_BUDGET;
		return false;
	}
	n = splice(from->fd, NULL, pump->pipe->write_fd, NULL, pump->pipe->size,
		SPLICE_F_NONBLOCK | SPLICE_F_MOVE);
	if (n == 0) {
		*result_r = PUMP_FIN;
		return false;
	}
	if (n < 0) {
		*result_r = pump_broken(PUMP_FROM_RESET, stream_failed(from, STREAM_READABLE));
		return false;
	}
	pump->pipe->bytes = *in_pipe = (uint32_t)n;
	pump->streak = (size_t)n < PUMP_SMALL_BYTES ? (uint8_t)(pump->streak + 1) : 0;
	return true;
}

/* One fill and flush. Returns the bytes moved, or 0 with *result_r. */
static size_t pump_splice(struct pump *pump, struct stream *from, struct stream *to,
	const struct pump_tools *tools, uint32_t *in_pipe, enum pump_result *result_r)
{
	ssize_t n;

	/* Filled only when empty: so EAGAIN while filling always means that the reader has nothing. */
	*result_r = PUMP_BLOCKED;
	if ((to->flags & STREAM_WRITABLE) == 0)
		return 0;
	if (*in_pipe == 0 && !pump_fill(pump, from, tools, in_pipe, result_r))
		return 0;
	n = splice(pump->pipe->read_fd, NULL, to->fd, NULL, *in_pipe,
		SPLICE_F_NONBLOCK | SPLICE_F_MOVE);
	if (n <= 0) {
		*result_r = pump_broken(PUMP_TO_RESET, stream_failed(to, STREAM_WRITABLE));
		return 0;
	}
	*in_pipe -= (uint32_t)n;
	pump->pipe->bytes = *in_pipe;
	if (*in_pipe == 0 && pump->streak >= PUMP_SMALL_STREAK)
		pump_interactive(pump);
	return (size_t)n;
}

enum pump_result pump_run(struct pump *pump, struct stream *from, struct stream *to,
	const struct pump_tools *tools, struct pump_books *books)
{
	enum pump_result result = PUMP_BUDGET;
	size_t done = 0;

	while (done < PUMP_BUDGET_BYTES) {
		size_t n;

		if (pump->mode == PUMP_COPY && pump->streak >= PUMP_BULK_STREAK &&
			((from->flags | to->flags) & STREAM_UNIX) == 0) {
			pump->mode = PUMP_SPLICE;
			pump->streak = 0;
		}
		if (pump->mode == PUMP_SPLICE)
			n = pump_splice(pump, from, to, tools, books->in_pipe, &result);
		else
			n = pump_copy(pump, from, to, tools, books, &result);
		if (n == 0) {
			if (result == PUMP_BUDGET)
				continue; /* the mode has changed */
			break;
		}
		books->forwarded += n;
		done += n;
		result = PUMP_BUDGET;
	}
	if (*books->in_pipe == 0)
		pump_give_pipe(pump, tools);
	return result;
}

void pump_resume(struct pump *pump, struct pipe *pipe)
{
	pump->pipe = pipe;
	pump->mode = PUMP_SPLICE;
}

void pump_leave(struct pump *pump, const struct pump_tools *tools)
{
	if (pump->pipe != NULL)
		pipes_leave(tools->pipes, pump->pipe);
	pump->pipe = NULL;
}

void pump_end(struct pump *pump, const struct pump_tools *tools)
{
	pump_give_pipe(pump, tools);
}
