/* Serving: from the first fork to the end, and what signals mean meanwhile.
 */
#include "master/master.h"

#include <event2/event.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/log.h"
#include "common/shm.h"
#include "conf/conf.h"
#include "master/change/closing.h"
#include "master/change/deleting.h"
#include "master/change/program.h"
#include "master/change/reload.h"
#include "master/change/upgrade.h"
#include "master/children/rebalance.h"
#include "master/config.h"
#include "master/control/control.h"
#include "master/daemonize.h"
#include "master/listen/bindings.h"
#include "master/listen/handover.h"
#include "master/logs.h"
#include "master/master_impl.h"
#include "master/notify.h"
#include "master/pidfile.h"
#include "master/place.h"
#include "master/signals.h"
#include "master/views/observer.h"
#include "master/views/report.h"
#include "master/views/sampler.h"
#include "master/views/views.h"

void master_stop(struct master *master, uint32_t drain_ms)
{
	if (master->ours)
		shm_master(master->shm)->stopping = 1;
	control_stopping(master->control);
	logs_stop(master->logs);
	closing_stop(master->closing);
	reload_stop(master->reload);
	upgrade_stop(master->upgrade);
	rebalance_bound(master->rebalance, 0);
	evtimer_del(master->retry);
	supervisor_stop(master->supervisor, drain_ms);
	/* After the workers know: what waits in the queues is theirs to accept. */
	bindings_close(master->bindings);
}

static void master_begin_stop(struct master *master)
{
	static const struct event_what stops = { EVENT_DAEMON, EVENT_WARN, "" };
	const uint32_t drain_ms = master->config->conf->global.drain_timeout_ms;
	const uint32_t relays = shm_shared(master->shm)->active;

	if (relays == 0)
		log_info("stopping");
	else if (drain_ms == CONF_FOREVER)
		log_info("stopping: %u relays may finish", relays);
	else
		log_info("stopping: %u relays have %u ms to finish", relays, drain_ms);
	events_add(master->shm, &stops, "proxyd stops");
	notify_stopping();
	master_stop(master, drain_ms);
}

static void master_asked_to_stop(struct master *master, int number)
{
	if (master->succeed != NULL) {
		succeed_stop(master->succeed, number);
		return;
	}
	if (master->stops++ == 0) {
		master_begin_stop(master);
		return;
	}
	log_info("signal %d again: stopping now", number);
	master_stop(master, 0);
}

/* Unlike a signal, a second one without now changes nothing. */
void on_master_stop(bool now, void *arg)
{
	struct master *master = arg;

	if (now) {
		master->stops++;
		log_info("stopping now");
		notify_stopping();
		master_stop(master, 0);
	} else if (master->stops++ == 0) {
		master_begin_stop(master);
	}
}

void on_master_signal(int number, void *arg)
{
	struct master *master = arg;

	switch (number) {
	case SIGTERM:
	case SIGINT:
	case SIGQUIT:
		master_asked_to_stop(master, number);
		return;
	case SIGHUP:
		master_hang_up(master);
		return;
	case SIGUSR1:
		report_ask(master->report, master->config);
		return;
	case SIGUSR2:
		master_upgrade(master);
		return;
	}
	MUST(!"a signal that was not blocked");
}

void master_retry_later(struct master *master)
{
	const uint32_t ms = master->config->conf->global.bind_retry_ms;
	const struct timeval delay = clock_timeval(ms);

	evtimer_add(master->retry, &delay);
}

void on_master_retry(int fd, short what, void *arg)
{
	struct master *master = arg;
	size_t before = bindings_count(master->bindings);

	(void)fd;
	(void)what;
	/* The numbers of the sockets that a reload opens follow those that there are. */
	if (reload_is_busy(master->reload)) {
		master_retry_later(master);
		return;
	}
	if (bindings_open(master->bindings) != BINDINGS_OPEN)
		master_retry_later(master);
	if (bindings_count(master->bindings) == before)
		return;
	handover_opened(master->handover);
	supervisor_listeners(master->supervisor);
}

/* For those who look at shared memory alone. */
static void master_show_itself(struct master *master)
{
	static const struct event_what starts = { EVENT_DAEMON, EVENT_GOOD, "" };
	struct shm_master *pages = shm_master(master->shm);

	pages->pid = (uint32_t)getpid();
	pages->heartbeat_ms = clock_now_ms();
	pages->stopping = 0;
	if (!master->follows)
		events_add(master->shm, &starts, "proxyd %s serves, pid %d", PROXYD_VERSION,
			(int)getpid());
	master->observer = observer_new(master->base, master->shm);
}

