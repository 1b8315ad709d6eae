/* The background: fork, session, and the pipe on which the first process waits.
 */
#include "master/daemonize.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/child.h"

/* The waiting process: 0 when a byte says that it serves, else what the daemon exited with. */
__attribute__((noreturn)) static void daemonize_wait(int fd, pid_t pid)
{
	char byte;
	ssize_t got;
	int status;

	do
		got = read(fd, &byte, 1);
	while (got < 0 && errno == EINTR);
	if (got == 1)
		_exit(EXIT_CODE_OK);
	while (waitpid(pid, &status, 0) < 0) {
		if (errno != EINTR)
			_exit(EXIT_CODE_FAILED);
	}
	_exit(WIFEXITED(status) ? WEXITSTATUS(status) : EXIT_CODE_FAILED);
}

int daemonize_begin(void)
{
	int fds[2];
	pid_t pid;

	if (pipe2(fds, O_CLOEXEC) < 0)
		return -1;
	pid = fork();
	if (pid < 0) {
		close(fds[0]);
		close(fds[1]);
		return -1;
	}
	if (pid > 0) {
		close(fds[1]);
		daemonize_wait(fds[0], pid);
	}
	close(fds[0]);
	setsid();
	return fds[1];
}

void daemonize_detach(bool keep_stderr)
{
	int fd = open("/dev/null", O_RDWR | O_CLOEXEC);

	if (fd < 0)
		return;
	dup2(fd, STDIN_FILENO);
	dup2(fd, STDOUT_FILENO);
	if (!keep_stderr)
		dup2(fd, STDERR_FILENO);
	if (fd > STDERR_FILENO)
		close(fd);
}

void daemonize_ready(int waiting_fd, bool keep_stderr)
{
	if (waiting_fd < 0)
		return;
	daemonize_detach(keep_stderr);
	if (chdir("/") < 0 || write(waiting_fd, "", 1) < 0) {
		/* Nobody waits any more: it serves all the same. */
	}
	close(waiting_fd);
}

void daemonize_follow(bool keep_stderr)
{
	daemonize_detach(keep_stderr);
	if (chdir("/") < 0) {
		/* As before. */
	}
}

void daemonize_secure_stdio(void)
{
	for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++) {
		if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", O_RDWR) != fd)
			_exit(EXIT_CODE_FAILED);
	}
}
