/* What a master finds of another one's listening sockets: which it keeps, what it asks the workers that it found, and when
 * what left is closed.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include <event2/event.h>

#include "common/channel.h"
#include "conf/conf.h"
#include "conf/load.h"
#include "master/change/takeover.h"
#include "master/hosts.h"
#include "master/listen/bindings.h"
#include "master/listen/handover.h"
#include "tests/unit/loopback.h"

#define PEERS 8
#define MOST  32

/* A worker, of either master. */
struct peer {
	struct channel *ours;
	struct channel *theirs;
	size_t given;
	size_t nasked;
	size_t last; /* of those, to be accepted empty */
	struct msg_listener asked[MOST];
};

struct bed {
	struct event_base *base;
	struct conf *conf;
	struct bindings *bindings;
	struct handover *handover;
	size_t closed;
	struct peer peers[PEERS];
};

static void on_peer_message(struct channel *channel, struct message *message, void *arg)
{
	struct peer *peer = arg;
	const struct msg_listener *listeners;
	size_t count;

	(void)channel;
	listeners = message_payload(message, message->type, &count);
	for (size_t i = 0; i < count; i++) {
		if (message->type == M2W_LISTENERS) {
			peer->given++;
			continue;
		}
		assert_int_equal(message->type, M2W_RELEASE);
		peer->last += (listeners[i].flags & MSG_LISTENER_LAST) != 0;
		peer->asked[peer->nasked++] = listeners[i];
	}
}

static void on_end(struct channel *channel, enum channel_end end, const char *why, void *arg)
{
	(void)channel;
	(void)end;
	(void)why;
	(void)arg;
}

static struct handover_worker worker_in(
	struct bed *bed, uint32_t slot, uint32_t number, uint32_t generation)
{
	struct peer *peer = &bed->peers[slot];
	const struct channel_handlers handlers = { on_peer_message, on_end, peer, NULL };
	int fds[2];

	assert_int_equal(channel_pair(fds), 0);
	peer->ours = channel_new(bed->base, fds[0], CHANNEL_MASTER, &handlers);
	peer->theirs = channel_new(bed->base, fds[1], CHANNEL_CHILD, &handlers);
	return (struct handover_worker){ slot, number, generation, peer->ours };
}

static struct conf *conf_of(unsigned workers, const uint16_t *ports, size_t nports)
{
	struct conf_errors errors = { 0 };
	struct conf *conf;
	char text[512];
	int len = snprintf(text, sizeof(text), "global: {workers: %u}\nfrontends:\n", workers);

	for (size_t i = 0; i < nports; i++)
		len += snprintf(text + len, sizeof(text) - (size_t)len,
			"  f%u: {bind: '127.0.0.1:%u', service: echo}\n", ports[i], ports[i]);
	conf = conf_load_text("test", text, strlen(text), NULL, &errors);
	assert_non_null(conf);
	return conf;
}

/* What is there of a master that died: copies of all of its sockets, in no order. */
static size_t leave(const uint16_t *ports, size_t nports, struct takeover_listener *left)
{
	struct conf *conf = conf_of(2, ports, nports);
	struct hosts *hosts = hosts_resolve(conf);
	struct bindings *bindings = bindings_new(conf, hosts, NULL, NULL);
	size_t count;

	assert_int_equal(bindings_open(bindings), BINDINGS_OPEN);
	count = bindings_count(bindings);
	for (size_t i = 0; i < count; i++) {
		const struct listener *listener = bindings_at(bindings, i);
		struct takeover_listener *to = &left[count - 1 - i];

		*to = (struct takeover_listener){
			.what = { .id = listener->id, .home = listener->home },
			.fd = dup(listener->fd),
			.addr = { .len = sizeof(to->addr.u) },
		};
		assert_int_equal(getsockname(to->fd, &to->addr.u.sa, &to->addr.len), 0);
	}
	hosts_free(hosts);
	bindings_free(bindings);
	conf_free(conf);
	return count;
}

static void count_closed(uint32_t id, void *arg)
{
	struct bed *bed = arg;

	(void)id;
	bed->closed++;
}

/* A master finds that, with a configuration of its own, and serves: the workers in slots 0 and 1 are the other one's, its
 * own are behind them. */
static void setup_bed(
	struct bed *bed, struct takeover_listener *left, size_t nleft, struct conf *conf)
{
	const struct handover_handlers handlers = { count_closed, bed };
	struct hosts *hosts = hosts_resolve(conf);
	struct bindings *next = bindings_new(conf, hosts, NULL, NULL);
	struct handover_worker workers[PEERS];

