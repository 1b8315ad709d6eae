/* Takes the control socket's place. Whether a daemon lives there is asked of the kernel, which says who
 * listens also when that one is stopped or busy; a file alone says nothing.
 */
#include "master/control/socket.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/sockaddr.h"

#define CONTROL_SOCKET_BACKLOG 64

/* Two that start at the same time must not both find the same dead socket, or the slower one removes what
 * the faster one made. Held by a stranger (the directory may be /run itself) it keeps nobody from starting:
 * we go on without. */
static void control_socket_lock(int directory_fd)
{
	const uint64_t end_ms = clock_now_ms() + CONTROL_SOCKET_LOCK_MS;

	while (flock(directory_fd, LOCK_EX | LOCK_NB) < 0 && clock_now_ms() < end_ms)
		usleep(10000);
}

static void control_socket_unlock(int directory_fd)
{
	flock(directory_fd, LOCK_UN);
}

static int control_socket_new(void)
{
	return socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
}

/* Who listens there: fills *pid_r (0 when that cannot be told) and returns true; or false with errno. */
static bool control_socket_lives(const struct sockaddr_any *addr, pid_t *pid_r)
{
	struct ucred peer = { 0 };
	socklen_t len = sizeof(peer);
	int fd = control_socket_new();
	bool lives;
	int saved;

	*pid_r = 0;
	if (fd < 0)
		return false;
	/* EAGAIN: somebody listens, and has a full queue. */
	lives = connect(fd, &addr->u.sa, addr->len) == 0;
	saved = errno;
	if (lives && getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) == 0)
		*pid_r = peer.pid;
	close(fd);
	errno = saved;
	return lives || saved == EAGAIN;
}

static enum control_socket_result control_socket_fail(char *why_r, size_t why_bytes)
{
	snprintf(why_r, why_bytes, "%s", strerror(errno));
	return CONTROL_SOCKET_FAILED;
}

