/* The stages of a start, each of which undoes nothing itself: master_clean takes back whatever was made.
 * Until the addresses are bound, everything that goes wrong is said on stderr, wherever the log goes.
 */
#include "master/master.h"

#include <errno.h>
#include <event2/event.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "common/clock.h"
#include "common/log.h"
#include "common/shm.h"
#include "common/sink.h"
#include "common/title.h"
#include "conf/conf.h"
#include "master/bindings.h"
#include "master/control.h"
#include "master/daemonize.h"
#include "master/first.h"
#include "master/handover.h"
#include "master/hosts.h"
#include "master/notify.h"
#include "master/pidfile.h"
#include "master/place.h"
#include "master/privileges.h"
#include "master/signals.h"
#include "master/supervisor.h"

#define MASTER_GENERATION  1
#define MASTER_FDS_OWN     18 /* logs, loop, signals, shared memory, control socket */
#define MASTER_RECORDS_MIN 64

struct master {
	const struct master_ask *ask; /* borrowed */
	struct conf *conf;            /* borrowed */
	struct daemonize *daemonize;  /* owned until it serves */
	struct pidfile *pidfile;      /* owned */
	struct sink *log;             /* owned */
	struct sink *access_log;      /* owned; NULL when off */
	struct privileges privileges;
	struct control *control;   /* owned */
	struct shm *shm;           /* owned */
	struct bindings *bindings; /* owned */
	bool bind_again;           /* some addresses are to be tried again */
	struct event_base *base;   /* owned */
	struct signals *signals;   /* owned */
	struct event *retry;       /* owned timer: bind_retry */
	struct notify *watchdog;   /* owned */
	struct handover *handover; /* owned */
	struct spawn_env spawn;
	struct supervisor *supervisor; /* owned */
	unsigned stops;                /* how often we were asked */
	enum exit_code result;
};

static bool master_log_is_stderr(const struct master *master)
{
	return strcmp(master->conf->global.log.to, "stderr") == 0;
}

/* ---------------------------------------------------------------- prepare */

static struct sink *master_open_sink(const char *key, const char *to)
{
	const char *error;
	struct sink *sink = sink_open(to, &error);

	if (sink == NULL)
		log_errorx("%s: cannot open %s: %s", key, to, error);
	return sink;
}

static int master_open_logs(struct master *master)
{
	const struct conf_global *global = &master->conf->global;

	master->log = master_open_sink("global.log", global->log.to);
	if (master->log == NULL)
		return -1;
	if (strcmp(global->access_log.to, "off") == 0)
		return 0;
	master->access_log = master_open_sink("global.access_log", global->access_log.to);
	return master->access_log != NULL ? 0 : -1;
}

static int master_open_pidfile(struct master *master)
{
	const char *path = master->conf->global.pidfile;

	if (path[0] == '\0')
		return 0;
	master->pidfile = pidfile_prepare(path);
	if (master->pidfile != NULL)
		return 0;
	log_error("cannot write the pidfile %s", path);
	return -1;
}

/* As many fds as we may have; then the relays that fit decide about the records. */
static int master_open_shm(struct master *master)
{
	struct rlimit limit;
	const char *error;
	rlim_t records = MASTER_RECORDS_MIN;

	if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
		limit.rlim_cur = limit.rlim_max;
		if (setrlimit(RLIMIT_NOFILE, &limit) < 0)
			log_warn("cannot raise the limit of open files");
		getrlimit(RLIMIT_NOFILE, &limit);
		records = limit.rlim_cur;
	}
	if (records < MASTER_RECORDS_MIN)
		records = MASTER_RECORDS_MIN;
	if (records > SHM_RECORDS_MAX)
		records = SHM_RECORDS_MAX;
	master->shm = shm_create((uint32_t)records, &error);
	if (master->shm == NULL) {
		log_errorx("cannot have shared memory: %s", error);
		return -1;
	}
	shm_master(master->shm)->generation = MASTER_GENERATION;
	shm_master(master->shm)->started_ms = clock_now_ms();
	return place_objects(master->conf, master->shm);
}

static int master_check_limit(const struct master *master)
{
	const size_t children = master->conf->global.workers + 1;
	const size_t needed = bindings_wanted(master->bindings) + 2 * children + MASTER_FDS_OWN;
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) < 0 || needed <= limit.rlim_cur)
		return 0;
	log_errorx(
		"%zu listening sockets need a limit of at least %zu open files, it is %llu; raise it "
		"(ulimit -n, LimitNOFILE=) or use fewer workers",
		bindings_wanted(master->bindings), needed, (unsigned long long)limit.rlim_cur);
	return -1;
}

