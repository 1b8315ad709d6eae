/* The admin process as the supervisor sees it: it is there while global.admin has a socket, and lives on over reloads. Its
 * listening sockets are bindings like the others, so that none is ever closed and opened again.
 */
#ifndef PROXYD_MASTER_ADMIN_H
#define PROXYD_MASTER_ADMIN_H

#include <stdbool.h>

struct config;
struct supervisor;

/* Whether there is to be one. */
bool admin_is_wanted(const struct supervisor *supervisor);

/* Start it, stop it, or tell it of other sockets, as the bindings are now. */
void admin_update(struct supervisor *supervisor);

/* What it was told at its start is not true any more: another one takes its place. */
void admin_replace(struct supervisor *supervisor);

/* The daemon ends: nobody is left to be looked at. Idempotent. */
void admin_stop(struct supervisor *supervisor);

/* Whether one that was started with this configuration is none for that one. */
bool admin_differs(const struct config *from, const struct config *to);

#endif
