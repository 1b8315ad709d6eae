/* The admin process from within. Nobody else includes it.
 *
 *   admin.c    the process: loop, channel, heartbeat, sockets
 *   http.c     requests: who may ask what, and where it is answered
 *   clients.c  how many there are, and how long they may take
 *   body.c     answers in portions
 *   ask.c      what the master knows: /api/v1
 *   health.c   /healthz, /readyz
 *   metrics*.c /metrics
 *   page.c     the dashboard; state.c what it shows
 */
#ifndef PROXYD_WORKER_ADMIN_IMPL_H
#define PROXYD_WORKER_ADMIN_IMPL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "common/child.h"
#include "common/must.h"

struct asks;
struct channel;
struct clients;
struct dashboard;
struct evbuffer;
struct evhttp;
struct evhttp_request;
struct event;
struct event_base;
struct sockets;
struct body;

struct admin {
	const struct child *child; /* borrowed */
	struct event_base *base;   /* owned */
	struct channel *channel;   /* owned */
	struct event *heartbeat;   /* owned */
	struct event *sweep;       /* owned timer */
	struct event *farewell;    /* owned: after it nobody is waited for any more */
	struct sockets *sockets;   /* owned */
	struct evhttp *http;       /* owned */
	struct clients *clients;   /* owned */
	struct asks *asks;         /* owned */
	struct dashboard *page;    /* owned */
	pid_t master;              /* our parent */
	bool ending;
	unsigned farewells; /* how often it was looked whether somebody is left */
};

__attribute__((noreturn)) void admin_no_memory(const char *what);

/* Whether the master runs: it lives, and says so. */
bool admin_has_master(const struct admin *admin);

/* ------------------------------------------------------------------ http.c */

struct evhttp *http_new(struct admin *admin);

/* One answer, whole. type NULL: a short text. */
void http_reply(
	struct evhttp_request *request, int status, const char *type, struct evbuffer *body);
void http_reply_text(struct evhttp_request *request, int status, const char *text);
void http_reply_no_memory(struct evhttp_request *request);

bool http_is_head(struct evhttp_request *request);

/* What every answer has; before its first byte. */
void http_headers(struct evhttp_request *request, const char *type);

/* ------------------------------------------------------------------ clients.c */

#define CLIENTS_MAX 64 /* one more, and the one that was idle longest goes */

/* Exits when there is no memory. */
struct clients *clients_new(struct event_base *base, struct evhttp *http);

/* To be called every CLIENTS_SWEEP_MS: who takes too long has to go. */
void clients_sweep(struct clients *clients);
#define CLIENTS_SWEEP_MS 250

/* A request came, whose answer is now being made. */
void clients_begin(struct clients *clients, struct evhttp_request *request);

/* Those whose answers are not under way end now. Returns how many are left. */
size_t clients_end_idle(struct clients *clients);

/* All of them end now. Returns how many there were. */
size_t clients_end(struct clients *clients);
void clients_free(struct clients *clients);

/* This one's connection breaks, so that it sees that its answer is not whole. */
void clients_break(struct evhttp_request *request);

/* ------------------------------------------------------------------ body.c */

struct body_ops {
	/* What was written is with the client: go on. */
	void (*drained)(void *arg);
	/* The client is gone: body_drop follows at once, from within. */
	void (*gone)(void *arg);
};

/* An answer whose body comes in portions. Nothing is sent before the first one. NULL without memory. */
struct body *body_new(
	struct evhttp_request *request, const char *type, const struct body_ops *ops, void *arg);
void body_write(struct body *body, struct evbuffer *portion);
void body_end(struct body *body);   /* all is said */
void body_drop(struct body *body);  /* nobody is there to hear it */
void body_abort(struct body *body); /* the rest will never come */

/* Nothing was written: the request is the caller's again, who answers it otherwise. */
MUST_USE struct evhttp_request *body_release(struct body *body);

/* A body that is made as it is sent, portion by portion, one in a turn of the loop. */
struct source {
	/* Add some. Returns 1 when there is more, 0 at the end, -1 without memory. */
	int (*more)(struct source *source, struct evbuffer *out);
	void (*free)(struct source *source);
};

#define SOURCE_PORTION 32768 /* about so many bytes */

/* Takes source over; NULL: there was no memory for it. */
void body_source(struct evhttp_request *request, const char *type, struct source *source);

/* ------------------------------------------------------------------ what is answered */

struct asks *asks_new(struct admin *admin);
void asks_free(struct asks *asks); /* whoever waits is answered */

/* The master's answer to a line. */
void ask_begin(struct asks *asks, struct evhttp_request *request, const char *line);

void health_alive(struct admin *admin, struct evhttp_request *request);
void health_ready(struct admin *admin, struct evhttp_request *request);

#endif
