/* What the control socket and SIGHUP ask of the master.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/log.h"
#include "conf/conf.h"
#include "conf/diff.h"
#include "conf/load.h"
#include "master/change/closing.h"
#include "master/change/deleting.h"
#include "master/change/edits.h"
#include "master/change/program.h"
#include "master/change/reload.h"
#include "master/change/upgrade.h"
#include "master/children/rebalance.h"
#include "master/config.h"
#include "master/control/control.h"
#include "master/logs.h"
#include "master/master_impl.h"
#include "master/notify.h"

void master_hang_up(struct master *master)
{
	if (master->stops > 0)
		return;
	/* Not lost: it comes when there is something to replace, or the next master hears of it. */
	if (!master->serving || upgrade_is_busy(master->upgrade)) {
		master->hung_up = true;
		return;
	}
	log_info("SIGHUP: loading the configuration again");
	/* Whatever comes of that: who rotated the files counts on it. */
	logs_reopen(master->logs, NULL);
	reload_ask(master->reload, 0, NULL);
}

static const char *master_not_now(const struct master *master)
{
	if (master->stops > 0)
		return "proxyd stops";
	return master->serving ? NULL : "proxyd is not serving yet";
}

static const char *on_act_reload(uint32_t confirm_ms, struct reload_waiter *waiter, void *arg)
{
	struct master *master = arg;
	const char *why = master_not_now(master);

	if (why == NULL && upgrade_is_busy(master->upgrade))
		why = "an upgrade is under way";
	if (why == NULL)
		reload_ask(master->reload, confirm_ms, waiter);
	return why;
}

static const char *on_act_rollback(struct reload_waiter *waiter, void *arg)
{
	struct master *master = arg;
	const char *why = master_not_now(master);

	if (why == NULL && !reload_rollback(master->reload, waiter))
		why = "there is no previous configuration";
	return why;
}

static const char *on_act_confirm(void *arg)
{
	struct master *master = arg;

	return reload_confirm(master->reload) ? NULL : "nothing waits to be confirmed";
}

static const char *on_act_edit(
	const char *line, bool close, struct reload_waiter *waiter, void *arg)
{
	struct master *master = arg;
	const char *why = master_not_now(master);

	if (why == NULL && upgrade_is_busy(master->upgrade))
		why = "an upgrade is under way";
	if (why == NULL && close)
		why = deleting_ask(master->deleting, line, waiter);
	else if (why == NULL)
		why = reload_edit(master->reload, line, waiter);
	return why;
}

static const char *on_act_close_session(uint64_t id, struct reload_waiter *waiter, void *arg)
{
	struct master *master = arg;
	const char *why = master_not_now(master);

	if (why == NULL)
		closing_relay(master->closing, id, waiter);
	return why;
}

static const char *on_act_close_sessions(uint32_t place, struct reload_waiter *waiter, void *arg)
{
	struct master *master = arg;
	const char *why = master_not_now(master);

	if (why == NULL)
		closing_server(master->closing, place, waiter);
	return why;
}

static const char *on_act_log_reopen(struct reload_waiter *waiter, void *arg)
{
	struct master *master = arg;
	const char *why = master_not_now(master);

	if (why == NULL)
		logs_reopen(master->logs, waiter);
	return why;
}

static const char *on_act_log_level(enum log_level level, struct reload_waiter *waiter, void *arg)
{
	struct master *master = arg;
	const char *why = master_not_now(master);

	if (why == NULL)
		logs_set_level(master->logs, level, waiter);
	return why;
}

static void on_act_forget(struct reload_waiter *waiter, void *arg)
{
	struct master *master = arg;

	logs_forget(master->logs, waiter);
	closing_forget(master->closing, waiter);
	deleting_forget(master->deleting, waiter);

	reload_forget(master->reload, waiter);
	upgrade_forget(master->upgrade, waiter);
}

static const char *on_act_rebalance(uint64_t *relays_r, void *arg)
{
	struct master *master = arg;
	const char *why = master_not_now(master);

	if (why == NULL)
		*relays_r = rebalance_now(master->rebalance);
	return why;
}

