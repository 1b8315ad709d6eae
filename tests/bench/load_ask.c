/* Requests and answers. Closed loop: each connection asks when its last request was answered, on the same
 * connection or on a new one. Open loop (a rate): requests are due at fixed times, those of each BURST_NS
 * together, and go to whatever connection is free; when none is, they queue, and their latency counts from when
 * they were due, so that a proxy that stands still is seen with all who would have come in the meantime. Idle:
 * all ask once, and once more at the end.
 */
#include "tests/bench/load.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define OPENING_MAX 256 /* connections on their way at a time: no listen queue overflows */
#define BURST_NS    (200 * 1000ULL) /* waking up for each request would cost more than asking */
#define QUEUE_MAX   (1U << 20)

enum asker_state {
	ASKER_CLOSED,
	ASKER_CONNECTING, /* the request goes out when it can */
	ASKER_ASKING,
	ASKER_FREE,
};

struct asker {
	enum asker_state state;
	int fd;
	uint32_t got; /* bytes of the answer */
	bool ready;   /* has had its first answer on a kept connection */
	uint64_t number;
	uint64_t began_ns; /* or was due */
};

static struct asker *askers;
static unsigned opened, ready; /* of askers: begun to connect, answered once */
static unsigned busy;          /* connecting or asking */
static uint64_t numbers;
static struct asker **free_askers;
static unsigned free_count;
static uint64_t *queue; /* when the requests that wait for a connection were due, a ring */
static unsigned queue_first, queue_end;
static double due_ns, due_step_ns; /* of the next request in the open loop */
static uint64_t burst_ns;          /* when the next burst is due */
static char ask_bytes[65536], answer_bytes[65536];

static void asker_close(struct asker *asker)
{
	if (asker->state == ASKER_CONNECTING || asker->state == ASKER_ASKING)
		busy--;
	asker->state = ASKER_CLOSED;
	close(asker->fd);
}

/* Its request is lost, and the rest goes on without it: no figure comes of it any more, but how many fail. While
 * connections are being made, not even that.
 */
static void asker_fail(struct load *load, struct asker *asker, enum load_failure failure)
{
	asker_close(asker);
	load_fail(load, failure);
	if (load->phase == PHASE_CONNECT)
		load_enter(load, PHASE_DONE);
}

/* Returns false when the connection is not yet there. */
static bool asker_send(struct load *load, struct asker *asker)
{
	struct bench_ask *ask = (struct bench_ask *)ask_bytes;
	ssize_t n;

	*ask = load->options.ask;
	ask->number = asker->number;
	n = send(asker->fd, ask_bytes, ask->ask_bytes, MSG_NOSIGNAL);
	if (n == (ssize_t)ask->ask_bytes) {
		asker->state = ASKER_ASKING;
		return true;
	}
	if (n < 0 && errno == EAGAIN && asker->state == ASKER_CONNECTING)
		return false;
	asker_fail(load, asker, asker->state == ASKER_CONNECTING ? FAILURE_CONNECT : FAILURE_RESET);
	return true;
}

static void asker_ask(struct load *load, struct asker *asker, uint64_t began_ns)
{
	busy++;
	asker->state = ASKER_ASKING;
	asker->got = 0;
	asker->number = ++numbers;
	asker->began_ns = began_ns;
	asker_send(load, asker);
}

/* Over loopback a connection is there when connect() returns, although it does not say so: ask at once. */
static void asker_open(struct load *load, struct asker *asker)
{
	*asker = (struct asker){
		.state = ASKER_CONNECTING, .number = ++numbers, .began_ns = now_ns()
	};
	asker->fd = load_connect(load);
	if (asker->fd < 0) {
		asker->state = ASKER_CLOSED;
		return;
	}
	busy++;
	if (!asker_send(load, asker))
		load_watch(load, EPOLL_CTL_ADD, asker->fd, EPOLLOUT, asker);
	else if (asker->state == ASKER_ASKING)
		load_watch(load, EPOLL_CTL_ADD, asker->fd, EPOLLIN, asker);
}

/* One that is free and was not closed meanwhile, NULL when there is none. */
static struct asker *free_asker(void)
{
	while (free_count > 0) {
		struct asker *asker = free_askers[--free_count];

		if (asker->state == ASKER_FREE)
			return asker;
	}
	return NULL;
}

static void asker_free(struct load *load, struct asker *asker)
{
	asker->state = ASKER_FREE;
	if (queue_first != queue_end)
		asker_ask(load, asker, queue[queue_first++ % QUEUE_MAX]);
	else
		free_askers[free_count++] = asker;
}

static void open_more(struct load *load)
{
	while (opened < load->options.connections && busy < OPENING_MAX &&
		load->phase == PHASE_CONNECT)
		asker_open(load, &askers[opened++]);
}

/* The first answer on a kept connection: it is known to lead to the origin. */
static void asker_is_ready(struct load *load, struct asker *asker)
{
	asker->ready = true;
	asker->state = ASKER_FREE;
	ready++;
	open_more(load);
	if (ready == load->options.connections)
		load_enter(load, PHASE_WARM);
}

