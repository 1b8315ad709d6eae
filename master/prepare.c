/* The stages of a start, each of which undoes nothing itself: master_clean takes back whatever was made.
 * Until the addresses are bound, everything that goes wrong is said on stderr, wherever the log goes.
 */
#include <event2/event.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/log.h"
#include "common/shm.h"
#include "common/title.h"
#include "conf/conf.h"
#include "conf/load.h"
#include "master/change/edits.h"
#include "master/change/program.h"
#include "master/config.h"
#include "master/control/control.h"
#include "master/control/socket.h"
#include "master/daemonize.h"
#include "master/first.h"
#include "master/hosts.h"
#include "master/limits.h"
#include "master/listen/bindings.h"
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
	const char *error = "";
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
	if (master->past.shm != NULL) {
		master->shm = master->past.shm;
		master->past.shm = NULL;
	} else {
		master->shm = shm_create((uint32_t)records, &error);
	}
	if (master->shm == NULL) {
		log_errorx("cannot have shared memory: %s", error);
		return -1;
	}
	if (!master->follows || master->past.foreign) {
		shm_master(master->shm)->generation = 1;
		shm_master(master->shm)->started_ms = clock_now_ms();
	}
	return place_objects(master->config->conf, master->shm);
}

/* A number that no process has that there is. */
static uint32_t master_next_generation(const struct master *master)
{
	struct shm *shm = master->shm;
	uint32_t highest = shm_master(shm)->generation;

	if (!master->follows || master->past.foreign)
		return 1;
	for (uint32_t i = 0; i < shm_master(shm)->slots; i++) {
		const uint32_t generation = shm_slot(shm, i)->generation;

		if (shm_slot(shm, i)->state != SLOT_FREE && generation > highest)
			highest = generation;
	}
	return highest + 1;
}

/* Where a next master finds the keeper. We go on without where that cannot be had. */
static void master_open_takeover(struct master *master)
{
	const uid_t uid = master->privileges.change_user ? master->privileges.uid : geteuid();
	struct rundir_path control;
	struct rundir_path path;
	char why[128];
	int result;

	if (!control_has_socket(master->control) ||
		control_socket_path(master->config->conf->global.control.path, &control) < 0 ||
		takeover_path(&control, &path) < 0)
		return;
	if (master->follows) {
		result = takeover_socket_take(
			&path, master->past.socket_fd, &master->takeover, why, sizeof(why));
		master->past.socket_fd = -1;
	} else {
		result = takeover_socket_open(&path, uid, &master->takeover, why, sizeof(why));
	}
	if (result < 0)
		log_warnx("cannot have %s: %s; no other master can take over", path.text, why);
}

static int master_check_limit(const struct master *master, size_t sockets)
{
	char why[512];

	if (limits_check(sockets, master->config->conf->global.workers, why, sizeof(why)) == 0)
		return 0;
	log_errorx("%s", why);
	return -1;
}

/* What is to be opened, and of how many sockets in all. */
static struct bindings *master_new_bindings(
	struct master *master, const struct hosts *hosts, size_t *sockets_r)
{
	struct bindings *bindings = bindings_new(master->config->conf, hosts, NULL, NULL);

	if (bindings == NULL)
		return NULL;
	if (!master->follows) {
		master->bindings = bindings;
		*sockets_r = bindings_wanted(bindings);
		return bindings;
	}
	master->next = bindings;
	master->bindings = bindings_found(master->past.listeners, master->past.nlisteners);
	bindings_inherit(bindings, master->bindings);
	*sockets_r = bindings_count(master->bindings) + bindings_missing(bindings);
	return bindings;
}

static int master_bind(struct master *master)
{
	struct hosts *hosts = hosts_resolve(master->config->conf);
	struct bindings *bindings = NULL;
	size_t sockets = 0;
	int result = -1;

	if (hosts != NULL)
		bindings = master_new_bindings(master, hosts, &sockets);
	if (bindings != NULL && master_check_limit(master, sockets) == 0) {
		enum bindings_result opened = bindings_open(bindings);

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

static int master_open_control(struct master *master)
{
	const struct control_before before = {
		.is_there = master->follows,
		.pid = program_is_next() ? getppid() : 0,
	};

	master->control =
		control_open(master->config->conf, master->ask->control_optional, &before);
	if (master->control == NULL)
		return -1;
	if (!master->follows || control_has_socket(master->control))
		return 0;
	/* Without a socket of our own, what another left is not ours. */
	takeover_free(&master->past);
	master->follows = false;
	master->ours = true;
	return 0;
}

/* What an operator added and deleted goes on. Where that does not fit the file any more, the file is more. */
static int master_add_edits(struct master *master)
{
	struct conf_errors errors = { 0 };
	struct conf *conf;

	if (!master->follows || master->past.shm == NULL || master->past.foreign)
		return 0;
	master->edits = edits_read(master->past.shm);
	if (master->edits->count == 0)
		return 0;
	conf = master->ask->load(master->edits, &errors, master->ask->arg);
	if (conf == NULL) {
		for (size_t i = 0; i < errors.count; i++)
			log_errorx("%s", errors.lines[i]);
		log_errorx("servers that were added or deleted are forgotten: they do not fit the "
			   "file any more");
		conf_errors_free(&errors);
		master->edits->count = 0;
		return 0;
	}
	/* The one before is pointed to. */
	master->first = master->config;
	master->config = config_new(conf);
	return master_open_logs(master);
}

int master_prepare(struct master *master)
{
	/* Where another master started us we are in the background already. */
	if (master->ask->daemon && !program_is_next()) {
		master->waiting_fd = daemonize_begin();
		if (master->waiting_fd < 0) {
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
	if (succeed_find(master) < 0 || master_add_edits(master) < 0)
		return -1;
	/* Before anything is bound: a second daemon is told about the first, not about its ports. */
	if (master_open_control(master) < 0)
		return -1;
	master_open_takeover(master);
	if (master_open_shm(master) < 0 || master_bind(master) < 0)
		return -1;
	master->generation = master_next_generation(master);
	return master_open_loop(master);
}
