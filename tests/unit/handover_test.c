/* Who accepts from which socket, over deaths and generations: what a worker is told, seen from its end of the channel.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include <event2/event.h>

#include "common/channel.h"
#include "conf/conf.h"
#include "conf/load.h"
#include "master/hosts.h"
#include "master/listen/bindings.h"
#include "master/listen/handover.h"
#include "tests/unit/loopback.h"

#define PEERS 12
#define HAS   64

/* A worker: what it accepts from. */
struct peer {
	struct channel *ours; /* the master's end */
	struct channel *theirs;
	uint32_t slot;
	size_t nhas;
	uint32_t has[HAS];
	size_t nasked; /* to be released */
	struct msg_listener asked[HAS];
};

struct bed {
	struct event_base *base;
	struct conf *conf[3];
	struct bindings *bindings;
	struct handover *handover;
	size_t closed;
	struct peer peers[PEERS];
};

static void peer_remove(struct peer *peer, uint32_t id)
{
	for (size_t i = 0; i < peer->nhas; i++) {
		if (peer->has[i] == id) {
			peer->has[i] = peer->has[--peer->nhas];
			return;
		}
	}
	fail_msg("slot %u was asked for socket %u, which it has not", peer->slot, id);
}

static void on_peer_message(struct channel *channel, struct message *message, void *arg)
{
	struct peer *peer = arg;
	const struct msg_listener *listeners;
	size_t count;

	(void)channel;
	assert_int_equal(message->slot, peer->slot);
	listeners = message_payload(message, message->type, &count);
	for (size_t i = 0; i < count; i++) {
		if (message->type == M2W_LISTENERS) {
			peer->has[peer->nhas++] = listeners[i].id;
		} else {
			assert_int_equal(message->type, M2W_RELEASE);
			peer_remove(peer, listeners[i].id);
			peer->asked[peer->nasked++] = listeners[i];
		}
	}
}

static void on_end(struct channel *channel, enum channel_end end, const char *why, void *arg)
{
	(void)channel;
	(void)end;
	(void)why;
	(void)arg;
}

static void run(struct bed *bed)
{
	event_base_loop(bed->base, EVLOOP_NONBLOCK);
}

static struct handover_worker peer_worker(
	struct bed *bed, uint32_t slot, uint32_t number, uint32_t generation)
{
	static const struct channel_handlers ours = { on_peer_message, on_end, NULL, NULL };
	struct peer *peer = &bed->peers[slot];
	struct channel_handlers theirs = { on_peer_message, on_end, peer, NULL };
	int fds[2];

	assert_int_equal(channel_pair(fds), 0);
	*peer = (struct peer){ .slot = slot };
	peer->ours = channel_new(bed->base, fds[0], CHANNEL_MASTER, &ours);
	peer->theirs = channel_new(bed->base, fds[1], CHANNEL_CHILD, &theirs);
	return (struct handover_worker){ slot, number, generation, peer->ours };
}

static void ready(struct bed *bed, uint32_t slot, uint32_t number, uint32_t generation)
{
	const struct handover_worker worker = peer_worker(bed, slot, number, generation);

	handover_ready(bed->handover, &worker);
	run(bed);
}

static void peer_free(struct peer *peer)
{
	if (peer->ours == NULL)
		return;
	channel_free(peer->ours);
	channel_free(peer->theirs);
	peer->ours = peer->theirs = NULL;
	peer->nhas = peer->nasked = 0;
}

static void dies(struct bed *bed, uint32_t slot, uint32_t number, uint32_t generation)
{
	const struct handover_worker worker = { slot, number, generation, NULL };

	handover_gone(bed->handover, &worker);
	peer_free(&bed->peers[slot]);
	run(bed);
}

/* It answers for all that it was asked for. */
static void releases(struct bed *bed, uint32_t slot)
{
	struct peer *peer = &bed->peers[slot];
	size_t n = peer->nasked;

	peer->nasked = 0;
	assert_int_equal(handover_released(bed->handover, slot, peer->asked, n), 0);
	run(bed);
}

static size_t has(const struct bed *bed, uint32_t slot)
{
	return bed->peers[slot].nhas;
}

/* Every socket that is not leaving has one acceptor. */
static void assert_all_owned(struct bed *bed)
{
	for (size_t i = 0; i < bindings_count(bed->bindings); i++) {
		const struct listener *listener = bindings_at(bed->bindings, i);
		size_t owners = 0;

		for (size_t p = 0; p < PEERS; p++) {
			for (size_t j = 0; j < bed->peers[p].nhas; j++)
				owners += bed->peers[p].has[j] == listener->id;
		}
		if (!listener->leaving && !listener->shared)
			assert_int_equal(owners, 1);
	}
}