void master_started(struct master *master)
{
	if (master->pidfile != NULL && pidfile_commit(master->pidfile) < 0) {
		log_error("cannot write the pidfile %s", master->config->conf->global.pidfile);
		master->result = EXIT_CODE_FAILED;
		master_stop(master, 0);
		return;
	}
	log_info("serving; frontends: %zu, workers: %u", master->config->conf->nfrontends,
		master->config->conf->global.workers);
	master_show_itself(master);
	if (program_is_next() && master->ask->daemon)
		daemonize_follow(master_log_is_stderr(master));
	daemonize_ready(master->waiting_fd, master_log_is_stderr(master));
	master->waiting_fd = -1;
	notify_ready();
	if (master->ask->on_serving != NULL)
		master->ask->on_serving(master->ask->arg);
	program_serves();
	sampler_start(master->sampler);
	master->serving = true;
	if (master->hung_up) {
		master->hung_up = false;
		master_hang_up(master);
	}
}

static void on_supervisor_started(void *arg)
{
	master_started(arg);
}

static void on_supervisor_prepared(struct generation *generation, void *arg)
{
	struct master *master = arg;

	if (master->succeed != NULL)
		succeed_prepared(master->succeed);
	else
		reload_prepared(master->reload, generation);
}

static void on_supervisor_unprepared(struct generation *generation, const char *why, void *arg)
{
	struct master *master = arg;

	(void)generation;
	if (master->succeed != NULL)
		succeed_fail(master->succeed, why);
	else
		reload_unprepared(master->reload, why);
}

static void on_supervisor_gone(struct generation *generation, void *arg)
{
	(void)arg;
	log_debug("generation %u is gone", generation->number);
}

static void on_supervisor_taken(pid_t pid, void *arg)
{
	struct master *master = arg;

	upgrade_taken(master->upgrade, pid);
}

static void on_supervisor_keeper_died(void *arg)
{
	struct master *master = arg;

	upgrade_keeper_died(master->upgrade);
}

static void on_supervisor_returned(void *arg)
{
	struct master *master = arg;

	rebalance_returned(master->rebalance);
}

static void on_supervisor_ask(int fd, void *arg)
{
	struct master *master = arg;

	control_ask(master->control, fd);
}

static void on_listener_closed(uint32_t id, void *arg)
{
	struct master *master = arg;

	supervisor_listener_closed(master->supervisor, id);
}

/* Another configuration serves from now on. */
static void on_master_commit(struct config *config, void *arg)
{
	struct master *master = arg;
	const struct conf_global *global = &config->conf->global;

	logs_serve(master->logs, config);
	config_release(master->config);
	master->config = config_hold(config);
	control_config(master->control, config);
	rebalance_bound(master->rebalance, global->rebalance_pct);
	if (global->bind_retry_ms > 0)
		master_retry_later(master);
}

static void on_supervisor_done(bool failed, void *arg)
{
	struct master *master = arg;

	if (failed)
		master->result = EXIT_CODE_FAILED;
	event_base_loopbreak(master->base);
}

static void master_make_children(struct master *master)
{
	const struct supervisor_handlers handlers = {
		.on_started = on_supervisor_started,
		.on_prepared = on_supervisor_prepared,
		.on_unprepared = on_supervisor_unprepared,
		.on_gone = on_supervisor_gone,
		.on_taken = on_supervisor_taken,
		.on_keeper_died = on_supervisor_keeper_died,
		.on_returned = on_supervisor_returned,
		.on_ask = on_supervisor_ask,
		.on_done = on_supervisor_done,
		.arg = master,
	};
	const struct handover_handlers closed = { on_listener_closed, master };

	master->env = (struct supervisor_env){
		.shm = master->shm,
		.privileges = &master->privileges,
		.bindings = master->bindings,
		.detach = master->ask->daemon,
		.keep_stderr = master_log_is_stderr(master),
		.takeover_fd = master->takeover.fd,
	};
	master->handover = handover_new(master->bindings, master->config->conf->global.workers,
		master->generation, &closed);
	master->supervisor =
		supervisor_new(master->base, &master->env, master->handover, &handlers);
	master->rebalance = rebalance_new(master->base, master->supervisor);
	rebalance_bound(master->rebalance, master->config->conf->global.rebalance_pct);
}

