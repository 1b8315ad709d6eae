/* Preloaded into proxyd: counts calls of malloc, calloc, realloc and free, in a file per process in the
 * directory that MALLOC_COUNT_DIR names: "PID.count" holds two native 64-bit numbers, allocations and
 * frees, kept up to date through a mapping. A child starts a file of its own at its first call.
 */
#include <fcntl.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

extern void *__libc_malloc(size_t bytes);
extern void *__libc_calloc(size_t n, size_t bytes);
extern void *__libc_realloc(void *old, size_t bytes);
extern void __libc_free(void *old);

struct counts {
	uint64_t allocations;
	uint64_t frees;
};

static struct counts nowhere;
static struct counts *counts = &nowhere;
static pid_t counted_pid;

/* A fork is noticed by the pid: atfork handlers would allocate. */
static struct counts *own_counts(void)
{
	const char *dir;
	char path[256];
	void *map;
	int fd;

	if (counted_pid == getpid())
		return counts;
	counted_pid = getpid();
	counts = &nowhere;
	dir = getenv("MALLOC_COUNT_DIR");
	if (!dir)
		return counts;
	snprintf(path, sizeof(path), "%s/%d.count", dir, (int)counted_pid);
	fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
	if (fd < 0)
		return counts;
	if (ftruncate(fd, sizeof(struct counts)) == 0) {
		map = mmap(NULL, sizeof(struct counts), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
		if (map != MAP_FAILED)
			counts = map;
	}
	close(fd);
	return counts;
}

__attribute__((constructor)) static void start(void)
{
	own_counts();
}

void *malloc(size_t bytes)
{
	own_counts()->allocations++;
	return __libc_malloc(bytes);
}

void *calloc(size_t n, size_t bytes)
{
	own_counts()->allocations++;
	return __libc_calloc(n, bytes);
}

void *realloc(void *old, size_t bytes)
{
	own_counts()->allocations++;
	return __libc_realloc(old, bytes);
}

void free(void *old)
{
	if (old)
		own_counts()->frees++;
	__libc_free(old);
}
