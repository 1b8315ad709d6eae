/* c-ares on libevent. Every lookup has one timer event, through which its answer goes in any case: so it
 * never comes from within resolver_lookup or from within c-ares, and the caller may free the resolver.
 */
#include "common/resolver.h"

#include <ares.h>
#include <event2/event.h>
#include <netdb.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#include "common/child.h"
#include "common/clock.h"
#include "common/log.h"

#define RESOLVER_ADDRS_MAX 16
/* Per server and try; the wait doubles with each. A lookup's own timer may end it sooner. */
#define RESOLVER_TRY_MS    1000
#define RESOLVER_TRIES     3
#define RESOLVER_REREAD_MS 30000 /* /etc/resolv.conf may have changed since */

enum lookup_state {
	LOOKUP_ASKING,    /* c-ares has it */
	LOOKUP_ANSWERED,  /* the answer is here, its timer is about to fire */
	LOOKUP_ABANDONED, /* answered as timed out; c-ares still has it */
};

struct lookup {
	LIST_ENTRY(lookup) entry;
	enum lookup_state state;
	struct event *timer;
	unsigned timeout_ms;
	resolver_done_fn *done;
	void *arg;
	const char *error; /* static */
	size_t naddrs;
	struct sockaddr_any addrs[RESOLVER_ADDRS_MAX];
};

/* A socket of c-ares that it wants to be watched. */
struct resolver_socket {
	LIST_ENTRY(resolver_socket) entry;
	ares_socket_t fd; /* borrowed */
	struct event *event;
};

struct resolver {
	struct event_base *base;
	ares_channel ares;
	uint64_t ares_since_ms;
	struct event *timer; /* c-ares's own timeouts */
	LIST_HEAD(lookup_list, lookup) lookups;
	LIST_HEAD(resolver_sockets, resolver_socket) sockets;
};

static __attribute__((noreturn)) void resolver_no_memory(void)
{
	log_fatalx("out of memory for the resolver");
	exit(EXIT_CODE_FAILED);
}

/* ------------------------------------------------------------------ c-ares in the loop */

static void resolver_arm(struct resolver *resolver)
{
	struct timeval tv;

	if (ares_timeout(resolver->ares, NULL, &tv) != NULL)
		event_add(resolver->timer, &tv);
	else
		event_del(resolver->timer);
}

static void on_resolver_timer(evutil_socket_t fd, short what, void *arg)
{
	struct resolver *resolver = arg;

	(void)fd;
	(void)what;
	ares_process_fd(resolver->ares, ARES_SOCKET_BAD, ARES_SOCKET_BAD);
	resolver_arm(resolver);
}

static void on_resolver_socket(evutil_socket_t fd, short what, void *arg)
{
	struct resolver *resolver = arg;

	ares_process_fd(resolver->ares, (what & EV_READ) != 0 ? fd : ARES_SOCKET_BAD,
		(what & EV_WRITE) != 0 ? fd : ARES_SOCKET_BAD);
	resolver_arm(resolver);
}

static void resolver_socket_del(struct resolver_socket *s)
{
	LIST_REMOVE(s, entry);
	event_free(s->event);
	free(s);
}

/* c-ares says what it waits for on a socket; nothing: it is about to close it. */
static void on_ares_socket(void *arg, ares_socket_t fd, int readable, int writable)
{
	struct resolver *resolver = arg;
	short what = (short)((readable ? EV_READ : 0) | (writable ? EV_WRITE : 0));
	struct resolver_socket *s;

	for (s = LIST_FIRST(&resolver->sockets); s != NULL && s->fd != fd;)
		s = LIST_NEXT(s, entry);
	if (s != NULL)
		resolver_socket_del(s);
	if (what == 0)
		return;
	s = calloc(1, sizeof(*s));
	if (s == NULL)
		resolver_no_memory();
	s->fd = fd;
	s->event = event_new(
		resolver->base, fd, (short)(what | EV_PERSIST), on_resolver_socket, resolver);
	if (s->event == NULL || event_add(s->event, NULL) == -1)
		resolver_no_memory();
	LIST_INSERT_HEAD(&resolver->sockets, s, entry);
}

static int resolver_ares_new(struct resolver *resolver, ares_channel *ares_r)
{
	struct ares_options options = {
		.timeout = RESOLVER_TRY_MS,
		.tries = RESOLVER_TRIES,
		.sock_state_cb = on_ares_socket,
		.sock_state_cb_data = resolver,
	};

	return ares_init_options(
		ares_r, &options, ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES | ARES_OPT_SOCK_STATE_CB);
}

/* c-ares reads the system's settings when it starts: start it anew now and then, while it is idle. */
static void resolver_reread(struct resolver *resolver)
{
	ares_channel fresh;

	if (!LIST_EMPTY(&resolver->lookups) ||
		clock_now_ms() - resolver->ares_since_ms < RESOLVER_REREAD_MS)
		return;
	resolver->ares_since_ms = clock_now_ms();
	if (resolver_ares_new(resolver, &fresh) != ARES_SUCCESS)
		return;
	ares_destroy(resolver->ares);
	resolver->ares = fresh;
}

/* ------------------------------------------------------------------ lookups */

static void lookup_free(struct lookup *lookup)
{
	LIST_REMOVE(lookup, entry);
	event_free(lookup->timer);
	free(lookup);
}

