/* Preloaded into a proxyd that runs under valgrind, which does not know pidfds (3.19): they are there, and never say
 * that a process ended. For tests that end everything by force.
 */
#include <sys/eventfd.h>
#include <sys/pidfd.h>

int pidfd_open(pid_t pid, unsigned flags)
{
	(void)pid;
	(void)flags;
	return eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
}
