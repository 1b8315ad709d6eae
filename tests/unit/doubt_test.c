/* One direction under edge-triggered readiness, as a worker's loop has it: a short look ends the reading without a look
 * more, and still nothing is missed that came with the same edge - an end, a reset, bytes behind urgent ones.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <arpa/inet.h>
#include <cmocka.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "worker/relay/impl.h"

/* A relay of which only the direction to the server is looked at. */
struct world {
	struct event_base *base;
	struct relays relays;
	struct relay relay;
	int sender;
	int receiver;
	uint64_t moved;
	uint32_t in_pipe;
};

static void on_event(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	stream_note(arg, what);
}

static void tcp_pair(int *near_r, int *far_r)
{
	struct sockaddr_in addr = { .sin_family = AF_INET,
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof(addr);
	int listener = socket(AF_INET, SOCK_STREAM, 0);

	assert_int_equal(bind(listener, (struct sockaddr *)&addr, len), 0);
	assert_int_equal(listen(listener, 1), 0);
	getsockname(listener, (struct sockaddr *)&addr, &len);
	*far_r = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
	(void)connect(*far_r, (struct sockaddr *)&addr, len);
	*near_r = accept4(listener, NULL, NULL, SOCK_NONBLOCK);
	assert_true(*near_r >= 0);
	close(listener);
}

static void open_stream(struct world *w, struct stream *stream, int *far_r)
{
	int near;

	tcp_pair(&near, far_r);
	assert_int_equal(stream_open(stream, w->base, near, STREAM_WRITABLE | STREAM_PLAIN,
				 on_event, stream),
		0);
}

static void open_world(struct world *w)
{
	memset(w, 0, sizeof(*w));
	w->base = event_base_new();
	w->relays.tools.scratch = malloc(PUMP_SCRATCH_BYTES);
	w->relays.tools.pipes = pipes_new(2);
	TAILQ_INIT(&w->relays.run);
	w->relay.relays = &w->relays;
	open_stream(w, &w->relay.client, &w->sender);
	open_stream(w, &w->relay.server, &w->receiver);
	event_base_loop(w->base, EVLOOP_NONBLOCK);
}

static void close_world(struct world *w)
{
	stream_close(&w->relay.client);
	stream_close(&w->relay.server);
	pump_end(&w->relay.up, &w->relays.tools);
	pipes_free(w->relays.tools.pipes);
	free(w->relays.tools.scratch);
	close(w->sender);
	close(w->receiver);
	event_base_free(w->base);
}

/* What a turn of the loop does. */
static enum pump_result turn(struct world *w)
{
	enum pump_result result;

	event_base_loop(w->base, EVLOOP_NONBLOCK);
	relay_unqueue(&w->relay);
	result = pump_run(&w->relay.up, &w->relay.client, &w->relay.server, &w->relays.tools,
		&w->moved, &w->in_pipe);
	if (w->relay.client.flags & STREAM_DOUBT)
		doubt_add(&w->relay, &w->relay.client);
	doubts_ask(&w->relays.doubts);
	return result;
}

/* As often as the loop itself would come back. */
static enum pump_result turns(struct world *w)
{
	enum pump_result result = turn(w);

	while (w->relay.queued)
		result = turn(w);
	return result;
}

static void expect_received(struct world *w, const char *text)
{
	char got[64] = "";

	assert_int_equal(recv(w->receiver, got, sizeof(got) - 1, 0), strlen(text));
	assert_string_equal(got, text);
}

static void say(struct world *w, const char *text, int flags)
{
	assert_int_equal(send(w->sender, text, strlen(text), flags | MSG_NOSIGNAL), strlen(text));
}

static void reset_by_sender(struct world *w)
{
	const struct linger at_once = { 1, 0 };

	setsockopt(w->sender, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
	close(w->sender);
	w->sender = socket(AF_INET, SOCK_STREAM, 0);
}

static void test_one_look_per_message(void **state)
{
	struct world w;

	(void)state;
	open_world(&w);
	for (int i = 0; i < 5; i++) {
		say(&w, "hello", 0);
		assert_int_equal(turn(&w), PUMP_BLOCKED);
		assert_false(w.relay.queued);
		assert_int_equal(w.relay.client.flags & STREAM_READABLE, 0);
		expect_received(&w, "hello");
	}
	close_world(&w);
}

static void test_end_with_the_last_bytes(void **state)
{
	struct world w;

	(void)state;
	open_world(&w);
	say(&w, "hello", 0);
	shutdown(w.sender, SHUT_WR);
	assert_int_equal(turns(&w), PUMP_FIN);
	expect_received(&w, "hello");
	close_world(&w);
}

static void test_end_between_event_and_look(void **state)
{
	struct world w;

	(void)state;
	open_world(&w);
	say(&w, "hello", 0);
	event_base_loop(w.base, EVLOOP_NONBLOCK);
	say(&w, " you", 0);
	shutdown(w.sender, SHUT_WR);
	assert_int_equal(pump_run(&w.relay.up, &w.relay.client, &w.relay.server, &w.relays.tools,
				 &w.moved, &w.in_pipe),
		PUMP_BLOCKED);
	expect_received(&w, "hello you");
	assert_int_equal(turn(&w), PUMP_FIN);
	close_world(&w);
}

static void test_reset_with_the_last_bytes(void **state)
{
	struct world w;

	(void)state;
	open_world(&w);
	say(&w, "hello", 0);
	reset_by_sender(&w);
	assert_int_equal(turns(&w), PUMP_FROM_RESET);
	expect_received(&w, "hello");
	close_world(&w);
}

static void test_reset_after_all_was_read(void **state)
{
	struct world w;

	(void)state;
	open_world(&w);
	say(&w, "hello", 0);
	assert_int_equal(turns(&w), PUMP_BLOCKED);
	reset_by_sender(&w);
	assert_int_equal(turns(&w), PUMP_FROM_RESET);
	close_world(&w);
}

/* A look stops before them, with more behind. */
static void test_urgent_bytes(void **state)
{
	struct world w;

	(void)state;
	open_world(&w);
	say(&w, "hello", 0);
	say(&w, "!", MSG_OOB);
	say(&w, " you", 0);
	assert_int_equal(turns(&w), PUMP_BLOCKED);
	expect_received(&w, "hello you");
	say(&w, "again", 0);
	assert_int_equal(turns(&w), PUMP_BLOCKED);
	expect_received(&w, "again");
	close_world(&w);
}

/* What the writer did not take stays readable, with no edge to come. */
static void test_slow_writer(void **state)
{
	static char bytes[100 << 10];
	const int small = 4096;
	struct world w;
	size_t got = 0;
	ssize_t sent;

	(void)state;
	open_world(&w);
	setsockopt(w.relay.server.fd, SOL_SOCKET, SO_SNDBUF, &small, sizeof(small));
	sent = send(w.sender, bytes, sizeof(bytes), 0);
	assert_true(sent > 0);
	w.relay.up.peek_bytes = PUMP_SCRATCH_BYTES; /* one short look, which is not taken at once */
	for (int i = 0; i < 10000 && got < (size_t)sent; i++) {
		ssize_t n;

		assert_int_equal(turns(&w), PUMP_BLOCKED);
		while ((n = recv(w.receiver, bytes, sizeof(bytes), 0)) > 0)
			got += (size_t)n;
		usleep(1000);
	}
	assert_int_equal(got, sent);
	close_world(&w);
}

/* Asked is who was in doubt, not who has its number now. */
static void test_another_has_the_number(void **state)
{
	struct world w;
	int fd;
	int other = socket(AF_INET, SOCK_STREAM, 0);

	(void)state;
	open_world(&w);
	say(&w, "hello", 0);
	event_base_loop(w.base, EVLOOP_NONBLOCK);
	assert_int_equal(pump_run(&w.relay.up, &w.relay.client, &w.relay.server, &w.relays.tools,
				 &w.moved, &w.in_pipe),
		PUMP_BLOCKED);
	doubt_add(&w.relay, &w.relay.client);
	fd = w.relay.client.fd;
	stream_close(&w.relay.client);
	assert_int_equal(dup2(other, fd), fd); /* which is hung up, says poll */
	doubts_ask(&w.relays.doubts);
	assert_false(w.relay.queued);
	assert_int_equal(w.relays.doubts.n, 0);
	close(fd);
	close(other);
	close_world(&w);
}

static void test_more_than_fit(void **state)
{
	struct world w;

	(void)state;
	open_world(&w);
	say(&w, "hello", 0);
	assert_int_equal(turn(&w), PUMP_BLOCKED);
	reset_by_sender(&w);
	for (int i = 0; i < DOUBTS_MAX; i++)
		doubt_add(&w.relay, &w.relay.client);
	assert_false(w.relay.queued);
	doubt_add(&w.relay, &w.relay.client);
	assert_true(w.relay.queued);
	assert_int_equal(w.relays.doubts.n, 1);
	assert_int_equal(turn(&w), PUMP_FROM_RESET);
	close_world(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_one_look_per_message),
		cmocka_unit_test(test_end_with_the_last_bytes),
		cmocka_unit_test(test_end_between_event_and_look),
		cmocka_unit_test(test_reset_with_the_last_bytes),
		cmocka_unit_test(test_reset_after_all_was_read),
		cmocka_unit_test(test_urgent_bytes),
		cmocka_unit_test(test_slow_writer),
		cmocka_unit_test(test_another_has_the_number),
		cmocka_unit_test(test_more_than_fit),
	};

	return cmocka_run_group_tests_name("doubt", tests, NULL, NULL);
}
