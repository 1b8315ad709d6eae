/* The side of the master that is replaced. It goes on serving until the keeper says that the other one has it all.
 */
#include "master/change/upgrade.h"

#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/child.h"
#include "common/clock.h"
#include "common/log.h"
#include "common/memory.h"
#include "master/change/program.h"
#include "master/change/reload.h"
#include "master/children/supervisor.h"

#define UPGRADE_LOOK_MS  20
#define UPGRADE_SWEEP_MS 100
#define UPGRADE_SAID_MAX 4096 /* of what it says, the beginning */

enum upgrade_step {
	UPGRADE_IDLE,
	UPGRADE_WAITING,
	UPGRADE_STARTING,
};

struct upgrade {
	struct upgrade_env env;
	enum upgrade_step step;
	char *binary;                 /* owned; NULL: ours */
	struct reload_waiter *waiter; /* borrowed; NULL */
	uint64_t until_ms;
	unsigned tries;
	uint64_t changes;    /* supervisor_changes when the other one was started */
	bool again;          /* it was ended, and not by its fault */
	struct event *timer; /* owned */
	struct event *sweep; /* owned timer: of the slots that it leaves */

	/* the other one */
	pid_t pid;
	int pidfd;            /* owned; -1 */
	struct event *death;  /* owned; NULL */
	struct event *report; /* owned; NULL */
	int report_fd;        /* owned; -1 */
	size_t said;
	char text[UPGRADE_SAID_MAX];
};

static void upgrade_timer(struct event *timer, uint32_t ms)
{
	const struct timeval delay = clock_timeval(ms);

	evtimer_add(timer, &delay);
}

/* ------------------------------------------------------------------ the end of it */

static void upgrade_drop(struct upgrade *upgrade)
{
	if (upgrade->death != NULL)
		event_free(upgrade->death);
	if (upgrade->report != NULL)
		event_free(upgrade->report);
	upgrade->death = upgrade->report = NULL;
	if (upgrade->pidfd >= 0)
		close(upgrade->pidfd);
	if (upgrade->report_fd >= 0)
		close(upgrade->report_fd);
	upgrade->pidfd = upgrade->report_fd = -1;
}

static void upgrade_answer(struct upgrade *upgrade, enum reload_result result, const char *text)
{
	struct reload_waiter *waiter = upgrade->waiter;

	upgrade->waiter = NULL;
	if (waiter != NULL)
		waiter->answer(waiter, result, text);
}

static void upgrade_over(struct upgrade *upgrade)
{
	evtimer_del(upgrade->timer);
	upgrade->step = UPGRADE_IDLE;
	free(upgrade->binary);
	upgrade->binary = NULL;
}

static void upgrade_refuse(struct upgrade *upgrade, const char *why)
{
	char text[UPGRADE_SAID_MAX + 64];

	snprintf(text, sizeof(text), "the upgrade came to nothing: %s", why);
	upgrade_over(upgrade);
	reload_note(upgrade->env.reload, RELOAD_REFUSED, text);
	upgrade_answer(upgrade, RELOAD_REFUSED, text);
	upgrade->env.on_over(upgrade->env.arg);
}

static void on_upgrade_sweep(evutil_socket_t fd, short what, void *arg)
{
	struct upgrade *upgrade = arg;

	(void)fd;
	(void)what;
	if (upgrade->step != UPGRADE_STARTING && !supervisor_sweep_slots(upgrade->env.supervisor))
		upgrade_timer(upgrade->sweep, UPGRADE_SWEEP_MS);
}

/* What it said is in text. */
static void upgrade_read(struct upgrade *upgrade)
{
	char rest[256] = "";
	ssize_t got;

	do {
		const size_t room = sizeof(upgrade->text) - 1 - upgrade->said;
		char *to = room > 0 ? upgrade->text + upgrade->said : rest;

		got = read(upgrade->report_fd, to, room > 0 ? room : sizeof(rest));
		if (got > 0 && room > 0)
			upgrade->said += (size_t)got;
	} while (got > 0);
	upgrade->text[upgrade->said] = '\0';
	/* Nothing more comes, or it is not to be read. */
	if ((got == 0 || errno != EAGAIN) && upgrade->report != NULL)
		event_del(upgrade->report);
}

static void on_upgrade_report(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	upgrade_read(arg);
}

static void upgrade_describe(const siginfo_t *info, char *text, size_t bytes)
{
	if (info->si_code == CLD_EXITED)
		snprintf(
			text, bytes, "it exited with code %d before it was ready", info->si_status);
	else
		snprintf(text, bytes, "it was killed by signal %d (%s) before it was ready",
			info->si_status, strsignal(info->si_status));
}

/* Its last words, without those that every line begins with. */
static const char *upgrade_reason(
	struct upgrade *upgrade, const siginfo_t *info, char *buf, size_t bytes)
{
	while (upgrade->said > 0 && upgrade->text[upgrade->said - 1] == '\n')
		upgrade->text[--upgrade->said] = '\0';
	upgrade_describe(info, buf, bytes);
	return upgrade->said > 0 ? upgrade->text : buf;
}

