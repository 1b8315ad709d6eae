/* The side of the master that follows another: one that started us, or one that is dead. What it left is only read until
 * the keeper says that it is ours; before that any failure ends us, and has changed nothing.
 *
 *   find        takeover.sock: who lives, or what is left
 *   preparing   our workers get ready, beside those that serve
 *   taking      M2K_TAKE; the old master, when one lives, leaves
 *   ours        K2M_YOURS: it is an ordinary reload from here on, of which only the second half is left
 *
 * When the keeper dies on the way, nobody can take over but us, and the master that started us. Before M2K_TAKE that one
 * goes on, and we end; without one we go on. After it the old master may have left already, or it finds that the keeper
 * is dead and ends us before it starts another:
 *
 *   alone       until the old master has ended; then all is ours without K2M_YOURS, but for a keeper
 */
#include <event2/event.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <unistd.h>

#include "common/channel.h"
#include "common/log.h"
#include "common/shm.h"
#include "conf/conf.h"
#include "master/change/edits.h"
#include "master/change/program.h"
#include "master/change/reload.h"
#include "master/config.h"
#include "master/control/control.h"
#include "master/control/socket.h"
#include "master/listen/bindings.h"
#include "master/listen/handover.h"
#include "master/logs.h"
#include "master/master_impl.h"
#include "master/place.h"

#define SUCCEED_READY_MS 9000  /* less than the master waits that started us */
#define SUCCEED_ALONE_MS 11000 /* more than that: then it hangs */

enum succeed_step {
	SUCCEED_PREPARING,
	SUCCEED_TAKING,
	SUCCEED_ALONE,
	SUCCEED_FAILED,
};

struct succeed {
	struct master *master; /* borrowed */
	enum succeed_step step;
	struct channel *line;  /* owned; to the keeper; NULL once it is another's, or dead */
	struct event *timer;   /* owned */
	int old_pidfd;         /* owned; of the master that started us; -1: it has ended */
	struct event *old_end; /* owned; NULL without one */
	int stop;              /* the signal that came when it was too late to fail; 0 */
	struct generation *generation; /* the supervisor's */
};

/* ------------------------------------------------------------------ find */

/* One that goes without a control socket where a daemon has it does so here, too. */
static int succeed_refused(const struct master *master, const char *control, const char *path)
{
	const struct takeover *past = &master->past;

	if (master->ask->control_optional && !program_is_next() &&
		master->config->conf->global.control.path[0] == '\0')
		return 0;
	if (past->master_pid > 0)
		log_errorx(
			"cannot have the control socket %s: already running, pid %d lives there; "
			"see global.control.path or --control",
			control, (int)past->master_pid);
	else
		log_errorx("cannot take over at %s: %s", path, past->why);
	return -1;
}

int succeed_find(struct master *master)
{
	struct rundir_path control;
	struct rundir_path path;

	if (control_socket_path(master->config->conf->global.control.path, &control) < 0 ||
		takeover_path(&control, &path) < 0)
		return 0; /* what is wrong with it is said by who opens it */
	switch (takeover_connect(path.text, &master->past)) {
	case TAKEOVER_NONE:
		if (!program_is_next())
			return 0;
		log_errorx("nobody answers at %s", path.text);
		return -1;
	case TAKEOVER_READY:
		master->follows = true;
		master->ours = false;
		return 0;
	case TAKEOVER_REFUSED:
	case TAKEOVER_FAILED:
		break;
	}
	return succeed_refused(master, control.text, path.text);
}

/* ------------------------------------------------------------------ not ours */

static void succeed_end(struct succeed *succeed, const char *why, enum exit_code code)
{
	struct master *master = succeed->master;

	if (succeed->step == SUCCEED_FAILED)
		return;
	log_errorx("cannot take over: %s", why);
	succeed->step = SUCCEED_FAILED;
	evtimer_del(succeed->timer);
	channel_free(succeed->line);
	succeed->line = NULL;
	master->result = code;
	supervisor_leave(master->supervisor);
	master_stop(master, 0);
}

void succeed_fail(struct succeed *succeed, const char *why)
{
	succeed_end(succeed, why, EXIT_CODE_FAILED);
}

/* Perhaps it is another way the next time. */
static void succeed_fail_now(struct succeed *succeed, const char *why)
{
	succeed_end(succeed, why, program_is_next() ? EXIT_CODE_AGAIN : EXIT_CODE_FAILED);
}

/* ------------------------------------------------------------------ ours */

