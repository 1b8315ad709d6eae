/* The kinds of checks that speak in the clear: tcp says nothing, http and send_expect send a question and
 * read until the answer is known or certain not to come. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "common/connect.h"
#include "worker/checker/impl.h"

static void check_tcp_connected(struct check *check)
{
	check_finish(check, CHECKED_OK, 0);
}

const struct check_kind check_tcp = { .connected = check_tcp_connected };

static void ask_failed(struct check *check, int error)
{
	if (connect_error_is_ours(error))
		check_give_up(check, error);
	else
		check_finish_unanswered(check, CHECKED_CLOSED, (uint32_t)error);
}

/* Once all is sent the kind is asked about the nothing that came so far: it may want no more. */
static void ask_send(struct check *check)
{
	size_t len;
	const uint8_t *question = check->plan->kind->question(check, &len);

	if (check->sent < len) {
		ssize_t n =
			send(check->fd, question + check->sent, len - check->sent, MSG_NOSIGNAL);

		if (n < 0 && errno != EAGAIN) {
			ask_failed(check, errno);
			return;
		}
		check->sent += n > 0 ? (uint32_t)n : 0;
	}
	if (check->sent < len)
		check_await(check, EV_WRITE);
	else
		check->plan->kind->answer(check, NULL, 0);
}

static void ask_read(struct check *check)
{
	ssize_t n = recv(check->fd, check->set->buf, check->set->buf_bytes, 0);

	if (n > 0)
		check->plan->kind->answer(check, check->set->buf, (size_t)n);
	else if (n == 0)
		check_finish_unanswered(check, CHECKED_CLOSED, 0);
	else if (errno == EAGAIN)
		check_await(check, EV_READ);
	else
		ask_failed(check, errno);
}

static void ask_ready(struct check *check)
{
	size_t len;

	check->plan->kind->question(check, &len);
	if (check->sent < len)
		ask_send(check);
	else
		ask_read(check);
}

/* Method, path and host. */
#define HTTP_REQUEST                                                                               \
	"%s %s HTTP/1.1\r\nHost: %s\r\nUser-Agent: proxyd-check\r\nConnection: close\r\n\r\n"

static const char *http_host(const struct conf_check_http *http, const struct address *address)
{
	if (http->host[0] != '\0')
		return http->host;
	return address->kind == ADDRESS_UNIX ? "localhost" : address->text;
}

static const void *http_question(struct check *check, size_t *len_r)
{
	const struct conf_check_http *http = &check->plan->backend->check.http;
	char *buf = (char *)check->set->buf;
	int len = snprintf(buf, check->set->buf_bytes, HTTP_REQUEST, http->method, http->path,
		http_host(http, check_address(check)));

	MUST(len > 0 && (size_t)len < check->set->buf_bytes);
	*len_r = (size_t)len;
	return buf;
}

static bool http_is_expected(const struct conf_check_http *http, uint16_t status)
{
	for (size_t i = 0; i < http->nstatuses; i++)
		if (status >= http->statuses[i].first && status <= http->statuses[i].last)
			return true;
	return false;
}

static void http_answer(struct check *check, const uint8_t *bytes, size_t len)
{
	uint16_t status;

	switch (http_answer_feed(&check->talk.http, bytes, len)) {
	case HTTP_ANSWER_MORE:
		check_await(check, EV_READ);
		break;
	case HTTP_ANSWER_NOT_HTTP:
		check_finish(check, CHECKED_NOT_HTTP, 0);
		break;
	case HTTP_ANSWER_STATUS:
		status = check->talk.http.status;
		if (http_is_expected(&check->plan->backend->check.http, status))
			check_finish(check, CHECKED_OK, 0);
		else
			check_finish(check, CHECKED_STATUS, status);
		break;
	}
}

static void http_connected(struct check *check)
{
	check->sent = 0;
	http_answer_begin(&check->talk.http);
	ask_send(check);
}

const struct check_kind check_http = {
	.connected = http_connected,
	.ready = ask_ready,
	.question = http_question,
	.answer = http_answer,
};

static const void *send_expect_question(struct check *check, size_t *len_r)
{
	const struct conf_bytes *send = &check->plan->backend->check.send;

	*len_r = send->len;
	return send->bytes;
}

static void send_expect_answer(struct check *check, const uint8_t *bytes, size_t len)
{
	switch (expect_feed(check->plan->expect, &check->talk.expect, bytes, len)) {
	case EXPECT_MORE:
		check_await(check, EV_READ);
		break;
	case EXPECT_FOUND:
		check_finish(check, CHECKED_OK, 0);
		break;
	case EXPECT_MISSING:
		check_finish(check, CHECKED_UNEXPECTED, 0);
		break;
	}
}

static bool send_expect_unsatisfied(const struct check *check)
{
	return check->talk.expect.bytes > 0;
}

static void send_expect_connected(struct check *check)
{
	check->sent = 0;
	expect_begin(&check->talk.expect);
	ask_send(check);
}

const struct check_kind check_send_expect = {
	.connected = send_expect_connected,
	.ready = ask_ready,
	.question = send_expect_question,
	.answer = send_expect_answer,
	.unsatisfied = send_expect_unsatisfied,
};

size_t ask_question_bytes(const struct conf_backend *backend, const struct conf_server *server)
{
	const struct conf_check_http *http = &backend->check.http;
	const struct address *address =
		server->has_check_address ? &server->check_address : &server->address;

	if (backend->check.type != CHECK_HTTP)
		return 0;
	return sizeof(HTTP_REQUEST) + strlen(http->method) + strlen(http->path) +
		strlen(http_host(http, address));
}
