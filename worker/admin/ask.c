/* What only the master knows: a request becomes a client of the control socket, with a reader's rights, over a socket of its
 * own that the master is given. So the JSON is that of proxyctl. The master may hang: everything here has its time.
 */
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>
#include <event2/http.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/channel.h"
#include "worker/admin/impl.h"

#define ASKS_MAX      6    /* at once; the master takes a few more */
#define ASK_SILENT_MS 5000 /* without another byte of the answer */
#define ASK_PORTION   65536

#define ASK_REFUSAL "{\"error\":" /* how an answer begins that is none */

struct ask;

struct asks {
	struct admin *admin; /* borrowed */
	size_t count;
	struct ask *all[ASKS_MAX];
};

struct ask {
	struct asks *asks;        /* borrowed */
	struct body *body;        /* owned */
	struct bufferevent *line; /* owned: to the master */
	struct evbuffer *portion; /* owned: on its way to the client */
	bool begun;               /* it is an answer, not a refusal */
	bool writing;             /* the client has not taken the last portion yet */
	bool complete;            /* the master has said all */
};

static const struct body_ops ask_ops;

struct asks *asks_new(struct admin *admin)
{
	struct asks *asks = calloc(1, sizeof(*asks));

	if (asks == NULL)
		admin_no_memory("room for questions");
	asks->admin = admin;
	return asks;
}

static struct body *ask_free(struct ask *ask)
{
	struct body *body = ask->body;
	struct asks *asks = ask->asks;

	for (size_t i = 0; i < asks->count; i++) {
		if (asks->all[i] == ask) {
			asks->all[i] = asks->all[--asks->count];
			break;
		}
	}
	if (ask->line != NULL)
		bufferevent_free(ask->line);
	if (ask->portion != NULL)
		evbuffer_free(ask->portion);
	free(ask);
	return body;
}

static void ask_refuse(struct ask *ask, int status, const char *text)
{
	http_reply_text(body_release(ask_free(ask)), status, text);
}

static void on_ask_gone(void *arg)
{
	body_drop(ask_free(arg));
}

/* ------------------------------------------------------------------ the answer */

/* What the master said instead of an answer: in the words of proxyctl. */
static void ask_fail(struct ask *ask)
{
	struct evbuffer *said = evbuffer_new();
	struct evhttp_request *request;

	if (said != NULL)
		evbuffer_add_buffer(said, bufferevent_get_input(ask->line));
	request = body_release(ask_free(ask));
	http_reply(request, 500, "application/json", said);
	if (said != NULL)
		evbuffer_free(said);
}

/* Enough has come to tell an answer from a refusal. */
static bool ask_is_refusal(const struct ask *ask)
{
	char begins[sizeof(ASK_REFUSAL) - 1];
	const ssize_t got =
		evbuffer_copyout(bufferevent_get_input(ask->line), begins, sizeof(begins));

	return got == (ssize_t)sizeof(begins) && memcmp(begins, ASK_REFUSAL, sizeof(begins)) == 0;
}

static void ask_pass_on(struct ask *ask)
{
	struct evbuffer *said = bufferevent_get_input(ask->line);

	if (ask->writing)
		return;
	if (evbuffer_get_length(said) > 0) {
		ask->writing = ask->begun = true;
		evbuffer_remove_buffer(said, ask->portion, ASK_PORTION);
		body_write(ask->body, ask->portion);
	} else if (ask->complete) {
		body_end(ask_free(ask));
	}
}

static void on_ask_drained(void *arg)
{
	struct ask *ask = arg;

	ask->writing = false;
	ask_pass_on(ask);
}

static void on_ask_readable(struct bufferevent *line, void *arg)
{
	struct ask *ask = arg;

	if (!ask->begun &&
		(evbuffer_get_length(bufferevent_get_input(line)) < sizeof(ASK_REFUSAL) ||
			ask_is_refusal(ask)))
		return; /* the end will tell */
	ask_pass_on(ask);
}

