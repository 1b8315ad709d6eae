/* The fork, and the child's way to its own main: nothing of the master may be left in it but what
 * common/child.h lists.
 */
#include "master/children/spawn.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/pidfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/channel.h"
#include "common/log.h"
#include "common/shm.h"
#include "common/sink.h"
#include "common/title.h"
#include "master/daemonize.h"
#include "master/privileges.h"
#include "master/signals.h"

#define SPAWN_FDS_MAX 8

const char *spawn_name(enum child_role role, uint32_t number, char *buf, size_t buf_bytes)
{
	switch (role) {
	case CHILD_WORKER:
		snprintf(buf, buf_bytes, "worker %u", number);
		break;
	case CHILD_CHECKER:
		snprintf(buf, buf_bytes, "checker");
		break;
	case CHILD_KEEPER:
		snprintf(buf, buf_bytes, "keeper");
		break;
	case CHILD_ADMIN:
		snprintf(buf, buf_bytes, "admin");
		break;
	}
	return buf;
}

static int spawn_compare_fds(const void *a, const void *b)
{
	return *(const int *)a - *(const int *)b;
}

/* Closes every fd but stdin, stdout, stderr, the child's own and where the logs go. */
static void spawn_close_fds(const struct spawn_env *env, const struct child *child)
{
	int keep[SPAWN_FDS_MAX];
	size_t n = 0;
	unsigned next = STDERR_FILENO + 1;

	keep[n++] = child->channel_fd;
	if (child->keeper_fd >= 0)
		keep[n++] = child->keeper_fd;
	if (child->takeover_fd >= 0)
		keep[n++] = child->takeover_fd;
	if (child->role == CHILD_KEEPER)
		keep[n++] = shm_fd(env->shm);
	n += sink_fds(env->log, keep + n);
	if (child->access_log != NULL)
		n += sink_fds(env->access_log, keep + n);
	MUST(n <= SPAWN_FDS_MAX);
	qsort(keep, n, sizeof(keep[0]), spawn_compare_fds);
	for (size_t i = 0; i < n; i++) {
		if (keep[i] < (int)next)
			continue;
		if ((unsigned)keep[i] > next)
			close_range(next, (unsigned)keep[i] - 1, 0);
		next = (unsigned)keep[i] + 1;
	}
	close_range(next, ~0U, 0);
}

static enum shm_role spawn_shm_role(enum child_role role)
{
	switch (role) {
	case CHILD_WORKER:
		return SHM_WORKER;
	case CHILD_CHECKER:
		return SHM_CHECKER;
	case CHILD_ADMIN:
		return SHM_READER;
	case CHILD_KEEPER:
		break;
	}
	return SHM_KEEPER;
}

static int spawn_restrict(const struct spawn_env *env, const struct child *child)
{
	const char *what;

	if (privileges_drop(env->privileges, &what) < 0) {
		log_error("cannot drop privileges: %s", what);
		return -1;
	}
	if (shm_restrict(env->shm, spawn_shm_role(child->role), child->slot) < 0) {
		log_error("cannot restrict the shared memory");
		return -1;
	}
	return 0;
}

static int spawn_main(const struct child *child)
{
	switch (child->role) {
	case CHILD_WORKER:
		return worker_main(child);
	case CHILD_CHECKER:
		return checker_main(child);
	case CHILD_ADMIN:
		return admin_main(child);
	case CHILD_KEEPER:
		break;
	}
	return keeper_main(child);
}

/* The inherited event base is left alone: its epoll is shared with the master until the fd is closed. */
__attribute__((noreturn)) static void spawn_run(const struct spawn_env *env, struct child *child)
{
	char title[32];
	char name[32];

	/* Not the master's, while another configuration serves there. */
	log_open(env->log, log_level_now(), env->log_format);
	spawn_close_fds(env, child);
	log_copy_errors(-1);
	signals_default();
	child_ignore_signals(); /* those that only the master answers */
	signals_unblock();
	if (env->detach)
		daemonize_detach(env->keep_stderr);
	title_set(spawn_name(child->role, child->number, title, sizeof(title)));
	if (child->role == CHILD_WORKER) {
		snprintf(name, sizeof(name), "worker-%u", child->number);
		log_set_process(name);
	} else {
		log_set_process(title);
	}
	if (spawn_restrict(env, child) < 0)
		exit(EXIT_CODE_FAILED);
	exit(spawn_main(child));
}

pid_t spawn_child(
	const struct spawn_env *env, const struct child *like, int *pidfd_r, int *channel_fd_r)
{
	int fds[2];
	pid_t pid;
	int saved;

	if (channel_pair(fds) < 0)
		return -1;
	fflush(NULL); /* or the child prints it a second time */
	pid = fork();
	if (pid == 0) {
		struct child child = *like;

		child.channel_fd = fds[1];
		child.shm = env->shm;
		/* Nobody else has an access to log, or should hold the file. */
		if (child.role == CHILD_WORKER)
			child.access_log = env->access_log;
		spawn_run(env, &child);
	}
	saved = errno;
	close(fds[1]);
	if (pid < 0) {
		close(fds[0]);
		errno = saved;
		return -1;
	}
	*pidfd_r = pidfd_open(pid, 0);
	if (*pidfd_r < 0) {
		/* Not to be supervised, so not to be had. */
		saved = errno;
		kill(pid, SIGKILL);
		waitpid(pid, NULL, 0);
		close(fds[0]);
		errno = saved;
		return -1;
	}
	*channel_fd_r = fds[0];
	return pid;
}