static int master_bind(struct master *master)
{
	struct hosts *hosts = hosts_resolve(master->conf);
	int result = -1;

	if (hosts != NULL)
		master->bindings = bindings_new(master->conf, hosts);
	if (master->bindings != NULL && master_check_limit(master) == 0) {
		enum bindings_result opened = bindings_open(master->bindings);

		master->bind_again = opened == BINDINGS_RETRY;
		result = opened == BINDINGS_FAILED ? -1 : 0;
	}
	hosts_free(hosts);
	/* So that the first client finds a server. */
	if (result == 0)
		first_resolve(master->conf, master->shm);
	return result;
}

static void on_master_signal(int number, void *arg);
static void on_retry_timer(evutil_socket_t fd, short what, void *arg);

static int master_open_loop(struct master *master)
{
	master->base = event_base_new();
	if (master->base == NULL) {
		log_errorx("no event loop");
		return -1;
	}
	master->signals = signals_new(master->base, on_master_signal, master);
	if (master->signals == NULL) {
		log_error("signals");
		return -1;
	}
	master->retry = evtimer_new(master->base, on_retry_timer, master);
	if (master->retry == NULL) {
		log_errorx("no memory for a timer");
		return -1;
	}
	master->watchdog = notify_watchdog_new(master->base);
	return 0;
}

static int master_prepare(struct master *master)
{
	if (master->ask->daemon) {
		master->daemonize = daemonize_begin();
		if (master->daemonize == NULL) {
			log_error("cannot go to the background");
			return -1;
		}
		if (master_log_is_stderr(master))
			log_warnx(
				"in the background with the log on stderr, where perhaps nobody reads it: "
				"see global.log.to");
	}
	/* Not earlier: the process that waits in the foreground can be interrupted. */
	signals_block();
	title_set("master");
	log_set_process("master");
	if (master_open_logs(master) < 0 || master_open_pidfile(master) < 0)
		return -1;
	if (privileges_find(master->conf, &master->privileges) < 0)
		return -1;
	/* Before anything is bound: a second daemon is told about the first, not about its ports. */
	master->control = control_open(master->conf, master->ask->control_optional);
	if (master->control == NULL)
		return -1;
	if (master_open_shm(master) < 0 || master_bind(master) < 0)
		return -1;
	return master_open_loop(master);
}

/* ---------------------------------------------------------------- serve */

static void master_stop(struct master *master, uint32_t drain_ms)
{
	control_stopping(master->control);
	evtimer_del(master->retry);
	supervisor_stop(master->supervisor, drain_ms);
	/* After the workers know: what waits in the queues is theirs to accept. */
	bindings_close(master->bindings);
}

static void master_begin_stop(struct master *master)
{
	const uint32_t drain_ms = master->conf->global.drain_timeout_ms;
	const uint32_t relays = shm_shared(master->shm)->active;

	if (relays == 0)
		log_info("stopping");
	else if (drain_ms == CONF_FOREVER)
		log_info("stopping: %u relays may finish", relays);
	else
		log_info("stopping: %u relays have %u ms to finish", relays, drain_ms);
	notify_stopping();
	master_stop(master, drain_ms);
}

static void master_asked_to_stop(struct master *master, int number)
{
	if (master->stops++ == 0) {
		master_begin_stop(master);
		return;
	}
	log_info("signal %d again: stopping now", number);
	master_stop(master, 0);
}

/* Unlike a signal, a second one without now changes nothing. */
static void on_control_stop(bool now, void *arg)
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

static void on_master_signal(int number, void *arg)
{
	struct master *master = arg;

	switch (number) {
	case SIGTERM:
	case SIGINT:
	case SIGQUIT:
		master_asked_to_stop(master, number);
		return;
	case SIGHUP:
		log_warnx("SIGHUP: this version cannot reload yet; it serves on as it is");
		return;
	case SIGUSR1:
		log_warnx("SIGUSR1: this version has no statistics yet");
		return;
	case SIGUSR2:
		log_warnx("SIGUSR2: this version cannot be upgraded while it runs yet");
		return;
	}
	MUST(!"a signal that was not blocked");
}

