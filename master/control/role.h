/* Who sits at the other end of the control socket, and what that one may do.
 */
#ifndef PROXYD_MASTER_CONTROL_ROLE_H
#define PROXYD_MASTER_CONTROL_ROLE_H

#include <stdbool.h>
#include <sys/types.h>

#include "common/must.h"

/* Each may do what those before it may. */
enum control_role {
	ROLE_STRANGER,
	ROLE_READER,   /* of the group global.control.group */
	ROLE_OPERATOR, /* root, and the user whom the master runs as; not the workers' user */
};

struct control_peer {
	pid_t pid;
	uid_t uid;
	enum control_role role;
	bool inside; /* it is the admin process, for somebody who came by HTTP */
};

/* From what the kernel knows of a connected socket (SO_PEERCRED, SO_PEERGROUPS); group may be (gid_t)-1. Returns
 * -1 with errno when it does not say. */
MUST_USE int control_peer_read(int fd, gid_t group, struct control_peer *peer_r);

const char *control_role_name(enum control_role role);

#endif
