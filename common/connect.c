/* Connects: their results are judged, and one without an address undoes another.
 */
#include "common/connect.h"

#include <errno.h>
#include <sys/socket.h>

#include "common/sockaddr.h"

bool connect_met_itself(int fd)
{
	struct sockaddr_any sock = { .len = sizeof(sock.u) };
	struct sockaddr_any peer = { .len = sizeof(peer.u) };

	if (getsockname(fd, &sock.u.sa, &sock.len) < 0 ||
		getpeername(fd, &peer.u.sa, &peer.len) < 0)
		return false;
	return !sockaddr_is_unix(&sock) && sockaddr_equal(&sock, &peer);
}

bool connect_error_is_ours(int error)
{
	return error == EMFILE || error == ENFILE || error == ENOBUFS || error == ENOMEM;
}

void connect_abort(int fd)
{
	const struct sockaddr none = { .sa_family = AF_UNSPEC };

	if (fd >= 0 && connect(fd, &none, sizeof(none)) < 0)
		shutdown(fd, SHUT_RDWR);
}
