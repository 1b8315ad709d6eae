/* Signals as events. libevent's own would leave a handler and a socketpair to every child.
 */
#include "master/signals.h"

#include <event2/event.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/signalfd.h>
#include <unistd.h>

struct signals {
	int fd;              /* owned */
	struct event *event; /* owned */
	signals_fn *on_signal;
	void *arg;
};

static void signals_set(sigset_t *set_r)
{
	const int numbers[] = { SIGTERM, SIGINT, SIGQUIT, SIGHUP, SIGUSR1, SIGUSR2 };

	sigemptyset(set_r);
	for (size_t i = 0; i < NELEMS(numbers); i++)
		sigaddset(set_r, numbers[i]);
}

void signals_block(void)
{
	sigset_t set;

	signals_set(&set);
	sigprocmask(SIG_BLOCK, &set, NULL);
	signal(SIGPIPE, SIG_IGN);
}

void signals_default(void)
{
	const struct sigaction standard = { .sa_handler = SIG_DFL };

	for (int number = 1; number < NSIG; number++) {
		if (number != SIGKILL && number != SIGSTOP)
			sigaction(number, &standard, NULL);
	}
}

void signals_unblock(void)
{
	sigset_t none;

	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
}

static void on_signalfd_readable(evutil_socket_t fd, short what, void *arg)
{
	struct signals *signals = arg;
	struct signalfd_siginfo info;

	(void)what;
	while (read(fd, &info, sizeof(info)) == (ssize_t)sizeof(info))
		signals->on_signal((int)info.ssi_signo, signals->arg);
}

struct signals *signals_new(struct event_base *base, signals_fn *on_signal, void *arg)
{
	struct signals *signals = calloc(1, sizeof(*signals));
	sigset_t set;

	if (signals == NULL)
		return NULL;
	signals->on_signal = on_signal;
	signals->arg = arg;
	signals_set(&set);
	signals->fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	if (signals->fd < 0)
		goto fail;
	signals->event =
		event_new(base, signals->fd, EV_READ | EV_PERSIST, on_signalfd_readable, signals);
	if (signals->event == NULL || event_add(signals->event, NULL) < 0)
		goto fail;
	return signals;
fail:
	signals_free(signals);
	return NULL;
}

void signals_free(struct signals *signals)
{
	if (signals == NULL)
		return;
	if (signals->event != NULL)
		event_free(signals->event);
	if (signals->fd >= 0)
		close(signals->fd);
	free(signals);
}
