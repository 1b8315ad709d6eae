/* The stages of a start, each of which undoes nothing itself: master_clean takes back whatever was made.
 * Until the addresses are bound, everything that goes wrong is said on stderr, wherever the log goes.
 */
#include <event2/event.h>
#include <string.h>
#include <sys/resource.h>

#include "common/clock.h"
#include "common/log.h"
#include "common/shm.h"
#include "common/title.h"
#include "conf/conf.h"
#include "master/bindings.h"
#include "master/config.h"
#include "master/control.h"
#include "master/daemonize.h"
#include "master/first.h"
#include "master/hosts.h"
#include "master/limits.h"
#include "master/master_impl.h"
#include "master/notify.h"
#include "master/pidfile.h"
#include "master/place.h"
#include "master/signals.h"

#define MASTER_RECORDS_MIN 64

bool master_log_is_stderr(const struct master *master)
{
	return strcmp(master->config->conf->global.log.to, "stderr") == 0;
}

static int master_open_logs(struct master *master)
{
	char why[512];

	if (config_open_logs(master->config, why, sizeof(why)) == 0)
		return 0;
	log_errorx("%s", why);
	return -1;
}

static int master_open_pidfile(struct master *master)
{
	const char *path = master->config->conf->global.pidfile;

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
	return place_objects(master->config->conf, master->shm);
}

static int master_check_limit(const struct master *master)
{
	char why[512];

	if (limits_check(bindings_wanted(master->bindings), master->config->conf->global.workers,
		    why, sizeof(why)) == 0)
		return 0;
	log_errorx("%s", why);
	return -1;
}

static int master_bind(struct master *master)
{
	struct hosts *hosts = hosts_resolve(master->config->conf);
	int result = -1;

	if (hosts != NULL)
		master->bindings = bindings_new(master->config->conf, hosts, NULL, NULL);
	if (master->bindings != NULL && master_check_limit(master) == 0) {
		enum bindings_result opened = bindings_open(master->bindings);

		master->bind_again = opened == BINDINGS_RETRY;
		result = opened == BINDINGS_FAILED ? -1 : 0;
	}
	hosts_free(hosts);
	/* So that the first client finds a server. */
	if (result == 0)
		first_resolve(master->config->conf, master->shm);
	return result;
}

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
	master->retry = evtimer_new(master->base, on_master_retry, master);
	if (master->retry == NULL) {
		log_errorx("no memory for a timer");
		return -1;
	}
	master->watchdog = notify_watchdog_new(master->base);
	return 0;
}

int master_prepare(struct master *master)
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
	if (privileges_find(master->config->conf, &master->privileges) < 0)
		return -1;
	/* Before anything is bound: a second daemon is told about the first, not about its ports. */
	master->control = control_open(master->config->conf, master->ask->control_optional);
	if (master->control == NULL)
		return -1;
	if (master_open_shm(master) < 0 || master_bind(master) < 0)
		return -1;
	return master_open_loop(master);
}
