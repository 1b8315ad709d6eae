/* The client's scenarios with many connections at once, over epoll. */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>

#include "tests/helpers/client.h"
#include "tests/helpers/util.h"

#define NAMES_MAX  64
#define ANSWER_MAX 64
#define EVENTS_MAX 256

static const char request[] = "hello\n";

enum kind {
	KIND_OK,
	KIND_REFUSED,
	KIND_RESET,
	KIND_TIMEOUT,
	KIND_SHORT,
	KIND_WRONG,
	KIND_OTHER,
	KINDS
};

static const char *const kind_names[KINDS] = { "ok", "refused", "reset", "timeout", "short",
	"wrong", "other" };

struct asker {
	struct asker *next; /* of those under way, oldest first */
	struct asker *prev;
	int fd; /* owned */
	bool sent;
	uint64_t started_ms;
	uint64_t started_us;
	size_t len;
	char answer[ANSWER_MAX];
};

#define TOOK_MAX     20000
#define FAILURES_MAX 32 /* shown, each with its time */

/* One run of `rate`. */
struct rate {
	const struct peer_addr *addr;
	int epoll_fd;
	struct asker list; /* its head */
	uint64_t started;
	uint64_t ended[KINDS];
	uint64_t begin_ms;
	uint64_t slowest_ms;
	size_t nfailures;
	struct {
		enum kind kind;
		uint64_t started_ms; /* since the begin */
		uint64_t ended_ms;
	} failures[FAILURES_MAX];
	uint32_t took_us100
		[TOOK_MAX]; /* how many took so many tenths of a millisecond; the last: or more */
	size_t nnames;
	struct {
		char text[ANSWER_MAX];
		uint64_t count;
	} names[NAMES_MAX];
};

static volatile sig_atomic_t enough;

static void on_term(int signo)
{
	(void)signo;
	enough = 1;
}

static enum kind kind_of_errno(int error)
{
	switch (error) {
	case ECONNREFUSED:
		return KIND_REFUSED;
	case ECONNRESET:
	case EPIPE:
		return KIND_RESET;
	case ETIMEDOUT:
		return KIND_TIMEOUT;
	default:
		return KIND_OTHER;
	}
}

static void count_name(struct rate *rate, const char *text)
{
	size_t i = 0;

	while (i < rate->nnames && strcmp(rate->names[i].text, text) != 0)
		i++;
	if (i == NAMES_MAX)
		return;
	if (i == rate->nnames)
		snprintf(rate->names[rate->nnames++].text, ANSWER_MAX, "%s", text);
	rate->names[i].count++;
}

