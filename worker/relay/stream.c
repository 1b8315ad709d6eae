/* Plain sockets. */
#include "worker/relay/stream.h"

#include <errno.h>
#include <linux/sockios.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/connect.h"

int stream_open(
	struct stream *stream, struct poller *poller, int fd, uint8_t ready, poller_fn *on_event)
{
	stream->poller = poller;
	stream->watch.on_event = on_event;
	stream->fd = fd;
	stream->flags = ready;
	if (stream_watch(stream) == 0)
		return 0;
	close(fd);
	stream->fd = -1;
	return -1;
}

void stream_note(struct stream *stream, uint32_t events)
{
	if (events & EPOLLIN)
		stream->flags |= STREAM_READABLE;
	if (events & EPOLLOUT)
		stream->flags |= STREAM_WRITABLE;
	if (events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR))
		stream->flags |= STREAM_FIN | STREAM_READABLE;
	if (events & (EPOLLHUP | EPOLLERR))
		stream->flags |= STREAM_WRITABLE;
	/* A look stops before urgent bytes, whatever is behind them. */
	if (events & EPOLLPRI)
		stream->flags = (uint8_t)((stream->flags & ~STREAM_PLAIN) | STREAM_READABLE);
}

enum stream_result stream_failed(struct stream *stream, enum stream_flags flag)
{
	if (errno == EAGAIN || errno == EINTR) {
		stream->flags &= (uint8_t)~flag;
		return STREAM_AGAIN;
	}
	/* The kernel tells of a reset once: whoever hears it first has to remember it. */
	stream->flags |= STREAM_RESET;
	return STREAM_BROKEN;
}

static ssize_t stream_receive(struct stream *stream, void *buf, size_t max, int flags)
{
	ssize_t n = recv(stream->fd, buf, max, flags);

	if (n < 0)
		return stream_failed(stream, STREAM_READABLE);
	return n;
}

ssize_t stream_peek(struct stream *stream, void *buf, size_t max)
{
	return stream_receive(stream, buf, max, MSG_PEEK);
}

ssize_t stream_take(struct stream *stream, void *buf, size_t max)
{
	return stream_receive(stream, buf, max, 0);
}

/* What comes from now on makes an edge of its own, and an end that came with the edge before was told by it. */
void stream_emptied(struct stream *stream)
{
	if ((stream->flags & (STREAM_PLAIN | STREAM_FIN | STREAM_RESET)) == STREAM_PLAIN)
		stream->flags &= (uint8_t)~STREAM_READABLE;
	/* else only EAGAIN, or the end, ends the reading */
}

void stream_drop(struct stream *stream, void *buf, size_t len)
{
	while (len > 0) {
		ssize_t n = (stream->flags & STREAM_UNIX) ? recv(stream->fd, buf, len, 0)
							  : recv(stream->fd, NULL, len, MSG_TRUNC);

		if (n <= 0)
			return; /* a reset in between took the queue; the next peek says so */
		len -= (size_t)n;
	}
}

ssize_t stream_send(struct stream *stream, const void *buf, size_t len)
{
	ssize_t n = send(stream->fd, buf, len, MSG_NOSIGNAL);

	if (n < 0)
		return stream_failed(stream, STREAM_WRITABLE);
	if ((size_t)n < len)
		stream->flags &= (uint8_t)~STREAM_WRITABLE;
	return n;
}

bool stream_has_more(const struct stream *stream)
{
	int bytes = 0;

	if (stream->flags & STREAM_READABLE)
		return true;
	return stream->fd >= 0 && ioctl(stream->fd, SIOCINQ, &bytes) == 0 && bytes > 0;
}

bool stream_ended(struct stream *stream)
{
	int error = 0;
	socklen_t len = sizeof(error);

	if (getsockopt(stream->fd, SOL_SOCKET, SO_ERROR, &error, &len) < 0 || error != 0)
		stream->flags |= STREAM_RESET;
	return (stream->flags & (STREAM_FIN | STREAM_RESET)) != 0;
}

void stream_made_room(struct stream *stream)
{
	const int one = 1;

	setsockopt(stream->fd, SOL_SOCKET, SO_RCVLOWAT, &one, sizeof(one));
}

void stream_make_room(struct stream *stream)
{
	const int room = STREAM_ROOM_BYTES;
	char byte;

	if (stream->flags & STREAM_UNIX)
		return;
	setsockopt(stream->fd, SOL_SOCKET, SO_RCVLOWAT, &room, sizeof(room));
	stream_made_room(stream);
	(void)!recv(stream->fd, &byte, 1, MSG_PEEK); /* a read tells the peer of the new window */
}

void stream_fin(struct stream *stream)
{
	shutdown(stream->fd, SHUT_WR);
}

void stream_rest(struct stream *stream)
{
	if (stream->fd >= 0)
		poller_del(stream->poller, &stream->watch, stream->fd);
}

int stream_watch(struct stream *stream)
{
	const uint32_t events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLPRI | EPOLLET;

	if (stream->fd < 0)
		return 0;
	return poller_add(stream->poller, &stream->watch, stream->fd, events);
}

void stream_leave(struct stream *stream)
{
	if (stream->fd < 0)
		return;
	if (stream->flags & STREAM_COPIED)
		stream_rest(stream);
	poller_forget(&stream->watch);
	close(stream->fd);
	stream->fd = -1;
}

void stream_close(struct stream *stream)
{
	if (stream->fd >= 0 && (stream->flags & STREAM_KEPT))
		shutdown(stream->fd, SHUT_RDWR);
	stream_leave(stream);
}

void stream_abort(struct stream *stream)
{
	if ((stream->flags & STREAM_UNIX) == 0)
		connect_abort(stream->fd);
	stream_close(stream);
}
