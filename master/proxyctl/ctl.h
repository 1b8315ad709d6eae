/* How a command of proxyctl ends, and why.
 */
#ifndef PROXYD_MASTER_PROXYCTL_CTL_H
#define PROXYD_MASTER_PROXYCTL_CTL_H

#include "common/must.h"

#define CTL_WHY_BYTES 2048

/* What proxyctl exits with. */
enum ctl_exit {
	CTL_DONE = 0,
	CTL_FAILED = 1, /* refused or failed */
	CTL_USAGE = 2,
	CTL_NOBODY = 3, /* nobody answers */
};

/* Why it was not done, for people; "" when it was. May have several lines. */
struct ctl_why {
	char text[CTL_WHY_BYTES];
};

/* Print into why_r. Returns code. */
enum ctl_exit ctl_why(struct ctl_why *why_r, enum ctl_exit code, const char *format, ...)
	PRINTF_LIKE(3, 4);

/* Add to what is there. */
void ctl_why_add(struct ctl_why *why, const char *format, ...) PRINTF_LIKE(2, 3);

#endif
