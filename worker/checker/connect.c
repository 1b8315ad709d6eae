/* The addresses of a check in turn, until one answers. What is left of the check's time is shared evenly
 * by the addresses left, so that one that swallows everything does not use up the time of the one that
 * works.
 */
#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/connect.h"
#include "common/instances.h"
#include "worker/checker/impl.h"

static void check_connect(struct check *check);

static const struct sockaddr_any *check_addrs(const struct check *check, uint32_t *n_r)
{
	const struct conf_server *server = check->server;

	if (server->dynamic) {
		*n_r = check->instance.len > 0;
		return &check->instance;
	}
	*n_r = (uint32_t)(server->has_check_address ? server->ncheck_addrs : server->naddrs);
	return server->has_check_address ? server->check_addrs : server->addrs;
}

const struct sockaddr_any *check_addr(const struct check *check)
{
	uint32_t n;

	return &check_addrs(check, &n)[check->address];
}

const struct address *check_address(const struct check *check)
{
	const struct conf_server *server = check->server;

	return server->has_check_address ? &server->check_address : &server->address;
}

/* This address did not answer: go on with the next, or it was the last. */
static void check_connect_failed(struct check *check, enum check_result result, int error)
{
	uint32_t n;

	event_del(&check->timer);
	check_socket_close(check);
	check->naddrs_left--;
	if (check->naddrs_left == 0) {
		check_finish(check, result, (uint32_t)error);
		return;
	}
	check_addrs(check, &n);
	check->address = check->address + 1 < n ? check->address + 1 : 0;
	check_connect(check);
}

void check_connect_overdue(struct check *check)
{
	check_connect_failed(check, CHECKED_TIMEOUT, 0);
}

/* Where relays go, the address that works is known to all; where only checks go, to the check alone. */
static void check_connect_remember(struct check *check)
{
	struct shm_shared_server *shared =
		&shm_shared(check->set->shm)->servers[check->server->place];

	if (check->server->has_check_address)
		return;
	if (atomic_load_explicit(&shared->last_addr, memory_order_relaxed) != check->address)
		atomic_store_explicit(&shared->last_addr, check->address, memory_order_relaxed);
}

static void check_connect_done(struct check *check)
{
	struct linger reset = { .l_onoff = 1, .l_linger = 0 };

	if (connect_met_itself(check->fd)) {
		check_connect_failed(check, CHECKED_NO_CONNECT, ECONNREFUSED);
		return;
	}
	/* Closed with a reset: thousands of TIME_WAITs would use up local ports. */
	setsockopt(check->fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
	check_connect_remember(check);
	check_ask(check);
}

static void on_check_connect_io(evutil_socket_t fd, short what, void *arg)
{
	struct check *check = arg;
	int error = 0;
	socklen_t len = sizeof(error);

	(void)what;
	MUST(check->phase == CHECK_CONNECTS && fd == check->fd);
	if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len) < 0)
		error = errno;
	if (error != 0)
		check_connect_failed(check, CHECKED_NO_CONNECT, error);
	else
		check_connect_done(check);
}

static void check_connect_wait(struct check *check)
{
	uint64_t now_ms = clock_now_ms();
	uint64_t left_ms = check->deadline_ms > now_ms ? check->deadline_ms - now_ms : 1;

	if (event_add(&check->io, NULL) < 0) {
		check_give_up(check, ENOMEM);
		return;
	}
	check_timer_set(check, (left_ms + check->naddrs_left - 1) / check->naddrs_left);
}

/* Checks come from where relays come from: what lies between may tell them apart. */
static int check_connect_bind(const struct check *check, const struct sockaddr_any *addr)
{
	const struct sockaddr_any *source = &check->plan->backend->source;
	int on = 1;

	if (source->len == 0 || source->u.sa.sa_family != addr->u.sa.sa_family)
		return 0;
	setsockopt(check->fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof(on));
	return bind(check->fd, &source->u.sa, source->len);
}

/* Connect to check->address. A refusal at once (a Unix socket, a prohibited route) goes to the next
 * address by recursion, at most CONF_SERVER_ADDRS_MAX deep. */
static void check_connect(struct check *check)
{
	const struct sockaddr_any *addr = check_addr(check);
	int error = 0;

	check->fd = socket(addr->u.sa.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (check->fd < 0) {
		check_give_up(check, errno);
		return;
	}
	event_assign(&check->io, check->set->base, check->fd, EV_WRITE, on_check_connect_io, check);
	if (check_connect_bind(check, addr) < 0) {
		check_give_up(check, errno);
		return;
	}
	if (connect(check->fd, &addr->u.sa, addr->len) < 0)
		error = errno;
	if (error == 0)
		check_connect_done(check);
	else if (error == EINPROGRESS)
		check_connect_wait(check);
	else if (connect_error_is_ours(error))
		check_give_up(check, error);
	else
		check_connect_failed(check, CHECKED_NO_CONNECT, error);
}

void check_connect_start(struct check *check)
{
	const struct shm_shared_server *shared =
		&shm_shared(check->set->shm)->servers[check->server->place];
	struct instance instance;
	uint32_t n;

	if (check->server->dynamic) {
		check->address = 0;
		(void)instance_read(check->set->shm, check->server->place, &instance);
		check->instance = instance.addr;
	}
	check_addrs(check, &n);
	if (n == 0) {
		check_give_up(check, EADDRNOTAVAIL); /* gone since it was due */
		return;
	}
	if (!check->server->has_check_address)
		check->address = atomic_load_explicit(&shared->last_addr, memory_order_relaxed) % n;
	check->naddrs_left = n;
	check_connect(check);
}
