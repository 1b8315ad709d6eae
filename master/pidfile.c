/* Writes the pidfile as a whole or not at all, and takes away only its own.
 */
#include "master/pidfile.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct pidfile {
	char *path;      /* owned, absolute: the master changes its directory */
	char *temporary; /* owned */
	int fd;          /* owned; -1 once committed */
	bool committed;
	dev_t dev;
	ino_t ino;
};

static int pidfile_absolute(const char *path, char **path_r)
{
	char *dir_copy = strdup(path);
	char *base_copy = strdup(path);
	char real[PATH_MAX];
	int result = -1;

	if (dir_copy != NULL && base_copy != NULL && realpath(dirname(dir_copy), real) != NULL)
		result = asprintf(path_r, "%s/%s", real, basename(base_copy)) < 0 ? -1 : 0;
	free(dir_copy);
	free(base_copy);
	return result;
}

struct pidfile *pidfile_prepare(const char *path)
{
	struct pidfile *pidfile = calloc(1, sizeof(*pidfile));
	struct stat st;

	if (pidfile == NULL)
		return NULL;
	pidfile->fd = -1;
	if (pidfile_absolute(path, &pidfile->path) < 0)
		goto fail;
	if (stat(pidfile->path, &st) == 0 && !S_ISREG(st.st_mode)) {
		errno = S_ISDIR(st.st_mode) ? EISDIR : EEXIST;
		goto fail;
	}
	if (asprintf(&pidfile->temporary, "%s.XXXXXX", pidfile->path) < 0)
		goto fail;
	pidfile->fd = mkostemp(pidfile->temporary, O_CLOEXEC);
	if (pidfile->fd < 0 || fchmod(pidfile->fd, 0644) < 0 || fstat(pidfile->fd, &st) < 0)
		goto fail;
	pidfile->dev = st.st_dev;
	pidfile->ino = st.st_ino;
	return pidfile;
fail:
	pidfile_free(pidfile);
	return NULL;
}

int pidfile_commit(struct pidfile *pidfile)
{
	MUST(!pidfile->committed);
	if (dprintf(pidfile->fd, "%d\n", (int)getpid()) < 0)
		return -1;
	if (rename(pidfile->temporary, pidfile->path) < 0)
		return -1;
	close(pidfile->fd);
	pidfile->fd = -1;
	pidfile->committed = true;
	return 0;
}

void pidfile_free(struct pidfile *pidfile)
{
	int saved = errno;
	struct stat st;

	if (pidfile == NULL)
		return;
	if (pidfile->committed && stat(pidfile->path, &st) == 0 && st.st_dev == pidfile->dev &&
		st.st_ino == pidfile->ino)
		unlink(pidfile->path);
	if (pidfile->fd >= 0) {
		unlink(pidfile->temporary);
		close(pidfile->fd);
	}
	free(pidfile->temporary);
	free(pidfile->path);
	free(pidfile);
	errno = saved;
}
