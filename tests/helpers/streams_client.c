/* The client's side of `streams`: opens the relays, does each kind's part, takes the commands and says in the end
 * whether all was right.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "tests/helpers/streams.h"

#define HALF_CLIENT_BYTES 4096
#define SETTLE_MS         10
#define LINE_MAX_BYTES    64
#define STDIN_DATA        ((void *)1)

/* Set once, before the loop. */
static struct streams_process client;
static struct streams_run run;
static bool told; /* that all relays are established */

/* ------------------------------------------------------------------ its parts */

static void open_one(struct end *end)
{
	const struct streams_options *options = run.options;
	uint32_t number = (uint32_t)(end - run.ends);
	const struct peer_addr *front = &options->fronts[number % options->nfronts];
	struct streams_slot *slot = &run.shared->slots[number];
	uint32_t hello[4] = { STREAMS_MAGIC, number, slot->round, slot->kind };
	int fd = peer_socket(front);

	memset(end, 0, sizeof(*end));
	memcpy(end->hello, hello, sizeof(hello));
	run.opened++;
	set_nonblocking(fd);
	/* A refusal shows as the first event. */
	(void)!connect(fd, (const struct sockaddr *)&front->addr, front->len);
	end_open(end, &client, fd, END_CONNECTING);
	end_name(end, number, slot->round);
	stream_timer_arm(&client.timers, &end->timer, now_ms() + options->patience_ms);
}

static void on_client_first_event(struct end *end)
{
	int error = 0;
	socklen_t len = sizeof(error);

	getsockopt(end->fd, SOL_SOCKET, SO_ERROR, &error, &len);
	if (error != 0) {
		end_break(end, error == ECONNREFUSED ? FATE_REFUSED : FATE_RESET);
		return;
	}
	end->state = END_OPEN;
	end->tx_goal = STREAMS_HELLO_BYTES;
	if (end->slot->kind == STREAM_STUCK_DOWN || end->slot->kind == STREAM_STUCK_BOTH)
		end->rx_stop = STREAMS_GREETING_BYTES;
	end_move(end);
}

/* The next message of a talk. */
static void ask(struct end *end)
{
	end->tx_goal += talk_bytes(end, 2 * end->exchange);
	end->turn_at = end->rx + talk_bytes(end, 2 * end->exchange + 1);
	end->asked_us = now_us();
	stream_timer_arm(&client.timers, &end->timer, now_ms() + run.options->patience_ms);
	end_move(end);
}

/* Half of the idle ones say nothing until the end. */
static void ask_later(struct end *end)
{
	bool idle = end->slot->kind == STREAM_IDLE;
	uint64_t ms = idle ? run.options->ping_ms : run.options->chat_ms;

	stream_timer_disarm(&end->timer);
	if (!idle || end->number % 2 == 0)
		stream_timer_arm(&client.timers, &end->timer, now_ms() + jittered(end, ms));
}

static void on_established(struct end *end)
{
	end->established = true;
	run.established++;
	stream_timer_disarm(&end->timer);
	switch (end->slot->kind) {
	case STREAM_CHURN:
		end->ends_ms = now_ms() + mix(end->number, end->round) % run.options->life_ms;
		ask_later(end);
		break;
	case STREAM_IDLE:
	case STREAM_CHAT:
		ask_later(end);
		break;
	case STREAM_HALF_CLIENT:
		end->tx_goal += HALF_CLIENT_BYTES;
		end_finish(end);
		break;
	case STREAM_HALF_SERVER:
	case STREAM_BULK:
		stream_timer_arm(&client.timers, &end->timer, now_ms());
		break;
	case STREAM_STUCK_UP:
	case STREAM_STUCK_BOTH:
		end->tx_goal += run.options->stuck_bytes;
		break;
	case STREAM_STUCK_DOWN:
		break;
	case STREAM_KINDS:
		abort();
	}
	if (run.shared->finishing)
		end_finish(end);
}

static void on_client_received(struct end *end)
{
	if (!end->established) {
		if (end->rx >= STREAMS_GREETING_BYTES)
			on_established(end);
		return;
	}
	if (end->asked_us == 0 || end->rx < end->turn_at)
		return;
	report_rtt(&run, end, now_us() - end->asked_us);
	end->asked_us = 0;
	end->exchange++;
	if (!end->finishing)
		ask_later(end);
}

static void on_client_fin(struct end *end)
{
	(void)end;
}

static void on_client_closed(struct end *end)
{
	if (end->established)
		run.established--;
	stream_timer_arm(&client.timers, &end->timer, now_ms() + SETTLE_MS);
}

/* This end is closed: once the other one is, the relay is judged, and a churning one's place is taken again. */
static void settle(struct end *end)
{
	struct streams_slot *slot = end->slot;

	if (!slot->side[SIDE_ORIGIN].done && slot->since_us != 0) {
		stream_timer_arm(&client.timers, &end->timer, now_ms() + SETTLE_MS);
		return;
	}
	run.ok += slot->fate == FATE_NONE;
	if (slot->kind != STREAM_CHURN || run.shared->finishing) {
		run.settled++;
		return;
	}
	slot->round++;
	slot->since_us = 0;
	slot->fate = FATE_NONE;
	for (int side = 0; side < SIDES; side++) {
		slot->side[side].sent = 0;
		slot->side[side].received = 0;
		slot->side[side].fin = false;
		slot->side[side].done = false;
	}
	open_one(end);
}