/* ------------------------------------------------------------------ upgrade */

static const char *on_act_upgrade(const char *binary, struct reload_waiter *waiter, void *arg)
{
	struct master *master = arg;
	const char *why = master_not_now(master);

	if (why == NULL && !reload_can_be_inherited(master->reload))
		why = "a reload waits to be confirmed, and the configuration before is too long for the "
		      "next master to go back to: `confirm` or `rollback` first";
	return why != NULL ? why : upgrade_ask(master->upgrade, binary, waiter);
}

void master_upgrade(struct master *master)
{
	const char *why = on_act_upgrade(NULL, NULL, master);

	if (why == NULL)
		log_info("SIGUSR2: %s takes over", program_binary());
	else
		log_warnx("SIGUSR2: no upgrade: %s", why);
}

/* Where the run directory was replaced: another socket, and a keeper that answers there. */
static const char *master_mend_takeover(struct master *master)
{
	const struct rundir_path path = master->takeover.path;
	const uid_t uid = master->privileges.change_user ? master->privileges.uid : geteuid();
	char why[128];

	takeover_socket_close(&master->takeover, false);
	if (takeover_socket_open(&path, uid, &master->takeover, why, sizeof(why)) < 0) {
		log_errorx("cannot have %s: %s", path.text, why);
		master->takeover.path = path;
		return "the next master would not find the keeper";
	}
	master->env.takeover_fd = master->takeover.fd;
	supervisor_replace_keeper(master->supervisor);
	return NULL;
}

static const char *on_upgrade_obstacle(void *arg)
{
	struct master *master = arg;

	if (master->takeover.path.text[0] == '\0')
		return "without a control socket there is nothing to take over by";
	if (takeover_socket_is_there(&master->takeover))
		return NULL;
	return master_mend_takeover(master);
}

/* Not a step further: all that a regular end takes back is the next master's. */
static void on_upgrade_taken(pid_t pid, void *arg)
{
	struct master *master = arg;

	notify_main(pid);
	if (master->hung_up)
		kill(pid, SIGHUP);
	control_pass_on(master->control);
	fflush(NULL);
	_exit(EXIT_CODE_OK);
}

static void on_upgrade_over(void *arg)
{
	struct master *master = arg;
	const bool hung_up = master->hung_up;

	master->hung_up = false;
	if (hung_up)
		master_hang_up(master);
}

void master_make_upgrade(struct master *master)
{
	const struct upgrade_env env = {
		.base = master->base,
		.supervisor = master->supervisor,
		.reload = master->reload,
		.obstacle = on_upgrade_obstacle,
		.on_taken = on_upgrade_taken,
		.on_over = on_upgrade_over,
		.arg = master,
	};

	master->upgrade = upgrade_new(&env);
}

/* What is loaded is gone again when the differences are known. */
static struct conf_diff *on_act_diff(const char *path, struct conf_errors *errors, void *arg)
{
	struct master *master = arg;
	struct conf_edits *edits = edits_read(master->shm);
	struct conf_overrides overrides = *master->ask->overrides;
	struct conf *conf;
	struct conf_diff *diff;

	overrides.edits = edits;
	if (path == NULL)
		conf = master->ask->load(edits, errors, master->ask->arg);
	else
		conf = conf_load_file(path, &overrides, errors);
	free(edits);
	if (conf == NULL)
		return NULL;
	diff = conf_diff(master->config->conf, conf);
	conf_free(conf);
	return diff;
}

struct control_actions master_actions(struct master *master)
{
	return (struct control_actions){
		.stop = on_master_stop,
		.reload = on_act_reload,
		.rollback = on_act_rollback,
		.confirm = on_act_confirm,
		.forget = on_act_forget,
		.edit = on_act_edit,
		.close_session = on_act_close_session,
		.close_sessions = on_act_close_sessions,
		.log_reopen = on_act_log_reopen,
		.log_level = on_act_log_level,
		.upgrade = on_act_upgrade,
		.rebalance = on_act_rebalance,
		.diff = on_act_diff,
		.arg = master,
	};
}
