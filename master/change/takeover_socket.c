/* Makes, finds again and removes takeover.sock. As with the control socket the kernel is asked whether somebody listens
 * there; unlike it the one who does is the keeper, which may outlive us.
 */
#include "master/change/takeover_socket.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/sockaddr.h"

#define TAKEOVER_BACKLOG 8
#define TAKEOVER_LOCK_MS 1000

int takeover_path(const struct rundir_path *control, struct rundir_path *path_r)
{
	const char *name = rundir_name(control->text);
	int directory = (int)(name - control->text);
	int len;

	path_r->in_tmp = control->in_tmp;
	if (strcmp(name, "control.sock") == 0)
		len = snprintf(path_r->text, sizeof(path_r->text), "%.*stakeover.sock", directory,
			control->text);
	else
		len = snprintf(path_r->text, sizeof(path_r->text), "%s.takeover", control->text);
	return len > 0 && (size_t)len < sizeof(path_r->text) ? 0 : -1;
}

static int takeover_socket_new(void)
{
	return socket(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
}

/* Two that start at the same time must not both find the same dead socket. */
static void takeover_socket_lock(int directory_fd)
{
	const uint64_t end_ms = clock_now_ms() + TAKEOVER_LOCK_MS;

	while (flock(directory_fd, LOCK_EX | LOCK_NB) < 0 && clock_now_ms() < end_ms)
		usleep(10000);
}

/* A file of that name that nobody listens on goes. -1 with errno. */
static int takeover_socket_clear(
	const struct takeover_socket *ours, const struct sockaddr_any *addr)
{
	struct stat st;
	int result;
	int fd;

	if (fstatat(ours->directory_fd, rundir_name(ours->path.text), &st, AT_SYMLINK_NOFOLLOW) < 0)
		return errno == ENOENT ? 0 : -1;
	if (!S_ISSOCK(st.st_mode)) {
		errno = EEXIST;
		return -1;
	}
	fd = takeover_socket_new();
	if (fd < 0)
		return -1;
	result = connect(fd, &addr->u.sa, addr->len);
	if (result == 0 || errno == EAGAIN)
		errno = EADDRINUSE;
	else if (errno == ECONNREFUSED)
		result = unlinkat(ours->directory_fd, rundir_name(ours->path.text), 0) < 0 ? -1 : 1;
	close(fd);
	return result == 1 ? 0 : -1;
}

static int takeover_socket_note(struct takeover_socket *ours)
{
	struct stat st;

	if (fstatat(ours->directory_fd, rundir_name(ours->path.text), &st, AT_SYMLINK_NOFOLLOW) < 0)
		return -1;
	ours->dev = st.st_dev;
	ours->ino = st.st_ino;
	return 0;
}

static int takeover_socket_bind(
	struct takeover_socket *ours, const struct sockaddr_any *addr, uid_t uid)
{
	mode_t mask;
	int result;

	ours->fd = takeover_socket_new();
	if (ours->fd < 0)
		return -1;
	mask = umask(0177);
	result = bind(ours->fd, &addr->u.sa, addr->len);
	umask(mask);
	if (result < 0 || takeover_socket_note(ours) < 0)
		return -1;
	if (uid != geteuid() &&
		fchownat(ours->directory_fd, rundir_name(ours->path.text), uid, (gid_t)-1,
			AT_SYMLINK_NOFOLLOW) < 0)
		return -1;
	return listen(ours->fd, TAKEOVER_BACKLOG);
}

static int takeover_socket_begin(const struct rundir_path *path, struct takeover_socket *socket_r,
	struct sockaddr_any *addr_r, const char **error_r)
{
	*socket_r = (struct takeover_socket){ .path = *path, .fd = -1 };
	socket_r->directory_fd = rundir_open(path, (gid_t)-1, error_r);
	if (socket_r->directory_fd < 0)
		return -1;
	MUST(sockaddr_from_path(path->text, addr_r) == 0);
	return 0;
}

int takeover_socket_open(const struct rundir_path *path, uid_t uid,
	struct takeover_socket *socket_r, char *why_r, size_t why_bytes)
{
	struct sockaddr_any addr;
	const char *error;
	int result;

	if (takeover_socket_begin(path, socket_r, &addr, &error) < 0) {
		snprintf(why_r, why_bytes, "%s", error);
		return -1;
	}
	takeover_socket_lock(socket_r->directory_fd);
	result = takeover_socket_clear(socket_r, &addr);
	if (result == 0)
		result = takeover_socket_bind(socket_r, &addr, uid);
	if (result < 0)
		snprintf(why_r, why_bytes, "%s", strerror(errno));
	flock(socket_r->directory_fd, LOCK_UN);
	if (result < 0)
		takeover_socket_close(socket_r, false);
	return result;
}

int takeover_socket_take(const struct rundir_path *path, int fd, struct takeover_socket *socket_r,
	char *why_r, size_t why_bytes)
{
	struct sockaddr_any addr;
	const char *error;

	if (takeover_socket_begin(path, socket_r, &addr, &error) < 0) {
		snprintf(why_r, why_bytes, "%s", error);
		close(fd);
		return -1;
	}
	socket_r->fd = fd;
	if (takeover_socket_note(socket_r) < 0) {
		snprintf(why_r, why_bytes, "%s", strerror(errno));
		takeover_socket_close(socket_r, false);
		return -1;
	}
	return 0;
}

bool takeover_socket_is_there(const struct takeover_socket *ours)
{
	struct stat st;

	/* By its path, not in the directory that we have: that may be another one by now. */
	return ours->fd >= 0 && lstat(ours->path.text, &st) == 0 && st.st_dev == ours->dev &&
		st.st_ino == ours->ino;
}

void takeover_socket_close(struct takeover_socket *ours, bool remove)
{
	const char *name = rundir_name(ours->path.text);
	struct stat st;

	if (ours->directory_fd >= 0) {
		if (remove && fstatat(ours->directory_fd, name, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
			st.st_dev == ours->dev && st.st_ino == ours->ino)
			unlinkat(ours->directory_fd, name, 0);
		close(ours->directory_fd);
	}
	if (ours->fd >= 0)
		close(ours->fd);
	ours->fd = ours->directory_fd = -1;
}