static void on_client_timer(struct end *end)
{
	uint64_t next;

	if (end->state == END_CLOSED) {
		settle(end);
	} else if (!end->established || end->asked_us != 0) {
		end_break(end, FATE_TIMEOUT);
	} else if (end->slot->kind == STREAM_CHURN && now_ms() >= end->ends_ms) {
		end_finish(end);
	} else if (kind_talks(end->slot->kind)) {
		ask(end);
	} else {
		next = end->slot->kind == STREAM_BULK ? bulk_goal(end) : piece_goal(end);
		if (next != UINT64_MAX)
			stream_timer_arm(&client.timers, &end->timer, next);
		end_move(end);
	}
}

/* ------------------------------------------------------------------ the whole */

static void finish_all(void)
{
	if (run.shared->finishing)
		return;
	run.shared->finishing = true;
	for (size_t i = 0; i < run.options->relays; i++) {
		if (run.ends[i].established && run.ends[i].state == END_OPEN)
			end_finish(&run.ends[i]);
	}
}

static void obey(const char *line)
{
	if (strcmp(line, "stats") == 0)
		report_stats(&run);
	else if (strcmp(line, "mark") == 0)
		report_window(&run);
	else if (strcmp(line, "finish") == 0)
		finish_all();
	else if (line[0] != '\0')
		die("%s: no such command", line);
}

/* Commands, a line each. At the end of stdin nothing more comes, that is all. */
static void on_stdin(void *data)
{
	static char line[LINE_MAX_BYTES];
	static size_t len;
	char buf[LINE_MAX_BYTES];
	ssize_t n = read(STDIN_FILENO, buf, sizeof(buf));

	(void)data;
	if (n == 0)
		epoll_ctl(client.epoll_fd, EPOLL_CTL_DEL, STDIN_FILENO, NULL);
	for (ssize_t i = 0; i < n; i++) {
		if (buf[i] != '\n' && len < sizeof(line) - 1) {
			line[len++] = buf[i];
			continue;
		}
		line[len] = '\0';
		len = 0;
		obey(line);
	}
}

/* What is not done when the time is over. */
static void give_up(void)
{
	for (size_t i = 0; i < run.options->relays; i++) {
		struct end *end = &run.ends[i];

		if (!end->slot || (end->state == END_CLOSED && !end->timer.next))
			continue;
		if (end->slot->fate != FATE_NONE)
			run.hanging++;
		else
			end_blame(end, FATE_TIMEOUT);
	}
}

static void say_when_ready(void)
{
	if (told || run.established + run.settled < run.options->relays)
		return;
	told = true;
	printf("ready %.3f s\n", (double)(now_us() - run.begin_us) / 1e6);
}

static void open_due(uint64_t *next)
{
	uint64_t due = (now_us() - run.begin_us) * run.options->open_rate / 1000000 + 1;

	while (*next < run.options->relays && *next < due)
		open_one(&run.ends[(*next)++]);
}

static void loop(uint64_t seconds)
{
	uint64_t finish_ms = seconds ? now_ms() + seconds * 1000 : UINT64_MAX;
	uint64_t give_up_ms = 0;
	uint64_t next = 0;

	while (run.settled < run.options->relays) {
		if (!run.shared->finishing)
			open_due(&next);
		process_turn(&client, on_stdin, 1);
		say_when_ready();
		if (now_ms() >= finish_ms)
			finish_all();
		if (run.shared->finishing && give_up_ms == 0) {
			give_up_ms = now_ms() + run.options->patience_ms;
			run.settled += run.options->relays - next;
		}
		if (give_up_ms != 0 && now_ms() >= give_up_ms) {
			give_up();
			return;
		}
	}
}

int run_client(const struct streams_options *options, struct streams_shared *shared)
{
	struct epoll_event event = { .events = EPOLLIN, .data.ptr = STDIN_DATA };

	process_init(&client, SIDE_CLIENT, options, shared);
	client.on_received = on_client_received;
	client.on_fin = on_client_fin;
	client.on_timer = on_client_timer;
	client.on_closed = on_client_closed;
	client.on_first_event = on_client_first_event;
	run.options = options;
	run.shared = shared;
	run.begin_us = run.window_us = now_us();
	run.ends = calloc(options->relays, sizeof(struct end));
	if (!run.ends)
		die("no memory");
	/* A file or /dev/null is no source of commands, and epoll does not take it. */
	(void)epoll_ctl(client.epoll_fd, EPOLL_CTL_ADD, STDIN_FILENO, &event);
	loop(options->seconds);
	report_stats(&run);
	return report_good(&run) ? 0 : 1;
}
