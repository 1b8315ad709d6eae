/* Requests: which are answered at all, and by whom.
 *
 * A page of another site that a browser has open must not be able to read ours by giving its own name our address (DNS
 * rebinding): on loopback the Host of a request is an address or localhost.
 */
#include <arpa/inet.h>
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>
#include <event2/http.h>
#include <event2/keyvalq_struct.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>

#include "common/log.h"
#include "worker/admin/impl.h"
#include "worker/admin/page.h"

#define HTTP_HEAD_MAX 8192
#define HTTP_HOST_MAX 256

#define HTTP_ALL_METHODS                                                                           \
	(EVHTTP_REQ_GET | EVHTTP_REQ_POST | EVHTTP_REQ_HEAD | EVHTTP_REQ_PUT | EVHTTP_REQ_DELETE | \
		EVHTTP_REQ_OPTIONS | EVHTTP_REQ_TRACE | EVHTTP_REQ_CONNECT | EVHTTP_REQ_PATCH)

/* ------------------------------------------------------------------ answers */

static const char *http_reason(int status)
{
	static const struct {
		int status;
		const char *reason;
	} reasons[] = {
		{ 200, "OK" },
		{ 400, "Bad Request" },
		{ 404, "Not Found" },
		{ 405, "Method Not Allowed" },
		{ 413, "Content Too Large" },
		{ 421, "Misdirected Request" },
		{ 500, "Internal Server Error" },
		{ 503, "Service Unavailable" },
		{ 504, "Gateway Timeout" },
	};

	for (size_t i = 0; i < NELEMS(reasons); i++) {
		if (reasons[i].status == status)
			return reasons[i].reason;
	}
	return "";
}

bool http_is_head(struct evhttp_request *request)
{
	return evhttp_request_get_command(request) == EVHTTP_REQ_HEAD;
}

void http_headers(struct evhttp_request *request, const char *type)
{
	static const struct {
		const char *name;
		const char *value;
	} headers[] = {
		{ "Cache-Control", "no-store" },
		{ "X-Content-Type-Options", "nosniff" },
		{ "X-Frame-Options", "DENY" },
		{ "Referrer-Policy", "no-referrer" },
		{ "Cross-Origin-Resource-Policy", "same-origin" },
	};
	struct evkeyvalq *to = evhttp_request_get_output_headers(request);

	for (size_t i = 0; i < NELEMS(headers); i++)
		evhttp_add_header(to, headers[i].name, headers[i].value);
	/* The dashboard says more. */
	if (evhttp_find_header(to, "Content-Security-Policy") == NULL)
		evhttp_add_header(to, "Content-Security-Policy",
			"default-src 'none'; frame-ancestors 'none'");
	evhttp_add_header(to, "Content-Type", type != NULL ? type : "text/plain; charset=utf-8");
}

/* evhttp would send the body after a HEAD, too. */
void http_reply(struct evhttp_request *request, int status, const char *type, struct evbuffer *body)
{
	char length[24];

	http_headers(request, type);
	if (http_is_head(request) && body != NULL) {
		snprintf(length, sizeof(length), "%zu", evbuffer_get_length(body));
		evhttp_add_header(
			evhttp_request_get_output_headers(request), "Content-Length", length);
		body = NULL;
	}
	evhttp_send_reply(request, status, http_reason(status), body);
}

void http_reply_text(struct evhttp_request *request, int status, const char *text)
{
	struct evbuffer *body = evbuffer_new();

	if (body != NULL)
		evbuffer_add_printf(body, "%s\n", text);
	http_reply(request, status, NULL, body);
	if (body != NULL)
		evbuffer_free(body);
}

void http_reply_no_memory(struct evhttp_request *request)
{
	static struct log_rate rate;

	if (log_rate_ok(&rate))
		log_warnx("no memory for an answer%s", log_rate_note(&rate));
	http_reply_text(request, 500, "no memory");
}

/* ------------------------------------------------------------------ who may ask */

static bool sockaddr_is_loopback(const struct sockaddr_storage *addr)
{
	const struct sockaddr_in *in = (const struct sockaddr_in *)(const void *)addr;
	const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)(const void *)addr;

	if (addr->ss_family == AF_INET)
		return (ntohl(in->sin_addr.s_addr) >> 24) == IN_LOOPBACKNET;
	return addr->ss_family == AF_INET6 && IN6_IS_ADDR_LOOPBACK(&in6->sin6_addr);
}

static bool request_is_on_loopback(struct evhttp_request *request)
{
	struct evhttp_connection *connection = evhttp_request_get_connection(request);
	struct sockaddr_storage addr = { 0 };
	socklen_t len = sizeof(addr);

	return getsockname(bufferevent_getfd(evhttp_connection_get_bufferevent(connection)),
		       (struct sockaddr *)&addr, &len) == 0 &&
		sockaddr_is_loopback(&addr);
}

