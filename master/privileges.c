/* User, groups and capabilities, through libcap-ng.
 */
#include "master/privileges.h"

#include <cap-ng.h>
#include <errno.h>
#include <grp.h>
#include <libgen.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/log.h"
#include "conf/conf.h"

static int privileges_find_user(const char *name, struct privileges *privileges)
{
	const struct passwd *user = getpwnam(name);

	if (user == NULL) {
		log_errorx("global.user: there is no user %s", name);
		return -1;
	}
	privileges->uid = user->pw_uid;
	privileges->gid = user->pw_gid;
	privileges->change_user = true;
	privileges->change_group = true;
	return 0;
}

static int privileges_find_group(const char *name, struct privileges *privileges)
{
	const struct group *group = getgrnam(name);

	if (group == NULL) {
		log_errorx("global.group: there is no group %s", name);
		return -1;
	}
	privileges->gid = group->gr_gid;
	privileges->change_group = true;
	return 0;
}

/* Without root we can only stay who we are. */
static int privileges_check_possible(
	const struct conf_global *global, struct privileges *privileges)
{
	if (geteuid() == 0)
		return 0;
	if (privileges->change_user && privileges->uid != geteuid()) {
		log_errorx("global.user: %s: only root may change to it", global->user);
		return -1;
	}
	if (privileges->change_group && privileges->gid != getegid()) {
		log_errorx("global.group: only root may change the group");
		return -1;
	}
	privileges->change_user = false;
	privileges->change_group = false;
	return 0;
}

int privileges_find(const struct conf *conf, struct privileges *privileges_r)
{
	const struct conf_global *global = &conf->global;

	*privileges_r = (struct privileges){ 0 };
	if (global->user[0] != '\0' && privileges_find_user(global->user, privileges_r) < 0)
		return -1;
	if (global->group[0] != '\0' && privileges_find_group(global->group, privileges_r) < 0)
		return -1;
	if (privileges_check_possible(global, privileges_r) < 0)
		return -1;
	if (privileges_r->change_user) {
		privileges_r->ngroups = PRIVILEGES_GROUPS_MAX;
		/* More groups than fit: the first ones. */
		if (getgrouplist(global->user, privileges_r->gid, privileges_r->groups,
			    &privileges_r->ngroups) < 0)
			privileges_r->ngroups = PRIVILEGES_GROUPS_MAX;
	} else if (privileges_r->change_group) {
		privileges_r->ngroups = 1;
		privileges_r->groups[0] = privileges_r->gid;
	}
	if (geteuid() == 0 && !(privileges_r->change_user && privileges_r->uid != 0))
		log_warnx("started as root without global.user: the workers run as root, "
			  "though without capabilities");
	return 0;
}

static int privileges_verify(const struct privileges *privileges)
{
	uid_t uid[3];
	gid_t gid[3];

	if (getresuid(&uid[0], &uid[1], &uid[2]) < 0 || getresgid(&gid[0], &gid[1], &gid[2]) < 0)
		return -1;
	errno = EPERM;
	for (int i = 0; i < 3; i++) {
		if (privileges->change_user && uid[i] != privileges->uid)
			return -1;
		if (privileges->change_group && gid[i] != privileges->gid)
			return -1;
	}
	if (privileges->change_user && privileges->uid != 0 && setuid(0) == 0)
		return -1;
	if (capng_get_caps_process() < 0 || capng_have_capabilities(CAPNG_SELECT_CAPS) > CAPNG_NONE)
		return -1;
	return 0;
}

int privileges_drop(const struct privileges *privileges, const char **what_r)
{
	*what_r = "setgroups";
	if (privileges->change_group &&
		setgroups((size_t)privileges->ngroups, privileges->groups) < 0)
		return -1;
	*what_r = "setresgid";
	if (privileges->change_group &&
		setresgid(privileges->gid, privileges->gid, privileges->gid) < 0)
		return -1;
	/* The bounding set while CAP_SETPCAP is still there; without it nothing can be done, or needs to. */
	capng_get_caps_process();
	if (capng_have_capability(CAPNG_EFFECTIVE, CAP_SETPCAP)) {
		capng_clear(CAPNG_SELECT_BOUNDS);
		*what_r = "the capability bounding set";
		if (capng_apply(CAPNG_SELECT_BOUNDS) < 0)
			return -1;
	}
	*what_r = "setresuid";
	if (privileges->change_user &&
		setresuid(privileges->uid, privileges->uid, privileges->uid) < 0)
		return -1;
	capng_clear(CAPNG_SELECT_CAPS);
	*what_r = "capabilities";
	if (capng_apply(CAPNG_SELECT_CAPS) < 0)
		return -1;
	*what_r = "no_new_privs";
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return -1;
	*what_r = "it did not take effect";
	return privileges_verify(privileges);
}

