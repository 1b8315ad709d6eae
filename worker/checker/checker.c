/* The checker process: its event loop, its channel to the master, its heartbeat. There is one for the
 * whole daemon, whatever the number of workers; the checks themselves are check.c's.
 */
#include <event2/event.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

#include "common/channel.h"
#include "common/child.h"
#include "common/clock.h"
#include "common/log.h"
#include "common/shm.h"
#include "conf/conf.h"
#include "worker/checker/check.h"
#include "worker/checker/lookups.h"

#define CHECKER_UNDER_WAY_MAX 4096
#define CHECKER_FDS_OTHER     32 /* log, channel, loop, and room to spare */

struct checker {
	const struct child *child; /* borrowed */
	struct event_base *base;   /* owned */
	struct channel *channel;   /* owned */
	struct event *heartbeat;   /* owned */
	struct check_set *checks;  /* owned */
	struct lookups *lookups;   /* owned; NULL when no name is to be looked up */
};

static void checker_log(struct checker *checker, struct message *message)
{
	const struct msg_round done = { .round = child_log(message, NULL, NULL) };
	const struct message answer = {
		.type = C2M_LOG,
		.slot = checker->child->slot,
		.generation = checker->child->generation,
		.payload = &done,
		.payload_bytes = sizeof(done),
	};

	channel_send(checker->channel, &answer);
}

static void on_channel_message(struct channel *channel, struct message *message, void *arg)
{
	struct checker *checker = arg;

	(void)channel;
	if (message->type == M2C_STOP) {
		event_base_loopbreak(checker->base); /* a check cut short is no loss */
		return;
	}
	if (message->type == M2C_LOG) {
		checker_log(checker, message);
		return;
	}
	log_warnx("unexpected %s from the master", message_type_name(message->type));
}

/* Without its master nobody would ever stop it. */
static void on_channel_end(
	struct channel *channel, enum channel_end end, const char *why, void *arg)
{
	struct checker *checker = arg;

	(void)channel;
	if (end != CHANNEL_CLOSED)
		log_warnx("the channel to the master: %s", why);
	event_base_loopbreak(checker->base);
}

static void on_heartbeat_timer(evutil_socket_t fd, short what, void *arg)
{
	struct checker *checker = arg;

	(void)fd;
	(void)what;
	atomic_store_explicit(&shm_checker(checker->child->shm)->heartbeat_ms, clock_now_ms(),
		memory_order_relaxed);
}

static void checker_no_memory(const char *what)
{
	log_fatalx("cannot make %s", what);
	exit(EXIT_CODE_FAILED);
}

/* Five a timeout: the loop may be late by some of them before the master takes us for hung. */
static void checker_heartbeat_start(struct checker *checker)
{
	uint32_t every_ms = checker->child->conf->global.heartbeat_timeout_ms / 5;
	struct timeval every;

	if (every_ms == 0)
		every_ms = 1;
	every = clock_timeval(every_ms);
	checker->heartbeat = event_new(checker->base, -1, EV_PERSIST, on_heartbeat_timer, checker);
	if (checker->heartbeat == NULL || event_add(checker->heartbeat, &every) < 0)
		checker_no_memory("the heartbeat");
	on_heartbeat_timer(-1, EV_TIMEOUT, checker);
}

static uint32_t checker_under_way_max(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) < 0 ||
		limit.rlim_cur >= 2 * CHECKER_UNDER_WAY_MAX + CHECKER_FDS_OTHER)
		return CHECKER_UNDER_WAY_MAX;
	if (limit.rlim_cur <= CHECKER_FDS_OTHER + 2)
		return 1;
	return (uint32_t)(limit.rlim_cur - CHECKER_FDS_OTHER) / 2;
}

static void checker_send_ready(struct checker *checker)
{
	struct msg_ready ready = { .pid = getpid() };
	struct message message = {
		.type = C2M_READY,
		.slot = checker->child->slot,
		.generation = checker->child->generation,
		.payload = &ready,
		.payload_bytes = sizeof(ready),
	};

	channel_send(checker->channel, &message);
}

int checker_main(const struct child *child)
{
	struct checker checker = { .child = child };
	const struct channel_handlers handlers = {
		.on_message = on_channel_message,
		.on_end = on_channel_end,
		.arg = &checker,
	};

	/* A service manager stops all processes of a service at once: the master says when it is our turn. */
	signal(SIGTERM, SIG_IGN);
	checker.base = child_event_base();
	checker.channel = channel_new(checker.base, child->channel_fd, CHANNEL_CHILD, &handlers);
	checker_heartbeat_start(&checker);
	checker.checks =
		check_set_new(checker.base, child->conf, child->shm, checker_under_way_max());
	checker.lookups = lookups_new(checker.base, child->conf, child->shm, checker.checks);
	checker_send_ready(&checker);

	event_base_dispatch(checker.base);

	lookups_free(checker.lookups);
	check_set_free(checker.checks);
	event_free(checker.heartbeat);
	channel_free(checker.channel);
	event_base_free(checker.base);
	return EXIT_CODE_OK;
}
