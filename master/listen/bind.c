/* Opens listening sockets. With SO_REUSEPORT a second daemon of the same user could bind beside us and
 * take half of the connections unnoticed; so the first socket of an address is bound without it, which
 * fails where anybody listens, and gets the option only afterwards, so that its siblings can follow.
 */
#include "master/listen/bind.h"

#include <errno.h>
#include <linux/filter.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "common/log.h"
#include "conf/conf.h"

#define BIND_UNIX_UMASK 0111 /* 0666: who may connect is the directory's business, as with nginx */

static int bind_set(int fd, int level, int option, int value)
{
	return setsockopt(fd, level, option, &value, sizeof(value));
}

/* An option that makes it slower or less tidy when missing, but not wrong. */
static void bind_try(const struct bind_ask *ask, int fd, int option, int value, const char *name)
{
	if (bind_set(fd, IPPROTO_TCP, option, value) < 0 && ask->first)
		log_warn("frontend %s: cannot set %s", ask->frontend->name, name);
}

static int bind_socket(const struct bind_ask *ask, int family)
{
	const int type = SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC;
	int fd;

	if (ask->frontend->tcp.mptcp) {
		fd = socket(family, type, IPPROTO_MPTCP);
		if (fd >= 0 || errno == EAFNOSUPPORT || errno == EMFILE || errno == ENFILE)
			return fd;
		if (ask->first)
			log_warn("frontend %s: no MPTCP here, plain TCP is used",
				ask->frontend->name);
	}
	return socket(family, type, 0);
}

/* What accepted connections inherit. again: what is off may have been on. */
static void bind_set_inherited(const struct bind_ask *ask, int fd, bool again)
{
	const struct conf_tcp *tcp = &ask->frontend->tcp;

	if (tcp->nodelay || again)
		bind_try(ask, fd, TCP_NODELAY, tcp->nodelay, "tcp.nodelay");
	if (again && tcp->keepalive_ms == 0)
		bind_set(fd, SOL_SOCKET, SO_KEEPALIVE, 0);
	if (tcp->keepalive_ms > 0) {
		if (bind_set(fd, SOL_SOCKET, SO_KEEPALIVE, 1) < 0 && ask->first)
			log_warn("frontend %s: cannot set tcp.keepalive", ask->frontend->name);
		bind_try(ask, fd, TCP_KEEPIDLE, (int)((tcp->keepalive_ms + 999) / 1000),
			"tcp.keepalive");
	}
	if (tcp->user_timeout_ms > 0 || again)
		bind_try(ask, fd, TCP_USER_TIMEOUT, (int)tcp->user_timeout_ms, "tcp.user_timeout");
	if (tcp->defer_accept_ms > 0 || again)
		bind_try(ask, fd, TCP_DEFER_ACCEPT, (int)((tcp->defer_accept_ms + 999) / 1000),
			"tcp.defer_accept");
	if (tcp->fastopen > 0 || again)
		bind_try(ask, fd, TCP_FASTOPEN, (int)tcp->fastopen, "tcp.fastopen");
}

/* What decides which packets the socket sees: without it, it would be another socket. */
static int bind_set_essential(const struct bind_ask *ask, int fd, const char **what_r)
{
	const struct conf_tcp *tcp = &ask->frontend->tcp;
	bool v6 = ask->addr->u.sa.sa_family == AF_INET6;

	*what_r = "set SO_REUSEADDR on";
	if (bind_set(fd, SOL_SOCKET, SO_REUSEADDR, 1) < 0)
		return -1;
	*what_r = "set IPV6_V6ONLY on";
	if (v6 && bind_set(fd, IPPROTO_IPV6, IPV6_V6ONLY, ask->v6only) < 0)
		return -1;
	*what_r = "set tcp.transparent on";
	if (tcp->transparent &&
		bind_set(fd, v6 ? IPPROTO_IPV6 : IPPROTO_IP, v6 ? IPV6_TRANSPARENT : IP_TRANSPARENT,
			1) < 0)
		return -1;
	*what_r = "set tcp.interface on";
	if (tcp->interface[0] != '\0' &&
		setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, tcp->interface,
			(socklen_t)strlen(tcp->interface) + 1) < 0)
		return -1;
	return 0;
}

static void bind_check_backlog(const struct bind_ask *ask)
{
	FILE *file = ask->first ? fopen("/proc/sys/net/core/somaxconn", "re") : NULL;
	char text[32];
	unsigned long most = 0;

	if (file == NULL)
		return;
	if (fgets(text, sizeof(text), file) != NULL)
		most = strtoul(text, NULL, 10);
	fclose(file);
	if (most > 0 && ask->frontend->tcp.backlog > most)
		log_warnx("frontend %s: tcp.backlog %u is cut to net.core.somaxconn, %lu",
			ask->frontend->name, ask->frontend->tcp.backlog, most);
}

static int bind_tcp(const struct bind_ask *ask, int fd, const char **what_r)
{
	if (bind_set_essential(ask, fd, what_r) < 0)
		return -1;
	*what_r = "share";
	if (!ask->first && bind_set(fd, SOL_SOCKET, SO_REUSEPORT, 1) < 0)
		return -1;
	*what_r = "bind";
	if (bind(fd, &ask->addr->u.sa, ask->addr->len) < 0)
		return -1;
	*what_r = "share";
	if (ask->first && bind_set(fd, SOL_SOCKET, SO_REUSEPORT, 1) < 0)
		return -1;
	bind_set_inherited(ask, fd, false);
	*what_r = "listen on";
	return ask->quiet ? 0 : bind_listen(fd, ask->frontend);
}

