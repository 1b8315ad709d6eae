/* One check after the other for every server. A check waits for its time, then for its place among those
 * under way, then connects to one address after the other until one answers; what is asked over the
 * connection is the business of the kind of check (check_kinds).
 *
 * Each check keeps its own rhythm: it is due `inter` after it was last due, however long it took.
 */
#include "worker/checker/check.h"

#include <errno.h>
#include <event2/event.h>
#include <event2/event_struct.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/child.h"
#include "common/clock.h"
#include "common/connect.h"
#include "common/log.h"
#include "common/shm.h"
#include "conf/conf.h"
#include "worker/checker/state.h"

/* First checks: one a millisecond at most, but within `inter`. */
#define CHECK_FIRST_MS 1

enum check_phase {
	CHECK_RESTS,    /* until due_ms */
	CHECK_QUEUED,   /* due, but enough others are under way; on the set's queue */
	CHECK_ADMITTED, /* counted as under way, begins with the next turn of the loop */
	CHECK_CONNECTS, /* under way */
};

struct check {
	struct check_set *set;              /* borrowed */
	const struct conf_backend *backend; /* borrowed */
	const struct conf_server *server;   /* borrowed */
	const struct check_kind *kind;      /* static */
	enum check_phase phase;
	int fd;               /* owned; -1 unless connecting */
	uint64_t due_ms;      /* when it was last due, or will be next */
	uint64_t deadline_ms; /* of the check under way */
	uint32_t address;     /* the one being tried */
	uint32_t naddrs_left; /* still to be tried, with that one */
	struct event timer;   /* of the next check, or of the time that this address has */
	struct event io;      /* of fd */
	STAILQ_ENTRY(check) link;
};

struct check_kind {
	/* The connection is there: come to a result, now or later, with check_finish. */
	void (*connected)(struct check *check);
};

struct check_set {
	struct event_base *base; /* borrowed */
	struct shm *shm;         /* borrowed */
	uint32_t under_way;
	uint32_t under_way_max;
	STAILQ_HEAD(check_queue, check) queue;
	size_t nchecks;
	struct check *checks; /* owned */
};

static void check_connect(struct check *check);
static void check_finish(struct check *check, int error);

static void check_tcp_connected(struct check *check)
{
	check_finish(check, 0);
}

static const struct check_kind check_kinds[] = {
	[CHECK_TCP] = { .connected = check_tcp_connected },
};

/* ------------------------------------------------------------------ results */

static struct check_state check_state_load(struct shm_health *health)
{
	return (struct check_state){
		.health = atomic_load_explicit(&health->health, memory_order_relaxed),
		.streak = atomic_load_explicit(&health->streak, memory_order_relaxed),
		.checks = atomic_load_explicit(&health->checks, memory_order_relaxed),
	};
}

/* The epoch moves after the health has, or a worker could take the old health for the new epoch's. */
static void check_state_store(struct shm *shm, const struct conf_backend *backend,
	const struct conf_server *server, const struct check_state *state)
{
	struct shm_health *health = &shm_checker(shm)->servers[server->place];
	uint32_t before =
		atomic_exchange_explicit(&health->health, state->health, memory_order_relaxed);

	atomic_store_explicit(&health->streak, state->streak, memory_order_relaxed);
	atomic_store_explicit(&health->checks, state->checks, memory_order_relaxed);
	if (before == (uint32_t)state->health)
		return;
	atomic_store_explicit(&health->last_change_ms, clock_now_ms(), memory_order_relaxed);
	atomic_fetch_add_explicit(
		&shm_shared(shm)->backends[backend->place].epoch, 1, memory_order_release);
}

static void check_log_change(
	const struct check *check, enum health health, uint32_t in_a_row, int error)
{
	const struct shm_shared_server *shared =
		&shm_shared(check->set->shm)->servers[check->server->place];
	uint32_t active = atomic_load_explicit(&shared->active, memory_order_relaxed);
	const char *plural = in_a_row == 1 ? "" : "s in a row";

	if (health == HEALTH_DOWN)
		log_server(LOG_LEVEL_WARN, check->backend->name, check->server->name, active,
			"is down: %s (%u check%s)", strerror(error), in_a_row, plural);
	else
		log_server(LOG_LEVEL_INFO, check->backend->name, check->server->name, active,
			"is up (%u check%s)", in_a_row, plural);
}

/* error is 0 for a good check, else the errno that made it a bad one. */
static void check_count(const struct check *check, int error)
{
	struct shm_health *health = &shm_checker(check->set->shm)->servers[check->server->place];
	struct check_state state = check_state_load(health);
	uint32_t in_a_row = state.streak + 1;
	bool changed = check_state_step(
		&state, error == 0, check->backend->check.rise, check->backend->check.fall);

	atomic_store_explicit(&health->result, error == 0 ? CHECKED_OK : CHECKED_NO_CONNECT,
		memory_order_relaxed);
	atomic_store_explicit(&health->detail, (uint32_t)error, memory_order_relaxed);
	atomic_store_explicit(&health->last_check_ms, clock_now_ms(), memory_order_relaxed);
	check_state_store(check->set->shm, check->backend, check->server, &state);
	if (changed)
		check_log_change(check, state.health, in_a_row, error);
}

