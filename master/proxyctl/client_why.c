/* Why nobody can be asked, and what to do about it: nobody listens, another kind of socket, no permission.
 */
#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "master/proxyctl/client.h"

#define WHY_GROUPS_MAX 256

static const char *why_user(uid_t uid, char *buf, size_t bytes)
{
	const struct passwd *user = getpwuid(uid);

	if (user != NULL)
		snprintf(buf, bytes, "%s", user->pw_name);
	else
		snprintf(buf, bytes, "%u", (unsigned)uid);
	return buf;
}

static const char *why_group(gid_t gid, char *buf, size_t bytes)
{
	const struct group *group = getgrgid(gid);

	if (group != NULL)
		snprintf(buf, bytes, "%s", group->gr_name);
	else
		snprintf(buf, bytes, "%u", (unsigned)gid);
	return buf;
}

static bool why_has_group(const gid_t groups[], int n, gid_t gid)
{
	for (int i = 0; i < n; i++)
		if (groups[i] == gid)
			return true;
	return false;
}

/* Of this process, as `id` shows it. */
static bool why_in_group(gid_t gid)
{
	gid_t groups[WHY_GROUPS_MAX] = { 0 };
	const int n = getgroups(WHY_GROUPS_MAX, groups);

	return getegid() == gid || why_has_group(groups, n, gid);
}

/* Of the user, from the next login on. */
static bool why_will_be_in_group(gid_t gid)
{
	const struct passwd *user = getpwuid(geteuid());
	gid_t groups[WHY_GROUPS_MAX] = { 0 };
	int n = WHY_GROUPS_MAX;

	return user != NULL && getgrouplist(user->pw_name, user->pw_gid, groups, &n) >= 0 &&
		why_has_group(groups, n, gid);
}

/* What would help. */
static void why_add_remedy(const struct stat *st, struct ctl_why *why)
{
	char user[64], group[64];

	why_user(geteuid(), user, sizeof(user));
	why_group(st->st_gid, group, sizeof(group));
	if ((st->st_mode & 060) == 0 || why_in_group(st->st_gid))
		ctl_why_add(why, "; you are %s: ask as that user or as root", user);
	else if (why_will_be_in_group(st->st_gid))
		ctl_why_add(why,
			"; you are %s, in group %s only from the next login on (`id` does not show it yet)",
			user, group);
	else
		ctl_why_add(why,
			"; you are %s and not in group %s (`usermod -aG %s %s` would change that)",
			user, group, group, user);
}

/* Whose it is, as far as that can be seen from here: the socket's, or its directory's. */
static enum ctl_exit why_denied(const char *path, struct ctl_why *why_r)
{
	char directory[RUNDIR_PATH_BYTES];
	char user[64], group[64];
	const char *what = path;
	struct stat st;

	if (stat(path, &st) < 0) {
		snprintf(directory, sizeof(directory), "%.*s", (int)(rundir_name(path) - path),
			path);
		what = directory;
		if (stat(directory, &st) < 0)
			return ctl_why(why_r, CTL_FAILED,
				"%s: permission denied, already on the way to it", path);
	}
	ctl_why(why_r, CTL_FAILED, "%s: permission denied: %s is for user %s", path, what,
		why_user(st.st_uid, user, sizeof(user)));
	if ((st.st_mode & 060) != 0)
		ctl_why_add(why_r, " and group %s", why_group(st.st_gid, group, sizeof(group)));
	ctl_why_add(why_r, " (mode %04o)", (unsigned)st.st_mode & 07777);
	why_add_remedy(&st, why_r);
	ctl_why_add(why_r, "; see global.control");
	return CTL_FAILED;
}

static bool why_is_socket(const char *path)
{
	struct stat st;

	return stat(path, &st) == 0 && S_ISSOCK(st.st_mode);
}

/* connect() says of many things that they refuse. */
static const char *why_text(const struct rundir_path *path, int error)
{
	struct stat st;

	switch (error) {
	case EPROTOTYPE:
		return "a socket of another kind, not proxyd's control socket";
	case ECONNREFUSED:
		if (!why_is_socket(path->text))
			return "no socket at all";
		break;
	case EAGAIN:
		return "a daemon is there, but it takes nobody: it is stopped or too busy";
	case EPERM:
		if (path->in_tmp)
			return stat(path->text, &st) < 0 && errno == ENOENT
				? strerror(ENOENT)
				: "not asked, for its directory is not this user's alone";
		break;
	default:
		break;
	}
	return strerror(error);
}

enum ctl_exit client_explain(const struct client *client, const int errors[], struct ctl_why *why_r)
{
	for (size_t i = 0; i < client->npaths; i++) {
		if (errors[i] == EACCES)
			return why_denied(client->paths[i].text, why_r);
		if (errors[i] == EINTR)
			return ctl_why(why_r, CTL_FAILED, "interrupted");
	}
	if (client->npaths == 1) {
		ctl_why(why_r, CTL_NOBODY, "nobody answers on %s: %s; is proxyd running?",
			client->paths[0].text, why_text(&client->paths[0], errors[0]));
		if (errors[0] == ECONNREFUSED && why_is_socket(client->paths[0].text))
			ctl_why_add(why_r,
				" (it was once, and did not end well: the file is what it left)");
		return CTL_NOBODY;
	}
	ctl_why(why_r, CTL_NOBODY, "nobody answers; is proxyd running? Tried, in this order:");
	for (size_t i = 0; i < client->npaths; i++)
		ctl_why_add(why_r, "\n  %s: %s", client->paths[i].text,
			why_text(&client->paths[i], errors[i]));
	ctl_why_add(why_r, "\nIf it has another socket (global.control.path), name it: -s SOCKET");
	return CTL_NOBODY;
}
