/* The origin's side of `streams`: takes connections, learns from the hello which relay each one is, and does its kind's
 * part. It also answers the requests of `client rate`, so that newcomers need no other server.
 */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "tests/helpers/streams.h"

#define ACCEPTS_MAX 256

static const char newcomer[] = "hello\n";
static const char answer[] = "streams\n";

/* Both are set once, before the loop: the listeners' events carry no pointer. */
static struct streams_process origin;
static struct end **ends; /* by number */

static void on_listener(void *data)
{
	int listener = (int)((uintptr_t)data >> 1);

	for (int i = 0; i < ACCEPTS_MAX; i++) {
		int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
		struct end *end;

		if (fd < 0 && (errno == EAGAIN || errno == ECONNABORTED))
			return;
		if (fd < 0)
			die("origin: accept: %s", strerror(errno));
		end = calloc(1, sizeof(*end));
		if (!end)
			die("no memory");
		end_open(end, &origin, fd, END_HELLO);
	}
}

static void on_origin_closed(struct end *end)
{
	if (end->slot && ends[end->number] == end)
		ends[end->number] = NULL;
	end->next_dead = origin.dead;
	origin.dead = end;
}

static void greet(struct end *end)
{
	const struct streams_options *options = origin.options;

	end->tx_goal = STREAMS_GREETING_BYTES;
	end->turn_at = STREAMS_HELLO_BYTES + talk_bytes(end, 0);
	switch (end->slot->kind) {
	case STREAM_IDLE:
	case STREAM_CHAT:
	case STREAM_CHURN:
		break;
	case STREAM_HALF_CLIENT:
	case STREAM_BULK:
		stream_timer_arm(&origin.timers, &end->timer, now_ms());
		break;
	case STREAM_HALF_SERVER:
		end_finish(end);
		break;
	case STREAM_STUCK_UP:
		end->rx_stop = STREAMS_HELLO_BYTES;
		break;
	case STREAM_STUCK_BOTH:
		end->rx_stop = STREAMS_HELLO_BYTES;
		end->tx_goal += options->stuck_bytes;
		break;
	case STREAM_STUCK_DOWN:
		end->tx_goal += options->stuck_bytes;
		break;
	case STREAM_KINDS:
		abort();
	}
	if (origin.shared->finishing)
		end_finish(end);
	else
		end_move(end);
}

/* The hello is complete. */
static void on_hello(struct end *end)
{
	uint32_t hello[4];
	struct streams_slot *slot;
	uint32_t round;

	memcpy(hello, end->hello, sizeof(hello));
	slot = hello[1] < origin.options->relays ? &origin.shared->slots[hello[1]] : NULL;
	round = slot ? slot->round : 0;
	/* A churning place may have given this one up already. */
	if (slot && hello[2] < round) {
		end_close(end);
		return;
	}
	if (!slot || hello[0] != STREAMS_MAGIC || hello[2] != round || hello[3] != slot->kind ||
		slot->since_us != 0) {
		origin.tally->strangers++;
		end_close(end);
		return;
	}
	end->rx = STREAMS_HELLO_BYTES;
	end->state = END_OPEN;
	end_name(end, hello[1], round);
	ends[end->number] = end;
	slot->side[SIDE_ORIGIN].received = end->rx;
	slot->since_us = now_us();
	greet(end);
}

static void on_origin_first_event(struct end *end)
{
	ssize_t n = recv(end->fd, end->hello + end->rx, sizeof(end->hello) - end->rx, MSG_DONTWAIT);

	if (n < 0 && errno == EAGAIN)
		return;
	if (n <= 0) {
		/* A health check, or one that was broken before it said who it is. */
		end_close(end);
		return;
	}
	end->rx += (uint64_t)n;
	if (end->rx == sizeof(newcomer) - 1 &&
		memcmp(end->hello, newcomer, sizeof(newcomer) - 1) == 0) {
		origin.tally->newcomers++;
		(void)!send(end->fd, answer, sizeof(answer) - 1, MSG_NOSIGNAL | MSG_DONTWAIT);
		end_close(end);
	} else if (end->rx == sizeof(end->hello)) {
		on_hello(end);
	}
}

/* A message of the talk may be complete: its answer. */
static void on_origin_received(struct end *end)
{
	if (!kind_talks(end->slot->kind) || end->finishing)
		return;
	while (end->rx >= end->turn_at) {
		end->tx_goal += talk_bytes(end, 2 * end->exchange + 1);
		end->exchange++;
		end->turn_at += talk_bytes(end, 2 * end->exchange);
	}
}

static void on_origin_fin(struct end *end)
{
	if (end->slot->kind == STREAM_CHURN)
		end_finish(end);
}

static void on_origin_timer(struct end *end)
{
	uint64_t next = end->slot->kind == STREAM_BULK ? bulk_goal(end) : piece_goal(end);

	if (next != UINT64_MAX)
		stream_timer_arm(&origin.timers, &end->timer, next);
	end_move(end);
}

static void listen_all(const struct streams_options *options)
{
	for (size_t i = 0; i < options->norigins; i++) {
		int fd = peer_listen(&options->origins[i], 4096);
		struct epoll_event event = { .events = EPOLLIN,
			.data.ptr = (void *)(((uintptr_t)fd << 1) | 1) };

		set_nonblocking(fd);
		if (epoll_ctl(origin.epoll_fd, EPOLL_CTL_ADD, fd, &event) < 0)
			die("epoll_ctl: %s", strerror(errno));
	}
}

void run_origin(const struct streams_options *options, struct streams_shared *shared)
{
	bool finishing = false;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	process_init(&origin, SIDE_ORIGIN, options, shared);
	origin.on_received = on_origin_received;
	origin.on_fin = on_origin_fin;
	origin.on_timer = on_origin_timer;
	origin.on_closed = on_origin_closed;
	origin.on_first_event = on_origin_first_event;
	ends = calloc(options->relays, sizeof(struct end *));
	if (!ends)
		die("no memory");
	listen_all(options);
	shared->listening = true;
	while (!shared->over) {
		process_turn(&origin, on_listener, 2);
		if (!shared->finishing || finishing)
			continue;
		finishing = true;
		for (size_t i = 0; i < options->relays; i++) {
			if (ends[i])
				end_finish(ends[i]);
		}
	}
	exit(0);
}
