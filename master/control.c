/* Clients of the control socket, from accept to close. Each has a bounded line, a bounded answer in memory and
 * a bounded time; what it asks for is control_verbs.c's.
 */
#include "master/control.h"

#include <errno.h>
#include <event2/buffer.h>
#include <event2/event.h>
#include <grp.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/child.h"
#include "common/clock.h"
#include "common/log.h"
#include "conf/conf.h"
#include "conf/diff.h"
#include "master/config.h"
#include "master/control_answer.h"
#include "master/control_line.h"
#include "master/control_socket.h"
#include "master/reload.h"
#include "master/views.h"

#define CONTROL_ACCEPTS 16    /* in one turn */
#define CONTROL_REST_MS 100   /* when there are no fds for another client */
#define CONTROL_OUT_MAX 65536 /* more of an answer is made when less than this waits */
#define CONTROL_END_MS  500   /* for a client to end after its answer */

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

/* ------------------------------------------------------------------ a client's end */

static void control_client_free(struct control_client *client)
{
	if (client->readable != NULL)
		event_free(client->readable);
	if (client->writable != NULL)
		event_free(client->writable);
	if (client->deadline != NULL)
		event_free(client->deadline);
	if (client->out != NULL)
		evbuffer_free(client->out);
	if (client->state == CLIENT_WAITING)
		client->control->actions.forget(&client->waiter, client->control->actions.arg);
	answer_free(client->answer);
	conf_diff_free(client->diff);
	config_release(client->config);
	close(client->fd);
	free(client);
}

static void control_client_close(struct control_client *client)
{
	struct control *control = client->control;

	for (size_t i = 0; i < control->nclients; i++) {
		if (control->clients[i] == client) {
			control->clients[i] = control->clients[--control->nclients];
			break;
		}
	}
	control_client_free(client);
}

/* It did something: it has its time anew, and is the last that has to go for another. */
static void control_client_touch(struct control_client *client)
{
	static const struct timeval idle = { .tv_sec = CONTROL_IDLE_MS / 1000 };

	client->touched_ms = clock_now_ms();
	evtimer_add(client->deadline, &idle);
}

static void on_client_deadline(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	control_client_close(arg);
}

/* ------------------------------------------------------------------ the answer */

/* What it sends after its line is dropped: left unread, close() would make a reset of the end of the answer. One that
 * goes on for ever has only its moment. */
static void control_client_end(struct control_client *client)
{
	static const struct timeval moment = { .tv_usec = CONTROL_END_MS * 1000 };

	client->state = CLIENT_ENDING;
	event_del(client->writable);
	shutdown(client->fd, SHUT_WR);
	event_add(client->readable, NULL);
	evtimer_add(client->deadline, &moment);
}

static void control_client_drop(struct control_client *client)
{
	ssize_t got = recv(client->fd, client->line, sizeof(client->line), 0);

	if (got == 0 || (got < 0 && errno != EAGAIN && errno != EINTR))
		control_client_close(client);
}

/* One portion. Returns false when the client is to be ended: all is said, it is gone, or there is no memory. */
static bool control_client_write(struct control_client *client)
{
	int more = client->answer != NULL;
	int sent = 0;

	if (more && evbuffer_get_length(client->out) < CONTROL_OUT_MAX) {
		more = answer_more(client->answer, client->out);
		if (more < 0) {
			log_errorx("control: no memory for an answer");
			return false;
		}
		if (more == 0) {
			answer_free(client->answer);
			client->answer = NULL;
		}
	}
	if (evbuffer_get_length(client->out) > 0) {
		sent = evbuffer_write(client->out, client->fd);
		if (sent <= 0)
			return sent < 0 && (errno == EAGAIN || errno == EINTR);
		control_client_touch(client);
	}
	return more > 0 || evbuffer_get_length(client->out) > 0;
}

static void on_client_writable(evutil_socket_t fd, short what, void *arg)
{
	struct control_client *client = arg;

	(void)fd;
	(void)what;
	if (!control_client_write(client))
		control_client_end(client);
}

/* ------------------------------------------------------------------ the question */

static void on_client_answered(
	struct reload_waiter *waiter, enum reload_result result, const char *text)
{
	struct control_client *client = (struct control_client *)(void *)((char *)waiter -
		offsetof(struct control_client, waiter));

