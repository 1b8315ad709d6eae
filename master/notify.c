/* Speaks sd_notify: READY, MAINPID, STOPPING and the watchdog.
 */
#include "master/notify.h"

#include <event2/event.h>
#include <inttypes.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#ifdef HAVE_SYSTEMD
#include <systemd/sd-daemon.h>

struct notify {
	struct event *timer; /* owned */
};

static void on_watchdog_timer(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	(void)arg;
	sd_notify(0, "WATCHDOG=1");
}

struct notify *notify_watchdog_new(struct event_base *base)
{
	uint64_t limit_us = 0;
	struct notify *notify;
	struct timeval every;

	if (sd_watchdog_enabled(0, &limit_us) <= 0)
		return NULL;
	/* Half of the limit, as sd_watchdog_enabled(3) recommends. */
	every.tv_sec = (time_t)(limit_us / 2 / 1000000);
	every.tv_usec = (suseconds_t)(limit_us / 2 % 1000000);
	notify = calloc(1, sizeof(*notify));
	if (notify == NULL)
		return NULL;
	notify->timer = event_new(base, -1, EV_PERSIST, on_watchdog_timer, NULL);
	if (notify->timer != NULL)
		event_add(notify->timer, &every);
	return notify;
}

void notify_watchdog_free(struct notify *notify)
{
	if (notify == NULL)
		return;
	if (notify->timer != NULL)
		event_free(notify->timer);
	free(notify);
}

void notify_ready(void)
{
	sd_notifyf(0, "READY=1\nMAINPID=%d", (int)getpid());
}

/* MONOTONIC_USEC is what Type=notify-reload asks for. */
void notify_reloading(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	sd_notifyf(0, "RELOADING=1\nMONOTONIC_USEC=%" PRIu64,
		(uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000);
}

void notify_stopping(void)
{
	sd_notify(0, "STOPPING=1");
}

void notify_main(pid_t pid)
{
	sd_notifyf(0, "MAINPID=%d", (int)pid);
}

#else

struct notify *notify_watchdog_new(struct event_base *base)
{
	(void)base;
	return NULL;
}

void notify_watchdog_free(struct notify *notify)
{
	(void)notify;
}

void notify_ready(void)
{
}

void notify_reloading(void)
{
}

void notify_stopping(void)
{
}

void notify_main(pid_t pid)
{
	(void)pid;
}

#endif
