/* The names in a configuration, resolved once before it serves, all of them at the same time.
 */
#ifndef PROXYD_MASTER_HOSTS_H
#define PROXYD_MASTER_HOSTS_H

#include <stddef.h>

#include "common/must.h"
#include "common/sockaddr.h"

struct conf;
struct hosts;

#define HOSTS_TIMEOUT_MS 2000

/* Looks up every name that a server or a bind has, for HOSTS_TIMEOUT_MS in all, and gives the servers
 * their addresses. A server whose name does not resolve is left with none, and warned of. Runs an event
 * loop of its own. Returns NULL when that cannot be had; it is logged. */
MUST_USE struct hosts *hosts_resolve(struct conf *conf);
void hosts_free(struct hosts *hosts); /* NULL is fine */

/* The addresses of a name (ports 0), borrowed. With none, *error_r says why. */
size_t hosts_find(const struct hosts *hosts, const char *name, const struct sockaddr_any **addrs_r,
	const char **error_r);

#endif