/* ------------------------------------------------------------------ time */

static void check_timer_set(struct check *check, uint64_t ms)
{
	struct timeval wait = { .tv_sec = (time_t)(ms / 1000),
		.tv_usec = (suseconds_t)(ms % 1000 * 1000) };

	if (event_add(&check->timer, &wait) < 0) {
		log_fatalx("no memory for a timer");
		exit(EXIT_CODE_FAILED);
	}
}

static void check_rest(struct check *check)
{
	uint64_t now_ms = clock_now_ms();

	if (check->due_ms < now_ms)
		check->due_ms = now_ms; /* what was missed is not made up for */
	check->phase = CHECK_RESTS;
	check_timer_set(check, check->due_ms - now_ms);
}

static void check_socket_close(struct check *check)
{
	if (check->fd < 0)
		return;
	event_del(&check->io);
	close(check->fd);
	check->fd = -1;
}

/* The check is over. Its place among those under way goes to the one that has waited longest, which
 * begins from the loop: a chain of instant failures must not recurse. */
static void check_leave(struct check *check)
{
	struct check_set *set = check->set;
	struct check *next = STAILQ_FIRST(&set->queue);

	event_del(&check->timer);
	check_socket_close(check);
	check->due_ms += check->backend->check.inter_ms;
	check_rest(check);
	if (next == NULL) {
		MUST(set->under_way > 0);
		set->under_way--;
		return;
	}
	STAILQ_REMOVE_HEAD(&set->queue, link);
	next->phase = CHECK_ADMITTED;
	check_timer_set(next, 0);
}

static void check_finish(struct check *check, int error)
{
	check_count(check, error);
	check_leave(check);
}

/* We could not even try: that says nothing about the server. */
static void check_give_up(struct check *check, int error)
{
	static struct log_rate rate;

	errno = error;
	if (log_rate_ok(&rate))
		log_warn("cannot check %s/%s%s", check->backend->name, check->server->name,
			log_rate_note(&rate));
	check_leave(check);
}

/* ------------------------------------------------------------------ connecting */

/* This address did not answer: go on with the next, or it was the last. */
static void check_address_failed(struct check *check, int error)
{
	event_del(&check->timer);
	check_socket_close(check);
	check->naddrs_left--;
	if (check->naddrs_left == 0) {
		check_finish(check, error);
		return;
	}
	check->address = (check->address + 1) % (uint32_t)check->server->naddrs;
	check_connect(check);
}

static void check_connected(struct check *check)
{
	struct shm_shared_server *shared =
		&shm_shared(check->set->shm)->servers[check->server->place];
	struct linger reset = { .l_onoff = 1, .l_linger = 0 };

	if (connect_met_itself(check->fd)) {
		check_address_failed(check, ECONNREFUSED);
		return;
	}
	/* Closed with a reset: thousands of TIME_WAITs would use up local ports. */
	setsockopt(check->fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
	if (atomic_load_explicit(&shared->last_addr, memory_order_relaxed) != check->address)
		atomic_store_explicit(&shared->last_addr, check->address, memory_order_relaxed);
	check->kind->connected(check);
}

static void on_check_io(evutil_socket_t fd, short what, void *arg)
{
	struct check *check = arg;
	int error = 0;
	socklen_t len = sizeof(error);

	(void)what;
	MUST(check->phase == CHECK_CONNECTS && fd == check->fd);
	if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len) < 0)
		error = errno;
	if (error != 0)
		check_address_failed(check, error);
	else
		check_connected(check);
}

/* What is left of the check's time is shared evenly by the addresses left, so that one that swallows
 * everything does not use up the time of the one that works. */
static void check_wait(struct check *check)
{
	uint64_t now_ms = clock_now_ms();
	uint64_t left_ms = check->deadline_ms > now_ms ? check->deadline_ms - now_ms : 1;

	if (event_add(&check->io, NULL) < 0) {
		check_give_up(check, ENOMEM);
		return;
	}
	check_timer_set(check, (left_ms + check->naddrs_left - 1) / check->naddrs_left);
}

/* Connect to check->address. A refusal at once (a Unix socket, a prohibited route) goes to the next
 * address by recursion, at most CONF_SERVER_ADDRS_MAX deep. */
