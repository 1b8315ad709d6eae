/* One poll(2) for all. It takes no error from a socket, and asks about no bytes: those make edges.
 */
#include "worker/relay/doubt.h"

#include "worker/relay/impl.h"

void doubt_add(struct relay *relay, struct stream *stream)
{
	struct doubts *doubts = &relay->relays->doubts;

	if (doubts->n == DOUBTS_MAX)
		doubts_ask(doubts);
	/* POLLERR and POLLHUP are always told. */
	doubts->fds[doubts->n] = (struct pollfd){ .fd = stream->fd, .events = POLLPRI };
	doubts->streams[doubts->n] = stream;
	doubts->relays[doubts->n] = relay;
	doubts->n++;
	stream->flags &= (uint8_t)~STREAM_DOUBT;
}

void doubts_ask(struct doubts *doubts)
{
	int found = doubts->n > 0 ? poll(doubts->fds, doubts->n, 0) : 0;

	for (uint32_t i = 0; found > 0 && i < doubts->n; i++) {
		if (doubts->fds[i].revents == 0)
			continue;
		found--;
		/* It may have ended since, and its number be another's. */
		if (doubts->streams[i]->fd != doubts->fds[i].fd)
			continue;
		doubts->streams[i]->flags |= STREAM_READABLE;
		if (doubts->fds[i].revents & (POLLERR | POLLHUP))
			doubts->streams[i]->flags |= STREAM_FIN;
		relay_queue(doubts->relays[i]);
	}
	doubts->n = 0;
}
