/* The names in a configuration, resolved once before it serves, all of them at the same time.
 */
#ifndef PROXYD_MASTER_HOSTS_H
#define PROXYD_MASTER_HOSTS_H

#include <stddef.h>

#include "common/must.h"
#include "common/sockaddr.h"

struct conf;
struct event_base;
struct hosts;

#define HOSTS_TIMEOUT_MS 2000

/* Every name was answered, or HOSTS_TIMEOUT_MS are over; from the loop. error: the lookups could not be had (static);
 * NULL. */
typedef void hosts_done_fn(const char *error, void *arg);

/* Looks up every name that a server or a bind has, for HOSTS_TIMEOUT_MS in all, in this loop. conf is borrowed until
 * hosts_free, which may come at any time, and ends it. */
struct hosts *hosts_begin(
	struct event_base *base, const struct conf *conf, hosts_done_fn *on_done, void *arg);

/* Gives the servers of the configuration their addresses. A server whose name does not resolve keeps those that it has
 * in before (NULL: none), else it is left with none, and warned of. */
void hosts_give(const struct hosts *hosts, struct conf *conf, const struct conf *before);

/* All of that at once, in an event loop of its own. Returns NULL when that cannot be had; it is logged. */
MUST_USE struct hosts *hosts_resolve(struct conf *conf);
void hosts_free(struct hosts *hosts); /* NULL is fine */

/* The addresses of a name (ports 0), borrowed. With none, *error_r says why. */
size_t hosts_find(const struct hosts *hosts, const char *name, const struct sockaddr_any **addrs_r,
	const char **error_r);

#endif
