/* One client of the control socket. It has a bounded line, a bounded answer in memory and a bounded time; what it asks for
 * is control_verbs.c's.
 */
#include <errno.h>
#include <event2/buffer.h>
#include <event2/event.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/log.h"
#include "conf/conf.h"
#include "conf/diff.h"
#include "master/config.h"
#include "master/control/answer.h"
#include "master/control/impl.h"

#define CONTROL_OUT_MAX 65536 /* more of an answer is made when less than this waits */
#define CONTROL_END_MS  500   /* for a client to end after its answer */

/* ------------------------------------------------------------------ a client's end */

void control_client_free(struct control_client *client)
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

void control_client_close(struct control_client *client)
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

void control_client_touch(struct control_client *client)
{
	static const struct timeval idle = { .tv_sec = CONTROL_IDLE_MS / 1000 };

	client->touched_ms = clock_now_ms();
	evtimer_add(client->deadline, &idle);
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
bool control_client_write(struct control_client *client)
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

void control_client_writable(struct control_client *client)
{
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
	client->source.control_clients = (uint32_t)client->control->nclients;
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
void control_client_readable(struct control_client *client)
{
	ssize_t got;
	char *end;

	if (client->state == CLIENT_ENDING) {
		control_client_drop(client);
		return;
	}
	MUST(client->state == CLIENT_ASKING);
	got = recv(client->fd, client->line + client->have, CONTROL_LINE_MAX - client->have, 0);
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