static void on_upgrade_death(evutil_socket_t fd, short what, void *arg)
{
	struct upgrade *upgrade = arg;
	siginfo_t info = { 0 };
	char buf[128];
	const char *why;

	(void)what;
	if (waitid(P_PIDFD, (id_t)fd, &info, WEXITED | WNOHANG) == 0 && info.si_pid == 0) {
		event_add(upgrade->death, NULL);
		return;
	}
	upgrade_read(upgrade);
	why = upgrade_reason(upgrade, &info, buf, sizeof(buf));
	supervisor_expect(upgrade->env.supervisor, 0);
	upgrade_drop(upgrade);
	upgrade_timer(upgrade->sweep, UPGRADE_SWEEP_MS);
	if (upgrade->step != UPGRADE_STARTING)
		return; /* it was said already */
	if ((upgrade->again || (info.si_code == CLD_EXITED && info.si_status == EXIT_CODE_AGAIN)) &&
		upgrade->tries < UPGRADE_TRIES && clock_now_ms() < upgrade->until_ms) {
		log_info("upgrade: %s; once more", why);
		upgrade->step = UPGRADE_WAITING;
		upgrade_timer(upgrade->timer, UPGRADE_LOOK_MS);
		return;
	}
	upgrade_refuse(upgrade, why);
}

/* ------------------------------------------------------------------ the other one */

/* Its ends of the pipes are closed here; ours in the child by itself. Returns its pid, or -1. */
static pid_t upgrade_fork(struct upgrade *upgrade, int go[2], int report[2])
{
	const pid_t ours = getpid();
	pid_t pid;

	fflush(NULL);
	pid = fork();
	if (pid == 0) {
		close(go[1]);
		program_exec(upgrade->binary, ours, go[0], report[1]);
	}
	close(go[0]);
	close(report[1]);
	go[0] = report[1] = -1;
	return pid;
}

static void upgrade_watch(struct upgrade *upgrade)
{
	struct event_base *base = upgrade->env.base;

	upgrade->death = memory_or_exit(
		event_new(base, upgrade->pidfd, EV_READ, on_upgrade_death, upgrade), "upgrade");
	upgrade->report = memory_or_exit(event_new(base, upgrade->report_fd, EV_READ | EV_PERSIST,
						 on_upgrade_report, upgrade),
		"upgrade");
	event_add(upgrade->death, NULL);
	event_add(upgrade->report, NULL);
}

static int upgrade_start(struct upgrade *upgrade)
{
	int go[2];
	int report[2];
	int saved;

	upgrade->said = 0;
	upgrade->text[0] = '\0';
	if (pipe2(go, O_CLOEXEC) < 0)
		return -1;
	if (pipe2(report, O_CLOEXEC) < 0) {
		saved = errno;
		close(go[0]);
		close(go[1]);
		errno = saved;
		return -1;
	}
	upgrade->pid = upgrade_fork(upgrade, go, report);
	saved = errno;
	upgrade->pidfd = upgrade->pid > 0 ? pidfd_open(upgrade->pid, 0) : -1;
	upgrade->report_fd = report[0];
	if (upgrade->pidfd < 0) {
		/* A child that is there already ends when nobody says go. */
		close(go[1]);
		if (upgrade->pid > 0)
			waitpid(upgrade->pid, NULL, 0);
		upgrade_drop(upgrade);
		errno = saved;
		return -1;
	}
	fcntl(upgrade->report_fd, F_SETFL, O_NONBLOCK);
	upgrade_watch(upgrade);
	upgrade->changes = supervisor_changes(upgrade->env.supervisor);
	/* The keeper has to know before the other one can ask. */
	supervisor_expect(upgrade->env.supervisor, upgrade->pid);
	if (write(go[1], "", 1) < 0)
		log_warn("upgrade");
	close(go[1]);
	return 0;
}

static void upgrade_begin(struct upgrade *upgrade)
{
	const char *binary = upgrade->binary != NULL ? upgrade->binary : program_binary();

	upgrade->tries++;
	upgrade->again = false;
	if (upgrade_start(upgrade) < 0) {
		upgrade_refuse(upgrade, strerror(errno));
		return;
	}
	upgrade->step = UPGRADE_STARTING;
	upgrade->until_ms = clock_now_ms() + UPGRADE_MS;
	log_info("upgrade: %s was started as pid %d", binary, (int)upgrade->pid);
	upgrade_timer(upgrade->timer, UPGRADE_MS);
}

static void upgrade_wait(struct upgrade *upgrade)
{
	const char *why = upgrade->env.obstacle(upgrade->env.arg);

	if (why == NULL && !reload_is_busy(upgrade->env.reload) &&
		supervisor_is_settled(upgrade->env.supervisor)) {
		upgrade_begin(upgrade);
		return;
	}
	if (clock_now_ms() >= upgrade->until_ms)
		upgrade_refuse(upgrade, why != NULL ? why : "there was too much under way");
	else
		upgrade_timer(upgrade->timer, UPGRADE_LOOK_MS);
}

