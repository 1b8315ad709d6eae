/* Runs a command and leaves nothing behind: it adopts every process that the command orphans, and when
 * the command has ended, or its time is up, ends by pid whatever is still below it.
 *
 *   reaper SECONDS COMMAND [ARGUMENT]...
 *
 * Exits as the command did, 124 when its time was up. What was left behind is named on stderr.
 */
#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#define ROUNDS_MAX 200

static volatile sig_atomic_t told_to_stop;

static void on_signal(int signo)
{
	told_to_stop = signo;
}

static void print_name(pid_t pid)
{
	char path[64];
	char name[64] = "?";
	FILE *file;

	snprintf(path, sizeof(path), "/proc/%d/comm", (int)pid);
	file = fopen(path, "r");
	if (file) {
		if (fgets(name, sizeof(name), file))
			name[strcspn(name, "\n")] = '\0';
		fclose(file);
	}
	fprintf(stderr, "reaper: %s[%d] was left behind\n", name, (int)pid);
}

/* The pids of our children as the kernel lists them, at most max. */
static size_t children(pid_t *pids, size_t max)
{
	char path[64];
	size_t n = 0;
	int pid;
	FILE *file;

	snprintf(path, sizeof(path), "/proc/self/task/%d/children", (int)getpid());
	file = fopen(path, "r");
	if (!file)
		return 0;
	while (n < max && fscanf(file, "%d", &pid) == 1) /* NOLINT(cert-err34-c) */
		pids[n++] = pid;
	fclose(file);
	return n;
}

/* Kill our children until there are none: the children of those become ours. */
static void end_all(bool say)
{
	pid_t pids[256];
	size_t n;

	for (int round = 0; round < ROUNDS_MAX; round++) {
		n = children(pids, sizeof(pids) / sizeof(pids[0]));
		if (n == 0)
			return;
		for (size_t i = 0; i < n; i++) {
			/* One that has ended already only waits for waitpid. */
			if (waitpid(pids[i], NULL, WNOHANG) == pids[i])
				continue;
			if (say && round == 0)
				print_name(pids[i]);
			kill(pids[i], SIGKILL);
		}
		usleep(10000);
	}
}

/* Wait for the command; anything else that ends meanwhile is an orphan that we adopted. */
static int wait_for(pid_t command)
{
	int status;
	pid_t pid;

	for (;;) {
		if (told_to_stop) {
			kill(-command, SIGKILL);
			return told_to_stop == SIGALRM ? 124 : 128 + told_to_stop;
		}
		pid = waitpid(-1, &status, 0);
		if (pid == command)
			return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
		if (pid < 0 && errno != EINTR)
			return 125;
	}
}

int main(int argc, char **argv)
{
	struct sigaction action = { .sa_handler = on_signal };
	pid_t command;
	int code;

	if (argc < 3) {
		fprintf(stderr, "usage: reaper SECONDS COMMAND [ARGUMENT]...\n");
		return 2;
	}
	prctl(PR_SET_CHILD_SUBREAPER, 1);
	sigaction(SIGALRM, &action, NULL);
	sigaction(SIGTERM, &action, NULL);
	sigaction(SIGINT, &action, NULL);
	sigaction(SIGHUP, &action, NULL);
	command = fork();
	if (command < 0) {
		perror("reaper: fork");
		return 125;
	}
	if (command == 0) {
		setpgid(0, 0);
		execvp(argv[2], argv + 2);
		fprintf(stderr, "reaper: %s: %s\n", argv[2], strerror(errno));
		_exit(127);
	}
	alarm((unsigned)atoi(argv[1])); /* NOLINT(cert-err34-c) */
	code = wait_for(command);
	if (code == 124)
		fprintf(stderr, "reaper: %s: its %s s are over\n", argv[2], argv[1]);
	end_all(code != 124);
	return code;
}
