/* What proxyctl says of itself.
 */
#ifndef PROXYD_MASTER_PROXYCTL_HELP_H
#define PROXYD_MASTER_PROXYCTL_HELP_H

#include <stddef.h>

#include "master/proxyctl/ctl.h"

/* All of it, to standard output. */
void help_print(void);

/* `help WORDS...`: the commands that begin with these words, or all; as JSON a list of objects with command,
 * arguments, role, help and own. */
MUST_USE enum ctl_exit help_print_commands(
	const char *const words[], size_t nwords, struct ctl_why *why_r);
MUST_USE enum ctl_exit help_print_json(
	const char *const words[], size_t nwords, struct ctl_why *why_r);

#endif