static void asker_answered(struct load *load, struct asker *asker)
{
	uint64_t now = now_ns();
	const struct load_options *options = &load->options;
	bool going_on;

	busy--;
	asker->state = ASKER_FREE;
	if (load->phase == PHASE_MEASURE && ++load->units == options->count)
		load_enter(load, PHASE_DRAIN);
	going_on = load->phase == PHASE_WARM || load->phase == PHASE_MEASURE;
	if (asker->began_ns >= load->begin_ns && asker->began_ns < load->end_ns)
		spread_add(&load->spread, now - asker->began_ns);
	if (options->fresh) {
		asker_close(asker);
		if (going_on)
			asker_open(load, asker);
	} else if (!asker->ready) {
		asker_is_ready(load, asker);
	} else if (options->rate > 0) {
		asker_free(load, asker);
	} else if (going_on && options->kind == LOAD_ASK) {
		asker_ask(load, asker, now);
	}
}

static void asker_read(struct load *load, struct asker *asker)
{
	uint32_t wanted = load->options.ask.answer_bytes - asker->got;
	uint64_t number;
	ssize_t n = recv(asker->fd, answer_bytes + asker->got, wanted, 0);

	if (n < 0 && errno == EAGAIN)
		return;
	if (n <= 0 || asker->state == ASKER_FREE) {
		asker_fail(load, asker,
			n < 0            ? FAILURE_RESET
				: n == 0 ? FAILURE_CLOSED
					 : FAILURE_WRONG);
		return;
	}
	/* One buffer for all: the number is looked at as soon as it is there. */
	if (asker->got == 0 && n >= (ssize_t)sizeof(number)) {
		memcpy(&number, answer_bytes, sizeof(number));
		if (number != asker->number) {
			asker_fail(load, asker, FAILURE_WRONG);
			return;
		}
	}
	asker->got += (uint32_t)n;
	if (asker->got == load->options.ask.answer_bytes)
		asker_answered(load, asker);
}

static void ask_event(struct load *load, void *data, uint32_t events)
{
	struct asker *asker = data;

	(void)events;
	switch (asker->state) {
	case ASKER_CLOSED:
		return;
	case ASKER_CONNECTING:
		if (asker_send(load, asker) && asker->state == ASKER_ASKING)
			load_watch(load, EPOLL_CTL_MOD, asker->fd, EPOLLIN, asker);
		return;
	case ASKER_ASKING:
	case ASKER_FREE:
		asker_read(load, asker);
		return;
	}
}

static void *array(size_t n, size_t bytes)
{
	void *array = calloc(n, bytes);

	if (!array)
		die("no memory");
	return array;
}

static void ask_start(struct load *load)
{
	const struct load_options *options = &load->options;

	askers = array(options->connections, sizeof(*askers));
	free_askers = array(options->connections, sizeof(struct asker *));
	queue = array(options->rate > 0 ? QUEUE_MAX : 1, sizeof(*queue));
	load_enter(load, PHASE_CONNECT);
	if (options->fresh)
		load_enter(load, PHASE_WARM);
	else
		open_more(load);
}

/* Say that all are there, and wait until somebody ends stdin. */
static void hold(void)
{
	char byte;

	puts("ready");
	fflush(stdout);
	while (read(STDIN_FILENO, &byte, 1) > 0)
		;
}

/* All connections are there. Requests that are not due at fixed times begin at once. */
static void ask_begin(struct load *load)
{
	const struct load_options *options = &load->options;
	uint64_t now = now_ns();

	burst_ns = now;
	due_ns = (double)now;
	due_step_ns = options->rate > 0 ? (double)NS_PER_S / options->rate : 0;
	for (unsigned i = 0; i < options->connections; i++) {
		if (options->fresh)
			asker_open(load, &askers[i]);
		else if (options->rate > 0)
			asker_free(load, &askers[i]);
		else
			asker_ask(load, &askers[i], now);
	}
}

static void ask_enter(struct load *load, enum load_phase phase)
{
	if (phase != PHASE_WARM)
		return;
	if (load->options.kind == LOAD_IDLE) {
		hold();
		load_enter(load, PHASE_DRAIN);
	}
	ask_begin(load);
}

/* One burst: each request counts from when the burst was due, whenever that is noticed. */
static void ask_burst(struct load *load)
{
	while (due_ns <= (double)burst_ns) {
		struct asker *asker = free_asker();

		due_ns += due_step_ns;
		if (asker) {
			asker_ask(load, asker, burst_ns);
		} else if (queue_end - queue_first < QUEUE_MAX) {
			queue[queue_end++ % QUEUE_MAX] = burst_ns;
		} else {
			load_fail(load, FAILURE_UNANSWERED);
			load_enter(load, PHASE_DONE);
			return;
		}
	}
}

static uint64_t ask_turn(struct load *load, uint64_t now)
{
	if (load->options.rate <= 0)
		return UINT64_MAX;
	while (load->phase == PHASE_WARM || load->phase == PHASE_MEASURE) {
		if (burst_ns > now)
			return burst_ns;
		ask_burst(load);
		burst_ns += BURST_NS;
	}
	return UINT64_MAX;
}

static unsigned ask_waiting(const struct load *load)
{
	(void)load;
	return busy + (queue_end - queue_first);
}

const struct load_ops load_ask_ops = {
	.start = ask_start,
	.enter = ask_enter,
	.event = ask_event,
	.turn = ask_turn,
	.waiting = ask_waiting,
};
