/* From accepted to relaying: a server is chosen, its addresses are tried in turn, then other servers.
 */
#include <errno.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/connect.h"
#include "common/counts.h"
#include "common/histogram.h"
#include "common/instances.h"
#include "common/log.h"
#include "worker/balance/latency.h"
#include "worker/balance/passive.h"
#include "worker/balance/retry.h"
#include "worker/relay/impl.h"
#include "worker/relay/keep.h"
#include "worker/relay/queue.h"

/* How often a server that became full between the choice and the reservation is chosen anew, before queueing. */
#define CONNECT_RACES_MAX 3

static void connect_begin(struct relay *relay);

static bool connect_was_tried(const struct relay *relay, uint32_t server)
{
	for (unsigned i = 0; i < relay->ntried; i++) {
		if (relay->tried[i] == server)
			return true;
	}
	return false;
}

static uint32_t connect_server_index(const struct relay *relay)
{
	return (uint32_t)(relay->chosen - relay->backend->servers);
}

static void connect_nobody(struct relay *relay, const struct balancer *balancer)
{
	static struct log_rate rate;
	char why[128];

	if (log_rate_ok(&rate))
		log_warnx("frontend %s: backend %s: %s, client closed%s", relay->frontend->name,
			relay->backend->name, balancer_nobody_why(balancer, why, sizeof(why)),
			log_rate_note(&rate));
	relay_close(relay, CLOSE_NO_SERVER);
}

static void connect_chosen(struct relay *relay, int server)
{
	struct relay_record *record = relay->record;

	relay->chosen = &relay->backend->servers[server];
	relay->addrs_tried = 0;
	record_change_begin(record);
	record->server = relay->chosen->place;
	if (record->wait_ms == RECORD_NEVER)
		record->wait_ms = (uint32_t)(clock_now_ms() - record->accepted_ms);
	record_change_end(record);
	if (connect_was_tried(relay, (uint32_t)server)) {
		relay->since_ms = clock_now_ms();
		relay_set_state(relay, RELAY_CHOOSING); /* its timer goes on with connect_begin */
		return;
	}
	connect_begin(relay);
}

static struct balance_ask connect_ask(const struct relay *relay)
{
	return (struct balance_ask){
		.source = relay->record->client_addr,
		.source_bytes = relay->record->client_family == AF_INET ? 4
			: relay->record->client_family == AF_INET6      ? 16
									: 0,
		.tried = relay->tried,
		.ntried = relay->ntried,
		.now_ms = clock_now_ms(),
	};
}

static struct balancer *connect_balancer(const struct relay *relay)
{
	const struct relays *relays = relay->relays;

	return relays->balancers[relay->backend - relays->conf->backends];
}

int relay_pick(struct relay *relay)
{
	const struct balance_ask ask = connect_ask(relay);

	return balancer_pick(connect_balancer(relay), &ask);
}

bool relay_take_server(struct relay *relay, int server)
{
	struct relays *relays = relay->relays;
	struct shm_count_id id = { SHM_COUNT_SERVER, 0 };
	uint32_t maxconn;

	if (server == BALANCE_NOBODY) {
		connect_nobody(relay, connect_balancer(relay));
		return true;
	}
	id.place = relay->backend->servers[server].place;
	maxconn = atomic_load_explicit(
		&shm_master(relays->shm)->admin[id.place].maxconn, memory_order_relaxed);
	if (!shm_active_reserve(relays->shm, relays->slot_number, &id, maxconn))
		return false;
	if (relay_state(relay) == RELAY_QUEUED) {
		queue_leave(relay);
		relay_set_state(relay, RELAY_CHOOSING);
	}
	connect_chosen(relay, server);
	return true;
}

void relay_choose(struct relay *relay)
{
	int server = BALANCE_FULL;

	if (queue_is_waited_for(relay->relays, relay->backend)) {
		queue_join(relay);
		return;
	}
	for (int i = 0; i < CONNECT_RACES_MAX; i++) {
		server = relay_pick(relay);
		if (server == BALANCE_FULL)
			break;
		if (relay_take_server(relay, server))
			return;
	}
	queue_join(relay);
}

/* ------------------------------------------------------------------ it worked */

/* Only a port that the kernel gives out can be its own peer: spares the question where it cannot be. */
static bool connect_is_echo(const struct relay *relay)
{
	return relay->server_port >= relay->relays->first_local_port &&
		connect_met_itself(relay->server.fd);
}

static void connect_record_time(struct relay *relay, uint64_t took_us)
{
	struct relays *relays = relay->relays;
	const uint32_t backend = relay->backend->place;

	shm_count(&relays->slot->backends[backend].connects, 1);
	histogram_record(&relays->slot->connect[backend], took_us);
	histogram_shared_record(&shm_shared(relays->shm)->connect[relay->chosen->place], took_us);
}