static void on_upgrade_timer(evutil_socket_t fd, short what, void *arg)
{
	struct upgrade *upgrade = arg;

	(void)fd;
	(void)what;
	switch (upgrade->step) {
	case UPGRADE_WAITING:
		upgrade_wait(upgrade);
		return;
	case UPGRADE_STARTING:
		supervisor_expect(upgrade->env.supervisor, 0);
		pidfd_send_signal(upgrade->pidfd, SIGKILL, NULL, 0);
		upgrade_refuse(upgrade, "it was not ready in time, and was killed");
		return;
	case UPGRADE_IDLE:
		return;
	}
}

/* ------------------------------------------------------------------ asked */

const char *upgrade_ask(struct upgrade *upgrade, const char *binary, struct reload_waiter *waiter)
{
	if (upgrade->step != UPGRADE_IDLE || upgrade->pidfd >= 0)
		return "an upgrade is under way";
	if (binary != NULL)
		upgrade->binary = memory_or_exit(strdup(binary), "upgrade");
	upgrade->waiter = waiter;
	upgrade->tries = 0;
	upgrade->step = UPGRADE_WAITING;
	upgrade->until_ms = clock_now_ms() + UPGRADE_MS;
	event_active(upgrade->timer, EV_TIMEOUT, 0);
	return NULL;
}

void upgrade_forget(struct upgrade *upgrade, struct reload_waiter *waiter)
{
	if (upgrade->waiter == waiter)
		upgrade->waiter = NULL;
}

bool upgrade_is_busy(const struct upgrade *upgrade)
{
	return upgrade->step != UPGRADE_IDLE;
}

void upgrade_stop(struct upgrade *upgrade)
{
	if (upgrade->step == UPGRADE_IDLE)
		return;
	if (upgrade->pidfd >= 0) {
		supervisor_expect(upgrade->env.supervisor, 0);
		pidfd_send_signal(upgrade->pidfd, SIGKILL, NULL, 0);
	}
	upgrade_refuse(upgrade, "proxyd stops");
}

/* One that died at the last moment has taken nothing: the keeper sees that its line ended, and stays ours. */
static bool upgrade_lives(const struct upgrade *upgrade)
{
	siginfo_t info = { 0 };

	return upgrade->pidfd >= 0 &&
		waitid(P_PIDFD, (id_t)upgrade->pidfd, &info, WEXITED | WNOHANG | WNOWAIT) == 0 &&
		info.si_pid == 0;
}

/* Once more, as soon as it is gone. */
static void upgrade_end_other(struct upgrade *upgrade, const char *why)
{
	log_info("upgrade: pid %d is ended: %s", (int)upgrade->pid, why);
	upgrade->again = true;
	supervisor_expect(upgrade->env.supervisor, 0);
	pidfd_send_signal(upgrade->pidfd, SIGKILL, NULL, 0);
}

void upgrade_keeper_died(struct upgrade *upgrade)
{
	if (upgrade->step == UPGRADE_STARTING)
		upgrade_end_other(upgrade, "the keeper died meanwhile");
}

void upgrade_taken(struct upgrade *upgrade, pid_t pid)
{
	char text[64];

	if (upgrade->step != UPGRADE_STARTING || pid != upgrade->pid || !upgrade_lives(upgrade)) {
		log_errorx("pid %d would take over, and nobody asked it to", (int)pid);
		return;
	}
	/* The keeper has not read it yet, or it would have refused: the other one does not know of it. */
	if (upgrade->changes != supervisor_changes(upgrade->env.supervisor)) {
		upgrade_end_other(upgrade, "listeners or children have changed meanwhile");
		return;
	}
	snprintf(text, sizeof(text), "the master is pid %d now", (int)pid);
	log_info("upgrade: %s", text);
	upgrade_answer(upgrade, RELOAD_DONE, text);
	upgrade->env.on_taken(pid, upgrade->env.arg);
}

struct upgrade *upgrade_new(const struct upgrade_env *env)
{
	struct upgrade *upgrade = memory_or_exit(calloc(1, sizeof(*upgrade)), "upgrade");

	upgrade->env = *env;
	upgrade->pidfd = upgrade->report_fd = -1;
	upgrade->timer =
		memory_or_exit(evtimer_new(env->base, on_upgrade_timer, upgrade), "upgrade");
	upgrade->sweep =
		memory_or_exit(evtimer_new(env->base, on_upgrade_sweep, upgrade), "upgrade");
	return upgrade;
}

void upgrade_free(struct upgrade *upgrade)
{
	if (upgrade == NULL)
		return;
	upgrade_drop(upgrade);
	event_free(upgrade->timer);
	event_free(upgrade->sweep);
	free(upgrade->binary);
	free(upgrade);
}