	MUST(client->state == CLIENT_WAITING);
	client->state = CLIENT_ANSWERING;
	if (control_print(client->out, client->json, result == RELOAD_REFUSED, text) < 0)
		log_errorx("control: no memory for an answer");
	control_client_touch(client);
	event_add(client->writable, NULL);
}

static void control_client_wait(struct control_client *client)
{
	static const struct timeval wait = { .tv_sec = CONTROL_WAIT_MS / 1000 };

	client->state = CLIENT_WAITING;
	client->touched_ms = clock_now_ms();
	evtimer_add(client->deadline, &wait);
}

static int control_client_run(struct control_client *client, size_t len)
{
	struct control_line line;
	const char *error;
	struct control_request request = {
		.peer = &client->peer,
		.source = &client->source,
		.actions = &client->control->actions,
		.line = &line,
		.waiter = &client->waiter,
		.out = client->out,
	};
	int result;

	client->config = config_hold(client->control->config);
	client->source = client->control->source;
	client->waiter.answer = on_client_answered;

	client->line[len] = '\0';
	if (len == CONTROL_LINE_MAX) {
		line = (struct control_line){ 0 };
		return control_fail(
			&request, "usage: a command has less than %d bytes", CONTROL_LINE_MAX);
	}
	if (control_line_parse(client->line, len, &line, &error) < 0)
		return control_fail(&request, "%s", error);
	client->json = line.json;
	result = control_verb_run(&request);
	client->answer = request.answer;
	client->diff = request.diff;
	client->source.diff = request.diff;
	if (request.later)
		control_client_wait(client);
	return result;
}

static void control_client_ask(struct control_client *client, size_t len)
{
	client->state = CLIENT_ANSWERING;
	event_del(client->readable);
	if (control_client_run(client, len) < 0) {
		log_errorx("control: no memory for an answer");
		control_client_close(client);
		return;
	}
	if (client->state == CLIENT_WAITING)
		return;
	control_client_touch(client);
	event_add(client->writable, NULL);
}

