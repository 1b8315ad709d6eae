/* The control socket: opened, served, closed; who comes, and who has to go for another. What a client says and hears is
 * control_client.c's.
 */
#include "master/control/control.h"

#include <errno.h>
#include <event2/buffer.h>
#include <event2/event.h>
#include <grp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/child.h"
#include "common/clock.h"
#include "common/log.h"
#include "conf/conf.h"
#include "master/config.h"
#include "master/control/impl.h"

#define CONTROL_ACCEPTS 16  /* in one turn */
#define CONTROL_REST_MS 100 /* when there are no fds for another client */

/* ------------------------------------------------------------------ a client's beginning */

static void on_client_readable(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	control_client_readable(arg);
}

static void on_client_writable(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	control_client_writable(arg);
}

static void on_client_deadline(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	control_client_close(arg);
}

/* peer NULL: whom the kernel says. fd is taken over. */
static struct control_client *control_client_new(
	struct control *control, int fd, const struct control_peer *peer)
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
		(peer == NULL && control_peer_read(fd, control->group, &client->peer) < 0) ||
		event_add(client->readable, NULL) < 0) {
		control_client_free(client);
		return NULL;
	}
	if (peer != NULL)
		client->peer = *peer;
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

static void control_add(struct control *control, int fd, const struct control_peer *peer)
{
	struct control_client *client;

	if (control->nclients == CONTROL_CLIENTS_MAX)
		control_client_close(control_idle_longest(control));
	client = control_client_new(control, fd, peer);
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
			control_add(control, client, NULL);
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

/* Whoever of the network stands behind it, the places for operators are not taken by them. */
void control_ask(struct control *control, int fd)
{
	const struct control_peer reader = { .role = ROLE_READER, .inside = true };
	size_t inside = 0;

	for (size_t i = 0; i < control->nclients; i++)
		inside += control->clients[i]->peer.inside;
	if (control->base == NULL || inside >= CONTROL_INSIDE_MAX)
		close(fd);
	else
		control_add(control, fd, &reader);
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

static int control_open_socket(
	struct control *control, bool optional, const struct control_before *before)
{
	const struct conf_control *conf = &control->conf->global.control;
	const struct control_socket_ask ask = {
		.path = conf->path,
		.mode = conf->mode,
		.group = control->group,
		.next = before->is_there,
		.before = before->pid,
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

struct control *control_open(
	const struct conf *conf, bool optional, const struct control_before *before)
{
	struct control *control = calloc(1, sizeof(*control));

	if (control == NULL) {
		log_error("control");
		return NULL;
	}
	control->conf = conf;
	control->socket.fd = control->socket.directory_fd = -1;
	if (control_find_group(conf->global.control.group, &control->group) < 0 ||
		control_open_socket(control, optional, before) < 0) {
		free(control);
		return NULL;
	}
	return control;
}

void control_serve(struct control *control, struct event_base *base,
	const struct view_source *source, const struct control_actions *actions)
{
	control->base = base;
	control->source = *source;
	control->actions = *actions;
	if (control->why_not[0] != '\0') {
		log_info("no control socket: %s", control->why_not);
		return;
	}
	log_info("control socket %s", control->socket.path.text);
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

bool control_has_socket(const struct control *control)
{
	return control->socket.fd >= 0;
}

int control_take_place(struct control *control)
{
	return control_socket_take_place(&control->socket);
}

void control_pass_on(struct control *control)
{
	control_socket_pass_on(&control->socket);
	for (size_t i = 0; i < control->nclients; i++) {
		if (control->clients[i]->state == CLIENT_ANSWERING)
			control_client_write(control->clients[i]);
	}
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