static void lookup_add(struct lookup *lookup, const struct sockaddr_any *addr)
{
	if (addr->len == 0 || lookup->naddrs == RESOLVER_ADDRS_MAX)
		return;
	for (size_t i = 0; i < lookup->naddrs; i++) {
		if (sockaddr_equal(&lookup->addrs[i], addr))
			return;
	}
	lookup->addrs[lookup->naddrs++] = *addr;
}

/* The answer is complete; it is given from the loop. */
static void lookup_answer(struct lookup *lookup, const char *error)
{
	lookup->state = LOOKUP_ANSWERED;
	lookup->error = lookup->naddrs == 0 ? error : NULL;
	event_active(lookup->timer, EV_TIMEOUT, 0);
}

static void on_lookup_timer(evutil_socket_t fd, short what, void *arg)
{
	struct lookup *lookup = arg;
	char late[64];

	(void)fd;
	(void)what;
	switch (lookup->state) {
	case LOOKUP_ASKING:
		lookup->state = LOOKUP_ABANDONED;
		snprintf(late, sizeof(late), "no answer within %u ms", lookup->timeout_ms);
		/* The last that is done here: the resolver may be gone afterwards. */
		lookup->done(NULL, 0, late, lookup->arg);
		break;
	case LOOKUP_ANSWERED:
		/* Out of the list first, so that a resolver_free within does not free it, too. */
		LIST_REMOVE(lookup, entry);
		lookup->done(lookup->addrs, lookup->naddrs, lookup->error, lookup->arg);
		event_free(lookup->timer);
		free(lookup);
		break;
	case LOOKUP_ABANDONED:
		break;
	}
}

static void on_ares_done(void *arg, int status, int timeouts, struct ares_addrinfo *result)
{
	struct lookup *lookup = arg;

	(void)timeouts;
	if (status == ARES_EDESTRUCTION || lookup->state == LOOKUP_ABANDONED) {
		lookup_free(lookup);
	} else {
		for (struct ares_addrinfo_node *node = result != NULL ? result->nodes : NULL;
			node != NULL; node = node->ai_next) {
			struct sockaddr_any addr;

			sockaddr_from_kernel(node->ai_addr, node->ai_addrlen, &addr);
			sockaddr_set_port(&addr, 0);
			lookup_add(lookup, &addr);
		}
		lookup_answer(
			lookup, ares_strerror(status == ARES_SUCCESS ? ARES_ENODATA : status));
	}
	if (result != NULL)
		ares_freeaddrinfo(result);
}

void resolver_lookup(struct resolver *resolver, const char *host, unsigned timeout_ms,
	resolver_done_fn *done, void *arg)
{
	const struct timeval tv = { .tv_sec = timeout_ms / 1000,
		.tv_usec = (suseconds_t)(timeout_ms % 1000) * 1000 };
	const struct ares_addrinfo_hints hints = { .ai_family = AF_UNSPEC,
		.ai_socktype = SOCK_STREAM };
	struct lookup *lookup = calloc(1, sizeof(*lookup));
	struct sockaddr_any literal;

	if (lookup == NULL)
		resolver_no_memory();
	resolver_reread(resolver);
	lookup->timeout_ms = timeout_ms;
	lookup->done = done;
	lookup->arg = arg;
	lookup->timer = evtimer_new(resolver->base, on_lookup_timer, lookup);
	if (lookup->timer == NULL || event_add(lookup->timer, &tv) == -1)
		resolver_no_memory();
	LIST_INSERT_HEAD(&resolver->lookups, lookup, entry);
	if (sockaddr_from_literal(host, 0, &literal) == 0) {
		lookup_add(lookup, &literal);
		lookup_answer(lookup, NULL);
		return;
	}
	ares_getaddrinfo(resolver->ares, host, NULL, &hints, on_ares_done, lookup);
	resolver_arm(resolver);
}

/* ------------------------------------------------------------------ new and free */

struct resolver *resolver_new(struct event_base *base, const char **error_r)
{
	struct resolver *resolver = calloc(1, sizeof(*resolver));
	int status;

	if (resolver == NULL)
		resolver_no_memory();
	resolver->base = base;
	resolver->ares_since_ms = clock_now_ms();
	LIST_INIT(&resolver->lookups);
	LIST_INIT(&resolver->sockets);
	resolver->timer = evtimer_new(base, on_resolver_timer, resolver);
	if (resolver->timer == NULL)
		resolver_no_memory();
	status = ares_library_init(ARES_LIB_INIT_ALL);
	if (status == ARES_SUCCESS)
		status = resolver_ares_new(resolver, &resolver->ares);
	if (status != ARES_SUCCESS) {
		*error_r = ares_strerror(status);
		event_free(resolver->timer);
		free(resolver);
		return NULL;
	}
	return resolver;
}

void resolver_free(struct resolver *resolver)
{
	struct lookup *next_lookup;
	struct resolver_socket *next_socket;

	if (resolver == NULL)
		return;
	ares_destroy(resolver->ares); /* calls back for, and so frees, all that it still has */
	for (struct lookup *l = LIST_FIRST(&resolver->lookups); l != NULL; l = next_lookup) {
		next_lookup = LIST_NEXT(l, entry);
		lookup_free(l);
	}
	for (struct resolver_socket *s = LIST_FIRST(&resolver->sockets); s != NULL;
		s = next_socket) {
		next_socket = LIST_NEXT(s, entry);
		resolver_socket_del(s);
	}
	event_free(resolver->timer);
	free(resolver);
}
