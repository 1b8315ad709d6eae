/* A round: every process is told once, and answers. Who is told while its keeper's store is handed over waits for the end
 * of that; who does not answer is named.
 */
#include "master/logs.h"

#include <event2/event.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#include "common/channel.h"
#include "common/clock.h"
#include "common/memory.h"
#include "common/shm.h"
#include "common/sink.h"
#include "conf/conf.h"
#include "master/change/reload.h"
#include "master/children/process.h"
#include "master/config.h"

#define LOGS_LOOK_MS 10

/* Who waits for a round, and what is to be answered then. */
struct logs_asked {
	TAILQ_ENTRY(logs_asked) link;
	struct reload_waiter *waiter; /* borrowed */
	enum reload_result result;
	char text[512];
};

struct logs {
	struct shm *shm;               /* borrowed */
	struct supervisor *supervisor; /* borrowed */
	struct config *config;         /* held; NULL: nothing serves yet */
	struct event *timer;           /* owned; pending: a round is under way */
	uint32_t round;
	uint64_t until_ms;              /* of the round, for those who wait */
	TAILQ_HEAD(, logs_asked) asked; /* owned */
};

/* ------------------------------------------------------------------ telling */

static struct process *logs_next(struct logs *logs, struct process *after)
{
	struct supervisor *supervisor = logs->supervisor;

	if (after == &supervisor->checker)
		return &supervisor->admin;
	if (after == &supervisor->admin)
		return supervisor->keeper;
	if (after == supervisor->keeper)
		return supervisor->spare;
	if (after == supervisor->spare)
		return NULL;
	after = supervisor_next_worker(supervisor, after);
	return after != NULL ? after : &supervisor->checker;
}

static void logs_tell(struct logs *logs, struct process *process)
{
	const struct conf_global *global = &logs->config->conf->global;
	const struct sink_place place = sink_place(logs->config->log);
	struct msg_log log = {
		.round = logs->round,
		.fds = MSG_LOG_FD,
		.level = log_level_now(),
		.format = global->log.format,
		.kind = place.kind,
		.access_format = global->access_log.format,
	};
	int fds[2] = { place.fd };
	struct message message = {
		.type = M2C_LOG,
		.slot = process->slot,
		.generation = process->generation,
		.payload = &log,
		.payload_bytes = sizeof(log),
		.fds = fds,
		.nfds = 1,
	};

	if (logs->config->access_log != NULL && process->role == CHILD_WORKER) {
		const struct sink_place access = sink_place(logs->config->access_log);

		log.fds |= MSG_ACCESS_FD;
		log.access_kind = access.kind;
		fds[message.nfds++] = access.fd;
	}
	process->log_told = logs->round;
	channel_send(process->channel, &message);
}

/* To two keepers of which one fills the other nothing may be said. */
static bool logs_may_tell(const struct logs *logs, const struct process *process)
{
	return process->role != CHILD_KEEPER || !successor_is_filling(logs->supervisor);
}

/* Who has not answered yet; NULL: all have. */
static struct process *logs_go_on(struct logs *logs)
{
	struct process *process = NULL;
	struct process *silent = NULL;

	while ((process = logs_next(logs, process)) != NULL) {
		if (!process_alive(process) || process->log_heard == logs->round)
			continue;
		if (process->log_told != logs->round && logs_may_tell(logs, process))
			logs_tell(logs, process);
		silent = process;
	}
	return silent;
}

/* ------------------------------------------------------------------ a round */

static void logs_answer(struct logs *logs, const struct process *silent)
{
	struct logs_asked *asked;

	while ((asked = TAILQ_FIRST(&logs->asked)) != NULL) {
		const size_t len = strlen(asked->text);

		TAILQ_REMOVE(&logs->asked, asked, link);
		if (silent != NULL) {
			asked->result = RELOAD_REFUSED;
			snprintf(asked->text + len, sizeof(asked->text) - len,
				"; %s (pid %d) does not answer: it does so when it goes on",
				silent->name, (int)silent->pid);
		}
		asked->waiter->answer(asked->waiter, asked->result, asked->text);
		free(asked);
	}
}

static void on_logs_timer(evutil_socket_t fd, short what, void *arg)
{
	static const struct timeval look = { .tv_usec = LOGS_LOOK_MS * 1000 };
	struct logs *logs = arg;
	const struct process *silent = logs_go_on(logs);

	(void)fd;
	(void)what;
	if (silent == NULL || clock_now_ms() >= logs->until_ms)
		logs_answer(logs, silent);
	if (silent != NULL)
		evtimer_add(logs->timer, &look);
}