static void connect_done(struct relay *relay)
{
	struct relays *relays = relay->relays;
	struct relay_record *record = relay->record;
	struct shm_shared_server *shared = &shm_shared(relays->shm)->servers[relay->chosen->place];
	uint64_t took_us = clock_now_us() - relay->connect_us;

	if (atomic_load_explicit(&shared->last_addr, memory_order_relaxed) != record->address)
		atomic_store_explicit(&shared->last_addr, record->address, memory_order_relaxed);
	shm_count(&relays->slot->servers[relay->chosen->place].total, 1);
	passive_connected(relay->backend, relays->shm, connect_server_index(relay),
		(relay->connect_us + took_us) / 1000);
	if (relay->backend->balance == BALANCE_LATENCY)
		latency_observe(relay->backend, relays->shm, connect_server_index(relay), took_us,
			clock_now_ms());
	connect_record_time(relay, took_us);
	record->connect_ms = (uint32_t)(took_us / 1000);
	relay->server.flags |= STREAM_WRITABLE;
	relay_touch(relay);
	relay_set_state(relay, RELAY_RELAYING);
	keep_begin(relay);
	relay_turn(relay);
}

/* ------------------------------------------------------------------ it did not */

/* A connect failed, or the server reset it before it answered. */
void relay_server_failed(struct relay *relay, int error)
{
	struct shm *shm = relay->relays->shm;
	uint32_t ejected_ms =
		passive_failed(relay->backend, shm, connect_server_index(relay), clock_now_ms());

	if (ejected_ms > 0)
		log_server(LOG_LEVEL_WARN, relay->backend->name, relay->chosen->name,
			shm_shared(shm)->servers[relay->chosen->place].active,
			"is not chosen for %u ms, %u connections failed: %s", ejected_ms,
			relay->backend->passive.max_fails, strerror(error));
}

static enum connect_failure connect_failure(int error)
{
	switch (error) {
	case ECONNREFUSED:
		return CONNECT_REFUSED;
	case ETIMEDOUT:
		return CONNECT_TIMEOUT;
	case EHOSTUNREACH:
	case EHOSTDOWN:
	case ENETUNREACH:
	case ENETDOWN:
	case EADDRNOTAVAIL:
		return CONNECT_UNREACHABLE;
	default:
		return CONNECT_OTHER;
	}
}

static void connect_count_failed(struct relay *relay, int error)
{
	struct relays *relays = relay->relays;
	uint32_t server = connect_server_index(relay);
	uint32_t place = relay->chosen->place;

	shm_count(&relays->slot->servers[place].failed[connect_failure(error)], 1);
	relay_log_debug(
		relay, "%s/%s: %s", relay->backend->name, relay->chosen->name, strerror(error));
	relay_server_failed(relay, error);
	if (!connect_was_tried(relay, server) && relay->ntried < BALANCE_TRIED_MAX)
		relay->tried[relay->ntried++] = server;
	relay_count_server(relay, -1);
	queue_look(relays, relay->backend);
	relay->chosen = NULL;
}

static void connect_give_up(struct relay *relay, int error)
{
	static struct log_rate rate;

	if (log_rate_ok(&rate)) {
		errno = error;
		log_warn(
			"frontend %s: backend %s: connect failed after %u retries, client closed%s",
			relay->frontend->name, relay->backend->name, relay->record->retries,
			log_rate_note(&rate));
	}
	relay_close(relay, error == ETIMEDOUT ? CLOSE_CONNECT_TIMEOUT : CLOSE_CONNECT_FAILED);
}

/* On a server that works a retry costs no more than the connection itself would have: it is free, so that no client is
 * lost while there is one. What is taken from the budget is an attempt that may fail again. */
static bool connect_retry(struct relay *relay)
{
	struct relays *relays = relay->relays;
	const struct balance_ask ask = connect_ask(relay);
	int proven = BALANCE_NOBODY;

	if (relay->record->retries >= relay->backend->retries)
		return false;
	if (!queue_is_waited_for(relays, relay->backend))
		proven = balancer_pick_proven(connect_balancer(relay), &ask);
	if (proven < 0 && !retry_allowed(relays->shm, relay->backend))
		return false;
	relay->record->retries++;
	if (proven < 0 || !relay_take_server(relay, proven))
		relay_choose(relay);
	return true;
}