/* They know nothing but SIGTERM of us: they drain, as an orphan does. A checker has nothing to drain. */
static void succeed_end_strangers(struct master *master)
{
	const struct takeover *past = &master->past;
	unsigned workers = 0;

	if (!past->foreign)
		return;
	for (size_t i = 0; i < past->nchildren; i++) {
		const bool worker = past->children[i].what.role == CHILD_WORKER;

		pidfd_send_signal(past->children[i].pidfd, worker ? SIGTERM : SIGKILL, NULL, 0);
		workers += worker;
	}
	log_warnx("what is there is of another version: its %u workers end with their relays, "
		  "counters begin anew",
		workers);
}

static uint32_t succeed_last_listener(const struct master *master)
{
	const size_t count = bindings_count(master->bindings);

	return count > 0 ? bindings_at(master->bindings, count - 1)->id : 0;
}

static void succeed_keep_edits(struct master *master)
{
	if (master->edits == NULL)
		return;
	edits_settle(master->edits);
	edits_write(master->shm, master->edits);
}

/* yours: NULL without a keeper. */
static void succeed_commit(struct succeed *succeed, const struct message *yours)
{
	struct master *master = succeed->master;
	const struct conf *conf = master->config->conf;
	const uint32_t told = succeed_last_listener(master);
	struct handover_worker workers[SHM_WORKERS_MAX];
	uint32_t count;

	bindings_merge(master->bindings, master->next);
	master->next = NULL;
	place_commit(conf, master->shm, master->generation);
	succeed_keep_edits(master);
	if (yours != NULL)
		supervisor_take(master->supervisor, yours, channel_detach(succeed->line), told);
	else
		supervisor_take_alone(master->supervisor);
	succeed->line = NULL;
	count = supervisor_handover_workers(succeed->generation, workers);
	handover_commit(master->handover, workers, count);
	supervisor_begin(master->supervisor, succeed->generation, conf->global.drain_timeout_ms);
	logs_serve(master->logs, master->config);
	succeed_end_strangers(master);
	if (yours != NULL && !master->past.foreign)
		supervisor_replace_keeper(master->supervisor);
}

static void succeed_serve(struct succeed *succeed)
{
	struct master *master = succeed->master;
	const int stop = succeed->stop;
	char text[64];

	if (control_take_place(master->control) < 0)
		log_error("the control socket cannot have its place");
	snprintf(text, sizeof(text), "took over, generation %u serves", master->generation);
	reload_note(master->reload, RELOAD_DONE, text);
	reload_inherit(master->reload);
	takeover_free(&master->past);
	if (master->bind_again)
		master_retry_later(master);
	master->succeed = NULL;
	succeed_free(succeed);
	master_started(master);
	if (stop != 0)
		on_master_signal(stop, master);
}

/* yours: NULL when the keeper is dead, and nobody else can be the master any more. */
static void succeed_ours(struct succeed *succeed, const struct message *yours)
{
	succeed->master->ours = true;
	succeed_commit(succeed, yours);
	succeed_serve(succeed);
}

/* ------------------------------------------------------------------ without a keeper */

static bool succeed_old_has_ended(const struct succeed *succeed)
{
	struct pollfd old = { .fd = succeed->old_pidfd, .events = POLLIN };

	return old.fd < 0 || poll(&old, 1, 0) == 1;
}

static void succeed_lose_line(struct succeed *succeed)
{
	channel_free(succeed->line);
	succeed->line = NULL;
}

/* The keeper is dead, or does not answer, which is the same from now on: with it alive the old master could hear of
 * another one. */
static void succeed_alone(struct succeed *succeed, const char *why)
{
	static const struct timeval most = { .tv_sec = SUCCEED_ALONE_MS / 1000 };
	const struct master *master = succeed->master;

	log_warnx("the keeper is gone while it gives us all: %s", why);
	succeed_lose_line(succeed);
	supervisor_end_keeper(master->supervisor);
	if (master->past.keeper_pidfd >= 0)
		pidfd_send_signal(master->past.keeper_pidfd, SIGKILL, NULL, 0);
	if (succeed_old_has_ended(succeed)) {
		succeed_ours(succeed, NULL);
		return;
	}
	succeed->step = SUCCEED_ALONE;
	evtimer_add(succeed->timer, &most);
	event_add(succeed->old_end, NULL);
}

static void on_succeed_old_end(evutil_socket_t fd, short what, void *arg)
{
	struct succeed *succeed = arg;

	(void)fd;
	(void)what;
	if (succeed->step == SUCCEED_ALONE)
		succeed_ours(succeed, NULL);
}