static void logs_begin(struct logs *logs)
{
	static const struct timeval now = { 0 };

	logs->round++;
	logs->until_ms = clock_now_ms() + LOGS_WAIT_MS;
	(void)logs_go_on(logs);
	evtimer_add(logs->timer, &now);
}

static void logs_wait(struct logs *logs, struct reload_waiter *waiter, enum reload_result result,
	const char *text)
{
	struct logs_asked *asked;

	if (waiter == NULL)
		return;
	asked = memory_or_exit(calloc(1, sizeof(*asked)), "logs");
	asked->waiter = waiter;
	asked->result = result;
	snprintf(asked->text, sizeof(asked->text), "%s", text);
	TAILQ_INSERT_TAIL(&logs->asked, asked, link);
}

/* ------------------------------------------------------------------ what is asked for */

enum log_level logs_level(struct shm *shm, const struct conf *conf)
{
	const struct shm_master *master = shm_master(shm);
	const enum log_level level = conf->global.log.level;

	if (!master->log_known || master->log_file_level != (uint32_t)level ||
		master->log_level > LOG_LEVEL_NONE)
		return level;
	return (enum log_level)master->log_level;
}

void logs_serve(struct logs *logs, struct config *config)
{
	struct shm_master *master = shm_master(logs->shm);
	const struct conf_log *log = &config->conf->global.log;
	const enum log_level level = logs_level(logs->shm, config->conf);

	master->log_level = (uint32_t)level;
	master->log_file_level = (uint32_t)log->level;
	master->log_known = 1;
	config_hold(config);
	log_open(config->log, level, log->format);
	config_release(logs->config);
	logs->config = config;
	logs_begin(logs);
}

void logs_reopen(struct logs *logs, struct reload_waiter *waiter)
{
	char why[384] = "";
	bool files;

	if (logs->config == NULL) {
		logs_wait(logs, waiter, RELOAD_REFUSED, "proxyd is not serving yet");
	} else if (config_reopen_logs(logs->config, &files, why, sizeof(why)) < 0) {
		log_errorx("%s; the old file is still in use", why);
		strncat(why, "; the old file is still in use", sizeof(why) - strlen(why) - 1);
		logs_wait(logs, waiter, RELOAD_REFUSED, why);
	} else if (files) {
		log_info("log files are opened again");
		logs_wait(logs, waiter, RELOAD_DONE, "log files are opened again");
	} else {
		logs_wait(logs, waiter, RELOAD_DONE, "no log goes to a file: nothing to open");
	}
	logs_begin(logs);
}

void logs_set_level(struct logs *logs, enum log_level level, struct reload_waiter *waiter)
{
	char text[64];

	shm_master(logs->shm)->log_level = (uint32_t)level;
	/* Whichever of the two would say it. */
	log_set_level(level < log_level_now() ? level : log_level_now());
	snprintf(text, sizeof(text), "log level is %s", log_level_name(level));
	log_info("%s from now on", text);
	log_set_level(level);
	logs_wait(logs, waiter, RELOAD_DONE, text);
	logs_begin(logs);
}

void logs_forget(struct logs *logs, struct reload_waiter *waiter)
{
	struct logs_asked *asked = TAILQ_FIRST(&logs->asked);

	while (asked != NULL && asked->waiter != waiter)
		asked = TAILQ_NEXT(asked, link);
	if (asked == NULL)
		return;
	TAILQ_REMOVE(&logs->asked, asked, link);
	free(asked);
}

void logs_stop(struct logs *logs)
{
	evtimer_del(logs->timer);
	logs_answer(logs, NULL);
}

struct logs *logs_new(struct event_base *base, struct shm *shm, struct supervisor *supervisor)
{
	struct logs *logs = memory_or_exit(calloc(1, sizeof(*logs)), "logs");

	logs->shm = shm;
	logs->supervisor = supervisor;
	TAILQ_INIT(&logs->asked);
	logs->timer = memory_or_exit(evtimer_new(base, on_logs_timer, logs), "logs");
	return logs;
}

void logs_free(struct logs *logs)
{
	struct logs_asked *asked;

	if (logs == NULL)
		return;
	while ((asked = TAILQ_FIRST(&logs->asked)) != NULL) {
		TAILQ_REMOVE(&logs->asked, asked, link);
		free(asked);
	}
	event_free(logs->timer);
	config_release(logs->config);
	free(logs);
}
