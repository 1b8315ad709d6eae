/* The configuration as one value: read and checked as a whole, then const for as long as a process
 * lives. Times are milliseconds, sizes bytes; an absent key has its default already.
 */
#ifndef PROXYD_CONF_CONF_H
#define PROXYD_CONF_CONF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/instances.h"
#include "common/log.h"
#include "common/sockaddr.h"
#include "conf/address.h"

#define CONF_FOREVER UINT32_MAX /* a time span without an end */

enum conf_balance {
	BALANCE_ROUNDROBIN,
	BALANCE_LEASTCONN,
	BALANCE_RANDOM,
	BALANCE_FIRST,
	BALANCE_SOURCE,
	BALANCE_MAGLEV,
	BALANCE_LATENCY,
};

enum conf_service {
	SERVICE_NONE,
	SERVICE_ECHO,
	SERVICE_REVERSE,
	SERVICE_DISCARD,
	SERVICE_HTTP,
};

enum conf_check_type { CHECK_NONE, CHECK_TCP, CHECK_HTTP, CHECK_TLS, CHECK_SEND_EXPECT };

enum conf_on_down { ON_DOWN_KEEP, ON_DOWN_CLOSE };

enum conf_server_state { SERVER_READY, SERVER_DRAIN, SERVER_MAINT };

/* Where a thing stands in the file, for messages after reading. */
struct conf_mark {
	const char *file;
	uint32_t line; /* from 1; 0: not from a file */
	uint32_t column;
};

struct conf_log {
	const char *to; /* "stderr", "syslog", a path; "off" for the access log */
	enum log_level level;
	enum log_format format;
};

/* The control socket. */
struct conf_control {
	const char *path; /* "": in the run directory */
	uint32_t mode;
	const char *group; /* "" none */
};

/* HTTP for people and for Prometheus. */
struct conf_admin {
	struct address bind; /* without a text: off */
};

struct conf_global {
	uint32_t workers; /* auto is already the number of online CPUs */
	const char *user; /* "" none */
	const char *group;
	const char *pidfile;
	uint32_t maxconn;          /* relays in the whole daemon; 0: what the fd limit allows */
	uint32_t drain_timeout_ms; /* CONF_FOREVER when the file says 0 */
	uint32_t keep_after_ms;    /* 0: from the first byte; CONF_FOREVER: never */
	uint32_t heartbeat_timeout_ms;
	uint32_t bind_retry_ms; /* 0: a busy address ends the start */
	uint32_t
		rebalance_pct; /* how far a worker may be over the average; 0: relays never move for that */
	struct conf_log log;
	struct conf_log access_log; /* level unused */
	struct conf_control control;
	struct conf_admin admin;
};

struct conf_tcp {
	bool nodelay;
	bool mptcp;
	bool transparent;
	bool v6only;
	uint32_t backlog;
	uint32_t fastopen;        /* length of the queue, 0 off */
	uint32_t defer_accept_ms; /* rounded up to seconds by the kernel; 0 off */
	uint32_t keepalive_ms;    /* idle time before the first probe; 0 off */
	uint32_t user_timeout_ms; /* 0 the kernel's */
	const char *interface;    /* "" any */
};

/* All of them 0 = none. */
struct conf_frontend_timeouts {
	uint32_t client_ms;
	uint32_t client_fin_ms;
};

struct conf_backend_timeouts {
	uint32_t connect_ms;
	uint32_t server_ms;
	uint32_t server_fin_ms;
	uint32_t queue_ms;
};

/* 0: no limit. */
struct conf_limits {
	uint32_t source_maxconn; /* of one source address at once; IPv6 by /64 */
	uint32_t source_rate;    /* connections of one source address in a second */
	uint32_t rate;           /* of all sources */
};

struct conf_backend;
struct cidrs; /* conf/cidrs.h */

