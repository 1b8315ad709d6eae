/* An event carries its watch's address and, in the bits that an address leaves free, the serial of the registration: of
 * one that ended in the meantime nobody hears.
 */
#include "worker/relay/poller.h"

#include <errno.h>
#include <event2/event_struct.h>
#include <stdlib.h>
#include <unistd.h>

#include "common/child.h"
#include "common/log.h"

#define POLLER_BATCH        256 /* events in one turn of the loop */
#define POLLER_AGAIN        2   /* so many at once speak for more */
#define POLLER_ADDRESS_BITS 48

struct poller {
	int fd; /* owned */
	struct event event;
	struct epoll_event events[POLLER_BATCH];
};

static void poller_out_of(const char *what)
{
	log_fatal("%s", what);
	exit(EXIT_CODE_FAILED);
}

/* poll(2) for the few fds that are left: while an epoll set is in another one, each socket that goes into it takes a
 * mutex of the whole machine, and each event wakes both. */
struct event_base *poller_event_base(void)
{
	struct event_config *config = event_config_new();
	struct event_base *base;

	if (config == NULL || event_config_set_flag(config, EVENT_BASE_FLAG_NOLOCK) < 0 ||
		event_config_avoid_method(config, "epoll") < 0 ||
		event_config_avoid_method(config, "select") < 0)
		poller_out_of("no event loop");
	base = event_base_new_with_config(config);
	event_config_free(config);
	if (base == NULL)
		poller_out_of("no event loop");
	return base;
}

static void poller_tell(const struct epoll_event *event)
{
	const uint64_t address = event->data.u64 & ((1ULL << POLLER_ADDRESS_BITS) - 1);
	struct poller_watch *watch =
		(struct poller_watch *)(uintptr_t)address; /* NOLINT(performance-no-int-to-ptr) */

	if (watch->watched && watch->serial == event->data.u64 >> POLLER_ADDRESS_BITS)
		watch->on_event(watch, event->events);
}

static void on_poller_ready(evutil_socket_t fd, short what, void *arg)
{
	struct poller *poller = arg;
	int told = 0;
	int n;

	(void)fd;
	(void)what;
	/* While there was more than one there may be more by now: the loop's own turn is left out then. */
	do {
		n = epoll_wait(poller->fd, poller->events, POLLER_BATCH, 0);
		MUST(n >= 0 || errno == EINTR);
		for (int i = 0; i < n; i++)
			poller_tell(&poller->events[i]);
		told += n;
	} while (n >= POLLER_AGAIN && told < POLLER_BATCH);
}

struct poller *poller_new(struct event_base *base)
{
	struct poller *poller = calloc(1, sizeof(*poller));

	if (poller == NULL)
		poller_out_of("no memory for the sockets' events");
	poller->fd = epoll_create1(EPOLL_CLOEXEC);
	if (poller->fd < 0 ||
		event_assign(&poller->event, base, poller->fd, EV_READ | EV_PERSIST,
			on_poller_ready, poller) < 0 ||
		event_add(&poller->event, NULL) < 0)
		poller_out_of("no epoll");
	return poller;
}

void poller_free(struct poller *poller)
{
	if (poller == NULL)
		return;
	event_del(&poller->event);
	close(poller->fd);
	free(poller);
}

int poller_add(struct poller *poller, struct poller_watch *watch, int fd, uint32_t events)
{
	struct epoll_event event = { .events = events };

	MUST((uintptr_t)watch >> POLLER_ADDRESS_BITS == 0 && !watch->watched);
	watch->serial++;
	event.data.u64 = (uint64_t)watch->serial << POLLER_ADDRESS_BITS | (uintptr_t)watch;
	if (epoll_ctl(poller->fd, EPOLL_CTL_ADD, fd, &event) < 0)
		return -1;
	watch->watched = true;
	return 0;
}

void poller_del(struct poller *poller, struct poller_watch *watch, int fd)
{
	if (watch->watched)
		(void)epoll_ctl(poller->fd, EPOLL_CTL_DEL, fd, NULL);
	watch->watched = false;
}

void poller_forget(struct poller_watch *watch)
{
	watch->watched = false;
}
