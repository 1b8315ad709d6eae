/* Names to addresses without blocking: c-ares (hosts file, localhost, DNS) in an event loop.
 */
#ifndef PROXYD_COMMON_RESOLVER_H
#define PROXYD_COMMON_RESOLVER_H

#include <stddef.h>

#include "common/must.h"
#include "common/sockaddr.h"

struct event_base;
struct resolver;

/* addrs (ports 0, IPv6 and IPv4 in the system's order of preference, no duplicates) are valid during the
 * call only. n is 0 when the name does not resolve; error then says why, else it is NULL. */
typedef void resolver_done_fn(
	const struct sockaddr_any *addrs, size_t n, const char *error, void *arg);

/* Returns NULL, *error_r static, when c-ares cannot start. */
MUST_USE struct resolver *resolver_new(struct event_base *base, const char **error_r);

/* Ends lookups under way without calling back. */
void resolver_free(struct resolver *resolver);

/* done is called exactly once, from the loop and never from within this call (also for a literal or
 * localhost), at the latest timeout_ms from now. host is copied. */
void resolver_lookup(struct resolver *resolver, const char *host, unsigned timeout_ms,
	resolver_done_fn *done, void *arg);

#endif
