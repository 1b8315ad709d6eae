/* The side of the master that follows another: one that started us, or one that is dead. What it left is only read until
 * the keeper says that it is ours; before that any failure ends us, and has changed nothing.
 *
 *   find        takeover.sock: who lives, or what is left
 *   preparing   our workers get ready, beside those that serve
 *   taking      M2K_TAKE; the old master, when one lives, leaves
 *   ours        K2M_YOURS: it is an ordinary reload from here on, of which only the second half is left
 */
#include <event2/event.h>
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
#include "master/bindings.h"
#include "master/config.h"
#include "master/control.h"
#include "master/control_socket.h"
#include "master/handover.h"
#include "master/logs.h"
#include "master/master_impl.h"
#include "master/place.h"
#include "master/program.h"
#include "master/reload.h"

#define SUCCEED_READY_MS 9000 /* less than the master waits that started us */

enum succeed_step {
	SUCCEED_PREPARING,
	SUCCEED_TAKING,
	SUCCEED_FAILED,
};

struct succeed {
	struct master *master; /* borrowed */
	enum succeed_step step;
	struct channel *line;          /* owned; to the keeper; NULL once it is another's */
	struct event *timer;           /* owned */
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

static void on_succeed_late(evutil_socket_t fd, short what, void *arg)
{
	struct succeed *succeed = arg;

	(void)fd;
	(void)what;
	succeed_fail(succeed,
		succeed->step == SUCCEED_TAKING ? "the keeper does not answer"
						: "the workers did not get ready in time");
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
	supervisor_take(master->supervisor, yours, channel_detach(succeed->line), told);
	succeed->line = NULL;
	count = supervisor_handover_workers(succeed->generation, workers);
	handover_commit(master->handover, workers, count);
	supervisor_begin(master->supervisor, succeed->generation, conf->global.drain_timeout_ms);
	logs_serve(master->logs, master->config);
	succeed_end_strangers(master);
	if (!master->past.foreign)
		supervisor_replace_keeper(master->supervisor);
}

static void succeed_serve(struct succeed *succeed)
{
	struct master *master = succeed->master;
	char text[64];

	if (control_take_place(master->control) < 0)
		log_error("the control socket cannot have its place");
	snprintf(text, sizeof(text), "took over, generation %u serves", master->generation);
	reload_note(master->reload, RELOAD_DONE, text);
	takeover_free(&master->past);
	if (master->bind_again)
		master_retry_later(master);
	master->succeed = NULL;
	succeed_free(succeed);
	master_started(master);
}

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
		succeed->master->ours = true;
		succeed_commit(succeed, message);
		succeed_serve(succeed);
	} else {
		succeed_fail(succeed, "the keeper speaks out of turn");
	}
}

static void on_succeed_end(
	struct channel *channel, enum channel_end end, const char *why, void *arg)
{
	(void)channel;
	(void)end;
	succeed_fail_now(arg, why);
}

/* ------------------------------------------------------------------ begin and end */

void succeed_prepared(struct succeed *succeed)
{
	static const struct timeval most = { .tv_sec = TAKEOVER_TAKE_MS / 1000 };

	if (succeed->step != SUCCEED_PREPARING)
		return;
	succeed->step = SUCCEED_TAKING;
	evtimer_add(succeed->timer, &most);
	takeover_take(succeed->line);
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

	if (succeed != NULL)
		succeed->timer = evtimer_new(master->base, on_succeed_late, succeed);
	if (succeed == NULL || succeed->timer == NULL) {
		log_fatal("no memory to take over");
		exit(EXIT_CODE_FAILED);
	}
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
	free(succeed);
}