static uint64_t now_us(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

/* So many of 100 were at their end within this. */
static uint64_t rate_percentile_us(const struct rate *rate, unsigned percent)
{
	uint64_t all = 0;
	uint64_t below = 0;
	uint64_t took = 0;

	for (size_t i = 0; i < TOOK_MAX; i++)
		all += rate->took_us100[i];
	for (; took < TOOK_MAX && below * 100 < all * percent; took++)
		below += rate->took_us100[took];
	return took * 100;
}

static void note_failure(struct rate *rate, const struct asker *asker, enum kind kind)
{
	size_t i = rate->nfailures;

	if (kind == KIND_OK || i == FAILURES_MAX)
		return;
	rate->failures[i].kind = kind;
	rate->failures[i].started_ms = asker->started_ms - rate->begin_ms;
	rate->failures[i].ended_ms = now_ms() - rate->begin_ms;
	rate->nfailures++;
}

static void asker_end(struct rate *rate, struct asker *asker, enum kind kind)
{
	uint64_t ms = now_ms() - asker->started_ms;
	uint64_t took = (now_us() - asker->started_us) / 100;

	rate->took_us100[took < TOOK_MAX ? took : TOOK_MAX - 1]++;
	if (kind == KIND_OK) {
		/* The whole answer is one line. */
		if (asker->len == 0) {
			kind = KIND_SHORT;
		} else if (asker->answer[asker->len - 1] != '\n') {
			kind = KIND_WRONG;
		} else {
			asker->answer[asker->len - 1] = '\0';
			count_name(rate, asker->answer);
		}
	}
	rate->ended[kind]++;
	note_failure(rate, asker, kind);
	if (ms > rate->slowest_ms)
		rate->slowest_ms = ms;
	asker->next->prev = asker->prev;
	asker->prev->next = asker->next;
	close(asker->fd);
	free(asker);
}

static void asker_start(struct rate *rate)
{
	struct asker *asker = calloc(1, sizeof(*asker));
	struct epoll_event event = { .events = EPOLLIN | EPOLLOUT, .data.ptr = asker };

	if (!asker)
		die("no memory");
	asker->fd =
		socket(rate->addr->addr.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (asker->fd < 0)
		die("socket: %s", strerror(errno));
	asker->started_ms = now_ms();
	asker->started_us = now_us();
	asker->next = &rate->list;
	asker->prev = rate->list.prev;
	rate->list.prev->next = asker;
	rate->list.prev = asker;
	rate->started++;
	if (connect(asker->fd, (const struct sockaddr *)&rate->addr->addr, rate->addr->len) < 0 &&
		errno != EINPROGRESS) {
		asker_end(rate, asker, kind_of_errno(errno));
		return;
	}
	epoll_ctl(rate->epoll_fd, EPOLL_CTL_ADD, asker->fd, &event);
}

static void on_asker_event(struct rate *rate, struct asker *asker, uint32_t events)
{
	struct epoll_event reading = { .events = EPOLLIN, .data.ptr = asker };
	ssize_t n;

	if (!asker->sent && events & EPOLLOUT) {
		n = send(asker->fd, request, sizeof(request) - 1, MSG_NOSIGNAL);
		if (n < 0) {
			asker_end(rate, asker, kind_of_errno(errno));
			return;
		}
		asker->sent = true;
		epoll_ctl(rate->epoll_fd, EPOLL_CTL_MOD, asker->fd, &reading);
	}
	if (!(events & (EPOLLIN | EPOLLERR | EPOLLHUP)))
		return;
	n = recv(asker->fd, asker->answer + asker->len, ANSWER_MAX - 1 - asker->len, 0);
	if (n < 0 && errno == EAGAIN)
		return;
	if (n < 0)
		asker_end(rate, asker, kind_of_errno(errno));
	else if (n == 0)
		asker_end(rate, asker, KIND_OK);
	else if ((asker->len += (size_t)n) == ANSWER_MAX - 1)
		asker_end(rate, asker, KIND_WRONG);
}

static void print_rate(const struct rate *rate)
{
	printf("{\"started\":%llu", (unsigned long long)rate->started);
	for (int i = 0; i < KINDS; i++)
		printf(",\"%s\":%llu", kind_names[i], (unsigned long long)rate->ended[i]);
	printf(",\"p50_us\":%llu,\"p99_us\":%llu,\"slowest_ms\":%llu,\"answers\":{",
		(unsigned long long)rate_percentile_us(rate, 50),
		(unsigned long long)rate_percentile_us(rate, 99),
		(unsigned long long)rate->slowest_ms);
	for (size_t i = 0; i < rate->nnames; i++)
		printf("%s\"%s\":%llu", i ? "," : "", rate->names[i].text,
			(unsigned long long)rate->names[i].count);
	printf("},\"failures\":[");
	for (size_t i = 0; i < rate->nfailures; i++)
		printf("%s{\"what\":\"%s\",\"started_ms\":%llu,\"ended_ms\":%llu}", i ? "," : "",
			kind_names[rate->failures[i].kind],
			(unsigned long long)rate->failures[i].started_ms,
			(unsigned long long)rate->failures[i].ended_ms);
	printf("]}\n");
}

int many_rate(
	const struct peer_addr *addr, uint64_t per_second, uint64_t seconds, uint64_t timeout_s)
{
	struct rate rate = { .addr = addr };
	struct epoll_event events[EVENTS_MAX];
	uint64_t begin = now_ms();
	uint64_t until = begin + seconds * 1000;

	signal(SIGTERM, on_term);
	rate.begin_ms = begin;
	rate.list.next = &rate.list;
	rate.list.prev = &rate.list;
	rate.epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	for (;;) {
		uint64_t now = now_ms();
		uint64_t due;
		int n;

		if (enough && until > now)
			until = now;
		due = ((now < until ? now : until) - begin) * per_second / 1000;
		while (rate.started < due)
			asker_start(&rate);
		if (now >= until && rate.list.next == &rate.list)
			break;
		n = epoll_wait(rate.epoll_fd, events, EVENTS_MAX, 1);
		for (int i = 0; i < n; i++)
			on_asker_event(&rate, events[i].data.ptr, events[i].events);
		while (rate.list.next != &rate.list &&
			now_ms() - rate.list.next->started_ms > timeout_s * 1000)
			asker_end(&rate, rate.list.next, KIND_TIMEOUT);
	}
	close(rate.epoll_fd);
	print_rate(&rate);
	return OUTCOME_OK;
}

/* ------------------------------------------------------------------ hold */

/* All that waits, thrown away. 1: there was some; 0: nothing; -1: the peer has ended. */
static int swallow(int fd)
{
	char buf[4096];
	int found = 0;
	ssize_t n;

	while ((n = recv(fd, buf, sizeof(buf), MSG_DONTWAIT)) > 0)
		found = 1;
	return n == 0 || errno != EAGAIN ? -1 : found;
}

/* Connects in a row; over loopback the kernel answers for a listener that does not accept yet. A refused one
 * leaves -1. */
static uint64_t open_all(const struct peer_addr *addr, int *fds, uint64_t n)
{
	uint64_t connected = 0;

	for (uint64_t i = 0; i < n; i++) {
		fds[i] = peer_socket(addr);
		if (connect(fds[i], (const struct sockaddr *)&addr->addr, addr->len) == 0) {
			connected++;
		} else {
			close(fds[i]);
			fds[i] = -1;
		}
	}
	printf("connected %llu\n", (unsigned long long)connected);
	fflush(stdout);
	return connected;
}

#define DRIPS 100 /* portions of a second: the clients do not beat in step */

/* A byte on every hundredth, never a whole request. */
static void drip(const int *fds, uint64_t n, uint64_t portion)
{
	for (uint64_t i = portion % DRIPS; i < n; i += DRIPS) {
		if (fds[i] >= 0)
			(void)!send(fds[i], "x", 1, MSG_NOSIGNAL | MSG_DONTWAIT);
	}
}

int many_hold(const struct peer_addr *addr, uint64_t n, uint64_t seconds, bool dripping)
{
	uint64_t portion = 0;
	uint64_t dripped_ms = now_ms();
	uint64_t answered = 0;
	uint64_t connected;
	uint64_t lost = 0;
	uint64_t until;
	int *fds = calloc(n, sizeof(*fds));

	if (!fds)
		die("no memory");
	signal(SIGTERM, on_term);
	connected = open_all(addr, fds, n);
	until = now_ms() + seconds * 1000;
	while (!enough && now_ms() < until) {
		sleep_ms(10);
		if (dripping && now_ms() - dripped_ms >= 1000 / DRIPS) {
			drip(fds, n, portion++);
			dripped_ms += 1000 / DRIPS;
		}
	}
	for (uint64_t i = 0; i < n; i++) {
		if (fds[i] < 0)
			continue;
		if (swallow(fds[i]) >= 0 &&
			send(fds[i], request, sizeof(request) - 1, MSG_NOSIGNAL) > 0)
			continue;
		lost++;
		close(fds[i]);
		fds[i] = -1;
	}
	until = now_ms() + 2000;
	for (uint64_t i = 0; i < n; i++) {
		struct pollfd wait = { .fd = fds[i], .events = POLLIN };
		uint64_t now = now_ms();

		if (fds[i] < 0 || poll(&wait, 1, now < until ? (int)(until - now) : 0) <= 0)
			continue;
		if (swallow(fds[i]) > 0)
			answered++;
		else
			lost++;
	}
	printf("{\"asked\":%llu,\"connected\":%llu,\"lost\":%llu,\"answered\":%llu}\n",
		(unsigned long long)n, (unsigned long long)connected, (unsigned long long)lost,
		(unsigned long long)answered);
	free(fds);
	return OUTCOME_OK;
}
