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
#include "common/srv.h"

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
	struct resolver *resolver; /* borrowed */
	unsigned open;             /* questions that c-ares has */
	uint32_t ttl_s;
	const char *error; /* static */
	size_t naddrs;
	size_t room;
	struct resolved *addrs; /* owned */
};

/* One question of a lookup: the addresses of a name, which is its own or the target of an SRV record. */
struct question {
	struct lookup *lookup; /* borrowed */
	struct srv_record srv; /* port 0: none */
	bool asked;            /* the call to c-ares is over: what comes now came from a server */
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
	free(lookup->addrs);
	free(lookup);
}

static void lookup_add(
	struct lookup *lookup, const struct sockaddr_any *addr, const struct srv_record *srv)
{
	struct resolved found = { .addr = *addr };

	if (addr->len == 0 || lookup->naddrs == RESOLVER_ADDRS_MAX)
		return;
	if (srv != NULL) {
		sockaddr_set_port(&found.addr, srv->port);
		found.priority = srv->priority;
		found.weight = srv->weight;
	}
	for (size_t i = 0; i < lookup->naddrs; i++) {
		if (sockaddr_equal(&lookup->addrs[i].addr, &found.addr) &&
			lookup->addrs[i].priority == found.priority)
			return;
	}
	if (lookup->naddrs == lookup->room) {
		lookup->room = lookup->room > 0 ? 2 * lookup->room : 4;
		lookup->addrs = realloc(lookup->addrs, lookup->room * sizeof(*lookup->addrs));
		if (lookup->addrs == NULL)
			resolver_no_memory();
	}
	lookup->addrs[lookup->naddrs++] = found;
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
		lookup->done(&(struct resolver_answer){ .error = late }, lookup->arg);
		break;
	case LOOKUP_ANSWERED:
		/* Out of the list first, so that a resolver_free within does not free it, too. */
		LIST_REMOVE(lookup, entry);
		lookup->done(&(struct resolver_answer){ lookup->naddrs, lookup->addrs,
				     lookup->ttl_s, lookup->error },
			lookup->arg);
		event_free(lookup->timer);
		free(lookup->addrs);
		free(lookup);
		break;
	case LOOKUP_ABANDONED:
		break;
	}
}

/* One question less. After the last one the answer is complete, or nobody waits for it any more. */
static void lookup_answered(struct lookup *lookup, int status)
{
	MUST(lookup->open > 0);
	lookup->open--;
	if (status == ARES_EDESTRUCTION)
		lookup->state = LOOKUP_ABANDONED;
	else if (status != ARES_SUCCESS && lookup->error == NULL)
		lookup->error = ares_strerror(status);
	if (lookup->open > 0)
		return;
	if (lookup->state == LOOKUP_ABANDONED)
		lookup_free(lookup);
	else
		lookup_answer(lookup,
			lookup->error != NULL ? lookup->error : ares_strerror(ARES_ENODATA));
}

static void lookup_shorten_ttl(struct lookup *lookup, uint32_t ttl_s)
{
	if (ttl_s < lookup->ttl_s)
		lookup->ttl_s = ttl_s;
}

static void on_ares_addrs(void *arg, int status, int timeouts, struct ares_addrinfo *result)
{
	struct question *question = arg;
	struct lookup *lookup = question->lookup;

	(void)timeouts;
	for (struct ares_addrinfo_node *node = result != NULL ? result->nodes : NULL; node != NULL;
		node = node->ai_next) {
		struct sockaddr_any addr;

		sockaddr_from_kernel(node->ai_addr, node->ai_addrlen, &addr);
		sockaddr_set_port(&addr, 0);
		lookup_add(lookup, &addr, question->srv.port != 0 ? &question->srv : NULL);
		/* The hosts file is read within the call, and knows no time to live. */
		if (question->asked)
			lookup_shorten_ttl(lookup, node->ai_ttl > 0 ? (uint32_t)node->ai_ttl : 0);
	}
	if (result != NULL)
		ares_freeaddrinfo(result);
	if (question->asked)
		free(question);
	else
		question->lookup = NULL;
	lookup_answered(lookup, status);
}

static void lookup_ask_addrs(struct lookup *lookup, const char *host, const struct srv_record *srv)
{
	const struct ares_addrinfo_hints hints = { .ai_family = AF_UNSPEC,
		.ai_socktype = SOCK_STREAM };
	struct question *question = calloc(1, sizeof(*question));

	if (question == NULL)
		resolver_no_memory();
	question->lookup = lookup;
	if (srv != NULL)
		question->srv = *srv;
	lookup->open++;
	ares_getaddrinfo(lookup->resolver->ares, host, NULL, &hints, on_ares_addrs, question);
	if (question->lookup == NULL)
		free(question);
	else
		question->asked = true;
}

static void on_ares_srv(void *arg, int status, int timeouts, unsigned char *bytes, int len)
{
	struct lookup *lookup = arg;
	struct srv_record *records = NULL;
	uint32_t ttl_s = RESOLVER_NO_TTL;
	size_t n = 0;

	(void)timeouts;
	if (status == ARES_SUCCESS && lookup->state == LOOKUP_ASKING) {
		records = calloc(RESOLVER_ADDRS_MAX, sizeof(*records));
		if (records == NULL)
			resolver_no_memory();
		if (srv_parse(bytes, (size_t)len, records, RESOLVER_ADDRS_MAX, &n, &ttl_s) == -1)
			status = ARES_EBADRESP;
		lookup_shorten_ttl(lookup, ttl_s);
	}
	for (size_t i = 0; i < n; i++)
		lookup_ask_addrs(lookup, records[i].target, &records[i]);
	free(records);
	lookup_answered(lookup, status);
}

static struct lookup *lookup_new(
	struct resolver *resolver, unsigned timeout_ms, resolver_done_fn *done, void *arg)
{
	const struct timeval tv = clock_timeval(timeout_ms);
	struct lookup *lookup = calloc(1, sizeof(*lookup));

	if (lookup == NULL)
		resolver_no_memory();
	resolver_reread(resolver);
	lookup->resolver = resolver;
	lookup->timeout_ms = timeout_ms;
	lookup->ttl_s = RESOLVER_NO_TTL;
	lookup->done = done;
	lookup->arg = arg;
	lookup->timer = evtimer_new(resolver->base, on_lookup_timer, lookup);
	if (lookup->timer == NULL || event_add(lookup->timer, &tv) == -1)
		resolver_no_memory();
	LIST_INSERT_HEAD(&resolver->lookups, lookup, entry);
	return lookup;
}

void resolver_lookup(struct resolver *resolver, const char *host, unsigned timeout_ms,
	resolver_done_fn *done, void *arg)
{
	struct lookup *lookup = lookup_new(resolver, timeout_ms, done, arg);
	struct sockaddr_any literal;

	if (sockaddr_from_literal(host, 0, &literal) == 0) {
		lookup_add(lookup, &literal, NULL);
		lookup_answer(lookup, NULL);
		return;
	}
	lookup_ask_addrs(lookup, host, NULL);
	resolver_arm(resolver);
}

void resolver_lookup_srv(struct resolver *resolver, const char *service, unsigned timeout_ms,
	resolver_done_fn *done, void *arg)
{
	struct lookup *lookup = lookup_new(resolver, timeout_ms, done, arg);

	lookup->open++;
	ares_search(resolver->ares, service, SRV_CLASS, SRV_TYPE, on_ares_srv, lookup);
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
