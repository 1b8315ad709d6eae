/* One direction under edge-triggered readiness, as a worker's loop has it: a short look ends the reading without a look
 * more, and still nothing is missed that came with the same edge - an end, a reset, bytes behind urgent ones.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/unit/loopback.h"
#include "worker/relay/poller.h"
#include "worker/relay/pump.h"

struct world {
	struct event_base *base;
	struct poller *poller;
	struct stream from;
	struct stream to;
	struct pump pump;
	struct pump_tools tools;
	int sender;
	int receiver;
	struct carry carry;
	struct pump_books books;
	uint32_t in_pipe;
};

static void on_event(struct poller_watch *watch, uint32_t events)
{
	stream_note(
		(struct stream *)(void *)((char *)watch - offsetof(struct stream, watch)), events);
}

static void open_stream(struct world *w, struct stream *stream, int *far_r)
{
	int near;

	loopback_pair(&near, far_r);
	assert_int_equal(
		stream_open(stream, w->poller, near, STREAM_WRITABLE | STREAM_PLAIN, on_event), 0);
}

static void open_world(struct world *w)
{
	memset(w, 0, sizeof(*w));
	w->base = poller_event_base();
	w->poller = poller_new(w->base);
	w->tools.scratch = malloc(PUMP_SCRATCH_BYTES);
	w->tools.carry = &w->carry;
	w->tools.pipes = pipes_new(2);
	w->books = (struct pump_books){ .relay = 1, .in_pipe = &w->in_pipe };
	open_stream(w, &w->from, &w->sender);
	open_stream(w, &w->to, &w->receiver);
	event_base_loop(w->base, EVLOOP_NONBLOCK);
}

static void close_world(struct world *w)
{
	stream_close(&w->from);
	stream_close(&w->to);
	pump_end(&w->pump, &w->tools);
	pipes_free(w->tools.pipes);
	free(w->tools.scratch);
	close(w->sender);
	close(w->receiver);
	poller_free(w->poller);
	event_base_free(w->base);
}

static enum pump_result run(struct world *w)
{
	return pump_run(&w->pump, &w->from, &w->to, &w->tools, &w->books);
}

/* What a turn of the loop does. */
static enum pump_result turn(struct world *w)
{
	event_base_loop(w->base, EVLOOP_NONBLOCK);
	return run(w);
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
		assert_int_equal(w.from.flags & STREAM_READABLE, 0);
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
	assert_int_equal(turn(&w), PUMP_FIN);
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
	assert_int_equal(run(&w), PUMP_BLOCKED);
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
	assert_int_equal(turn(&w), PUMP_FROM_RESET);
	expect_received(&w, "hello");
	close_world(&w);
}

static void test_reset_after_all_was_read(void **state)
{
	struct world w;

	(void)state;
	open_world(&w);
	say(&w, "hello", 0);
	assert_int_equal(turn(&w), PUMP_BLOCKED);
	reset_by_sender(&w);
	assert_int_equal(turn(&w), PUMP_FROM_RESET);
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
	assert_int_equal(turn(&w), PUMP_BLOCKED);
	expect_received(&w, "hello you");
	say(&w, "again", 0);
	assert_int_equal(turn(&w), PUMP_BLOCKED);
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
	setsockopt(w.to.fd, SOL_SOCKET, SO_SNDBUF, &small, sizeof(small));
	sent = send(w.sender, bytes, sizeof(bytes), 0);
	assert_true(sent > 0);
	w.pump.peek_bytes = PUMP_SCRATCH_BYTES; /* one short look, which is not taken at once */
	for (int i = 0; i < 10000 && got < (size_t)sent; i++) {
		ssize_t n;

		assert_int_equal(turn(&w), PUMP_BLOCKED);
		while ((n = recv(w.receiver, bytes, sizeof(bytes), 0)) > 0)
			got += (size_t)n;
		usleep(1000);
	}
	assert_int_equal(got, sent);
	close_world(&w);
}

