/* Reads the file. Only a regular one: a reload must not wait for whoever might write into a fifo.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "conf/text.h"

#define FILE_MAX_BYTES  ((size_t)64 << 20)
#define FILE_STEP_BYTES ((size_t)64 << 10)

static int fail(const char *why, const char **why_r)
{
	*why_r = why;
	return -1;
}

static int open_regular(const char *path, int *fd_r, const char **why_r)
{
	/* Not to wait in open() for the other end of a fifo. */
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	struct stat st;

	if (fd == -1)
		return fail(strerror(errno), why_r);
	if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode)) {
		*fd_r = fd;
		return 0;
	}
	close(fd);
	if (S_ISDIR(st.st_mode))
		return fail("is a directory, not a file", why_r);
	return fail("is not a regular file (`-` reads standard input)", why_r);
}

/* One more byte than is allowed is asked for, so that more is noticed. */
static int read_all(int fd, char **bytes_r, size_t *len_r, const char **why_r)
{
	size_t room = 0, len = 0;
	char *bytes = NULL;

	for (;;) {
		ssize_t n;

		if (len == room) {
			char *more = realloc(bytes, room = room == 0 ? FILE_STEP_BYTES : 2 * room);

			if (more == NULL) {
				free(bytes);
				return fail(strerror(ENOMEM), why_r);
			}
			bytes = more;
		}
		n = read(fd, bytes + len, room - len);
		if (n == -1 && errno == EINTR)
			continue;
		if (n == 0) {
			*bytes_r = bytes;
			*len_r = len;
			return 0;
		}
		len += n > 0 ? (size_t)n : 0;
		if (n == -1 || len > FILE_MAX_BYTES) {
			fail(n == -1 ? strerror(errno) : "is larger than 64 MiB", why_r);
			free(bytes);
			return -1;
		}
	}
}

int file_read(const char *path, char **bytes_r, size_t *len_r, const char **why_r)
{
	int fd = STDIN_FILENO;
	int result;

	if (strcmp(path, "-") == 0)
		return read_all(fd, bytes_r, len_r, why_r);
	if (open_regular(path, &fd, why_r) == -1)
		return -1;
	result = read_all(fd, bytes_r, len_r, why_r);
	close(fd);
	return result;
}
