/* The configuration as one value: read and checked as a whole, then const for as long as a process
 * lives. Times are milliseconds, sizes bytes; an absent key has its default already.
 */
#ifndef PROXYD_CONF_CONF_H
#define PROXYD_CONF_CONF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

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
};

enum conf_service {
	SERVICE_NONE,
	SERVICE_ECHO,
	SERVICE_REVERSE,
	SERVICE_DISCARD,
	SERVICE_HTTP,
};

enum conf_check { CHECK_NONE, CHECK_TCP };

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

struct conf_global {
	uint32_t workers; /* auto is already the number of online CPUs */
	const char *user; /* "" none */
	const char *group;
	const char *pidfile;
	uint32_t drain_timeout_ms; /* CONF_FOREVER when the file says 0 */
	uint32_t heartbeat_timeout_ms;
	uint32_t bind_retry_ms; /* 0: a busy address ends the start */
	struct conf_log log;
	struct conf_log access_log; /* level unused */
	struct conf_control control;
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
};

struct conf_backend;

struct conf_frontend {
	const char *name;
	uint32_t
		place; /* in shared memory; given by the master before anyone else sees the value */
	struct conf_mark mark;
	size_t nbinds;
	struct address *binds;
	const struct conf_backend *backend; /* NULL when service is not SERVICE_NONE */
	enum conf_service service;
	const char *message; /* what service http answers with; %p and %f still in it */
	struct conf_tcp tcp;
	struct conf_frontend_timeouts timeouts;
};

#define CONF_SERVER_ADDRS_MAX 16

struct conf_server {
	const char *name;
	uint32_t place;
	struct conf_mark mark;
	struct address address;
	uint32_t weight; /* 0 to 256; 0: never chosen */
	/* What address resolves to, ports set. One for a literal or a path, from the reader; the master
	 * fills in those of a name before anyone else sees the value. 0: it does not resolve, it is down. */
	size_t naddrs;
	struct sockaddr_any *addrs;
};

struct conf_check_tcp {
	enum conf_check type; /* CHECK_NONE: no active check */
	uint32_t inter_ms;
	uint32_t timeout_ms;
	uint32_t rise;
	uint32_t fall;
};

/* max_fails failed connects within window keep a server out of the choice for eject, while others work. */
struct conf_passive {
	uint32_t max_fails; /* 0: off */
	uint32_t window_ms;
	uint32_t eject_ms;
};

struct conf_backend {
	const char *name;
	uint32_t place;
	struct conf_mark mark;
	enum conf_balance balance;
	uint32_t random_draws;
	uint32_t retries;
	size_t nservers;
	struct conf_server *servers;
	struct conf_check_tcp check;
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