static void master_retry_later(struct master *master)
{
	const uint32_t ms = master->conf->global.bind_retry_ms;
	const struct timeval delay = { .tv_sec = ms / 1000,
		.tv_usec = (suseconds_t)(ms % 1000) * 1000 };

	evtimer_add(master->retry, &delay);
}

static void on_retry_timer(evutil_socket_t fd, short what, void *arg)
{
	struct master *master = arg;
	size_t before = bindings_count(master->bindings);

	(void)fd;
	(void)what;
	if (bindings_open(master->bindings) != BINDINGS_OPEN)
		master_retry_later(master);
	if (bindings_count(master->bindings) > before)
		handover_opened(master->handover);
}

static void on_supervisor_started(void *arg)
{
	struct master *master = arg;

	if (master->pidfile != NULL && pidfile_commit(master->pidfile) < 0) {
		log_error("cannot write the pidfile %s", master->conf->global.pidfile);
		master->result = EXIT_CODE_FAILED;
		master_stop(master, 0);
		return;
	}
	log_info("serving; frontends: %zu, workers: %u", master->conf->nfrontends,
		master->conf->global.workers);
	daemonize_ready(master->daemonize, master_log_is_stderr(master));
	master->daemonize = NULL;
	notify_ready();
	if (master->ask->on_serving != NULL)
		master->ask->on_serving(master->ask->arg);
}

static void on_supervisor_done(bool failed, void *arg)
{
	struct master *master = arg;

	if (failed)
		master->result = EXIT_CODE_FAILED;
	event_base_loopbreak(master->base);
}

static void master_start_children(struct master *master)
{
	const struct supervisor_handlers handlers = {
		.on_started = on_supervisor_started,
		.on_done = on_supervisor_done,
		.arg = master,
	};

	master->spawn = (struct spawn_env){
		.conf = master->conf,
		.shm = master->shm,
		.log = master->log,
		.access_log = master->access_log,
		.privileges = &master->privileges,
		.detach = master->ask->daemon,
		.keep_stderr = master_log_is_stderr(master),
	};
	master->handover =
		handover_new(master->bindings, master->conf->global.workers, MASTER_GENERATION);
	master->supervisor = supervisor_new(
		master->base, &master->spawn, master->handover, MASTER_GENERATION, &handlers);
	supervisor_start(master->supervisor);
}

static void master_say_binds(const struct master *master)
{
	for (size_t i = 0; i < master->conf->nfrontends; i++) {
		const struct conf_frontend *frontend = &master->conf->frontends[i];

		for (size_t j = 0; j < frontend->nbinds; j++)
			log_info("frontend %s: %s", frontend->name, frontend->binds[j].text);
	}
}

static void master_serve(struct master *master)
{
	const struct conf_log *log = &master->conf->global.log;
	const struct control_actions actions = { .stop = on_control_stop, .arg = master };

	log_open(master->log, log->level, log->format);
	log_info("proxyd %s", PROXYD_VERSION);
	master_say_binds(master);
	control_serve(master->control, master->base, master->shm, &actions);
	privileges_reduce(master->conf);
	master_start_children(master);
	if (master->bind_again)
		master_retry_later(master);
	if (event_base_dispatch(master->base) < 0) {
		log_fatalx("the event loop failed");
		exit(EXIT_CODE_FAILED);
	}
	log_info("stopped");
}

static void master_clean(struct master *master)
{
	supervisor_free(master->supervisor);
	handover_free(master->handover);
	bindings_free(master->bindings);
	notify_watchdog_free(master->watchdog);
	signals_free(master->signals);
	if (master->retry != NULL)
		event_free(master->retry);
	control_close(master->control);
	if (master->base != NULL)
		event_base_free(master->base);
	shm_free(master->shm);
	pidfile_free(master->pidfile);
	/* Nobody logs to them any more. */
	log_open(NULL, LOG_LEVEL_WARN, LOG_FORMAT_TEXT);
	if (master->access_log != NULL)
		sink_close(master->access_log);
	if (master->log != NULL)
		sink_close(master->log);
}

enum exit_code master_run(const struct master_ask *ask)
{
	struct master master = { .ask = ask, .conf = ask->conf, .result = EXIT_CODE_OK };

	signals_block();
	if (master_prepare(&master) < 0)
		master.result = EXIT_CODE_FAILED;
	else
		master_serve(&master);
	master_clean(&master);
	return master.result;
}