static void ask_complete(struct ask *ask)
{
	const size_t left = evbuffer_get_length(bufferevent_get_input(ask->line));

	ask->complete = true;
	if (!ask->begun && left == 0)
		ask_refuse(ask, 503, "the master does not take questions now");
	else if (!ask->begun && ask_is_refusal(ask))
		ask_fail(ask);
	else
		ask_pass_on(ask);
}

static void on_ask_event(struct bufferevent *line, short what, void *arg)
{
	struct ask *ask = arg;

	(void)line;
	if ((what & BEV_EVENT_EOF) != 0) {
		ask_complete(ask);
		return;
	}
	/* While the client has not taken what there is, the master may have to wait for us. */
	if ((what & BEV_EVENT_TIMEOUT) != 0 && ask->writing) {
		bufferevent_enable(ask->line, EV_READ);
		return;
	}
	if (ask->begun)
		body_abort(ask_free(ask));
	else if ((what & BEV_EVENT_TIMEOUT) != 0)
		ask_refuse(ask, 504, "the master does not answer");
	else
		ask_refuse(ask, 503, "the master is gone");
}

static const struct body_ops ask_ops = { .drained = on_ask_drained, .gone = on_ask_gone };

/* ------------------------------------------------------------------ the question */

static void ask_send(struct asks *asks, int fd)
{
	const struct child *child = asks->admin->child;
	const struct message message = {
		.type = A2M_ASK,
		.slot = child->slot,
		.generation = child->generation,
		.fds = &fd,
		.nfds = 1,
	};

	channel_send(asks->admin->channel, &message);
}

static bool ask_open(struct ask *ask, int fd)
{
	static const struct timeval most = { .tv_sec = ASK_SILENT_MS / 1000 };

	ask->portion = evbuffer_new();
	ask->line = bufferevent_socket_new(ask->asks->admin->base, fd, BEV_OPT_CLOSE_ON_FREE);
	if (ask->line == NULL)
		close(fd);
	if (ask->portion == NULL || ask->line == NULL)
		return false;
	bufferevent_setcb(ask->line, on_ask_readable, NULL, on_ask_event, ask);
	bufferevent_setwatermark(ask->line, EV_READ, 0, ASK_PORTION);
	bufferevent_set_timeouts(ask->line, &most, NULL);
	return true;
}

static void ask_connect(struct ask *ask, const char *line)
{
	int fds[2];

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds) < 0) {
		ask_refuse(ask, 503, "no more open files");
		return;
	}
	if (!ask_open(ask, fds[0])) {
		close(fds[1]);
		http_reply_no_memory(body_release(ask_free(ask)));
		return;
	}
	ask_send(ask->asks, fds[1]);
	close(fds[1]);
	bufferevent_write(ask->line, line, strlen(line));
	bufferevent_enable(ask->line, EV_READ | EV_WRITE);
}

void asks_free(struct asks *asks)
{
	while (asks->count > 0) {
		struct ask *ask = asks->all[0];

		if (ask->begun)
			body_abort(ask_free(ask));
		else
			ask_refuse(ask, 503, "this process is being replaced");
	}
	free(asks);
}

/* Returns NULL when it may be asked. */
static const char *ask_obstacle(const struct asks *asks)
{
	if (!admin_has_master(asks->admin) || !channel_has_room(asks->admin->channel))
		return "the master does not run";
	return asks->count >= ASKS_MAX ? "too many ask at once" : NULL;
}

void ask_begin(struct asks *asks, struct evhttp_request *request, const char *line)
{
	const char *obstacle = ask_obstacle(asks);
	struct ask *ask;

	if (obstacle != NULL) {
		evhttp_add_header(evhttp_request_get_output_headers(request), "Retry-After", "1");
		http_reply_text(request, 503, obstacle);
		return;
	}
	if (http_is_head(request)) {
		http_reply(request, HTTP_OK, "application/json", NULL);
		return;
	}
	ask = calloc(1, sizeof(*ask));
	if (ask != NULL)
		ask->body = body_new(request, "application/json", &ask_ops, ask);
	if (ask == NULL || ask->body == NULL) {
		free(ask);
		http_reply_no_memory(request);
		return;
	}
	ask->asks = asks;
	asks->all[asks->count++] = ask;
	ask_connect(ask, line);
}
