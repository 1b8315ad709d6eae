/* Preloaded into proxyd: a process whose title is SPIN's value never comes back from its next accept4 once a file
 * named `spin` is in its directory - an endless loop, as a bug would make it. One whose title begins with STALL's value
 * never gets to have an event loop while a file named `stall` is there.
 */
#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

typedef int epoll_create1_fn(int flags);
typedef int accept4_fn(int fd, struct sockaddr *addr, socklen_t *len, int flags);

static int is_ours(void)
{
	const char *name = getenv("SPIN");
	char comm[16] = "";

	prctl(PR_GET_NAME, comm);
	return name != NULL && strcmp(comm, name) == 0 && access("spin", F_OK) == 0;
}

int accept4(int fd, struct sockaddr *addr, socklen_t *len, int flags)
{
	static accept4_fn *next;

	if (next == NULL)
		*(void **)&next = dlsym(RTLD_NEXT, "accept4");
	for (volatile unsigned long n = 0; is_ours(); n++)
		continue;
	return next(fd, addr, len, flags);
}

int epoll_create1(int flags)
{
	static epoll_create1_fn *next;
	const char *name = getenv("STALL");
	char comm[16] = "";

	if (next == NULL)
		*(void **)&next = dlsym(RTLD_NEXT, "epoll_create1");
	prctl(PR_GET_NAME, comm);
	while (name != NULL && strncmp(comm, name, strlen(name)) == 0 && access("stall", F_OK) == 0)
		usleep(10000);
	return next(flags);
}
