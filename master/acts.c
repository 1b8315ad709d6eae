/* What the control socket and SIGHUP ask of the master.
 */
#include <string.h>

#include "common/log.h"
#include "conf/conf.h"
#include "conf/diff.h"
#include "conf/load.h"
#include "master/config.h"
#include "master/master_impl.h"
#include "master/rebalance.h"
#include "master/reload.h"

void master_hang_up(struct master *master)
{
	if (master->stops > 0)
		return;
	/* Not lost: it comes when there is something to replace. */
	if (!master->serving) {
		master->hung_up = true;
		return;
	}
	log_info("SIGHUP: loading the configuration again");
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

static void on_act_forget(struct reload_waiter *waiter, void *arg)
{
	struct master *master = arg;

	reload_forget(master->reload, waiter);
}

static const char *on_act_rebalance(uint64_t *relays_r, void *arg)
{
	struct master *master = arg;
	const char *why = master_not_now(master);

	if (why == NULL)
		*relays_r = rebalance_now(master->rebalance);
	return why;
}

/* What is loaded is gone again when the differences are known. */
static struct conf_diff *on_act_diff(const char *path, struct conf_errors *errors, void *arg)
{
	struct master *master = arg;
	struct conf *conf = path == NULL ? master->ask->load(errors, master->ask->arg)
					 : conf_load_file(path, master->ask->overrides, errors);
	struct conf_diff *diff;

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
		.rebalance = on_act_rebalance,
		.diff = on_act_diff,
		.arg = master,
	};
}
