/* The admin process: HTTP for people and for Prometheus. It reads shared memory, asks the master for the rest, and writes
 * nothing anywhere but to its clients.
 */
#include <event2/event.h>
#include <event2/http.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#include "common/channel.h"
#include "common/clock.h"
#include "common/log.h"
#include "common/shm.h"
#include "conf/conf.h"
#include "worker/admin/impl.h"
#include "worker/admin/page.h"
#include "worker/admin/sockets.h"

#define ADMIN_BEATS       5 /* a heartbeat_timeout */
#define ADMIN_FAREWELL_MS 500
#define ADMIN_LOOK_MS     10
#define ADMIN_LAST_TURNS  20
#define ADMIN_SILENT_MS   4000 /* a master that is silent for longer hangs */
#define ADMIN_ORPHAN_MS                                                                            \
	1500 /* that it is not our parent any more is no proof: there may be a next one */

void admin_no_memory(const char *what)
{
	log_fatalx("cannot make %s", what);
	exit(EXIT_CODE_FAILED);
}

bool admin_has_master(const struct admin *admin)
{
	const struct shm_master *master = shm_master(admin->child->shm);
	const uint64_t limit_ms = getppid() == admin->master ? ADMIN_SILENT_MS : ADMIN_ORPHAN_MS;

	return clock_now_ms() < master->heartbeat_ms + limit_ms;
}

/* ------------------------------------------------------------------ the end */

static void on_farewell_timer(evutil_socket_t fd, short what, void *arg)
{
	struct admin *admin = arg;
	static const struct timeval look = { .tv_usec = ADMIN_LOOK_MS * 1000 };

	(void)fd;
	(void)what;
	if (clients_end_idle(admin->clients) == 0 ||
		++admin->farewells > ADMIN_FAREWELL_MS / ADMIN_LOOK_MS)
		event_base_loopbreak(admin->base);
	else
		evtimer_add(admin->farewell, &look);
}

/* Whoever waits in the queues is our successor's; whose answer is under way gets it. What may have arrived at this very
 * moment is looked at first: the timer lets a turn of the loop pass. */
static void admin_end(struct admin *admin)
{
	static const struct timeval look = { .tv_usec = ADMIN_LOOK_MS * 1000 };

	if (admin->ending)
		return;
	admin->ending = true;
	sockets_close(admin->sockets);
	evtimer_add(admin->farewell, &look);
}

/* ------------------------------------------------------------------ the master */

static void admin_send(struct admin *admin, struct message *message)
{
	message->slot = admin->child->slot;
	message->generation = admin->child->generation;
	channel_send(admin->channel, message);
}

static void admin_log(struct admin *admin, struct message *message)
{
	const struct msg_round done = { .round = child_log(message, NULL, NULL) };
	struct message answer = {
		.type = C2M_LOG,
		.payload = &done,
		.payload_bytes = sizeof(done),
	};

	admin_send(admin, &answer);
}

static void on_channel_message(struct channel *channel, struct message *message, void *arg)
{
	struct admin *admin = arg;

	(void)channel;
	switch (message->type) {
	case M2A_LISTENERS:
		if (!admin->ending)
			sockets_take(admin->sockets, message->fds, message->nfds);
		return;
	case M2C_STOP:
		admin_end(admin);
		return;
	case M2C_LOG:
		admin_log(admin, message);
		return;
	default:
		log_warnx("unexpected %s from the master", message_type_name(message->type));
	}
}

/* Without its master nobody would ever stop it. */
static void on_channel_end(
	struct channel *channel, enum channel_end end, const char *why, void *arg)
{
	struct admin *admin = arg;

	(void)channel;
	if (end != CHANNEL_CLOSED)
		log_warnx("the channel to the master: %s", why);
	event_base_loopbreak(admin->base);
}

/* While nobody reads them, they do not pile up. */
static void on_heartbeat_timer(evutil_socket_t fd, short what, void *arg)
{
	struct admin *admin = arg;
	struct message alive = { .type = A2M_ALIVE };

	(void)fd;
	(void)what;
	if (channel_has_room(admin->channel))
		admin_send(admin, &alive);
}

static void admin_heartbeat_start(struct admin *admin)
{
	uint32_t every_ms = admin->child->conf->global.heartbeat_timeout_ms / ADMIN_BEATS;
	struct timeval every;

	every = clock_timeval(every_ms);
	admin->heartbeat = event_new(admin->base, -1, EV_PERSIST, on_heartbeat_timer, admin);
	if (admin->heartbeat == NULL || event_add(admin->heartbeat, &every) < 0)
		admin_no_memory("the heartbeat");
	on_heartbeat_timer(-1, EV_TIMEOUT, admin);
}

static void on_sweep_timer(evutil_socket_t fd, short what, void *arg)
{
	struct admin *admin = arg;

	(void)fd;
	(void)what;
	clients_sweep(admin->clients);
	sockets_wake(admin->sockets);
}

static void admin_sweep_start(struct admin *admin)
{
	static const struct timeval every = { .tv_usec = CLIENTS_SWEEP_MS * 1000 };

	admin->sweep = event_new(admin->base, -1, EV_PERSIST, on_sweep_timer, admin);
	if (admin->sweep == NULL || event_add(admin->sweep, &every) < 0)
		admin_no_memory("a timer");
}

static void admin_send_ready(struct admin *admin)
{
	const struct msg_ready ready = { .pid = getpid() };
	struct message message = {
		.type = C2M_READY,
		.payload = &ready,
		.payload_bytes = sizeof(ready),
	};

	admin_send(admin, &message);
}

/* First the clients, for evhttp must not free what an answer of ours still uses. One that does not go leaves everything to
 * the kernel. */
static void admin_free(struct admin *admin)
{
	sockets_free(admin->sockets);
	asks_free(admin->asks);
	for (int i = 0; i < ADMIN_LAST_TURNS && clients_end(admin->clients) > 0; i++)
		event_base_loop(admin->base, EVLOOP_NONBLOCK);
	if (clients_end(admin->clients) > 0)
		return;
	evhttp_free(admin->http);
	clients_free(admin->clients);
	page_free(admin->page);
	event_free(admin->sweep);
	event_free(admin->farewell);
	event_free(admin->heartbeat);
	channel_free(admin->channel);
	event_base_free(admin->base);
}

int admin_main(const struct child *child)
{
	static struct admin admin; /* found by who looks for what was forgotten */
	const struct channel_handlers handlers = {
		.on_message = on_channel_message,
		.on_end = on_channel_end,
		.arg = &admin,
	};

	admin.child = child;
	admin.master = getppid();
	/* A service manager stops all processes of a service at once: the master says when it is our turn. */
	signal(SIGTERM, SIG_IGN);
	admin.base = child_event_base();
	admin.channel = channel_new(admin.base, child->channel_fd, CHANNEL_CHILD, &handlers);
	admin.farewell = evtimer_new(admin.base, on_farewell_timer, &admin);
	if (admin.farewell == NULL)
		admin_no_memory("a timer");
	admin.http = http_new(&admin);
	admin.sockets = sockets_new(admin.http);
	if (admin.sockets == NULL)
		admin_no_memory("room for sockets");
	admin.clients = clients_new(admin.base, admin.http);
	admin.asks = asks_new(&admin);
	admin.page = page_new();
	admin_sweep_start(&admin);
	admin_send_ready(&admin);
	admin_heartbeat_start(&admin);

	event_base_dispatch(admin.base);
	admin_free(&admin);
	return EXIT_CODE_OK;
}