/* All addresses of the chosen server failed: another server, or the end. */
static void connect_server_failed(struct relay *relay, int error)
{
	static struct log_rate rate;

	if (connect_error_is_ours(error)) {
		if (log_rate_ok(&rate)) {
			errno = error;
			log_warn("frontend %s: cannot connect to %s/%s%s", relay->frontend->name,
				relay->backend->name, relay->chosen->name, log_rate_note(&rate));
		}
		relay_close(relay, CLOSE_RESOURCE);
		return;
	}
	connect_count_failed(relay, error);
	if (!connect_retry(relay))
		connect_give_up(relay, error);
}

/* ------------------------------------------------------------------ one address */

/* From the backend's source address, where it has one of the server's family. The port is chosen by connect, so that
 * one port serves towards many servers. */
static int connect_bind(int fd, const struct sockaddr_any *source, const struct sockaddr_any *to)
{
	const int one = 1;

	if (source->len == 0 || source->u.sa.sa_family != to->u.sa.sa_family)
		return 0;
	if (setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &one, sizeof(one)) < 0)
		return -1;
	return bind(fd, &source->u.sa, source->len);
}

/* Returns 0 when it is under way or done, else an errno. */
static int connect_address(struct relay *relay, const struct sockaddr_any *addr, bool *done_r)
{
	const int one = 1;
	bool is_unix = sockaddr_is_unix(addr);
	uint8_t flags = is_unix ? STREAM_UNIX : STREAM_PLAIN;
	int fd = socket(addr->u.sa.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	int error = 0;

	if (fd < 0)
		return errno;
	if (!is_unix && relay->frontend->tcp.nodelay)
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	if (connect_bind(fd, &relay->backend->source, addr) < 0) {
		error = errno;
	} else {
		*done_r = connect(fd, &addr->u.sa, addr->len) == 0;
		if (!*done_r && errno != EINPROGRESS)
			error = errno;
	}
	if (error != 0) {
		close(fd);
		return error;
	}
	if (stream_open(&relay->server, relay->relays->poller, fd, flags, on_server_event) < 0)
		return errno;
	return 0;
}

/* One of the chosen server's addresses; false when there are no more. The list of an instance of a name has at
 * most one, which may be gone since the server was chosen. */
static bool connect_next_addr(struct relay *relay, struct sockaddr_any *addr_r)
{
	const struct conf_server *server = relay->chosen;
	struct shm *shm = relay->relays->shm;
	struct instance instance;
	uint32_t last;

	if (server->dynamic) {
		if (relay->addrs_tried++ > 0 || !instance_read(shm, server->place, &instance))
			return false;
		relay->record->address = 0;
		*addr_r = instance.addr;
	} else {
		if (relay->addrs_tried >= server->naddrs)
			return false;
		last = shm_shared(shm)->servers[server->place].last_addr;
		relay->record->address = (uint32_t)((last + relay->addrs_tried++) % server->naddrs);
		*addr_r = server->addrs[relay->record->address];
	}
	relay->server_port = sockaddr_port(addr_r);
	return true;
}

/* The next address of the chosen server, beginning with the one that last worked; then another server. */
static void connect_next(struct relay *relay, int error)
{
	struct sockaddr_any addr;

	while (connect_next_addr(relay, &addr)) {
		bool done = false;

		relay->connect_us = clock_now_us();
		relay->since_ms = relay->connect_us / 1000;
		error = connect_address(relay, &addr, &done);
		if (error == 0) {
			if (done)
				connect_done(relay);
			else
				relay_set_state(relay, RELAY_CONNECTING);
			return;
		}
		if (connect_error_is_ours(error))
			break;
	}
	connect_server_failed(relay, error);
}

static void connect_begin(struct relay *relay)
{
	connect_next(relay, relay->chosen->dynamic ? EHOSTUNREACH : EADDRNOTAVAIL);
}

static void connect_failed(struct relay *relay, int error)
{
	stream_close(&relay->server);
	connect_next(relay, error);
}

void relay_connect_event(struct relay *relay, uint32_t events)
{
	int error = 0;
	socklen_t len = sizeof(error);

	/* Without an error it is a success: one call less for each connection. */
	if ((events & (EPOLLERR | EPOLLHUP)) != 0 &&
		getsockopt(relay->server.fd, SOL_SOCKET, SO_ERROR, &error, &len) < 0)
		error = errno;
	if (error == 0 && (events & EPOLLOUT) && connect_is_echo(relay))
		error = ECONNREFUSED;
	if (error != 0)
		connect_failed(relay, error);
	else if (events & EPOLLOUT)
		connect_done(relay);
}

void relay_connect_timeout(struct relay *relay)
{
	if (relay_state(relay) == RELAY_CHOOSING)
		connect_begin(relay);
	else
		connect_failed(relay, ETIMEDOUT);
}
