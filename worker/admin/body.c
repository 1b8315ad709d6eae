/* Answers in portions: the next one is made when the client has the one before, so that a slow one costs no memory, and a
 * large answer holds nobody up.
 */
#include <event2/buffer.h>
#include <event2/event.h>
#include <event2/http.h>
#include <event2/http_struct.h>
#include <stdlib.h>

#include "common/log.h"
#include "worker/admin/impl.h"

struct body {
	struct evhttp_request *request;       /* owned: until it was answered */
	struct evhttp_connection *connection; /* borrowed; NULL: the client is gone */
	const char *type;
	struct body_ops ops;
	void *arg;
	bool begun;
};

static void on_body_gone(struct evhttp_connection *connection, void *arg)
{
	struct body *body = arg;

	(void)connection;
	body->connection = NULL;
	body->ops.gone(body->arg);
}

static void on_body_drained(struct evhttp_connection *connection, void *arg)
{
	struct body *body = arg;

	(void)connection;
	body->ops.drained(body->arg);
}

struct body *body_new(
	struct evhttp_request *request, const char *type, const struct body_ops *ops, void *arg)
{
	struct body *body = calloc(1, sizeof(*body));

	if (body == NULL)
		return NULL;
	body->request = request;
	body->connection = evhttp_request_get_connection(request);
	body->type = type;
	body->ops = *ops;
	body->arg = arg;
	evhttp_connection_set_closecb(body->connection, on_body_gone, body);
	return body;
}

struct evhttp_request *body_release(struct body *body)
{
	struct evhttp_request *request = body->request;

	if (body->connection != NULL)
		evhttp_connection_set_closecb(body->connection, NULL, NULL);
	free(body);
	return request;
}

void body_write(struct body *body, struct evbuffer *portion)
{
	MUST(body->connection != NULL);
	if (!body->begun) {
		body->begun = true;
		http_headers(body->request, body->type);
		/* Without chunks its end is that of the connection. */
		if (body->request->major == 1 && body->request->minor == 0)
			evhttp_add_header(evhttp_request_get_output_headers(body->request),
				"Connection", "close");
		evhttp_send_reply_start(body->request, HTTP_OK, "OK");
	}
	evhttp_send_reply_chunk_with_cb(body->request, portion, on_body_drained, body);
}

void body_end(struct body *body)
{
	const bool begun = body->begun;
	const char *type = body->type;
	struct evhttp_request *request = body_release(body);

	if (begun)
		evhttp_send_reply_end(request);
	else
		http_reply(request, HTTP_OK, type, NULL);
}

/* Without a connection that frees the request. */
void body_drop(struct body *body)
{
	evhttp_send_reply_end(body_release(body));
}

void body_abort(struct body *body)
{
	const bool begun = body->begun;
	struct evhttp_request *request = body_release(body);

	if (!begun) {
		http_reply_no_memory(request);
		return;
	}
	clients_break(request);
	evhttp_send_reply_end(request);
}

/* ------------------------------------------------------------------ a source */

struct pour {
	struct body *body;     /* owned */
	struct source *source; /* owned */
	struct evbuffer *portion;
};

static void pour_free(struct pour *pour)
{
	pour->source->free(pour->source);
	if (pour->portion != NULL)
		evbuffer_free(pour->portion);
	free(pour);
}

static void on_pour_gone(void *arg)
{
	struct pour *pour = arg;
	struct body *body = pour->body;

	pour_free(pour);
	body_drop(body);
}

/* One portion; one that turned out empty is followed by the next one. */
static void pour_more(struct pour *pour)
{
	struct body *body = pour->body;
	int more = 1;

	while (more > 0 && evbuffer_get_length(pour->portion) == 0)
		more = pour->source->more(pour->source, pour->portion);
	if (more < 0) {
		pour_free(pour);
		body_abort(body);
		return;
	}
	if (evbuffer_get_length(pour->portion) > 0) {
		body_write(body, pour->portion);
		return;
	}
	pour_free(pour);
	body_end(body);
}

static void on_pour_drained(void *arg)
{
	pour_more(arg);
}

void body_source(struct evhttp_request *request, const char *type, struct source *source)
{
	static const struct body_ops ops = { .drained = on_pour_drained, .gone = on_pour_gone };
	struct pour *pour;

	if (source == NULL) {
		http_reply_no_memory(request);
		return;
	}
	if (http_is_head(request)) {
		source->free(source);
		http_reply(request, HTTP_OK, type, NULL);
		return;
	}
	pour = calloc(1, sizeof(*pour));
	if (pour != NULL)
		pour->portion = evbuffer_new();
	if (pour != NULL && pour->portion != NULL)
		pour->body = body_new(request, type, &ops, pour);
	if (pour == NULL || pour->body == NULL) {
		if (pour != NULL && pour->portion != NULL)
			evbuffer_free(pour->portion);
		free(pour);
		source->free(source);
		http_reply_no_memory(request);
		return;
	}
	pour->source = source;
	pour_more(pour);
}
