/* What systemd is told of the master; nothing happens where it was not started by systemd, or where
 * proxyd was built without libsystemd.
 */
#ifndef PROXYD_MASTER_NOTIFY_H
#define PROXYD_MASTER_NOTIFY_H

#include <sys/types.h>

struct event_base;
struct notify;

/* Sends a sign of life from the loop as often as systemd's watchdog asks for. Returns NULL where nobody
 * asks. */
struct notify *notify_watchdog_new(struct event_base *base);
void notify_watchdog_free(struct notify *notify); /* NULL is fine */

void notify_ready(void); /* also: the reload is over */
void notify_reloading(void);
void notify_stopping(void);
void notify_main(pid_t pid); /* another process is the master from now on */

#endif
