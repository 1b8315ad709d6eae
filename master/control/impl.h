/* What control.c (the socket, who comes) and control_client.c (one client, from its question to its end) share. Nobody else
 * includes it.
 */
#ifndef PROXYD_MASTER_CONTROL_IMPL_H
#define PROXYD_MASTER_CONTROL_IMPL_H

#include <grp.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/must.h"
#include "master/change/reload.h"
#include "master/control/control.h"
#include "master/control/line.h"
#include "master/control/socket.h"
#include "master/views/views.h"

enum control_client_state {
	CLIENT_ASKING,    /* its line is not complete */
	CLIENT_WAITING,   /* for the end of what it asked for */
	CLIENT_ANSWERING, /* the answer is on its way */
	CLIENT_ENDING,    /* all is said; what it still sends is dropped until it ends, too */
};

struct control_client {
	struct control *control; /* borrowed */
	uint64_t touched_ms;     /* when it did something last */
	enum control_client_state state;
	int fd;                 /* owned */
	struct event *readable; /* owned */
	struct event *writable; /* owned */
	struct event *deadline; /* owned timer */
	struct control_peer peer;
	struct evbuffer *out;        /* owned */
	struct answer *answer;       /* owned; NULL: nothing more follows */
	struct conf_diff *diff;      /* owned; NULL unless the answer shows one */
	struct config *config;       /* held from the question on */
	struct view_source source;   /* of the answer */
	struct reload_waiter waiter; /* while it waits */
	bool json;
	size_t have;
	char line[CONTROL_LINE_MAX + 1];
};

struct control {
	const struct conf *conf; /* borrowed, until it serves */
	struct config *config;   /* held: that serves; NULL before */
	struct control_socket socket;
	gid_t group;              /* (gid_t)-1: none */
	char why_not[256];        /* goes without a socket; "": it has one */
	struct event_base *base;  /* borrowed */
	struct event *acceptable; /* owned */
	struct event *rest;       /* owned timer */
	struct view_source source;
	struct control_actions actions;
	size_t nclients;
	struct control_client *clients[CONTROL_CLIENTS_MAX]; /* owned */
};

/* It did something: it has its time anew, and is the last that has to go for another. */
void control_client_touch(struct control_client *client);

/* Its line is there, or a part of it. */
void control_client_readable(struct control_client *client);

/* There is room for its answer. */
void control_client_writable(struct control_client *client);

/* One portion of the answer. Returns false when the client is to be ended. */
bool control_client_write(struct control_client *client);

void control_client_close(struct control_client *client);
void control_client_free(
	struct control_client *client); /* one that is not, or no more, on the list */

#endif
