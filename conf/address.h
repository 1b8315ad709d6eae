/* Addresses as people write them: HOST:PORT, :PORT (both families), [V6]:PORT, HOST:FIRST-LAST,
 * unix:/PATH. What they resolve to is struct sockaddr_any's business (common/sockaddr.h).
 */
#ifndef PROXYD_CONF_ADDRESS_H
#define PROXYD_CONF_ADDRESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/must.h"
#include "common/sockaddr.h"

struct arena;

enum address_kind {
	ADDRESS_ANY,     /* :PORT, every address of both families */
	ADDRESS_LITERAL, /* an IPv4 or IPv6 literal */
	ADDRESS_NAME,    /* a name to resolve */
	ADDRESS_UNIX,    /* a path */
};

struct address {
	enum address_kind kind;
	const char *text;    /* normalised, loads again; in the arena */
	const char *host;    /* without brackets; "" for ADDRESS_ANY; the path for ADDRESS_UNIX */
	uint16_t port_first; /* 0 for ADDRESS_UNIX and for a service */
	uint16_t port_last;  /* == port_first unless a range */
};

enum address_use {
	ADDRESS_BIND,  /* a range is fine, and :PORT */
	ADDRESS_ADMIN, /* one port; :PORT is that of both loopback addresses */
	ADDRESS_SERVER, /* one port and a host; `:PORT` means localhost, as the predecessors have it. A
			 * service (_NAME._PROTOCOL.DOMAIN, for SRV records) has no port */
};

/* Returns 0, or -1 and *error_r (in the arena) says what is wrong and what would be right. */
MUST_USE int address_parse(struct arena *arena, const char *text, enum address_use use,
	struct address *address_r, const char **error_r);

#endif
