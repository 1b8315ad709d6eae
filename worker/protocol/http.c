/* Answers HTTP requests one by one: waits for a whole head, answers it, then drops its body in whatever
 * pieces it comes. Everything follows from the bytes of the head, so the same head gets the same answer.
 */
#include "worker/protocol/http.h"

#include <stdio.h>
#include <string.h>

#include "common/must.h"
#include "worker/protocol/http_head.h"

#define HTTP_FIELDS_MAX 512 /* of an answer's head */

/* service_state.flags: what was answered wanted the connection closed, which must wait for the body: a
 * close with unread bytes is a reset, and would take the answer with it. */
#define HTTP_CLOSE_AFTER_BODY 1U

#define HTTP_DEFAULT_MESSAGE "proxyd: %f on port %p\n"
#define HTTP_ALLOW           "Allow: GET, HEAD, POST, PUT, DELETE, OPTIONS, PATCH\r\n"

/* ------------------------------------------------------------------ the message */

/* Text that is put together at `at`, or only measured when at is NULL. */
struct http_text {
	char *at;
	size_t len;
	size_t max; /* what goes over it is cut off */
};

static void http_text_add(struct http_text *text, const char *bytes, size_t len)
{
	size_t room = text->max - text->len;

	if (len > room)
		len = room;
	if (text->at != NULL)
		memcpy(text->at + text->len, bytes, len);
	text->len += len;
}

/* The frontend's message with %p, %f and %% replaced; any other % stands for itself. */
static void http_message(const struct service_input *in, struct http_text *text)
{
	const char *message = in->frontend->message;
	char port[8];

	if (message == NULL || message[0] == '\0')
		message = HTTP_DEFAULT_MESSAGE;
	snprintf(port, sizeof(port), "%u", (unsigned)in->port);
	for (const char *at = message; *at != '\0';) {
		size_t plain = strcspn(at, "%");

		http_text_add(text, at, plain);
		at += plain;
		if (*at == '\0')
			break;
		if (at[1] == 'p')
			http_text_add(text, port, strlen(port));
		else if (at[1] == 'f')
			http_text_add(text, in->frontend->name, strlen(in->frontend->name));
		else
			http_text_add(text, "%", 1);
		at += at[1] == 'p' || at[1] == 'f' || at[1] == '%' ? 2 : 1;
	}
	if (message[strlen(message) - 1] != '\n')
		http_text_add(text, "\n", 1);
}

/* ------------------------------------------------------------------ answers */

struct http_reply {
	const char *status; /* "200 OK" */
	const char *fields; /* further ones, each with CRLF */
	bool close;
	bool with_body;
};

/* text is the body, NULL: the frontend's message. */
static void http_reply(const struct service_input *in, const struct http_reply *reply,
	const char *text, struct service_output *out_r)
{
	struct http_text body = { .max = out_r->max - HTTP_FIELDS_MAX };
	int head_len;

	if (text != NULL)
		http_text_add(&body, text, strlen(text));
	else
		http_message(in, &body);
	head_len = snprintf(out_r->bytes, HTTP_FIELDS_MAX,
		"HTTP/1.1 %s\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: %zu\r\n"
		"Connection: %s\r\n%s\r\n",
		reply->status, body.len, reply->close ? "close" : "keep-alive", reply->fields);
	MUST(head_len > 0 && head_len < HTTP_FIELDS_MAX);
	out_r->len = (size_t)head_len;
	out_r->close = reply->close;
	if (!reply->with_body)
		return;
	body.at = out_r->bytes + head_len;
	body.len = 0;
	if (text != NULL)
		http_text_add(&body, text, strlen(text));
	else
		http_message(in, &body);
	out_r->len += body.len;
}

/* What cannot be understood ends the connection: nobody knows where the next request would begin. */
static void http_refuse(
	const struct service_input *in, const char *status, struct service_output *out_r)
{
	struct http_reply reply = {
		.status = status, .fields = "", .close = true, .with_body = true
	};
	char text[64];

	snprintf(text, sizeof(text), "%s\n", status);
	http_reply(in, &reply, text, out_r);
	out_r->consumed = in->len;
}

static void http_answer_head(
	const struct service_input *in, size_t head_bytes, struct service_output *out_r)
{
	struct http_reply reply = { .status = "200 OK", .fields = "", .with_body = true };
	struct http_head head;
	const char *text = NULL;

	switch (http_head_parse(in->bytes, head_bytes, &head)) {
	case 0:
		break;
	case 505:
		http_refuse(in, "505 HTTP Version Not Supported", out_r);
		return;
	default:
		http_refuse(in, "400 Bad Request", out_r);
		return;
	}
	if (head.method == HTTP_NOT_ALLOWED) {
		reply.status = "405 Method Not Allowed";
		reply.fields = HTTP_ALLOW;
		text = "405 Method Not Allowed\n";
	}
	reply.close = !head.keep_alive || head.chunked;
	reply.with_body = head.method != HTTP_HEAD;
	http_reply(in, &reply, text, out_r);
	out_r->consumed = head_bytes;
	if (head.content_length > 0 && !head.chunked)
		out_r->close = false; /* see HTTP_CLOSE_AFTER_BODY */
}

/* Empty lines before a request are to be ignored (RFC 9112, 2.2). */
static size_t http_empty_lines(const char *bytes, size_t len)
{
	size_t at = 0;

	for (;;) {
		if (at < len && bytes[at] == '\n')
			at++;
		else if (at + 1 < len && bytes[at] == '\r' && bytes[at + 1] == '\n')
			at += 2;
		else
			return at;
	}
}

/* How much of the input is the body of the request before. */
static size_t http_body_part(const struct service_state *state, const struct service_input *in)
{
	return in->len < state->body_left ? in->len : (size_t)state->body_left;
}

void http_answer(const struct service_state *state, const struct service_input *in,
	struct service_output *out_r)
{
	size_t empty = http_empty_lines(in->bytes, in->len);
	size_t head_bytes;

	service_output_clear(out_r);
	if (state->body_left > 0) {
		out_r->consumed = http_body_part(state, in);
		out_r->close = out_r->consumed == state->body_left &&
			(state->flags & HTTP_CLOSE_AFTER_BODY) != 0;
		return;
	}
	if (empty > 0) {
		out_r->consumed = empty;
		return;
	}
	head_bytes = http_head_length(in->bytes, in->len);
	if (head_bytes > 0)
		http_answer_head(in, head_bytes, out_r);
	else if (in->full || in->len >= HTTP_HEAD_MAX)
		http_refuse(in, "431 Request Header Fields Too Large", out_r);
}

void http_answered(struct service_state *state, const struct service_input *in)
{
	struct http_head head;
	size_t head_bytes;

	if (state->body_left > 0) {
		state->body_left -= http_body_part(state, in);
		return;
	}
	head_bytes = http_head_length(in->bytes, in->len);
	if (head_bytes == 0 || http_head_parse(in->bytes, head_bytes, &head) != 0 || head.chunked)
		return;
	state->body_left = head.content_length;
	state->flags = head.keep_alive ? 0 : HTTP_CLOSE_AFTER_BODY;
}
