/* proxyctl top: a live screen.
 */
#ifndef PROXYD_MASTER_PROXYCTL_TOP_H
#define PROXYD_MASTER_PROXYCTL_TOP_H

#include "common/must.h"
#include "master/proxyctl/client.h"
#include "master/proxyctl/ctl.h"
#include "master/proxyctl/ctl_options.h"

/* Until q or a signal, then CTL_DONE. That nobody answers ends it at the start alone: afterwards it says so and waits
 * for the daemon. */
MUST_USE enum ctl_exit top_run(
	struct client *client, const struct ctl_options *options, struct ctl_why *why_r);

#endif