static void check_connect(struct check *check)
{
	const struct sockaddr_any *addr = &check->server->addrs[check->address];
	int error = 0;

	check->fd = socket(addr->u.sa.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (check->fd < 0) {
		error = errno;
	} else {
		event_assign(&check->io, check->set->base, check->fd, EV_WRITE, on_check_io, check);
		if (connect(check->fd, &addr->u.sa, addr->len) < 0)
			error = errno;
	}
	if (error == 0)
		check_connected(check);
	else if (error == EINPROGRESS)
		check_wait(check);
	else if (connect_error_is_ours(error))
		check_give_up(check, error);
	else
		check_address_failed(check, error);
}

static void check_start(struct check *check)
{
	const struct shm_shared_server *shared =
		&shm_shared(check->set->shm)->servers[check->server->place];
	uint32_t naddrs = (uint32_t)check->server->naddrs;

	check->phase = CHECK_CONNECTS;
	check->deadline_ms = clock_now_ms() + check->backend->check.timeout_ms;
	check->address = atomic_load_explicit(&shared->last_addr, memory_order_relaxed) % naddrs;
	check->naddrs_left = naddrs;
	check_connect(check);
}

static void check_due(struct check *check)
{
	struct check_set *set = check->set;

	if (set->under_way >= set->under_way_max) {
		check->phase = CHECK_QUEUED;
		STAILQ_INSERT_TAIL(&set->queue, check, link);
		return;
	}
	set->under_way++;
	check_start(check);
}

static void on_check_timer(evutil_socket_t fd, short what, void *arg)
{
	struct check *check = arg;

	(void)fd;
	(void)what;
	switch (check->phase) {
	case CHECK_RESTS:
		check_due(check);
		break;
	case CHECK_ADMITTED:
		check_start(check);
		break;
	case CHECK_CONNECTS:
		check_address_failed(check, ETIMEDOUT);
		break;
	case CHECK_QUEUED:
		MUST(check->phase != CHECK_QUEUED); /* it has no timer */
		break;
	}
}

/* ------------------------------------------------------------------ the set */

static enum check_target check_target(
	const struct conf_backend *backend, const struct conf_server *server)
{
	if (backend->check.type == CHECK_NONE)
		return TARGET_UNCHECKED;
	return server->naddrs == 0 ? TARGET_UNRESOLVED : TARGET_CHECKED;
}

static void check_begin_health(
	struct check_set *set, const struct conf_backend *backend, const struct conf_server *server)
{
	struct shm_health *health = &shm_checker(set->shm)->servers[server->place];
	enum check_target target = check_target(backend, server);
	struct check_state state = check_state_load(health);

	check_state_begin(&state, target);
	if (target == TARGET_UNRESOLVED)
		atomic_store_explicit(&health->result, CHECKED_NO_ADDRESS, memory_order_relaxed);
	check_state_store(set->shm, backend, server, &state);
}

static void check_init(struct check_set *set, struct check *check,
	const struct conf_backend *backend, const struct conf_server *server)
{
	check->set = set;
	check->backend = backend;
	check->server = server;
	check->kind = &check_kinds[backend->check.type];
	check->fd = -1;
	event_assign(&check->timer, set->base, -1, 0, on_check_timer, check);
}

static size_t check_set_count(const struct conf *conf)
{
	size_t n = 0;

	for (size_t b = 0; b < conf->nbackends; b++)
		for (size_t s = 0; s < conf->backends[b].nservers; s++)
			if (check_target(&conf->backends[b], &conf->backends[b].servers[s]) ==
				TARGET_CHECKED)
				n++;
	return n;
}

static void check_set_alloc(struct check_set *set, size_t nchecks)
{
	set->nchecks = nchecks;
	set->checks = calloc(nchecks > 0 ? nchecks : 1, sizeof(*set->checks));
	if (set->checks == NULL) {
		log_fatalx("no memory for %zu checks", nchecks);
		exit(EXIT_CODE_FAILED);
	}
}

/* Few servers are checked at once, many spread over the interval, so that they do not beat in step. */
static void check_set_spread(struct check_set *set)
{
	uint64_t now_ms = clock_now_ms();

	for (size_t i = 0; i < set->nchecks; i++) {
		struct check *check = &set->checks[i];
		uint64_t span_ms = set->nchecks * CHECK_FIRST_MS;

		if (span_ms > check->backend->check.inter_ms)
			span_ms = check->backend->check.inter_ms;
		check->due_ms = now_ms + span_ms * i / set->nchecks;
		check_rest(check);
	}
}

struct check_set *check_set_new(
	struct event_base *base, const struct conf *conf, struct shm *shm, uint32_t under_way_max)
{
	struct check_set *set = calloc(1, sizeof(*set));
	size_t n = 0;

	if (set == NULL) {
		log_fatalx("no memory for the checks");
		exit(EXIT_CODE_FAILED);
	}
	set->base = base;
	set->shm = shm;
	set->under_way_max = under_way_max > 0 ? under_way_max : 1;
	STAILQ_INIT(&set->queue);
	check_set_alloc(set, check_set_count(conf));
	for (size_t b = 0; b < conf->nbackends; b++) {
		const struct conf_backend *backend = &conf->backends[b];

		for (size_t s = 0; s < backend->nservers; s++) {
			check_begin_health(set, backend, &backend->servers[s]);
			if (check_target(backend, &backend->servers[s]) == TARGET_CHECKED)
				check_init(set, &set->checks[n++], backend, &backend->servers[s]);
		}
	}
	check_set_spread(set);
	return set;
}

void check_set_free(struct check_set *set)
{
	for (size_t i = 0; i < set->nchecks; i++) {
		event_del(&set->checks[i].timer);
		check_socket_close(&set->checks[i]);
	}
	free(set->checks);
	free(set);
}