/* ------------------------------------------------------------------ configurations */

static struct conf *load(const char *text)
{
	struct conf_errors errors = { 0 };
	struct conf *conf = conf_load_text("test", text, strlen(text), NULL, &errors);

	conf_errors_print(&errors, stderr);
	assert_non_null(conf);
	return conf;
}

static struct conf *conf_of(unsigned workers, uint16_t port, uint16_t second)
{
	char text[512];
	int len = snprintf(text, sizeof(text),
		"global: {workers: %u}\nfrontends:\n  a: {bind: '127.0.0.1:%u', service: echo}\n",
		workers, port);

	if (second != 0)
		snprintf(text + len, sizeof(text) - (size_t)len,
			"  b: {bind: '127.0.0.1:%u', service: echo}\n", second);
	return load(text);
}

static struct bindings *bind_all(struct conf *conf, const struct bindings *present)
{
	struct hosts *hosts = hosts_resolve(conf);
	struct bindings *bindings = bindings_new(conf, hosts, NULL, NULL);

	assert_non_null(bindings);
	if (present != NULL)
		bindings_inherit(bindings, present);
	assert_int_equal(bindings_open(bindings), BINDINGS_OPEN);
	hosts_free(hosts);
	return bindings;
}

static void count_closed(uint32_t id, void *arg)
{
	struct bed *bed = arg;

	(void)id;
	bed->closed++;
}

static void setup_bed(struct bed *bed, struct conf *conf)
{
	const struct handover_handlers handlers = { count_closed, bed };

	*bed = (struct bed){ .base = event_base_new(), .conf = { conf } };
	bed->bindings = bind_all(conf, NULL);
	bed->handover = handover_new(bed->bindings, conf->global.workers, 1, &handlers);
}

static void teardown_bed(struct bed *bed)
{
	for (size_t i = 0; i < PEERS; i++)
		peer_free(&bed->peers[i]);
	handover_free(bed->handover);
	bindings_free(bed->bindings);
	for (size_t i = 0; i < 3; i++)
		conf_free(bed->conf[i]);
	event_base_free(bed->base);
}

/* The next generation's workers are in the slots from first on. */
static void commit(struct bed *bed, struct conf *conf, uint32_t generation, uint32_t first)
{
	struct handover_worker workers[PEERS];

	bindings_merge(bed->bindings, bind_all(conf, bed->bindings));
	for (uint32_t i = 0; i < conf->global.workers; i++)
		workers[i] = peer_worker(bed, first + i, i, generation);
	handover_commit(bed->handover, workers, conf->global.workers);
	run(bed);
}

/* ------------------------------------------------------------------ tests */

static void test_one_generation(void **state)
{
	struct bed bed;

	(void)state;
	setup_bed(&bed, conf_of(3, loopback_port(), 0));
	for (uint32_t i = 0; i < 3; i++) {
		ready(&bed, i, i, 1);
		assert_int_equal(has(&bed, i), 1);
	}
	dies(&bed, 1, 1, 1);
	assert_all_owned(&bed);
	dies(&bed, 2, 2, 1);
	assert_int_equal(has(&bed, 0), 3);
	/* Its successor is another process in another slot. */
	ready(&bed, 4, 1, 1);
	assert_int_equal(bed.peers[0].nasked, 1);
	assert_int_equal(has(&bed, 4), 0);
	releases(&bed, 0);
	assert_int_equal(has(&bed, 4), 1);
	assert_all_owned(&bed);
	teardown_bed(&bed);
}

static void test_more_and_fewer_workers(void **state)
{
	const uint16_t port = loopback_port();
	struct bed bed;

	(void)state;
	setup_bed(&bed, conf_of(2, port, 0));
	ready(&bed, 0, 0, 1);
	ready(&bed, 1, 1, 1);
	bed.conf[1] = conf_of(4, port, 0);
	commit(&bed, bed.conf[1], 2, 2);
	/* The two further sockets are theirs at once, the others when they are given back. */
	assert_int_equal(bindings_count(bed.bindings), 4);
	assert_int_equal(has(&bed, 2) + has(&bed, 3) + has(&bed, 4) + has(&bed, 5), 2);
	releases(&bed, 0);
	releases(&bed, 1);
	for (uint32_t slot = 2; slot < 6; slot++)
		assert_int_equal(has(&bed, slot), 1);
	dies(&bed, 0, 0, 1);
	dies(&bed, 1, 1, 1);
	bed.conf[2] = conf_of(1, port, 0);
	commit(&bed, bed.conf[2], 3, 6);
	for (uint32_t slot = 2; slot < 6; slot++)
		releases(&bed, slot);
	/* None is closed while its address is configured. */
	assert_int_equal(bindings_count(bed.bindings), 4);
	assert_int_equal(has(&bed, 6), 4);
	assert_int_equal(bed.closed, 0);
	teardown_bed(&bed);
}

