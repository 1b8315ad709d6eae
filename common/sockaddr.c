/* Socket addresses as values. Reading what people write (names, port ranges) is conf's.
 */
#include "common/sockaddr.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

int sockaddr_from_literal(const char *host, uint16_t port, struct sockaddr_any *addr_r)
{
	struct sockaddr_any addr = { 0 };

	if (inet_pton(AF_INET, host, &addr.u.in.sin_addr) == 1) {
		addr.u.in.sin_family = AF_INET;
		addr.u.in.sin_port = htons(port);
		addr.len = sizeof(addr.u.in);
	} else if (inet_pton(AF_INET6, host, &addr.u.in6.sin6_addr) == 1) {
		addr.u.in6.sin6_family = AF_INET6;
		addr.u.in6.sin6_port = htons(port);
		addr.len = sizeof(addr.u.in6);
	} else {
		return -1;
	}
	*addr_r = addr;
	return 0;
}

int sockaddr_from_path(const char *path, struct sockaddr_any *addr_r)
{
	size_t len = strlen(path);
	struct sockaddr_any addr = { 0 };

	if (len == 0 || len >= sizeof(addr.u.un.sun_path))
		return -1;
	addr.u.un.sun_family = AF_UNIX;
	memcpy(addr.u.un.sun_path, path, len + 1);
	addr.len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len + 1);
	*addr_r = addr;
	return 0;
}

void sockaddr_from_kernel(const struct sockaddr *sa, socklen_t len, struct sockaddr_any *addr_r)
{
	memset(addr_r, 0, sizeof(*addr_r));
	if (len < sizeof(sa->sa_family) || len > sizeof(addr_r->u))
		return;
	memcpy(&addr_r->u, sa, len);
	addr_r->len = len;
}

/* How many bytes of sun_path count: the kernel terminates a path only when there is room. */
static size_t sockaddr_path_len(const struct sockaddr_any *addr)
{
	size_t room = addr->len - offsetof(struct sockaddr_un, sun_path);

	if (addr->len <= offsetof(struct sockaddr_un, sun_path))
		return 0;
	/* An abstract name begins with a 0 and has no end but its length. */
	if (addr->u.un.sun_path[0] == '\0')
		return room;
	return strnlen(addr->u.un.sun_path, room);
}

static const char *sockaddr_format_unix(
	const struct sockaddr_any *addr, char *buf, size_t buf_bytes)
{
	size_t len = sockaddr_path_len(addr);
	const char *path = addr->u.un.sun_path;

	if (len > 0 && path[0] == '\0')
		snprintf(buf, buf_bytes, "unix:@%.*s", (int)(len - 1), path + 1);
	else
		snprintf(buf, buf_bytes, "unix:%.*s", (int)len, path);
	return buf;
}

const char *sockaddr_format(const struct sockaddr_any *addr, char *buf, size_t buf_bytes)
{
	char host[INET6_ADDRSTRLEN] = "";

	if (addr->len == 0) {
		snprintf(buf, buf_bytes, "none");
		return buf;
	}
	switch (addr->u.sa.sa_family) {
	case AF_INET:
		inet_ntop(AF_INET, &addr->u.in.sin_addr, host, sizeof(host));
		snprintf(buf, buf_bytes, "%s:%u", host, ntohs(addr->u.in.sin_port));
		return buf;
	case AF_INET6:
		inet_ntop(AF_INET6, &addr->u.in6.sin6_addr, host, sizeof(host));
		snprintf(buf, buf_bytes, "[%s]:%u", host, ntohs(addr->u.in6.sin6_port));
		return buf;
	case AF_UNIX:
		return sockaddr_format_unix(addr, buf, buf_bytes);
	default:
		snprintf(buf, buf_bytes, "family %u", addr->u.sa.sa_family);
		return buf;
	}
}

uint16_t sockaddr_port(const struct sockaddr_any *addr)
{
	if (addr->len != 0 && addr->u.sa.sa_family == AF_INET)
		return ntohs(addr->u.in.sin_port);
	if (addr->len != 0 && addr->u.sa.sa_family == AF_INET6)
		return ntohs(addr->u.in6.sin6_port);
	return 0;
}

void sockaddr_set_port(struct sockaddr_any *addr, uint16_t port)
{
	if (addr->len != 0 && addr->u.sa.sa_family == AF_INET)
		addr->u.in.sin_port = htons(port);
	else if (addr->len != 0 && addr->u.sa.sa_family == AF_INET6)
		addr->u.in6.sin6_port = htons(port);
}

bool sockaddr_is_unix(const struct sockaddr_any *addr)
{
	return addr->len != 0 && addr->u.sa.sa_family == AF_UNIX;
}

bool sockaddr_equal(const struct sockaddr_any *a, const struct sockaddr_any *b)
{
	if (a->len == 0 || b->len == 0)
		return a->len == b->len;
	if (a->u.sa.sa_family != b->u.sa.sa_family)
		return false;
	switch (a->u.sa.sa_family) {
	case AF_INET:
		return a->u.in.sin_port == b->u.in.sin_port &&
			a->u.in.sin_addr.s_addr == b->u.in.sin_addr.s_addr;
	case AF_INET6:
		/* Not the flow label: it is no part of who somebody is. */
		return a->u.in6.sin6_port == b->u.in6.sin6_port &&
			a->u.in6.sin6_scope_id == b->u.in6.sin6_scope_id &&
			memcmp(&a->u.in6.sin6_addr, &b->u.in6.sin6_addr, sizeof(struct in6_addr)) ==
			0;
	case AF_UNIX:
		return sockaddr_path_len(a) == sockaddr_path_len(b) &&
			memcmp(a->u.un.sun_path, b->u.un.sun_path, sockaddr_path_len(a)) == 0;
	default:
		return a->len == b->len && memcmp(&a->u, &b->u, a->len) == 0;
	}
}

const void *sockaddr_host_bytes(const struct sockaddr_any *addr, size_t *len_r)
{
	*len_r = 0;
	if (addr->len == 0)
		return &addr->u;
	if (addr->u.sa.sa_family == AF_INET) {
		*len_r = sizeof(addr->u.in.sin_addr);
		return &addr->u.in.sin_addr;
	}
	if (addr->u.sa.sa_family == AF_INET6) {
		const struct in6_addr *in6 = &addr->u.in6.sin6_addr;

		*len_r = IN6_IS_ADDR_V4MAPPED(in6) ? 4 : sizeof(*in6);
		return IN6_IS_ADDR_V4MAPPED(in6) ? &in6->s6_addr[12] : &in6->s6_addr[0];
	}
	return &addr->u;
}