/* A line that ends with the connection's first half is a line too: printf status | socat. */
static void on_client_readable(evutil_socket_t fd, short what, void *arg)
{
	struct control_client *client = arg;
	ssize_t got;
	char *end;

	(void)what;
	if (client->state == CLIENT_ENDING) {
		control_client_drop(client);
		return;
	}
	MUST(client->state == CLIENT_ASKING);
	got = recv(fd, client->line + client->have, CONTROL_LINE_MAX - client->have, 0);
	if (got < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (got < 0 || (got == 0 && client->have == 0)) {
		control_client_close(client);
		return;
	}
	end = memchr(client->line + client->have, '\n', (size_t)got);
	client->have += (size_t)got;
	if (end != NULL)
		control_client_ask(client, (size_t)(end - client->line));
	else if (got == 0 || client->have == CONTROL_LINE_MAX)
		control_client_ask(client, client->have);
}

/* ------------------------------------------------------------------ a client's beginning */

static struct control_client *control_client_new(struct control *control, int fd)
{
	struct control_client *client = calloc(1, sizeof(*client));

	if (client == NULL) {
		close(fd);
		return NULL;
	}
	client->control = control;
	client->state = CLIENT_ASKING;
	client->fd = fd;
	client->out = evbuffer_new();
	client->readable =
		event_new(control->base, fd, EV_READ | EV_PERSIST, on_client_readable, client);
	client->writable =
		event_new(control->base, fd, EV_WRITE | EV_PERSIST, on_client_writable, client);
	client->deadline = evtimer_new(control->base, on_client_deadline, client);
	if (client->out == NULL || client->readable == NULL || client->writable == NULL ||
		client->deadline == NULL ||
		control_peer_read(fd, control->group, &client->peer) < 0 ||
		event_add(client->readable, NULL) < 0) {
		control_client_free(client);
		return NULL;
	}
	return client;
}

static struct control_client *control_idle_longest(const struct control *control)
{
	struct control_client *longest = control->clients[0];

	for (size_t i = 1; i < control->nclients; i++)
		if (control->clients[i]->touched_ms < longest->touched_ms)
			longest = control->clients[i];
	return longest;
}

static void control_add(struct control *control, int fd)
{
	struct control_client *client;

	if (control->nclients == CONTROL_CLIENTS_MAX)
		control_client_close(control_idle_longest(control));
	client = control_client_new(control, fd);
	if (client == NULL) {
		log_error("control: cannot take a client");
		return;
	}
	control->clients[control->nclients++] = client;
	control_client_touch(client);
}

/* Without an fd for it, the next one waits in the queue, and we look again later. */
static void control_take_rest(struct control *control)
{
	static const struct timeval rest = { .tv_usec = CONTROL_REST_MS * 1000 };
	static struct log_rate rate;

	if (log_rate_ok(&rate))
		log_warn("control: cannot accept%s", log_rate_note(&rate));
	event_del(control->acceptable);
	evtimer_add(control->rest, &rest);
}

static void on_control_acceptable(evutil_socket_t fd, short what, void *arg)
{
	struct control *control = arg;

	(void)what;
	for (int i = 0; i < CONTROL_ACCEPTS; i++) {
		int client = accept4(fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

		if (client >= 0) {
			control_add(control, client);
			continue;
		}
		if (errno == ECONNABORTED || errno == EINTR)
			continue;
		if (errno != EAGAIN)
			control_take_rest(control);
		return;
	}
}

static void on_control_rest(evutil_socket_t fd, short what, void *arg)
{
	struct control *control = arg;

	(void)fd;
	(void)what;
	event_add(control->acceptable, NULL);
}

/* ------------------------------------------------------------------ the socket */

static int control_find_group(const char *name, gid_t *group_r)
{
	const struct group *group;

	*group_r = (gid_t)-1;
	if (name[0] == '\0')
		return 0;
	group = getgrnam(name);
	if (group == NULL) {
		log_errorx("global.control.group: there is no group %s", name);
		return -1;
	}
	*group_r = group->gr_gid;
	return 0;
}

static int control_open_socket(struct control *control, bool optional)
{
	const struct conf_control *conf = &control->conf->global.control;
	const struct control_socket_ask ask = {
		.path = conf->path,
		.mode = conf->mode,
		.group = control->group,
	};
	const char *path = control->socket.path.text;
	char why[96];

	switch (control_socket_open(&ask, &control->socket, why, sizeof(why))) {
	case CONTROL_SOCKET_OPEN:
		return 0;
	case CONTROL_SOCKET_TAKEN:
	case CONTROL_SOCKET_FAILED:
		break;
	}
	if (conf->path[0] != '\0' || !optional) {
		log_errorx(
			"cannot have the control socket %s: %s; see global.control.path or --control",
			conf->path[0] != '\0' ? conf->path : path, why);
		return -1;
	}
	snprintf(control->why_not, sizeof(control->why_not), "%s: %s", path, why);
	return 0;
}

struct control *control_open(const struct conf *conf, bool optional)
{
	struct control *control = calloc(1, sizeof(*control));

	if (control == NULL) {
		log_error("control");
		return NULL;
	}
	control->conf = conf;
	control->socket.fd = control->socket.directory_fd = -1;
	if (control_find_group(conf->global.control.group, &control->group) < 0 ||
		control_open_socket(control, optional) < 0) {
		free(control);
		return NULL;
	}
	return control;
}

void control_serve(struct control *control, struct event_base *base,
	const struct view_source *source, const struct control_actions *actions)
{
	if (control->why_not[0] != '\0') {
		log_info("no control socket: %s", control->why_not);
		return;
	}
	log_info("control socket %s", control->socket.path.text);
	control->base = base;
	control->source = *source;
	control->actions = *actions;
	control->acceptable = event_new(
		base, control->socket.fd, EV_READ | EV_PERSIST, on_control_acceptable, control);
	control->rest = evtimer_new(base, on_control_rest, control);
	if (control->acceptable == NULL || control->rest == NULL ||
		event_add(control->acceptable, NULL) < 0) {
		log_fatalx("no memory for the control socket");
		exit(EXIT_CODE_FAILED);
	}
}

void control_config(struct control *control, struct config *config)
{
	config_hold(config);
	config_release(control->config);
	control->config = config;
	control->source.conf = config->conf;
}

void control_stopping(struct control *control)
{
	control->source.stopping = true;
}

void control_close(struct control *control)
{
	if (control == NULL)
		return;
	for (size_t i = 0; i < control->nclients; i++) {
		if (control->clients[i]->state == CLIENT_ANSWERING)
			control_client_write(control->clients[i]);
		control_client_free(control->clients[i]);
	}
	if (control->acceptable != NULL)
		event_free(control->acceptable);
	if (control->rest != NULL)
		event_free(control->rest);
	control_socket_close(&control->socket);
	config_release(control->config);
	free(control);
}