static void master_make_reload(struct master *master)
{
	const struct reload_env env = {
		.base = master->base,
		.shm = master->shm,
		.bindings = master->bindings,
		.handover = master->handover,
		.supervisor = master->supervisor,
		.load = master->ask->load,
		.load_arg = master->ask->arg,
		.on_commit = on_master_commit,
		.arg = master,
	};

	master->reload = reload_new(&env);
}

static void master_serve_control(struct master *master)
{
	const struct control_actions actions = master_actions(master);
	const struct view_source source = {
		.conf = master->config->conf,
		.shm = master->shm,
		.generations = supervisor_generations(master->supervisor),
		.last_reload = reload_last(master->reload),
	};

	control_serve(master->control, master->base, &source, &actions);
	control_config(master->control, master->config);
}

static void master_say_binds(const struct master *master)
{
	for (size_t i = 0; i < master->config->conf->nfrontends; i++) {
		const struct conf_frontend *frontend = &master->config->conf->frontends[i];

		for (size_t j = 0; j < frontend->nbinds; j++)
			log_info("frontend %s: %s", frontend->name, frontend->binds[j].text);
	}
	if (master->config->conf->global.admin.bind.text != NULL)
		log_info("admin: %s", master->config->conf->global.admin.bind.text);
}

static void master_serve(struct master *master)
{
	const struct conf_log *log = &master->config->conf->global.log;

	log_open(master->config->log, logs_level(master->shm, master->config->conf), log->format);
	log_info("proxyd %s", PROXYD_VERSION);
	master_say_binds(master);
	if (!master->follows)
		place_commit(master->config->conf, master->shm, master->generation);
	master_make_children(master);
	master->logs = logs_new(master->base, master->shm, master->supervisor);
	master->closing = closing_new(master->base, master->shm, master->supervisor);
	if (!master->follows)
		logs_serve(master->logs, master->config);
	master_make_reload(master);
	master->deleting = deleting_new(master->reload, master->closing, master->shm);
	master_make_upgrade(master);
	master->sampler = sampler_new(master->base, master->shm);
	master->report = report_new(master->base, master->shm);
	master_serve_control(master);
	privileges_reduce(master->config->conf);
	if (master->follows)
		succeed_begin(master);
	else
		supervisor_start(master->supervisor, master->config, master->generation);
	if (master->bind_again && !master->follows)
		master_retry_later(master);
	if (event_base_dispatch(master->base) < 0) {
		log_fatalx("the event loop failed");
		exit(EXIT_CODE_FAILED);
	}
	log_info("stopped");
}

static void master_clean(struct master *master)
{
	/* The clients first: an answer may look at all the rest. */
	control_close(master->control);
	report_free(master->report);
	sampler_free(master->sampler);
	upgrade_free(master->upgrade);
	succeed_free(master->succeed);
	observer_free(master->observer);
	deleting_free(master->deleting);
	reload_free(master->reload);
	logs_free(master->logs);
	closing_free(master->closing);
	rebalance_free(master->rebalance);
	supervisor_free(master->supervisor);
	handover_free(master->handover);
	bindings_free(master->next);
	bindings_free(master->bindings);
	takeover_free(&master->past);
	takeover_socket_close(&master->takeover, master->ours);
	notify_watchdog_free(master->watchdog);
	signals_free(master->signals);
	if (master->retry != NULL)
		event_free(master->retry);
	if (master->base != NULL)
		event_base_free(master->base);
	shm_free(master->shm);
	pidfile_free(master->pidfile);
	/* Nobody logs to its files any more. */
	log_open(NULL, LOG_LEVEL_WARN, LOG_FORMAT_TEXT);
	config_release(master->config);
	config_release(master->first);
	free(master->edits);
}

enum exit_code master_run(const struct master_ask *ask)
{
	struct master master = {
		.ask = ask,
		.config = config_new(ask->conf),
		.waiting_fd = -1,
		.past = { .fd = -1, .socket_fd = -1, .keeper_pidfd = -1 },
		.takeover = { .fd = -1, .directory_fd = -1 },
		.ours = true,
		.result = EXIT_CODE_OK,
	};

	signals_block();
	if (master_prepare(&master) < 0)
		master.result = EXIT_CODE_FAILED;
	else
		master_serve(&master);
	master_clean(&master);
	return master.result;
}