/* Make room for ours at that path. */
static enum control_socket_result control_socket_clear(const struct control_socket *ours,
	const char *name, const struct sockaddr_any *addr, char *why_r, size_t why_bytes)
{
	struct stat st;
	pid_t pid;

	if (fstatat(ours->directory_fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return errno == ENOENT ? CONTROL_SOCKET_OPEN
				       : control_socket_fail(why_r, why_bytes);
	if (!S_ISSOCK(st.st_mode)) {
		snprintf(why_r, why_bytes, "there is a file of that name which is no socket");
		return CONTROL_SOCKET_FAILED;
	}
	if (control_socket_lives(addr, &pid)) {
		if (pid > 0)
			snprintf(why_r, why_bytes, "a daemon with pid %d lives there", (int)pid);
		else
			snprintf(why_r, why_bytes, "a daemon lives there");
		return CONTROL_SOCKET_TAKEN;
	}
	if (errno != ECONNREFUSED || unlinkat(ours->directory_fd, name, 0) < 0)
		return control_socket_fail(why_r, why_bytes);
	return CONTROL_SOCKET_OPEN;
}

/* The socket of the daemon that we follow is either dead or its master's. */
static enum control_socket_result control_socket_check_before(const struct control_socket *ours,
	const struct control_socket_ask *ask, char *why_r, size_t why_bytes)
{
	struct sockaddr_any addr;
	pid_t pid;

	if (!ask->next || sockaddr_from_path(ours->path.text, &addr) < 0 ||
		!control_socket_lives(&addr, &pid) || pid == 0 || pid == ask->before)
		return CONTROL_SOCKET_OPEN;
	snprintf(why_r, why_bytes, "a daemon with pid %d lives there", (int)pid);
	return CONTROL_SOCKET_TAKEN;
}

/* Bound without any right for others, which then are added: never more than was asked for. */
static int control_socket_bind(struct control_socket *ours, const char *name,
	const struct sockaddr_any *addr, const struct control_socket_ask *ask)
{
	struct stat st;
	mode_t mask;
	int result;

	ours->fd = control_socket_new();
	if (ours->fd < 0)
		return -1;
	mask = umask(0777 & ~(ask->mode & 0600));
	result = bind(ours->fd, &addr->u.sa, addr->len);
	umask(mask);
	if (result < 0 || fstatat(ours->directory_fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return -1;
	ours->dev = st.st_dev;
	ours->ino = st.st_ino;
	ours->owner = getpid();
	if (ask->group != (gid_t)-1 &&
		fchownat(ours->directory_fd, name, (uid_t)-1, ask->group, AT_SYMLINK_NOFOLLOW) < 0)
		return -1;
	if (fchmodat(ours->directory_fd, name, ask->mode, 0) < 0)
		return -1;
	return listen(ours->fd, CONTROL_SOCKET_BACKLOG);
}

static enum control_socket_result control_socket_take(struct control_socket *ours,
	const struct control_socket_ask *ask, char *why_r, size_t why_bytes)
{
	char path[RUNDIR_PATH_BYTES + sizeof(CONTROL_SOCKET_NEXT)];
	enum control_socket_result result;
	struct sockaddr_any addr;
	const char *error;

	ours->directory_fd = rundir_open(&ours->path, ask->group, &error);
	if (ours->directory_fd < 0) {
		snprintf(why_r, why_bytes, "%s", error);
		return CONTROL_SOCKET_FAILED;
	}
	snprintf(path, sizeof(path), "%s%s", ours->path.text, ask->next ? CONTROL_SOCKET_NEXT : "");
	if (sockaddr_from_path(path, &addr) < 0) {
		snprintf(why_r, why_bytes, "with " CONTROL_SOCKET_NEXT " the path is too long");
		return CONTROL_SOCKET_FAILED;
	}
	ours->beside = ask->next;
	control_socket_lock(ours->directory_fd);
	result = control_socket_check_before(ours, ask, why_r, why_bytes);
	if (result == CONTROL_SOCKET_OPEN)
		result = control_socket_clear(ours, rundir_name(path), &addr, why_r, why_bytes);
	if (result == CONTROL_SOCKET_OPEN &&
		control_socket_bind(ours, rundir_name(path), &addr, ask) < 0)
		result = control_socket_fail(why_r, why_bytes);
	control_socket_unlock(ours->directory_fd);
	return result;
}

int control_socket_path(const char *path, struct rundir_path *path_r)
{
	*path_r = (struct rundir_path){ 0 };
	if (path[0] == '\0') {
		rundir_default(path_r);
		return 0;
	}
	if (strlen(path) >= sizeof(path_r->text))
		return -1;
	snprintf(path_r->text, sizeof(path_r->text), "%s", path);
	return 0;
}

enum control_socket_result control_socket_open(const struct control_socket_ask *ask,
	struct control_socket *socket_r, char *why_r, size_t why_bytes)
{
	enum control_socket_result result;

	*socket_r = (struct control_socket){ .fd = -1, .directory_fd = -1 };
	if (control_socket_path(ask->path, &socket_r->path) < 0) {
		snprintf(why_r, why_bytes, "the path is longer than %d bytes",
			RUNDIR_PATH_BYTES - 1);
		return CONTROL_SOCKET_FAILED;
	}
	result = control_socket_take(socket_r, ask, why_r, why_bytes);
	if (result != CONTROL_SOCKET_OPEN)
		control_socket_close(socket_r);
	return result;
}

static void control_socket_next_name(const struct control_socket *ours, char *name, size_t bytes)
{
	snprintf(name, bytes, "%s" CONTROL_SOCKET_NEXT, rundir_name(ours->path.text));
}

static bool control_socket_is_ours(const struct control_socket *ours, const char *name)
{
	struct stat st;

	return fstatat(ours->directory_fd, name, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
		st.st_dev == ours->dev && st.st_ino == ours->ino;
}

int control_socket_take_place(struct control_socket *ours)
{
	const char *name = rundir_name(ours->path.text);
	char next[RUNDIR_PATH_BYTES + sizeof(CONTROL_SOCKET_NEXT)];

	if (!ours->beside)
		return 0;
	control_socket_next_name(ours, next, sizeof(next));
	ours->beside = false;
	if (control_socket_is_ours(ours, name))
		return 0;
	return renameat(ours->directory_fd, next, ours->directory_fd, name);
}

void control_socket_pass_on(struct control_socket *ours)
{
	const char *name = rundir_name(ours->path.text);
	char next[RUNDIR_PATH_BYTES + sizeof(CONTROL_SOCKET_NEXT)];

	ours->owner = 0;
	control_socket_next_name(ours, next, sizeof(next));
	/* Without one that waits there the next master does it. */
	if (ours->directory_fd >= 0)
		(void)renameat(ours->directory_fd, next, ours->directory_fd, name);
}

/* One that never came to its place. */
static void control_socket_remove_next(const struct control_socket *ours)
{
	char next[RUNDIR_PATH_BYTES + sizeof(CONTROL_SOCKET_NEXT)];

	control_socket_next_name(ours, next, sizeof(next));
	if (ours->owner == getpid() && control_socket_is_ours(ours, next))
		unlinkat(ours->directory_fd, next, 0);
}

/* Its inode's number is used again soon after somebody removed it, so who listens there is asked as well. */
static void control_socket_remove(const struct control_socket *ours)
{
	const char *name = rundir_name(ours->path.text);
	struct sockaddr_any addr;
	struct stat st;
	pid_t pid;

	if (ours->owner != getpid() ||
		fstatat(ours->directory_fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return;
	if (st.st_dev != ours->dev || st.st_ino != ours->ino)
		return;
	/* A relative path leads elsewhere once we went to the background; 0: nobody can tell. */
	if (sockaddr_from_path(ours->path.text, &addr) == 0 && control_socket_lives(&addr, &pid) &&
		pid != 0 && pid != getpid())
		return;
	unlinkat(ours->directory_fd, name, 0);
}

void control_socket_close(struct control_socket *ours)
{
	if (ours->directory_fd >= 0) {
		/* While it still listens: nobody may take it for a dead one's in between. */
		if (ours->beside)
			control_socket_remove_next(ours);
		else
			control_socket_remove(ours);
		close(ours->directory_fd);
	}
	if (ours->fd >= 0)
		close(ours->fd);
	ours->fd = ours->directory_fd = -1;
}
