/* Who the processes run as, and what they may do.
 */
#ifndef PROXYD_MASTER_PRIVILEGES_H
#define PROXYD_MASTER_PRIVILEGES_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "common/must.h"

struct conf;

#define PRIVILEGES_GROUPS_MAX 64

/* What children change to; looked up once, before the fork. */
struct privileges {
	bool change_user;
	bool change_group;
	uid_t uid;
	gid_t gid;
	int ngroups;
	gid_t groups[PRIVILEGES_GROUPS_MAX];
};

/* From global.user and global.group. Returns -1 when they do not exist or we may not become them; the
 * error is logged. Warns when children would run as root. */
MUST_USE int privileges_find(const struct conf *conf, struct privileges *privileges_r);

/* In a child: become that user, without any capability and without a way back, and make sure of it.
 * Returns -1, *what_r then names the step and errno says why. */
MUST_USE int privileges_drop(const struct privileges *privileges, const char **what_r);

/* In the master, once its configuration is bound: keep what binding and supervising need. Says so at
 * info. Never fails for good: with more rights than needed it still serves, and warns. */
void privileges_reduce(const struct conf *conf);

/* Before an execve: who is not root, and was given capabilities by who started us, has them afterwards, too. */
void privileges_pass_on(void);

#endif
