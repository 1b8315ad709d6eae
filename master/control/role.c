/* Asks the kernel who connected. No names are looked up: that could mean to wait for a directory service.
 */
#include "master/control/role.h"

#include <stdbool.h>
#include <sys/socket.h>
#include <unistd.h>

#define ROLE_GROUPS_MAX 1024

/* A member by its supplementary groups. With more of them than fit, only its primary group counts. */
static bool control_peer_in_group(int fd, const struct ucred *peer, gid_t group)
{
	gid_t groups[ROLE_GROUPS_MAX];
	socklen_t len = sizeof(groups);

	if (group == (gid_t)-1)
		return false;
	if (peer->gid == group)
		return true;
	if (getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, groups, &len) < 0)
		return false;
	for (size_t i = 0; i < len / sizeof(groups[0]); i++)
		if (groups[i] == group)
			return true;
	return false;
}

int control_peer_read(int fd, gid_t group, struct control_peer *peer_r)
{
	struct ucred peer;
	socklen_t len = sizeof(peer);

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) < 0)
		return -1;
	*peer_r = (struct control_peer){ .pid = peer.pid, .uid = peer.uid, .role = ROLE_STRANGER };
	if (peer.uid == 0 || peer.uid == geteuid())
		peer_r->role = ROLE_OPERATOR;
	else if (control_peer_in_group(fd, &peer, group))
		peer_r->role = ROLE_READER;
	return 0;
}

const char *control_role_name(enum control_role role)
{
	switch (role) {
	case ROLE_STRANGER:
		return "stranger";
	case ROLE_READER:
		return "reader";
	case ROLE_OPERATOR:
		break;
	}
	return "operator";
}