/* ------------------------------------------------------------------ whose event it is */

static unsigned heard;

static void on_other(struct poller_watch *watch, uint32_t events)
{
	(void)watch;
	(void)events;
	heard++;
}

/* Whichever is told first ends the other: of that nobody hears, although the same turn has its event. */
static struct world *both;

static void on_either(struct poller_watch *watch, uint32_t events)
{
	(void)events;
	heard++;
	stream_close(watch == &both->from.watch ? &both->to : &both->from);
}

static void test_closed_in_the_same_turn(void **state)
{
	struct world w;

	(void)state;
	open_world(&w);
	both = &w;
	heard = 0;
	w.from.watch.on_event = w.to.watch.on_event = on_either;
	say(&w, "hello", 0);
	assert_int_equal(send(w.receiver, "x", 1, 0), 1);
	event_base_loop(w.base, EVLOOP_NONBLOCK);
	assert_int_equal(heard, 1);
	close_world(&w);
}

/* One that is not connected is hung up; what the socket before it had to say it must not hear. */
static void on_opened_again(struct poller_watch *watch, uint32_t events)
{
	(void)watch;
	assert_true((events & EPOLLHUP) != 0);
	heard++;
}

/* The same, and the memory is another socket's by then. */
static void on_either_again(struct poller_watch *watch, uint32_t events)
{
	struct stream *other = watch == &both->from.watch ? &both->to : &both->from;

	(void)events;
	heard++;
	stream_close(other);
	assert_int_equal(stream_open(other, both->poller, socket(AF_INET, SOCK_STREAM, 0), 0,
				 on_opened_again),
		0);
}

static void test_opened_again_in_the_same_turn(void **state)
{
	struct world w;

	(void)state;
	open_world(&w);
	both = &w;
	heard = 0;
	w.from.watch.on_event = w.to.watch.on_event = on_either_again;
	say(&w, "hello", 0);
	assert_int_equal(send(w.receiver, "x", 1, 0), 1);
	event_base_loop(w.base, EVLOOP_NONBLOCK);
	assert_int_equal(heard, 2);
	close_world(&w);
}

/* As long as another process has a copy, close does not end the events. */
static void test_closed_with_a_copy(void **state)
{
	struct world w;
	int copy;
	int fd;

	(void)state;
	open_world(&w);
	heard = 0;
	fd = w.from.fd;
	w.from.watch.on_event = on_other;
	copy = dup(w.from.fd);
	w.from.flags |= STREAM_COPIED;
	stream_leave(&w.from);
	say(&w, "hello", 0);
	event_base_loop(w.base, EVLOOP_NONBLOCK);
	assert_int_equal(heard, 0);
	/* Nor is it in the way when it comes back, under its old number. */
	assert_int_equal(dup2(copy, fd), fd);
	close(copy);
	assert_int_equal(stream_open(&w.from, w.poller, fd, STREAM_PLAIN, on_event), 0);
	assert_int_equal(turn(&w), PUMP_BLOCKED);
	expect_received(&w, "hello");
	close_world(&w);
}

static void test_rest_and_again(void **state)
{
	struct world w;

	(void)state;
	open_world(&w);
	stream_rest(&w.from);
	say(&w, "hello", 0);
	assert_int_equal(turn(&w), PUMP_BLOCKED);
	assert_int_equal(w.books.forwarded, 0);
	assert_int_equal(stream_watch(&w.from), 0);
	assert_int_equal(turn(&w), PUMP_BLOCKED);
	expect_received(&w, "hello");
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
		cmocka_unit_test(test_closed_in_the_same_turn),
		cmocka_unit_test(test_opened_again_in_the_same_turn),
		cmocka_unit_test(test_closed_with_a_copy),
		cmocka_unit_test(test_rest_and_again),
	};

	return cmocka_run_group_tests_name("poller", tests, NULL, NULL);
}
