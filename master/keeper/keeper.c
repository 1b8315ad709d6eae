/* The keeper process: its line to the master, its heartbeat, its beginning and its end.
 *
 * It outlives the master, and then waits for the next one with the workers that go on; it ends when neither is left.
 */
#include "master/keeper/keeper.h"

#include <event2/event.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/pidfd.h>
#include <sys/resource.h>
#include <unistd.h>

#include "common/child.h"
#include "common/clock.h"
#include "conf/conf.h"
#include "master/keeper/parts.h"

#define KEEPER_BEATS 5 /* per heartbeat_timeout */

static void keeper_no_memory(void)
{
	log_fatalx("out of memory for the keeper");
	exit(EXIT_CODE_FAILED);
}

/* ------------------------------------------------------------------ the master's line */

void keeper_send_master(struct keeper *keeper, struct message *message)
{
	message->generation = keeper->child->generation;
	if (keeper->master != NULL && !keeper->master_foreign)
		channel_send(keeper->master, message);
}

void keeper_check_use(struct keeper *keeper)
{
	if ((keeper->master != NULL && !keeper->master_foreign) || keeper->inherit != NULL ||
		takeover_server_busy(keeper->takeover) || lines_open_count(keeper) > 0)
		return;
	log_info("neither a master nor a worker is left");
	keeper->stop = true;
	event_base_loopbreak(keeper->base);
}

void keeper_master_message(struct keeper *keeper, struct message *message)
{
	const struct msg_slot *slot;
	const struct msg_expect *expect;

	switch (message->type) {
	case M2K_LISTENER:
		children_listener(keeper, message);
		break;
	case M2K_DROP:
		children_drop(keeper, message);
		break;
	case M2K_CHILD:
		children_add(keeper, message);
		break;
	case M2K_GONE:
		children_gone(keeper, message);
		break;
	case M2K_ROUTE:
		give_route(keeper, message_payload(message, M2K_ROUTE, NULL));
		break;
	case M2K_GIVE:
		slot = message_payload(message, M2K_GIVE, NULL);
		dead_give(keeper, slot->slot);
		break;
	case M2K_EXPECT:
		expect = message_payload(message, M2K_EXPECT, NULL);
		takeover_server_expect(keeper->takeover, expect->pid);
		break;
	case M2K_HAND_OVER:
		hand_over_begin(keeper, message);
		break;
	case M2K_INHERIT:
		inherit_begin(keeper, message);
		break;
	default:
		log_warnx("unexpected %s", message_type_name(message->type));
	}
}

static void keeper_log(struct keeper *keeper, struct message *message)
{
	const struct msg_round done = { .round = child_log(message, NULL, NULL) };
	struct message answer = {
		.type = C2M_LOG, .payload = &done, .payload_bytes = sizeof(done)
	};

	keeper_send_master(keeper, &answer);
}

static void on_master_message(struct channel *channel, struct message *message, void *arg)
{
	struct keeper *keeper = arg;

	(void)channel;
	if (message->type == M2C_STOP) {
		keeper->stop = true; /* what it keeps is the workers', who finish it */
		event_base_loopbreak(keeper->base);
		return;
	}
	if (message->type == M2C_LOG) {
		keeper_log(keeper, message);
		return;
	}
	keeper_master_message(keeper, message);
}

static void on_master_end(struct channel *channel, enum channel_end end, const char *why, void *arg)
{
	struct keeper *keeper = arg;

	(void)end;
	if (keeper->master_foreign || takeover_server_taking(keeper->takeover))
		log_info("the master left");
	else
		log_errorx("the master is gone (%s)", why);
	channel_free(channel);
	keeper->master = NULL;
	takeover_server_master_gone(keeper->takeover);
	keeper_check_use(keeper);
}

void keeper_open_master(struct keeper *keeper, int fd)
{
	const struct channel_handlers handlers = {
		.on_message = on_master_message,
		.on_end = on_master_end,
		.arg = keeper,
	};

	MUST(keeper->master == NULL);
	keeper->master = channel_new(keeper->base, fd, CHANNEL_CHILD, &handlers);
}

