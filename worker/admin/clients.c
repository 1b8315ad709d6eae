/* Who is connected. evhttp knows no limit of connections, nor a time for a request that comes byte by byte: so every
 * connection is noted when it is accepted, by the socket's number in the kernel, and one that takes too long is shut down,
 * which evhttp takes for the client's end.
 */
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>
#include <event2/http.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "common/clock.h"
#include "common/log.h"
#include "worker/admin/impl.h"

#define CLIENTS_ASK_MS    10000 /* for a request to be whole; idle is the same */
#define CLIENTS_ANSWER_MS 60000 /* for an answer to be taken */

struct client {
	int fd; /* evhttp's */
	uint64_t cookie;
	uint64_t since_ms;
	bool answering;
};

struct clients {
	struct event_base *base; /* borrowed */
	struct event *arrival;   /* owned: those that came are noted */
	size_t narrived;
	size_t arrived_room;
	struct bufferevent **arrived; /* owned, each held once */
	size_t count;
	struct client all[CLIENTS_MAX];
};

static uint64_t client_cookie(int fd)
{
	uint64_t cookie = 0;
	socklen_t len = sizeof(cookie);

	return fd < 0 || getsockopt(fd, SOL_SOCKET, SO_COOKIE, &cookie, &len) < 0 ? 0 : cookie;
}

static bool client_is_there(const struct client *client)
{
	return client_cookie(client->fd) == client->cookie;
}

static void client_shut(const struct client *client)
{
	shutdown(client->fd, SHUT_RDWR);
}

/* ------------------------------------------------------------------ who comes */

/* Those that evhttp has closed. */
static void clients_forget(struct clients *clients)
{
	for (size_t i = clients->count; i-- > 0;) {
		if (!client_is_there(&clients->all[i]))
			clients->all[i] = clients->all[--clients->count];
	}
}

/* NULL: every answer is under way. */
static struct client *clients_idle_longest(struct clients *clients)
{
	struct client *longest = NULL;

	for (size_t i = 0; i < clients->count; i++) {
		struct client *client = &clients->all[i];

		if (!client->answering && (longest == NULL || client->since_ms < longest->since_ms))
			longest = client;
	}
	return longest;
}

static void clients_add(struct clients *clients, int fd)
{
	const struct client client = { fd, client_cookie(fd), clock_now_ms(), false };
	struct client *to;

	if (client.cookie == 0)
		return;
	if (clients->count == CLIENTS_MAX)
		clients_forget(clients);
	if (clients->count == CLIENTS_MAX) {
		to = clients_idle_longest(clients);
		client_shut(to != NULL ? to : &client);
		if (to != NULL)
			*to = client;
		return;
	}
	clients->all[clients->count++] = client;
}

static void on_clients_arrival(evutil_socket_t fd, short what, void *arg)
{
	struct clients *clients = arg;

	(void)fd;
	(void)what;
	for (size_t i = 0; i < clients->narrived; i++) {
		clients_add(clients, bufferevent_getfd(clients->arrived[i]));
		bufferevent_decref(clients->arrived[i]);
	}
	clients->narrived = 0;
}

/* evhttp has accepted, and gives the connection its socket as soon as we return: it is noted in the same turn, before
 * anything can have come from it. */
static struct bufferevent *on_clients_accept(struct event_base *base, void *arg)
{
	struct clients *clients = arg;
	struct bufferevent *connection = bufferevent_socket_new(base, -1, 0);

	if (connection == NULL)
		return NULL;
	if (clients->narrived == clients->arrived_room) {
		const size_t room = clients->arrived_room * 2 + CLIENTS_MAX;
		struct bufferevent **arrived =
			reallocarray(clients->arrived, room, sizeof(struct bufferevent *));

		if (arrived == NULL)
			return connection; /* unnoted: evhttp's own times hold for it */
		clients->arrived = arrived;
		clients->arrived_room = room;
	}
	bufferevent_incref(connection);
	clients->arrived[clients->narrived++] = connection;
	event_active(clients->arrival, EV_TIMEOUT, 0);
	return connection;
}

/* ------------------------------------------------------------------ how long they take */

static int request_fd(struct evhttp_request *request)
{
	struct evhttp_connection *connection = evhttp_request_get_connection(request);

	return connection == NULL
		? -1
		: bufferevent_getfd(evhttp_connection_get_bufferevent(connection));
}

static struct client *clients_find(struct clients *clients, struct evhttp_request *request)
{
	const uint64_t cookie = client_cookie(request_fd(request));

	for (size_t i = 0; i < clients->count; i++) {
		if (clients->all[i].cookie == cookie)
			return &clients->all[i];
	}
	return NULL;
}

static void on_clients_answered(struct evhttp_request *request, void *arg)
{
	struct client *client = clients_find(arg, request);

	if (client == NULL)
		return;
	client->answering = false;
	client->since_ms = clock_now_ms();
}

void clients_begin(struct clients *clients, struct evhttp_request *request)
{
	struct client *client = clients_find(clients, request);

	if (client == NULL)
		return;
	client->answering = true;
	client->since_ms = clock_now_ms();
	evhttp_request_set_on_complete_cb(request, on_clients_answered, clients);
}

void clients_sweep(struct clients *clients)
{
	const uint64_t now_ms = clock_now_ms();

	clients_forget(clients);
	for (size_t i = 0; i < clients->count; i++) {
		const struct client *client = &clients->all[i];

		if (now_ms - client->since_ms >
			(client->answering ? CLIENTS_ANSWER_MS : CLIENTS_ASK_MS))
			client_shut(client);
	}
}

size_t clients_end_idle(struct clients *clients)
{
	size_t busy = 0;

	clients_forget(clients);
	for (size_t i = 0; i < clients->count; i++) {
		if (clients->all[i].answering)
			busy++;
		else
			client_shut(&clients->all[i]);
	}
	return busy;
}

size_t clients_end(struct clients *clients)
{
	clients_forget(clients);
	for (size_t i = 0; i < clients->count; i++)
		client_shut(&clients->all[i]);
	return clients->count;
}

void clients_free(struct clients *clients)
{
	for (size_t i = 0; i < clients->narrived; i++)
		bufferevent_decref(clients->arrived[i]);
	free(clients->arrived);
	event_free(clients->arrival);
	free(clients);
}

void clients_break(struct evhttp_request *request)
{
	const int fd = request_fd(request);

	if (fd >= 0)
		shutdown(fd, SHUT_RDWR);
}

struct clients *clients_new(struct event_base *base, struct evhttp *http)
{
	struct clients *clients = calloc(1, sizeof(*clients));

	if (clients != NULL) {
		clients->base = base;
		clients->arrival = event_new(base, -1, 0, on_clients_arrival, clients);
	}
	if (clients == NULL || clients->arrival == NULL)
		admin_no_memory("room for clients");
	evhttp_set_timeout(http, CLIENTS_ANSWER_MS / 1000);
	evhttp_set_bevcb(http, on_clients_accept, clients);
	return clients;
}
