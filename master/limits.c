/* Counts fds.
 */
#include "master/limits.h"

#include <stdio.h>
#include <sys/resource.h>

#define LIMITS_OWN                                                                                 \
	26 /* of the master: logs, loop, signals, shared memory, control socket, a reload's files */

int limits_check(size_t sockets, uint32_t workers, char *why, size_t why_bytes)
{
	/* A channel and a pidfd of each worker of two generations, of keeper, checker and admin. */
	const size_t children = 2 * (size_t)workers + 3;
	const size_t needed = sockets + 2 * children + LIMITS_OWN;
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) < 0 || needed <= limit.rlim_cur)
		return 0;
	snprintf(why, why_bytes,
		"%zu listening sockets need a limit of at least %zu open files, it is %llu; raise it "
		"(ulimit -n, LimitNOFILE=) or use fewer workers",
		sockets, needed, (unsigned long long)limit.rlim_cur);
	return -1;
}
