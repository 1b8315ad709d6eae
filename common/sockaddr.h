/* Socket addresses of the three families that proxyd speaks (IPv4, IPv6, Unix), as values: copied,
 * never allocated. Addresses as people write them (names, port ranges) are conf's.
 */
#ifndef PROXYD_COMMON_SOCKADDR_H
#define PROXYD_COMMON_SOCKADDR_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "common/must.h"

struct sockaddr_any {
	socklen_t len; /* 0: no address */
	union {
		struct sockaddr sa;
		struct sockaddr_in in;
		struct sockaddr_in6 in6;
		struct sockaddr_un un;
	} u;
};

/* "[" IPv6 "]:" port, IPv4 ":" port or "unix:" path, with room for all of them and a final 0. */
#define SOCKADDR_TEXT_MAX 128

/* From an IPv4 or IPv6 literal without brackets and a port. Returns 0, or -1 when host is no literal
 * (a name, say); *addr_r is then untouched. */
MUST_USE int sockaddr_from_literal(const char *host, uint16_t port, struct sockaddr_any *addr_r);

/* From a path. Returns -1 when it does not fit a sockaddr_un (107 bytes). */
MUST_USE int sockaddr_from_path(const char *path, struct sockaddr_any *addr_r);

/* What the kernel gave (accept, getsockname, getaddrinfo). A longer one is cut off to none (len 0). */
void sockaddr_from_kernel(const struct sockaddr *sa, socklen_t len, struct sockaddr_any *addr_r);

/* As in SOCKADDR_TEXT_MAX; an unnamed Unix socket is "unix:". Returns buf. */
const char *sockaddr_format(const struct sockaddr_any *addr, char *buf, size_t buf_bytes);

uint16_t sockaddr_port(const struct sockaddr_any *addr); /* 0 for a Unix socket */
void sockaddr_set_port(struct sockaddr_any *addr, uint16_t port);
bool sockaddr_is_unix(const struct sockaddr_any *addr);
bool sockaddr_equal(const struct sockaddr_any *a, const struct sockaddr_any *b);

/* The bytes that identify the host alone, without the port: what balance `source` and the limits per
 * source go by. An IPv4 address mapped into IPv6 gives its IPv4 bytes. Points into addr; *len_r is 4,
 * 16, or 0 for a Unix socket. */
const void *sockaddr_host_bytes(const struct sockaddr_any *addr, size_t *len_r);

#endif
