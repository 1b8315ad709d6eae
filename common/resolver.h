/* Names to addresses without blocking: c-ares (hosts file, localhost, DNS) in an event loop; also the SRV
 * records of a service.
 */
#ifndef PROXYD_COMMON_RESOLVER_H
#define PROXYD_COMMON_RESOLVER_H

#include <stddef.h>
#include <stdint.h>

#include "common/must.h"
#include "common/sockaddr.h"

struct event_base;
struct resolver;

#define RESOLVER_ADDRS_MAX 64
#define RESOLVER_NO_TTL    UINT32_MAX /* a literal, or from the hosts file */

struct resolved {
	struct sockaddr_any addr; /* port 0, but of an SRV record */
	uint32_t priority;        /* of an SRV record, as is weight; else 0 */
	uint32_t weight;
};

/* list (IPv6 and IPv4 in the system's order of preference, no duplicates) is the receiver's during the call
 * only. n is 0 when the name does not resolve; error then says why, else it is NULL. */
struct resolver_answer {
	size_t n;
	struct resolved *list;
	uint32_t ttl_s; /* the shortest of all records */
	const char *error;
};

typedef void resolver_done_fn(const struct resolver_answer *answer, void *arg);

/* Returns NULL, *error_r static, when c-ares cannot start. */
MUST_USE struct resolver *resolver_new(struct event_base *base, const char **error_r);

/* Ends lookups under way without calling back. */
void resolver_free(struct resolver *resolver);

/* done is called exactly once, from the loop and never from within this call (also for a literal or
 * localhost), at the latest timeout_ms from now. host is copied. */
void resolver_lookup(struct resolver *resolver, const char *host, unsigned timeout_ms,
	resolver_done_fn *done, void *arg);

/* The same for a service, such as _redis._tcp.example.org: its SRV records, and the addresses of their
 * targets. A target that does not resolve is left out. */
void resolver_lookup_srv(struct resolver *resolver, const char *service, unsigned timeout_ms,
	resolver_done_fn *done, void *arg);

#endif
