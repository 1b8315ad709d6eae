/* A command again and again, as watch(1) does it.
 */
#ifndef PROXYD_MASTER_PROXYCTL_WATCH_H
#define PROXYD_MASTER_PROXYCTL_WATCH_H

#include "master/proxyctl/client.h"
#include "master/proxyctl/ctl.h"
#include "master/proxyctl/ctl_options.h"

struct watch {
	struct client *client; /* borrowed */
	const struct ctl_options *options;
	/* The line for a terminal of so many columns; 0: none. */
	const char *(*line)(const struct ctl_options *options, uint32_t columns);
};

/* Until a signal or q, then CTL_DONE; or until it is refused, with the reason. That nobody answers ends it the first
 * time alone: afterwards it says so and waits for the daemon. */
MUST_USE enum ctl_exit watch_run(struct watch *watch, struct ctl_why *why_r);

#endif