static void test_old_owner_dies_before_it_gives_back(void **state)
{
	const uint16_t port = loopback_port();
	struct bed bed;

	(void)state;
	setup_bed(&bed, conf_of(2, port, 0));
	ready(&bed, 0, 0, 1);
	ready(&bed, 1, 1, 1);
	bed.conf[1] = conf_of(2, port, 0);
	commit(&bed, bed.conf[1], 2, 2);
	dies(&bed, 0, 0, 1);
	assert_int_equal(has(&bed, 2), 1);
	/* And a new one dies before it has anything. */
	dies(&bed, 3, 1, 2);
	releases(&bed, 1);
	assert_int_equal(has(&bed, 2), 2);
	assert_all_owned(&bed);
	teardown_bed(&bed);
}

static bool connects(uint16_t port)
{
	struct sockaddr_in addr = { .sin_family = AF_INET, .sin_port = htons(port) };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
	bool refused;

	addr.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	refused = connect(fd, (struct sockaddr *)&addr, sizeof(addr)) < 0 && errno != EINPROGRESS;
	if (!refused)
		usleep(20000);
	addr.sin_family = AF_INET;
	refused = refused ||
		getpeername(fd, (struct sockaddr *)&addr, &(socklen_t){ sizeof(addr) }) < 0;
	close(fd);
	return !refused;
}

static void test_an_address_leaves(void **state)
{
	const uint16_t port = loopback_port();
	const uint16_t second = loopback_port();
	struct bed bed;

	(void)state;
	setup_bed(&bed, conf_of(2, port, second));
	ready(&bed, 0, 0, 1);
	ready(&bed, 1, 1, 1);
	assert_true(connects(second));
	bed.conf[1] = conf_of(2, port, 0);
	commit(&bed, bed.conf[1], 2, 2);
	assert_int_equal(bindings_leaving(bed.bindings), 2);
	assert_false(connects(second));
	assert_true(connects(port));
	/* It is the last who accepts from it, and so is who follows it when it dies. */
	for (size_t i = 0; i < bed.peers[1].nasked; i++) {
		const struct listener *listener =
			bindings_find(bed.bindings, bed.peers[1].asked[i].id);

		assert_int_equal(
			bed.peers[1].asked[i].flags, listener->leaving ? MSG_LISTENER_LAST : 0);
	}
	dies(&bed, 0, 0, 1);
	assert_int_equal(bed.closed, 0);
	assert_int_equal(bed.peers[1].nasked, 3);
	releases(&bed, 1);
	assert_int_equal(bed.closed, 2);
	assert_int_equal(bindings_count(bed.bindings), 2);
	assert_all_owned(&bed);
	teardown_bed(&bed);
}

static void test_what_is_given_up_closes_only_what_is_new(void **state)
{
	const uint16_t port = loopback_port();
	const uint16_t second = loopback_port();
	struct bed bed;

	(void)state;
	setup_bed(&bed, conf_of(1, port, 0));
	ready(&bed, 0, 0, 1);
	bed.conf[1] = conf_of(3, port, second);
	bindings_free(bind_all(bed.conf[1], bed.bindings));
	assert_int_equal(bindings_count(bed.bindings), 1);
	assert_int_equal(has(&bed, 0), 1);
	assert_true(connects(port));
	assert_false(connects(second));
	teardown_bed(&bed);
}

static void test_an_answer_for_nothing_is_refused(void **state)
{
	const struct msg_listener nothing = { .id = 1 };
	struct bed bed;

	(void)state;
	setup_bed(&bed, conf_of(1, loopback_port(), 0));
	ready(&bed, 0, 0, 1);
	assert_int_equal(handover_released(bed.handover, 0, &nothing, 1), -1);
	teardown_bed(&bed);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_one_generation),
		cmocka_unit_test(test_more_and_fewer_workers),
		cmocka_unit_test(test_old_owner_dies_before_it_gives_back),
		cmocka_unit_test(test_an_address_leaves),
		cmocka_unit_test(test_what_is_given_up_closes_only_what_is_new),
		cmocka_unit_test(test_an_answer_for_nothing_is_refused),
	};

	return cmocka_run_group_tests_name("handover", tests, NULL, NULL);
}