	*bed = (struct bed){ .base = event_base_new(), .conf = conf };
	bed->bindings = bindings_found(left, nleft);
	bindings_inherit(next, bed->bindings);
	assert_int_equal(bindings_open(next), BINDINGS_OPEN);
	bed->handover = handover_new(bed->bindings, conf->global.workers, 7, &handlers);
	bindings_merge(bed->bindings, next);
	for (uint32_t slot = 0; slot < 2; slot++) {
		const struct handover_worker found = worker_in(bed, slot, slot, 6);

		handover_found(bed->handover, &found);
	}
	for (uint32_t i = 0; i < conf->global.workers; i++)
		workers[i] = worker_in(bed, 2 + i, i, 7);
	handover_commit(bed->handover, workers, conf->global.workers);
	event_base_loop(bed->base, EVLOOP_NONBLOCK);
	hosts_free(hosts);
}

static void teardown_bed(struct bed *bed)
{
	for (size_t i = 0; i < PEERS; i++) {
		if (bed->peers[i].ours == NULL)
			continue;
		channel_free(bed->peers[i].ours);
		channel_free(bed->peers[i].theirs);
	}
	handover_free(bed->handover);
	bindings_free(bed->bindings);
	conf_free(bed->conf);
	event_base_free(bed->base);
}

static int answers(struct bed *bed, uint32_t slot)
{
	const struct peer *peer = &bed->peers[slot];

	return handover_released(bed->handover, slot, peer->asked, peer->nasked);
}

/* ------------------------------------------------------------------ tests */

static void test_they_are_found_in_order(void **state)
{
	const uint16_t ports[] = { loopback_port(), loopback_port() };
	struct takeover_listener left[MOST];
	size_t count = leave(ports, 2, left);
	struct bindings *bindings = bindings_found(left, count);

	(void)state;
	assert_int_equal(count, 4);
	assert_int_equal(bindings_count(bindings), 4);
	for (size_t i = 0; i < count; i++) {
		assert_int_equal(bindings_at(bindings, i)->id, i + 1);
		assert_int_equal(bindings_at(bindings, i)->home, i % 2);
		assert_int_equal(left[i].fd, -1);
	}
	bindings_free(bindings);
}

static void test_what_stays_and_what_leaves(void **state)
{
	const uint16_t ports[] = { loopback_port(), loopback_port() };
	struct takeover_listener left[MOST];
	size_t count = leave(ports, 2, left);
	struct bed bed;

	(void)state;
	setup_bed(&bed, left, count, conf_of(3, ports, 1));
	/* One more worker than before: one socket more for the address that stays. */
	assert_int_equal(bindings_count(bed.bindings), 5);
	assert_int_equal(bindings_leaving(bed.bindings), 2);
	assert_int_equal(bed.peers[2].given + bed.peers[3].given + bed.peers[4].given, 3);
	for (uint32_t slot = 0; slot < 2; slot++) {
		/* Nobody knows which of them has which; the new one they cannot have. */
		assert_int_equal(bed.peers[slot].nasked, 4);
		assert_int_equal(bed.peers[slot].last, 2);
	}
	assert_int_equal(answers(&bed, 0), 0);
	assert_int_equal(bed.closed, 0);
	assert_int_equal(answers(&bed, 1), 0);
	assert_int_equal(bed.closed, 2);
	assert_int_equal(bindings_count(bed.bindings), 3);
	teardown_bed(&bed);
}

static void test_an_answer_to_the_master_before_is_none_to_us(void **state)
{
	const uint16_t port = loopback_port();
	struct takeover_listener left[MOST];
	size_t count = leave(&port, 1, left);
	struct bed bed;

	(void)state;
	setup_bed(&bed, left, count, conf_of(2, &port, 1));
	assert_int_equal(answers(&bed, 0), 0);
	assert_int_equal(answers(&bed, 0), 0);
	teardown_bed(&bed);
}

static void test_who_dies_has_nothing_any_more(void **state)
{
	const uint16_t ports[] = { loopback_port(), loopback_port() };
	struct takeover_listener left[MOST];
	size_t count = leave(ports, 2, left);
	struct bed bed;

	(void)state;
	setup_bed(&bed, left, count, conf_of(2, ports + 1, 1));
	for (uint32_t slot = 0; slot < 2; slot++) {
		const struct handover_worker dead = { slot, slot, 6, NULL };

		assert_int_equal(bed.closed, 0);
		handover_gone(bed.handover, &dead);
	}
	assert_int_equal(bed.closed, 2);
	teardown_bed(&bed);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_they_are_found_in_order),
		cmocka_unit_test(test_what_stays_and_what_leaves),
		cmocka_unit_test(test_an_answer_to_the_master_before_is_none_to_us),
		cmocka_unit_test(test_who_dies_has_nothing_any_more),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