struct conf_frontend {
	const char *name;
	uint32_t
		place; /* in shared memory; given by the master before anyone else sees the value */
	struct conf_mark mark;
	size_t nbinds;
	struct address *binds;
	const struct conf_backend *backend; /* NULL when service is not SERVICE_NONE */
	enum conf_service service;
	const char *message;       /* what service http answers with; %p and %f still in it */
	uint32_t maxconn;          /* relays at once; 0: no limit */
	const struct cidrs *allow; /* NULL: everyone */
	const struct cidrs *deny;  /* NULL: nobody */
	struct conf_limits limits;
	struct conf_tcp tcp;
	struct conf_frontend_timeouts timeouts;
};

#define CONF_SERVER_ADDRS_MAX 16
#define CONF_RESOLVE_MAX      INSTANCES_MAX /* servers that one name can become */

struct conf_server {
	const char *name;
	uint32_t place;
	struct conf_mark mark;
	struct address address;
	uint32_t weight;  /* 0 to 256; 0: never chosen */
	uint32_t maxconn; /* 0: no limit */
	bool backup;      /* serves only when no other can */
	enum conf_server_state state;
	/* Where it is checked, when not where it serves: resolved as addrs is. */
	bool has_check_address;
	struct address check_address;
	size_t ncheck_addrs;
	struct sockaddr_any *check_addrs;
	/* What address resolves to, ports set. One for a literal or a path, from the reader; the master
	 * fills in those of a name before anyone else sees the value. 0: it does not resolve, it is down. */
	size_t naddrs;
	struct sockaddr_any *addrs;
	bool resolve; /* its name is looked up again and again */
	bool srv; /* the name is that of a service: SRV records give addresses, ports, weights */
	/* One of the CONF_RESOLVE_MAX that a name to look up stands for, in a row: where it is lies in shared
	 * memory (common/instances.h), addrs is empty. written: what the file has. */
	bool dynamic;
	uint32_t instance; /* 0 to CONF_RESOLVE_MAX - 1 */
	const struct conf_server *written;
};

/* A range of HTTP statuses, both ends included. */
struct conf_status {
	uint16_t first;
	uint16_t last;
};

#define CONF_STATUSES_MAX 16

struct conf_check_http {
	const char *method; /* GET or HEAD */
	const char *path;
	const char *host; /* "" the server's address */
	size_t nstatuses;
	struct conf_status statuses[CONF_STATUSES_MAX];
};

/* Bytes, after the C escapes of the file were resolved: may hold zeros. */
struct conf_bytes {
	size_t len;
	const uint8_t *bytes; /* in the arena; NULL when len is 0 */
};

struct conf_check {
	enum conf_check_type type; /* CHECK_NONE: no active check */
	uint32_t inter_ms;
	uint32_t fastinter_ms; /* while changing state; never 0 */
	uint32_t downinter_ms; /* while down; never 0 */
	uint32_t timeout_ms;
	uint32_t rise;
	uint32_t fall;
	uint32_t spread_pct; /* of jitter, 0 to 50 */
	struct conf_check_http http;
	struct conf_bytes send;
	struct conf_bytes expect;
};

/* max_fails failed connects within window keep a server out of the choice for eject, while others work. */
struct conf_passive {
	uint32_t max_fails; /* 0: off */
	uint32_t window_ms;
	uint32_t eject_ms;
	uint32_t max_ejected_pct; /* of a backend's servers, never the last that works */
};

struct conf_backend {
	const char *name;
	uint32_t place;
	struct conf_mark mark;
	enum conf_balance balance;
	uint32_t random_draws;
	uint32_t retries;
	uint32_t maxqueue; /* 0: no limit */
	uint32_t slowstart_ms;
	enum conf_on_down on_down;
	struct sockaddr_any source; /* to connect from; len 0: the kernel's choice */
	size_t nservers;
	struct conf_server *servers; /* as they serve */
	size_t nwritten;
	struct conf_server *written; /* as the file has them */
	struct conf_check check;
	struct conf_passive passive;
	struct conf_backend_timeouts timeouts;
};

struct conf {
	struct arena *arena; /* owned: everything below lives in it */
	struct conf_global global;
	size_t nfrontends;
	struct conf_frontend *frontends;
	size_t nbackends;
	struct conf_backend *backends;
};

void conf_free(struct conf *conf);

/* The names of the enums, as the file has them. */
const char *conf_balance_name(enum conf_balance balance);
const char *conf_service_name(enum conf_service service);

#endif
