/* One end of a relay: sending up to its goal, receiving and checking, ending; and the loop that moves all ends of a
 * process. What an end has to say and when is streams_client.c's and streams_origin.c's.
 */
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>

#include "tests/helpers/streams.h"

#define EVENTS_MAX 512
#define READS_MAX  4 /* of one end in a turn */

uint64_t now_us(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

uint64_t mix(uint64_t a, uint64_t b)
{
	uint64_t z = (a ^ (b << 32)) + 0x9e3779b97f4a7c15U;

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9U;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebU;
	return z ^ (z >> 31);
}

bool kind_talks(enum stream_kind kind)
{
	return kind == STREAM_IDLE || kind == STREAM_CHAT || kind == STREAM_CHURN;
}

uint64_t talk_bytes(const struct end *end, uint32_t message)
{
	return 16 + mix(end->number, message) % 497;
}

uint64_t jittered(const struct end *end, uint64_t ms)
{
	return ms / 2 + mix(end->number, end->tx + end->rx) % (ms + 1);
}

uint64_t bulk_goal(struct end *end)
{
	const struct streams_options *options = end->process->options;
	uint64_t streams = 2 * options->count[STREAM_BULK];

	if (options->bulk_rate == 0) {
		end->tx_goal = UINT64_MAX;
		return UINT64_MAX;
	}
	if (end->tx == end->tx_goal)
		end->tx_goal += options->bulk_burst_bytes;
	return now_ms() + options->bulk_burst_bytes * streams * 1000 / options->bulk_rate;
}

uint64_t piece_goal(struct end *end)
{
	const struct streams_options *options = end->process->options;

	if (end->tx == end->tx_goal)
		end->tx_goal += options->piece_bytes;
	return now_ms() + jittered(end, options->piece_ms);
}

/* ------------------------------------------------------------------ its life */

void end_open(struct end *end, struct streams_process *process, int fd, enum end_state state)
{
	struct epoll_event event = { .data.ptr = end };

	end->process = process;
	end->fd = fd;
	end->state = state;
	end->rx_stop = UINT64_MAX;
	end->events = state == END_CONNECTING ? EPOLLOUT : EPOLLIN;
	event.events = end->events;
	if (epoll_ctl(process->epoll_fd, EPOLL_CTL_ADD, fd, &event) < 0)
		die("epoll_ctl: %s", strerror(errno));
}

void end_name(struct end *end, uint32_t number, uint32_t round)
{
	uint64_t seed = 2 * (number + ((uint64_t)round << 32));
	bool client = end->process->side == SIDE_CLIENT;

	end->slot = &end->process->shared->slots[number];
	end->number = number;
	end->round = round;
	end->seed_out = seed + (client ? 0 : 1);
	end->seed_in = seed + (client ? 1 : 0);
}

void end_blame(struct end *end, enum stream_fate fate)
{
	struct streams_shared *shared = end->process->shared;
	uint64_t since = end->slot->since_us;
	uint64_t now = now_us();
	uint64_t age = since > 0 && now > since ? now - since : 0;
	uint8_t none = FATE_NONE;
	uint32_t i;

	if (!atomic_compare_exchange_strong(&end->slot->fate, &none, (uint8_t)fate))
		return;
	shared->broken[end->slot->kind][fate]++;
	if (age >= end->process->options->keep_after_ms * 1000)
		shared->broken_old++;
	/* Of those that may break a few will do; of the others all are of interest. */
	if (age < end->process->options->keep_after_ms * 1000 &&
		atomic_load(&shared->nincidents) >= STREAMS_INCIDENTS_MAX / 8)
		return;
	i = shared->nincidents++;
	if (i < STREAMS_INCIDENTS_MAX)
		shared->incidents[i] = (struct streams_incident){ .number = end->number,
			.round = end->round,
			.side = end->process->side,
			.fate = fate,
			.at_us = now,
			.age_us = age,
			.sent = end->tx,
			.received = end->rx };
}

void end_break(struct end *end, enum stream_fate fate)
{
	end_blame(end, fate);
	end_close(end);
}

void end_close(struct end *end)
{
	if (end->state == END_CLOSED)
		return;
	end->state = END_CLOSED;
	stream_timer_disarm(&end->timer);
	if (end->fd >= 0)
		close(end->fd);
	end->fd = -1;
	if (end->slot)
		end->slot->side[end->process->side].done = true;
	end->process->on_closed(end);
}

void end_finish(struct end *end)
{
	uint64_t rest = mix(end->number, end->round) % 3000;

	end->rx_stop = UINT64_MAX;
	if (!end->finishing) {
		end->finishing = true;
		stream_timer_disarm(&end->timer);
		end->tx_goal = (end->tx_goal == UINT64_MAX ? end->tx : end->tx_goal) + rest;
	}
	end_move(end);
}

/* ------------------------------------------------------------------ sending */

static enum stream_fate fate_of_errno(void)
{
	switch (errno) {
	case ECONNREFUSED:
		return FATE_REFUSED;
	case ETIMEDOUT:
		return FATE_TIMEOUT;
	default:
		return FATE_RESET;
	}
}

/* The fault that was asked for, at the place that tx stands at. False when the end is no more. */
static bool commit_fault(struct end *end)
{
	char bytes[2];

	stream_fill(end->seed_out, end->tx, bytes, 1);
	bytes[1] = bytes[0];
	switch (end->process->options->fault) {
	case FAULT_NONE:
	case FAULT_SKIP:
		break;
	case FAULT_FLIP:
		bytes[0] ^= 1;
		(void)!send(end->fd, bytes, 1, MSG_NOSIGNAL);
		break;
	case FAULT_DOUBLE:
		(void)!send(end->fd, bytes, 2, MSG_NOSIGNAL);
		break;
	case FAULT_FIN:
		shutdown(end->fd, SHUT_WR);
		end->fin_sent = true;
		return true;
	case FAULT_RESET:
		close_reset(end->fd);
		end->fd = -1;
		end_close(end);
		return false;
	}
	end->tx++;
	return true;
}

/* How many bytes may go in one piece: not over the place of a fault. */
static size_t send_bytes(const struct end *end)
{
	const struct streams_options *options = end->process->options;
	uint64_t most = end->tx_goal - end->tx;

	if (options->fault != FAULT_NONE && options->fault_side == end->process->side &&
		end->number == 0 && end->round == 0 && end->tx <= options->fault_at &&
		most > options->fault_at - end->tx)
		most = options->fault_at - end->tx;
	return most < STREAMS_BUFFER_BYTES ? (size_t)most : STREAMS_BUFFER_BYTES;
}

/* The hello is the beginning of a client's stream. */
static void fill_out(struct end *end, char *buf, size_t len)
{
	stream_fill(end->seed_out, end->tx, buf, len);
	if (end->process->side == SIDE_CLIENT && end->tx < STREAMS_HELLO_BYTES) {
		size_t left = STREAMS_HELLO_BYTES - (size_t)end->tx;

		memcpy(buf, end->hello + end->tx, left < len ? left : len);
	}
}

/* False when the end is no more. blocked_r: the socket takes no more for now, or the turn is over. */
static bool end_send(struct end *end, bool *blocked_r)
{
	struct streams_process *process = end->process;
	size_t len;
	ssize_t n;

	*blocked_r = false;
	while (end->tx < end->tx_goal && !end->fin_sent) {
		len = send_bytes(end);
		if (len == 0) {
			if (!commit_fault(end))
				return false;
			continue;
		}
		fill_out(end, process->buffer, len);
		n = send(end->fd, process->buffer, len, MSG_NOSIGNAL | MSG_DONTWAIT);
		if (n < 0 && errno != EAGAIN) {
			end_break(end, fate_of_errno());
			return false;
		}
		if (n > 0) {
			end->tx += (uint64_t)n;
			process->tally->sent += (uint64_t)n;
			end->slot->side[process->side].sent = end->tx;
		}
		if (n < (ssize_t)len || len == STREAMS_BUFFER_BYTES) {
			*blocked_r = true;
			break;
		}
	}
	return true;
}

static void end_interest(struct end *end, bool blocked)
{
	uint32_t events =
		(blocked ? EPOLLOUT : 0) | (!end->fin_seen && end->rx < end->rx_stop ? EPOLLIN : 0);
	struct epoll_event event = { .events = events, .data.ptr = end };

	if (events == end->events)
		return;
	end->events = events;
	epoll_ctl(end->process->epoll_fd, EPOLL_CTL_MOD, end->fd, &event);
}

void end_move(struct end *end)
{
	bool blocked;

	if (end->state != END_OPEN || !end_send(end, &blocked))
		return;
	if (end->finishing && !end->fin_sent && end->tx == end->tx_goal) {
		/* In this order: who gets the FIN finds how much there was. */
		end->slot->side[end->process->side].sent = end->tx;
		end->slot->side[end->process->side].fin = true;
		end->fin_sent = true;
		if (shutdown(end->fd, SHUT_WR) < 0) {
			end_break(end, fate_of_errno());
			return;
		}
	}
	if (end->fin_sent && end->fin_seen)
		end_close(end);
	else
		end_interest(end, blocked);
}

/* ------------------------------------------------------------------ receiving */

static void end_fin(struct end *end)
{
	enum stream_side other = end->process->side == SIDE_CLIENT ? SIDE_ORIGIN : SIDE_CLIENT;
	uint64_t sent;

	if (!end->slot->side[other].fin) {
		end_break(end, FATE_EARLY_EOF);
		return;
	}
	sent = end->slot->side[other].sent;
	if (end->rx < sent) {
		end->process->tally->short_bytes += sent - end->rx;
		end_break(end, FATE_SHORT);
		return;
	}
	/* More than was sent is a byte twice at the very end. */
	if (end->rx > sent) {
		end->process->tally->doubled_bytes += end->rx - sent;
		end_blame(end, FATE_WRONG);
	}
	end->fin_seen = true;
	end->process->on_fin(end);
	end_move(end);
}

void end_receive(struct end *end)
{
	struct streams_process *process = end->process;
	uint64_t most;
	ssize_t n;

	for (int i = 0; i < READS_MAX && end->state == END_OPEN && !end->fin_seen; i++) {
		most = end->rx_stop > end->rx ? end->rx_stop - end->rx : 0;
		if (most == 0)
			break;
		if (most > STREAMS_BUFFER_BYTES)
			most = STREAMS_BUFFER_BYTES;
		n = recv(end->fd, process->buffer, (size_t)most, MSG_DONTWAIT);
		if (n < 0 && errno == EAGAIN)
			return;
		if (n < 0) {
			end_break(end, fate_of_errno());
			return;
		}
		if (n == 0) {
			end_fin(end);
			return;
		}
		process->tally->received += (uint64_t)n;
		check_bytes(end, process->buffer, (size_t)n);
		end->slot->side[process->side].received = end->rx;
		process->on_received(end);
		if ((uint64_t)n < most)
			return;
	}
}

static void on_end_event(struct end *end, uint32_t events)
{
	int error = 0;
	socklen_t len = sizeof(error);

	if (end->state == END_CONNECTING || end->state == END_HELLO) {
		end->process->on_first_event(end);
		return;
	}
	if (end->state != END_OPEN)
		return;
	if ((events & (EPOLLERR | EPOLLHUP)) != 0 && end->rx >= end->rx_stop) {
		/* It does not read now, so what happened is asked for; a plain end shows when it reads. */
		getsockopt(end->fd, SOL_SOCKET, SO_ERROR, &error, &len);
		if (error != 0) {
			errno = error;
			end_break(end, fate_of_errno());
			return;
		}
		end->rx_stop = UINT64_MAX;
	}
	if ((events & (EPOLLIN | EPOLLERR | EPOLLHUP)) != 0)
		end_receive(end);
	end_move(end);
}

/* ------------------------------------------------------------------ the loop */

void process_init(struct streams_process *process, enum stream_side side,
	const struct streams_options *options, struct streams_shared *shared)
{
	memset(process, 0, sizeof(*process));
	process->side = side;
	process->options = options;
	process->shared = shared;
	process->tally = &shared->tally[side];
	process->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (process->epoll_fd < 0)
		die("epoll_create1: %s", strerror(errno));
	stream_timers_init(&process->timers, now_ms());
}

void process_turn(struct streams_process *process, void (*on_other)(void *data), uint64_t ms)
{
	struct epoll_event events[EVENTS_MAX];
	struct stream_timer *timer;
	int n = epoll_wait(process->epoll_fd, events, EVENTS_MAX, (int)ms);

	for (int i = 0; i < n; i++) {
		/* Ends are aligned: the lowest bit says that it is none. */
		if (((uintptr_t)events[i].data.ptr & 1) != 0)
			on_other(events[i].data.ptr);
		else
			on_end_event(events[i].data.ptr, events[i].events);
	}
	while ((timer = stream_timers_next(&process->timers, now_ms())) != NULL)
		process->on_timer((struct end *)timer);
	while (process->dead) {
		struct end *end = process->dead;

		process->dead = end->next_dead;
		free(end);
	}
}