/* Root without CAP_DAC_OVERRIDE may not write where others own the directory. */
static bool privileges_foreign_directory(const char *path)
{
	char *copy = strdup(path);
	struct stat st;
	bool foreign = copy != NULL && stat(dirname(copy), &st) == 0 && st.st_uid != geteuid();

	free(copy);
	return foreign;
}

static bool privileges_need_override(const struct conf *conf)
{
	if (conf->global.pidfile[0] != '\0' && privileges_foreign_directory(conf->global.pidfile))
		return true;
	if (conf->global.control.path[0] != '\0' &&
		privileges_foreign_directory(conf->global.control.path))
		return true;
	if (conf->global.admin.bind.text != NULL && conf->global.admin.bind.kind == ADDRESS_UNIX &&
		privileges_foreign_directory(conf->global.admin.bind.host))
		return true;
	for (size_t i = 0; i < conf->nfrontends; i++) {
		const struct conf_frontend *frontend = &conf->frontends[i];

		for (size_t j = 0; j < frontend->nbinds; j++) {
			if (frontend->binds[j].kind == ADDRESS_UNIX &&
				privileges_foreign_directory(frontend->binds[j].host))
				return true;
		}
	}
	return false;
}

static bool privileges_need_admin(const struct conf *conf)
{
	for (size_t i = 0; i < conf->nfrontends; i++) {
		if (conf->frontends[i].tcp.transparent)
			return true;
	}
	return false;
}

struct privileges_keep {
	const char *name;
	unsigned capability;
	bool wanted;
};

void privileges_reduce(const struct conf *conf)
{
	const struct privileges_keep keep[] = {
		{ "net_bind_service", CAP_NET_BIND_SERVICE, true },
		{ "setuid", CAP_SETUID, true },
		{ "setgid", CAP_SETGID, true },
		{ "setpcap", CAP_SETPCAP, true },
		{ "kill", CAP_KILL, true }, /* the children are another user's */
		{ "dac_override", CAP_DAC_OVERRIDE, privileges_need_override(conf) },
		{ "net_admin", CAP_NET_ADMIN, privileges_need_admin(conf) },
	};
	bool have[NELEMS(keep)];
	char names[128] = "none";
	size_t len = 0;

	if (capng_get_caps_process() < 0 ||
		capng_have_capabilities(CAPNG_SELECT_CAPS) == CAPNG_NONE)
		return;
	for (size_t i = 0; i < NELEMS(keep); i++)
		have[i] = keep[i].wanted &&
			capng_have_capability(CAPNG_PERMITTED, keep[i].capability);
	capng_clear(CAPNG_SELECT_CAPS);
	for (size_t i = 0; i < NELEMS(keep); i++) {
		if (!have[i])
			continue;
		capng_update(CAPNG_ADD, CAPNG_EFFECTIVE | CAPNG_PERMITTED, keep[i].capability);
		len += (size_t)snprintf(
			names + len, sizeof(names) - len, "%s%s", len > 0 ? " " : "", keep[i].name);
	}
	if (capng_apply(CAPNG_SELECT_CAPS) < 0)
		log_warn("cannot give up capabilities");
	else
		log_info("capabilities kept: %s", names);
}

void privileges_pass_on(void)
{
	if (geteuid() == 0 || capng_get_caps_process() < 0)
		return;
	for (int i = 0; i <= CAP_LAST_CAP; i++) {
		if (capng_have_capability(CAPNG_PERMITTED, (unsigned)i))
			capng_update(CAPNG_ADD, CAPNG_INHERITABLE, (unsigned)i);
	}
	if (capng_apply(CAPNG_SELECT_CAPS) < 0)
		return;
	for (int i = 0; i <= CAP_LAST_CAP; i++) {
		if (capng_have_capability(CAPNG_PERMITTED, (unsigned)i))
			prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, i, 0, 0);
	}
}
