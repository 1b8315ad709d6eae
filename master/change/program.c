/* What execve needs later is put aside before title.c writes over the arguments. A binary is found by the name that it
 * was started by, not by /proc/self/exe: that is the old file where a package has put another in its place.
 */
#include "master/change/program.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/log.h"
#include "master/privileges.h"
#include "master/signals.h"

/* "FD:PID": what stderr was, and the master that started us. */
#define PROGRAM_VARIABLE "PROXYD_UPGRADE"

static struct {
	char **argv; /* owned */
	int argc;
	char directory[PATH_MAX]; /* "": it could not be found out */
	char binary[PATH_MAX];
	bool is_next;
	pid_t parent;
	int stderr_fd; /* owned; -1 */
	int report_fd; /* owned; -1 */
} program = { .stderr_fd = -1, .report_fd = -1 };

/* ------------------------------------------------------------------ how we were started */

static bool program_is_binary(const char *path)
{
	struct stat st;

	return stat(path, &st) == 0 && S_ISREG(st.st_mode) && access(path, X_OK) == 0;
}

/* As the shell found it. */
static bool program_find_in_path(const char *name)
{
	const char *path = getenv("PATH");

	while (path != NULL && *path != '\0') {
		const int len = (int)strcspn(path, ":");

		if (len > 0 && path[0] == '/' &&
			snprintf(program.binary, sizeof(program.binary), "%.*s/%s", len, path,
				name) < (int)sizeof(program.binary) &&
			program_is_binary(program.binary))
			return true;
		path += len;
		path += *path == ':';
	}
	return false;
}

static void program_find_binary(const char *name)
{
	ssize_t len;

	if (name != NULL && name[0] == '/' && program_is_binary(name) &&
		snprintf(program.binary, sizeof(program.binary), "%s", name) <
			(int)sizeof(program.binary))
		return;
	if (name != NULL && strchr(name, '/') != NULL &&
		snprintf(program.binary, sizeof(program.binary), "%s/%s", program.directory, name) <
			(int)sizeof(program.binary) &&
		program_is_binary(program.binary))
		return;
	if (name != NULL && strchr(name, '/') == NULL && program_find_in_path(name))
		return;
	len = readlink("/proc/self/exe", program.binary, sizeof(program.binary) - 1);
	program.binary[len < 0 ? 0 : len] = '\0';
}

static void program_keep_arguments(int argc, char *argv[])
{
	program.argc = argc;
	program.argv = calloc((size_t)argc + 2, sizeof(char *));
	for (int i = 0; i < argc && program.argv != NULL; i++) {
		program.argv[i] = strdup(argv[i]);
		if (program.argv[i] == NULL)
			program.argv = NULL;
	}
}

/* Set by program_exec, and meant for us alone. */
static void program_find_parent(void)
{
	const char *text = getenv(PROGRAM_VARIABLE);
	char *rest;
	pid_t parent;
	int fd;

	if (text == NULL)
		return;
	fd = (int)strtol(text, &rest, 10);
	parent = *rest == ':' ? (pid_t)strtol(rest + 1, NULL, 10) : 0;
	if (fd > STDERR_FILENO && parent > 1 && fcntl(fd, F_SETFD, FD_CLOEXEC) == 0) {
		program.is_next = true;
		program.parent = parent;
		program.stderr_fd = fd;
	}
	unsetenv(PROGRAM_VARIABLE);
}

void program_init(int argc, char *argv[])
{
	if (getcwd(program.directory, sizeof(program.directory)) == NULL)
		program.directory[0] = '\0';
	program_keep_arguments(argc, argv);
	program_find_binary(argc > 0 ? argv[0] : NULL);
	program_find_parent();
}

bool program_is_next(void)
{
	return program.is_next;
}

int program_open_parent(void)
{
	int pidfd = program.is_next ? pidfd_open(program.parent, 0) : -1;

	/* Its number may be another process's by now. */
	if (pidfd >= 0 && getppid() != program.parent) {
		close(pidfd);
		pidfd = -1;
	}
	return pidfd;
}

const char *program_binary(void)
{
	return program.binary;
}

/* ------------------------------------------------------------------ while we take over */

void program_begins(void)
{
	if (program.stderr_fd < 0)
		return;
	program.report_fd = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
	dup2(program.stderr_fd, STDERR_FILENO);
	close(program.stderr_fd);
	program.stderr_fd = -1;
	log_copy_errors(program.report_fd);
}

void program_serves(void)
{
	if (program.report_fd < 0)
		return;
	log_copy_errors(-1);
	close(program.report_fd);
	program.report_fd = -1;
}

/* ------------------------------------------------------------------ the next one */

/* systemd asks the process of this number for signs of life. */
static void program_set_variables(int stderr_fd, pid_t master)
{
	const char *watched = getenv("WATCHDOG_PID");
	char text[32];

	snprintf(text, sizeof(text), "%d:%d", stderr_fd, (int)master);
	setenv(PROGRAM_VARIABLE, text, 1);
	snprintf(text, sizeof(text), "%d", (int)getpid());
	if (watched != NULL)
		setenv("WATCHDOG_PID", text, 1);
}

void program_exec(const char *binary, pid_t master, int go_fd, int report_fd)
{
	static char *no_arguments[2];
	char **argv = program.argv != NULL ? program.argv : no_arguments;
	const int stderr_fd = dup(STDERR_FILENO);
	char byte;

	signals_default();
	signals_unblock();
	if (read(go_fd, &byte, 1) != 1)
		_exit(EXIT_FAILURE);
	if (stderr_fd < 0 || dup2(report_fd, STDERR_FILENO) < 0)
		_exit(EXIT_FAILURE);
	if (program.directory[0] != '\0' && chdir(program.directory) < 0)
		dprintf(STDERR_FILENO, "cannot go to %s: %s\n", program.directory, strerror(errno));
	program_set_variables(stderr_fd, master);
	close_range((unsigned)stderr_fd + 1, ~0U, 0);
	close_range(STDERR_FILENO + 1, (unsigned)stderr_fd - 1, 0);
	privileges_pass_on();
	argv[0] = strdup(binary != NULL ? binary : program.binary);
	if (argv[0] != NULL)
		execv(argv[0], argv);
	dprintf(STDERR_FILENO, "cannot execute %s: %s\n", argv[0], strerror(errno));
	_exit(127);
}
