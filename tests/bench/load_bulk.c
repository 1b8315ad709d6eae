/* Streams as fast as they go, in one direction: the origin is the source (form g) and the bytes are dropped here,
 * without a copy, or this side is the source and the origin drops them (form d).
 */
#include "tests/bench/load.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define STEP_BYTES (256 * 1024)

struct stream {
	int fd;
	bool asked;
	bool moved; /* a byte, in the window */
};

static struct stream *streams;
static char bytes_out[STEP_BYTES];

static void stream_open(struct load *load, struct stream *stream)
{
	stream->fd = load_connect(load);
	if (stream->fd < 0)
		load_enter(load, PHASE_DONE);
	else
		load_watch(load, EPOLL_CTL_ADD, stream->fd, EPOLLOUT, stream);
}

static void bulk_start(struct load *load)
{
	streams = calloc(load->options.connections, sizeof(*streams));
	if (!streams)
		die("no memory");
	for (unsigned i = 0; i < load->options.connections && load->phase != PHASE_DONE; i++)
		stream_open(load, &streams[i]);
	load_enter(load, PHASE_WARM);
}

/* A stream that ends makes the rest another load: it is over. */
static void stream_fail(struct load *load, enum load_failure failure)
{
	load_fail(load, failure);
	load_enter(load, PHASE_DONE);
}

static void stream_ask(struct load *load, struct stream *stream)
{
	struct bench_ask ask = load->options.ask;

	ask.ask_bytes = sizeof(ask);
	if (send(stream->fd, &ask, sizeof(ask), MSG_NOSIGNAL) != (ssize_t)sizeof(ask)) {
		stream_fail(load, FAILURE_CONNECT);
		return;
	}
	stream->asked = true;
	if (ask.form == FORM_SOURCE)
		load_watch(load, EPOLL_CTL_MOD, stream->fd, EPOLLIN, stream);
}

static void bulk_event(struct load *load, void *data, uint32_t events)
{
	struct stream *stream = data;
	ssize_t n;

	(void)events;
	if (!stream->asked) {
		stream_ask(load, stream);
		return;
	}
	if (load->options.ask.form == FORM_SOURCE)
		n = recv(stream->fd, NULL, 4L * STEP_BYTES, MSG_TRUNC);
	else
		n = send(stream->fd, bytes_out, sizeof(bytes_out), MSG_NOSIGNAL);
	if (n == 0 || (n < 0 && errno != EAGAIN))
		stream_fail(load, n == 0 ? FAILURE_CLOSED : FAILURE_RESET);
	if (n <= 0 || load->phase != PHASE_MEASURE)
		return;
	stream->moved = true;
	load->units += (uint64_t)n;
}

/* A stream that stands still is a failure, however fast the others are. */
static void bulk_enter(struct load *load, enum load_phase phase)
{
	if (phase != PHASE_DRAIN)
		return;
	for (unsigned i = 0; i < load->options.connections; i++) {
		if (!streams[i].moved)
			load_fail(load, FAILURE_UNANSWERED);
		close(streams[i].fd);
	}
}

static uint64_t bulk_turn(struct load *load, uint64_t now)
{
	(void)load;
	(void)now;
	return UINT64_MAX;
}

static unsigned bulk_waiting(const struct load *load)
{
	(void)load;
	return 0;
}

const struct load_ops load_bulk_ops = {
	.start = bulk_start,
	.enter = bulk_enter,
	.event = bulk_event,
	.turn = bulk_turn,
	.waiting = bulk_waiting,
};