static void on_succeed_late(evutil_socket_t fd, short what, void *arg)
{
	struct succeed *succeed = arg;

	(void)fd;
	(void)what;
	switch (succeed->step) {
	case SUCCEED_PREPARING:
		succeed_fail(succeed, "the workers did not get ready in time");
		return;
	case SUCCEED_TAKING:
		succeed_alone(succeed, "it does not answer");
		return;
	case SUCCEED_ALONE:
		/* It had more time than it gave us, and neither left nor ended us. */
		if (pidfd_send_signal(succeed->old_pidfd, SIGKILL, NULL, 0) == 0)
			log_warnx("the old master did not leave, and was killed");
		else
			succeed_fail(succeed, "the old master does not leave");
		return;
	case SUCCEED_FAILED:
		return;
	}
}

/* ------------------------------------------------------------------ what the keeper says */

static void succeed_hear_no(struct succeed *succeed, const struct message *message)
{
	const struct msg_no *no = message_payload(message, K2M_NO, NULL);
	char why[sizeof(no->why)];

	snprintf(why, sizeof(why), "%.*s", (int)sizeof(no->why) - 1, no->why);
	succeed_fail_now(succeed, why);
}

static void on_succeed_message(struct channel *channel, struct message *message, void *arg)
{
	struct succeed *succeed = arg;

	(void)channel;
	if (message->type == K2M_NO) {
		succeed_hear_no(succeed, message);
	} else if (message->type == K2M_YOURS && succeed->step == SUCCEED_TAKING) {
		succeed_ours(succeed, message);
	} else {
		succeed_fail(succeed, "the keeper speaks out of turn");
	}
}

static void on_succeed_end(
	struct channel *channel, enum channel_end end, const char *why, void *arg)
{
	struct succeed *succeed = arg;

	(void)channel;
	(void)end;
	if (succeed->step == SUCCEED_TAKING)
		succeed_alone(succeed, why);
	else if (succeed_old_has_ended(succeed))
		succeed_lose_line(succeed); /* who else would go on */
	else
		succeed_fail_now(succeed, why);
}

/* ------------------------------------------------------------------ begin and end */

void succeed_prepared(struct succeed *succeed)
{
	static const struct timeval most = { .tv_sec = TAKEOVER_TAKE_MS / 1000 };

	if (succeed->step != SUCCEED_PREPARING)
		return;
	succeed->step = SUCCEED_TAKING;
	if (succeed->line == NULL) {
		succeed_alone(succeed, "it died before");
		return;
	}
	log_debug("ready to take over");
	evtimer_add(succeed->timer, &most);
	takeover_take(succeed->line);
}

void succeed_stop(struct succeed *succeed, int number)
{
	if (succeed->step == SUCCEED_PREPARING)
		succeed_fail(succeed, "a signal");
	else
		succeed->stop = number;
}

__attribute__((noreturn)) static void succeed_no_memory(void)
{
	log_fatal("no memory to take over");
	exit(EXIT_CODE_FAILED);
}

void succeed_begin(struct master *master)
{
	static const struct timeval most = { .tv_sec = SUCCEED_READY_MS / 1000 };
	struct succeed *succeed = calloc(1, sizeof(*succeed));
	const struct channel_handlers handlers = {
		.on_message = on_succeed_message,
		.on_end = on_succeed_end,
		.arg = succeed,
	};

	if (succeed == NULL)
		succeed_no_memory();
	succeed->timer = evtimer_new(master->base, on_succeed_late, succeed);
	succeed->old_pidfd = program_open_parent();
	if (succeed->old_pidfd >= 0)
		succeed->old_end = event_new(
			master->base, succeed->old_pidfd, EV_READ, on_succeed_old_end, succeed);
	if (succeed->timer == NULL || (succeed->old_pidfd >= 0 && succeed->old_end == NULL))
		succeed_no_memory();
	succeed->master = master;
	master->succeed = succeed;
	succeed->line = channel_new(master->base, master->past.fd, CHANNEL_MASTER, &handlers);
	master->past.fd = -1;
	evtimer_add(succeed->timer, &most);
	succeed->generation = supervisor_start_after(
		master->supervisor, master->config, master->generation, &master->past);
}

void succeed_free(struct succeed *succeed)
{
	if (succeed == NULL)
		return;
	channel_free(succeed->line);
	event_free(succeed->timer);
	if (succeed->old_end != NULL)
		event_free(succeed->old_end);
	if (succeed->old_pidfd >= 0)
		close(succeed->old_pidfd);
	free(succeed);
}
