/* A set of networks, made once and then const: is an address in one of them? The longest prefix is found in a few
 * memory accesses, however many there are.
 */
#ifndef PROXYD_CONF_CIDRS_H
#define PROXYD_CONF_CIDRS_H

#include <stdbool.h>
#include <stddef.h>

#include "common/must.h"
#include "common/sockaddr.h"

struct arena;
struct cidrs;

struct cidrs *cidrs_new(struct arena *arena);

/* "10.0.0.0/8", "2001:db8::/32", or an address alone. Bits set behind the prefix are an error, as they are
 * most often a slip. Returns 0, or -1 with *error_r (in the arena): what is wrong, what would be right. The same
 * network twice is fine. */
MUST_USE int cidrs_add(struct cidrs *cidrs, const char *text, const char **error_r);

/* After the last one, before the first question. */
void cidrs_freeze(struct cidrs *cidrs);

size_t cidrs_count(const struct cidrs *cidrs);

/* Normalised, in the order they were added. */
const char *cidrs_text(const struct cidrs *cidrs, size_t at);

/* An IPv4 address mapped into IPv6 is asked as IPv4. A Unix socket is in no network. */
bool cidrs_match(const struct cidrs *cidrs, const struct sockaddr_any *addr);

#endif