/* Is the file at the path of a socket that nobody listens on any more? Then it is removed. */
static int bind_unix_clear(const struct sockaddr_any *addr)
{
	struct stat st;
	int fd;
	int error = 0;

	if (lstat(addr->u.un.sun_path, &st) < 0)
		return errno == ENOENT ? 0 : -1;
	if (!S_ISSOCK(st.st_mode)) {
		errno = EEXIST;
		return -1;
	}
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -1;
	if (connect(fd, &addr->u.sa, addr->len) < 0)
		error = errno;
	close(fd);
	if (error == ECONNREFUSED)
		return unlink(addr->u.un.sun_path);
	/* Connected, or its queue is full (EAGAIN): somebody lives there. */
	errno = error == 0 || error == EAGAIN ? EADDRINUSE : error;
	return -1;
}

static int bind_unix(const struct bind_ask *ask, int fd, const char **what_r)
{
	mode_t mask;
	int result;

	*what_r = "bind";
	if (bind_unix_clear(ask->addr) < 0)
		return -1;
	mask = umask(BIND_UNIX_UMASK);
	result = bind(fd, &ask->addr->u.sa, ask->addr->len);
	umask(mask);
	if (result < 0)
		return -1;
	*what_r = "listen on";
	return bind_listen(fd, ask->frontend);
}

int bind_listen(int fd, const struct conf_frontend *frontend)
{
	return listen(fd, (int)frontend->tcp.backlog);
}

bool bind_differs(const struct conf_frontend *a, const struct conf_frontend *b)
{
	return a->tcp.mptcp != b->tcp.mptcp || a->tcp.transparent != b->tcp.transparent ||
		strcmp(a->tcp.interface, b->tcp.interface) != 0;
}

static int bind_get(int fd, int level, int option)
{
	socklen_t len = sizeof(int);
	int value;

	return getsockopt(fd, level, option, &value, &len) < 0 ? 0 : value;
}

bool bind_fits(int fd, const struct conf_frontend *frontend)
{
	const bool v6 = bind_get(fd, SOL_SOCKET, SO_DOMAIN) == AF_INET6;
	const bool transparent = bind_get(fd, v6 ? IPPROTO_IPV6 : IPPROTO_IP,
					 v6 ? IPV6_TRANSPARENT : IP_TRANSPARENT) != 0;
	char interface[sizeof(frontend->tcp.interface)] = "";
	socklen_t len = sizeof(interface);

	if (getsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, interface, &len) < 0)
		interface[0] = '\0';
	/* Plain TCP where MPTCP is asked for: the machine has none. */
	return (frontend->tcp.mptcp || bind_get(fd, SOL_SOCKET, SO_PROTOCOL) != IPPROTO_MPTCP) &&
		transparent == frontend->tcp.transparent &&
		strncmp(interface, frontend->tcp.interface, sizeof(interface)) == 0;
}

void bind_change(int fd, const struct conf_frontend *frontend)
{
	const struct bind_ask ask = { .frontend = frontend };

	bind_set_inherited(&ask, fd, true);
}

void bind_refuse(int fd)
{
	/* Of the TCP header: flags; SYN and ACK of them; SYN alone. */
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_B | BPF_ABS, 13),
		BPF_STMT(BPF_ALU | BPF_AND | BPF_K, 0x12),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 0x02, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, 0),
		BPF_STMT(BPF_RET | BPF_K, UINT32_MAX),
	};
	const struct sock_fprog program = { .len = NELEMS(code), .filter = code };

	/* Without it a client that comes at this very moment is turned away, as one that comes a moment later. */
	if (setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof(program)) < 0)
		log_debug("no filter for a listener that leaves: %s", strerror(errno));
}

int bind_open(const struct bind_ask *ask, int *fd_r, const char **what_r)
{
	bool is_unix = sockaddr_is_unix(ask->addr);
	int fd;
	int saved;

	*what_r = "open a socket for";
	fd = is_unix ? socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0)
		     : bind_socket(ask, ask->addr->u.sa.sa_family);
	if (fd < 0)
		return -1;
	if ((is_unix ? bind_unix(ask, fd, what_r) : bind_tcp(ask, fd, what_r)) < 0) {
		saved = errno;
		close(fd);
		errno = saved;
		return -1;
	}
	bind_check_backlog(ask);
	*fd_r = fd;
	return 0;
}

const char *bind_hint(int error, const struct sockaddr_any *addr)
{
	if (error == EACCES && !sockaddr_is_unix(addr) && sockaddr_port(addr) < 1024)
		return " (ports below 1024 need root or CAP_NET_BIND_SERVICE)";
	if (error == EADDRINUSE)
		return " (another process listens there)";
	if (error == EADDRNOTAVAIL)
		return " (no interface of this machine has it)";
	if (error == EEXIST)
		return " (and is not a socket)";
	if (error == EMFILE)
		return " (raise the limit: ulimit -n, LimitNOFILE=)";
	return "";
}

void bind_file_note(const struct sockaddr_any *addr, struct bind_file *file_r)
{
	struct stat st = { 0 };

	if (lstat(addr->u.un.sun_path, &st) < 0)
		st.st_ino = 0;
	file_r->dev = st.st_dev;
	file_r->ino = st.st_ino;
}

void bind_file_remove(const struct sockaddr_any *addr, const struct bind_file *file)
{
	struct stat st;

	if (lstat(addr->u.un.sun_path, &st) < 0 || st.st_dev != file->dev || st.st_ino != file->ino)
		return;
	if (unlink(addr->u.un.sun_path) < 0)
		log_warn("cannot remove %s", addr->u.un.sun_path);
}