/* ------------------------------------------------------------------ begin and end */

static void on_heartbeat(evutil_socket_t fd, short what, void *arg)
{
	struct keeper *keeper = arg;

	(void)fd;
	(void)what;
	atomic_store_explicit(&keeper->pages->heartbeat_ms, clock_now_ms(), memory_order_relaxed);
}

static void on_give(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	give_run(arg);
}

static void keeper_start_heartbeat(struct keeper *keeper)
{
	uint32_t every_ms = keeper->child->conf->global.heartbeat_timeout_ms / KEEPER_BEATS;
	struct timeval every = clock_timeval(every_ms);

	if (every_ms == 0)
		every.tv_usec = 1000;
	keeper->heartbeat = event_new(keeper->base, -1, EV_PERSIST, on_heartbeat, keeper);
	if (keeper->heartbeat == NULL || event_add(keeper->heartbeat, &every) < 0)
		keeper_no_memory();
	on_heartbeat(-1, 0, keeper);
}

static void keeper_find_limits(struct keeper *keeper)
{
	struct rlimit limit = { 0 };
	int fds;

	getrlimit(RLIMIT_NOFILE, &limit);
	fds = limit.rlim_cur > 1 << 30 ? 1 << 30 : (int)limit.rlim_cur;
	keeper->fds_max = fds - KEEPER_HEADROOM;
	keeper->fds_listen_max = keeper->fds_max > fds / 2 ? keeper->fds_max : fds / 2;
	keeper->fds_keep_max =
		keeper->fds_max - (fds / 4 < KEEPER_PASSAGE ? fds / 4 : KEEPER_PASSAGE);
}

static void keeper_send_ready(struct keeper *keeper)
{
	struct msg_ready ready = { .pid = getpid() };
	struct message message = {
		.type = C2M_READY, .payload = &ready, .payload_bytes = sizeof(ready)
	};

	keeper_send_master(keeper, &message);
}

struct keeper *keeper_new(struct event_base *base, const struct child *child)
{
	struct keeper *keeper = calloc(1, sizeof(*keeper));

	if (keeper == NULL)
		keeper_no_memory();
	keeper->child = child;
	keeper->base = base;
	keeper->shm = child->shm;
	keeper->pages = shm_keeper(child->shm);
	atomic_store_explicit(&keeper->pages->kept, 0, memory_order_relaxed);
	keeper->store = store_new(shm_records(child->shm));
	keeper->give = event_new(base, -1, 0, on_give, keeper);
	if (keeper->give == NULL)
		keeper_no_memory();
	keeper_find_limits(keeper);
	keeper->master_pid = getppid();
	keeper->master_pidfd = pidfd_open(keeper->master_pid, 0);
	keeper->takeover = takeover_server_new(keeper, child->takeover_fd);
	keeper_open_master(keeper, child->channel_fd);
	keeper_start_heartbeat(keeper);
	keeper_send_ready(keeper);
	return keeper;
}

void keeper_free(struct keeper *keeper)
{
	inherit_free(keeper);
	takeover_server_free(keeper->takeover);
	lines_free(keeper);
	store_free(keeper->store);
	children_free(keeper);
	channel_free(keeper->master);
	if (keeper->master_pidfd >= 0)
		close(keeper->master_pidfd);
	event_free(keeper->heartbeat);
	event_free(keeper->give);
	free(keeper);
}

bool keeper_over(const struct keeper *keeper, int *code_r)
{
	*code_r = keeper->code;
	return keeper->stop;
}

int keeper_main(const struct child *child)
{
	static struct keeper *keeper; /* found by who looks for what was forgotten */
	struct event_base *base = child_event_base();
	int code;

	/* A service manager stops all processes of a service at once: the workers still drain then, and the
	 * master, or their end, says when it is our turn. */
	signal(SIGTERM, SIG_IGN);
	keeper = keeper_new(base, child);
	while (!keeper_over(keeper, &code))
		event_base_loop(base, EVLOOP_ONCE);
	/* The process's end closes what it keeps, which takes no time that anybody waits for. */
	return code;
}