/* NAME, NAME:PORT, [V6]:PORT: without the port. False when it is too long. */
static bool host_name(const char *host, char name_r[HTTP_HOST_MAX])
{
	const char *end = host + strcspn(host, ":");

	if (*host == '[') {
		host++;
		end = host + strcspn(host, "]");
	}
	if ((size_t)(end - host) >= HTTP_HOST_MAX)
		return false;
	memcpy(name_r, host, (size_t)(end - host));
	name_r[end - host] = '\0';
	return true;
}

static bool host_is_no_name(const char *host)
{
	unsigned char addr[sizeof(struct in6_addr)];
	char name[HTTP_HOST_MAX];

	if (host == NULL) /* HTTP/1.0; no browser */
		return true;
	return host_name(host, name) &&
		(strcasecmp(name, "localhost") == 0 || inet_pton(AF_INET, name, addr) == 1 ||
			inet_pton(AF_INET6, name, addr) == 1);
}

/* Returns false when it was answered that it must not be. */
static bool request_is_allowed(struct evhttp_request *request)
{
	const enum evhttp_cmd_type method = evhttp_request_get_command(request);
	const char *host = evhttp_find_header(evhttp_request_get_input_headers(request), "Host");

	if (method != EVHTTP_REQ_GET && method != EVHTTP_REQ_HEAD) {
		struct evkeyvalq *headers = evhttp_request_get_output_headers(request);

		evhttp_add_header(headers, "Allow", "GET, HEAD");
		evhttp_add_header(headers, "Connection", "close");
		http_reply_text(request, 405, "read only: GET and HEAD");
		return false;
	}
	if (request_is_on_loopback(request) && !host_is_no_name(host)) {
		http_reply_text(request, 421,
			"on a loopback address this page answers to localhost and to addresses alone");
		return false;
	}
	return true;
}

/* ------------------------------------------------------------------ what is asked for */

typedef void http_answer_fn(struct admin *admin, struct evhttp_request *request);

struct http_route {
	const char *path;
	http_answer_fn *answer; /* NULL: the master answers line */
	const char *line;
};

static const struct http_route http_routes[] = {
	{ "/", page_show, NULL },
	{ "/api/v1/dashboard", page_state, NULL },
	{ "/metrics", page_metrics, NULL },
	{ "/healthz", health_alive, NULL },
	{ "/readyz", health_ready, NULL },
	{ "/api/v1/status", NULL, "status --json\n" },
	{ "/api/v1/frontends", NULL, "show frontends --json\n" },
	{ "/api/v1/servers", NULL, "show servers --json\n" },
	{ "/api/v1/workers", NULL, "show workers --json\n" },
	{ "/api/v1/sessions", NULL, "show sessions --json\n" },
	{ "/api/v1/stats", NULL, "show stats --json\n" },
	{ "/api/v1/history", NULL, "show history --json\n" },
	{ "/api/v1/events", NULL, "show events --json\n" },
	{ "/api/v1/generations", NULL, "show generations --json\n" },
};

static const struct http_route *http_find(struct evhttp_request *request)
{
	const struct evhttp_uri *uri = evhttp_request_get_evhttp_uri(request);
	const char *path = uri != NULL ? evhttp_uri_get_path(uri) : NULL;

	for (size_t i = 0; path != NULL && i < NELEMS(http_routes); i++) {
		if (strcmp(path, http_routes[i].path) == 0)
			return &http_routes[i];
	}
	return NULL;
}

static void on_http_request(struct evhttp_request *request, void *arg)
{
	struct admin *admin = arg;
	const struct http_route *route;

	clients_begin(admin->clients, request);
	if (admin->ending)
		evhttp_add_header(
			evhttp_request_get_output_headers(request), "Connection", "close");
	if (!request_is_allowed(request))
		return;
	route = http_find(request);
	if (route == NULL)
		http_reply_text(request, 404,
			"not here; try /, /metrics, /healthz, /readyz, /api/v1/status");
	else if (route->answer != NULL)
		route->answer(admin, request);
	else
		ask_begin(admin->asks, request, route->line);
}

struct evhttp *http_new(struct admin *admin)
{
	struct evhttp *http = evhttp_new(admin->base);

	if (http == NULL)
		admin_no_memory("an HTTP server");
	evhttp_set_max_headers_size(http, HTTP_HEAD_MAX);
	evhttp_set_max_body_size(http, 0);
	/* Those that are not allowed are told so by us. */
	evhttp_set_allowed_methods(http, HTTP_ALL_METHODS);
	evhttp_set_default_content_type(http, "text/plain; charset=utf-8");
	evhttp_set_gencb(http, on_http_request, admin);
	return http;
}
