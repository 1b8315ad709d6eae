/* Finds the run directory and makes sure that it is whose it should be.
 */
#include "master/control/rundir.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define RUNDIR_SYSTEM "/run/proxyd"
#define RUNDIR_SOCKET "control.sock"

static bool rundir_print(struct rundir_path *path, bool in_tmp, const char *format, ...)
	PRINTF_LIKE(3, 4);

/* False when it is too long for a socket. */
static bool rundir_print(struct rundir_path *path, bool in_tmp, const char *format, ...)
{
	va_list args;
	int len;

	path->in_tmp = in_tmp;
	va_start(args, format);
	len = vsnprintf(path->text, sizeof(path->text), format, args);
	va_end(args);
	return len > 0 && (size_t)len < sizeof(path->text);
}

/* A relative one is to be ignored, says the XDG Base Directory Specification. */
static const char *rundir_xdg(void)
{
	const char *xdg = getenv("XDG_RUNTIME_DIR");

	return xdg != NULL && xdg[0] == '/' ? xdg : NULL;
}

size_t rundir_candidates(struct rundir_path paths_r[RUNDIR_CANDIDATES])
{
	const char *xdg = rundir_xdg();
	size_t n = 0;

	if (rundir_print(&paths_r[n], false, RUNDIR_SYSTEM "/" RUNDIR_SOCKET))
		n++;
	if (xdg != NULL && rundir_print(&paths_r[n], false, "%s/proxyd/" RUNDIR_SOCKET, xdg))
		n++;
	if (rundir_print(&paths_r[n], true, "/tmp/proxyd-%u/" RUNDIR_SOCKET, (unsigned)geteuid()))
		n++;
	return n;
}

void rundir_default(struct rundir_path *path_r)
{
	struct rundir_path paths[RUNDIR_CANDIDATES];
	const char *xdg = rundir_xdg();
	size_t n = rundir_candidates(paths);

	*path_r = paths[0];
	if (geteuid() == 0)
		return;
	/* After su it may still be the other user's. */
	*path_r = n == RUNDIR_CANDIDATES && access(xdg, W_OK | X_OK) == 0 ? paths[1] : paths[n - 1];
}

const char *rundir_name(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash != NULL ? slash + 1 : path;
}

/* "" and "/" have their own directories. */
static void rundir_directory(const char *path, char directory_r[RUNDIR_PATH_BYTES])
{
	size_t len = (size_t)(rundir_name(path) - path);

	if (len > 1)
		len--;
	snprintf(directory_r, RUNDIR_PATH_BYTES, "%.*s", len > 0 ? (int)len : 1,
		len > 0 ? path : ".");
}

static bool rundir_closed(const struct stat *st)
{
	return S_ISDIR(st->st_mode) && st->st_uid == geteuid() && (st->st_mode & 077) == 0;
}

bool rundir_is_private(const struct rundir_path *path)
{
	char directory[RUNDIR_PATH_BYTES];
	struct stat st;

	rundir_directory(path->text, directory);
	return lstat(directory, &st) == 0 && rundir_closed(&st);
}

/* The mode is right from the first instant, whatever the umask; the group can only open it further. */
static int rundir_make(const char *directory, bool in_tmp, gid_t group)
{
	const mode_t mask = umask(in_tmp || group != (gid_t)-1 ? 077 : 027);
	int result = mkdir(directory, 0777);
	int saved = errno;

	umask(mask);
	errno = saved;
	if (result == 0 && !in_tmp && group != (gid_t)-1) {
		if (lchown(directory, (uid_t)-1, group) < 0)
			return -1;
		return chmod(directory, 0750);
	}
	return result < 0 && errno != EEXIST ? -1 : 0;
}

int rundir_open(const struct rundir_path *path, gid_t group, const char **error_r)
{
	const int nofollow = path->in_tmp ? O_NOFOLLOW : 0;
	char directory[RUNDIR_PATH_BYTES];
	struct stat st;
	int fd;

	rundir_directory(path->text, directory);
	if (rundir_make(directory, path->in_tmp, group) < 0) {
		*error_r = strerror(errno);
		return -1;
	}
	fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC | nofollow);
	if (fd < 0) {
		*error_r = errno == ELOOP || errno == ENOTDIR ? "its directory is no directory"
							      : strerror(errno);
		return -1;
	}
	if (path->in_tmp && (fstat(fd, &st) < 0 || !rundir_closed(&st))) {
		*error_r = "its directory is another user's, or open to others (it must be 0700)";
		close(fd);
		return -1;
	}
	return fd;
}
