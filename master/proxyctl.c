/* proxyctl: says one command to the daemon and shows what it answers. The words are the daemon's; only where
 * the socket is, who may use it and how it went is known here.
 */
#include <errno.h>
#include <getopt.h>
#include <grp.h>
#include <poll.h>
#include <pwd.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "common/must.h"
#include "master/rundir.h"

#define PROXYCTL_WAIT_MS  10000  /* for a sign of life */
#define PROXYCTL_LONG_MS  120000 /* of what is answered when it is done */
#define PROXYCTL_LINE_MAX 4096

enum proxyctl_exit {
	PROXYCTL_DONE = 0,
	PROXYCTL_FAILED = 1, /* refused or failed */
	PROXYCTL_USAGE = 2,
	PROXYCTL_NOBODY = 3, /* nobody answers */
};

struct proxyctl {
	size_t npaths;
	struct rundir_path paths[RUNDIR_CANDIDATES];
	const char *path; /* the one that is spoken to */
	int fd;           /* owned; -1 when closed */
	size_t len;
	char line[PROXYCTL_LINE_MAX];
};

static int proxyctl_say(enum proxyctl_exit code, const char *format, ...) PRINTF_LIKE(2, 3);

static int proxyctl_say(enum proxyctl_exit code, const char *format, ...)
{
	va_list args;

	fputs("proxyctl: ", stderr);
	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
	fputc('\n', stderr);
	return (int)code;
}

static void proxyctl_help(FILE *to)
{
	static const struct {
		const char *words;
		const char *arguments;
		const char *help;
	} verbs[] = {
#define CONTROL_VERB(handler, words, arguments, role, help) { words, arguments, help },
#include "master/control_verbs.def"
#undef CONTROL_VERB
	};

	fputs("proxyctl, which talks to a running proxyd\n"
	      "\n"
	      "  proxyctl [-s SOCKET] [--json] COMMAND...\n"
	      "\n",
		to);
	for (size_t i = 0; i < NELEMS(verbs); i++) {
		bool takes = verbs[i].arguments[0] != '\0';
		int len = fprintf(to, "  %s%s%s%s", verbs[i].words, takes ? " [" : "",
			verbs[i].arguments, takes ? "]" : "");

		fprintf(to, "%*s%s\n", len < 26 ? 26 - len : 1, "", verbs[i].help);
	}
	fputs("\n"
	      "  -s, --socket SOCKET     the control socket (else in /run/proxyd, $XDG_RUNTIME_DIR/proxyd,\n"
	      "                          /tmp/proxyd-UID: the first where somebody answers)\n"
	      "      --json              JSON instead of a table\n"
	      "  -V, --version           the version\n"
	      "  -h, --help              this\n"
	      "\n"
	      "  Exit code: 0 done, 1 refused or failed, 2 bad usage, 3 nobody answers.\n",
		to);
}

/* ------------------------------------------------------------------ connecting */

/* Returns -1 with errno. A queue that is full is worth waiting for, a while. */
static int proxyctl_connect(const char *path)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	int saved;

	if (fd < 0)
		return -1;
	snprintf(addr.sun_path, sizeof(addr.sun_path), "%s", path);
	for (int waited_ms = 0;; waited_ms += 50) {
		if (connect(fd, (const struct sockaddr *)&addr, sizeof(addr)) == 0)
			return fd;
		if (errno != EAGAIN || waited_ms >= PROXYCTL_WAIT_MS)
			break;
		poll(NULL, 0, 50);
	}
	saved = errno;
	close(fd);
	errno = saved;
	return -1;
}

/* Whose it is, as far as that can be seen from here: the socket's, or its directory's. */
static int proxyctl_say_permission(const char *path)
{
	char directory[RUNDIR_PATH_BYTES];
	const struct passwd *user;
	const struct group *group;
	const char *what = path;
	struct stat st;

	if (stat(path, &st) < 0) {
		snprintf(directory, sizeof(directory), "%.*s", (int)(rundir_name(path) - path),
			path);
		what = directory;
		if (stat(directory, &st) < 0)
			return proxyctl_say(PROXYCTL_FAILED, "%s: permission denied", path);
	}
	user = getpwuid(st.st_uid);
	group = getgrgid(st.st_gid);
	return proxyctl_say(PROXYCTL_FAILED,
		"%s: permission denied: %s is for user %s%s%s (mode %04o); see global.control",
		path, what, user != NULL ? user->pw_name : "unknown",
		(st.st_mode & 060) != 0 ? " and group " : "",
		(st.st_mode & 060) == 0 ? ""
			: group != NULL ? group->gr_name
					: "unknown",
		(unsigned)st.st_mode & 07777);
}

static int proxyctl_say_nobody(const struct proxyctl *ctl, int error)
{
	char others[RUNDIR_CANDIDATES * (RUNDIR_PATH_BYTES + 2)] = "";

	for (size_t i = 1; i < ctl->npaths; i++) {
		const size_t len = strlen(others);

		snprintf(others + len, sizeof(others) - len, "%s%s", i == 1 ? "" : ", ",
			ctl->paths[i].text);
	}
	return proxyctl_say(PROXYCTL_NOBODY, "nobody answers on %s: %s; is proxyd running?%s%s",
		ctl->paths[0].text, strerror(error),
		others[0] != '\0' ? " other paths tried: " : "", others);
}

/* The first at which somebody listens. One that we may not use is remembered: that is the better reason. */
static int proxyctl_open(struct proxyctl *ctl)
{
	const char *denied = NULL;
	int error = ENOENT;

	for (size_t i = 0; i < ctl->npaths; i++) {
		const struct rundir_path *path = &ctl->paths[i];

		/* Who else made a directory there may only want to be asked. */
		if (path->in_tmp && !rundir_is_private(path))
			continue;
		ctl->fd = proxyctl_connect(path->text);
		if (ctl->fd >= 0) {
			ctl->path = path->text;
			return PROXYCTL_DONE;
		}
		if (errno == EACCES && denied == NULL)
			denied = path->text;
		if (i == 0)
			error = errno;
	}
	if (denied != NULL)
		return proxyctl_say_permission(denied);
	return proxyctl_say_nobody(ctl, error);
}

/* ------------------------------------------------------------------ talking */

/* Some commands are answered when it is done. */
static int proxyctl_patience_ms(const struct proxyctl *ctl)
{
	static const char *const longer[] = { "reload", "rollback" };

	for (size_t i = 0; i < NELEMS(longer); i++) {
		if (strncmp(ctl->line, longer[i], strlen(longer[i])) == 0)
			return PROXYCTL_LONG_MS;
	}
	return PROXYCTL_WAIT_MS;
}

static int proxyctl_wait(const struct proxyctl *ctl, short what)
{
	struct pollfd pollfd = { .fd = ctl->fd, .events = what };
	const int patience_ms = proxyctl_patience_ms(ctl);

	if (poll(&pollfd, 1, patience_ms) > 0)
		return PROXYCTL_DONE;
	return proxyctl_say(PROXYCTL_NOBODY,
		"nobody answers on %s: there is a daemon, but it was silent for %d s", ctl->path,
		patience_ms / 1000);
}

static int proxyctl_ask(const struct proxyctl *ctl)
{
	size_t sent = 0;

	while (sent < ctl->len) {
		ssize_t n = send(ctl->fd, ctl->line + sent, ctl->len - sent, MSG_NOSIGNAL);
		int code;

		if (n > 0) {
			sent += (size_t)n;
			continue;
		}
		if (errno != EAGAIN)
			return proxyctl_say(PROXYCTL_NOBODY, "%s: %s", ctl->path, strerror(errno));
		code = proxyctl_wait(ctl, POLLOUT);
		if (code != PROXYCTL_DONE)
			return code;
	}
	return PROXYCTL_DONE;
}

/* How the answer begins says how it went. */
static enum proxyctl_exit proxyctl_verdict(const char *start)
{
	static const char *const errors[] = { "error: ", "{\"error\":\"" };

	for (size_t i = 0; i < NELEMS(errors); i++) {
		size_t len = strlen(errors[i]);

		if (strncmp(start, errors[i], len) == 0)
			return strncmp(start + len, "usage: ", 7) == 0 ? PROXYCTL_USAGE
								       : PROXYCTL_FAILED;
	}
	return PROXYCTL_DONE;
}

/* Up to bytes; fewer only at the end. Returns the exit code, DONE with *got_r. */
static int proxyctl_read(const struct proxyctl *ctl, char *buf, size_t bytes, size_t *got_r)
{
	*got_r = 0;
	while (*got_r < bytes) {
		ssize_t n = read(ctl->fd, buf + *got_r, bytes - *got_r);
		int code;

		if (n == 0)
			break;
		if (n > 0) {
			*got_r += (size_t)n;
			continue;
		}
		if (errno != EAGAIN && errno != EINTR)
			return proxyctl_say(PROXYCTL_FAILED, "%s: %s", ctl->path, strerror(errno));
		code = proxyctl_wait(ctl, POLLIN);
		if (code != PROXYCTL_DONE)
			return code;
	}
	return PROXYCTL_DONE;
}

static int proxyctl_show(const struct proxyctl *ctl)
{
	char start[24] = "";
	char buf[16384];
	size_t got;
	FILE *to;
	int verdict;
	int code = proxyctl_read(ctl, start, sizeof(start) - 1, &got);

	if (code != PROXYCTL_DONE)
		return code;
	if (got == 0)
		return proxyctl_say(PROXYCTL_NOBODY,
			"%s: the connection was closed without an answer", ctl->path);
	verdict = (int)proxyctl_verdict(start);
	to = verdict == PROXYCTL_DONE ? stdout : stderr;
	if (verdict != PROXYCTL_DONE && start[0] != '{')
		fprintf(to, "proxyctl: %s", start + strlen("error: "));
	else
		fwrite(start, 1, got, to);
	while (code == PROXYCTL_DONE && got > 0 && !ferror(to)) {
		code = proxyctl_read(ctl, buf, sizeof(buf), &got);
		fwrite(buf, 1, got, to);
	}
	if (fflush(to) != 0 || ferror(to))
		return proxyctl_say(PROXYCTL_FAILED, "cannot write: %s", strerror(errno));
	return code != PROXYCTL_DONE ? code : verdict;
}

/* ------------------------------------------------------------------ the command line */

static int proxyctl_add_word(struct proxyctl *ctl, const char *word)
{
	const size_t len = strlen(word);

	if (len == 0 || word[strcspn(word, " \t\r\n")] != '\0')
		return proxyctl_say(
			PROXYCTL_USAGE, "'%s': a word has no blanks; see `proxyctl --help`", word);
	if (ctl->len + len + 2 > sizeof(ctl->line))
		return proxyctl_say(PROXYCTL_USAGE, "the command is too long");
	if (ctl->len > 0)
		ctl->line[ctl->len++] = ' ';
	memcpy(ctl->line + ctl->len, word, len);
	ctl->len += len;
	return PROXYCTL_DONE;
}

static bool proxyctl_takes_file(const char *verb)
{
	return strcmp(verb, "diff") == 0 || strcmp(verb, "upgrade") == 0;
}

/* A file is named from where we are, the daemon is somewhere else. */
static int proxyctl_add_file(struct proxyctl *ctl, const char *path)
{
	char *found = realpath(path, NULL);
	int code;

	if (found == NULL)
		return proxyctl_say(PROXYCTL_FAILED, "%s: %s", path, strerror(errno));
	code = proxyctl_add_word(ctl, found);
	free(found);
	return code;
}

static int proxyctl_take_socket(struct proxyctl *ctl, const char *path)
{
	if (strlen(path) == 0 || strlen(path) >= RUNDIR_PATH_BYTES)
		return proxyctl_say(PROXYCTL_USAGE, "the path of a socket has 1 to %d bytes",
			RUNDIR_PATH_BYTES - 1);
	ctl->npaths = 1;
	ctl->paths[0] = (struct rundir_path){ 0 };
	snprintf(ctl->paths[0].text, sizeof(ctl->paths[0].text), "%s", path);
	return PROXYCTL_DONE;
}

/* Options of ours may stand before the command only: what follows is the daemon's. Returns -1 to go on. */
static int proxyctl_parse(struct proxyctl *ctl, int argc, char *argv[])
{
	static const struct option options[] = {
		{ "socket", required_argument, NULL, 's' },
		{ "json", no_argument, NULL, 'j' },
		{ "version", no_argument, NULL, 'V' },
		{ "help", no_argument, NULL, 'h' },
		{ NULL, 0, NULL, 0 },
	};
	int code = PROXYCTL_DONE;
	bool json = false;
	int option;

	while ((option = getopt_long(argc, argv, "+s:Vh", options, NULL)) != -1) {
		switch (option) {
		case 's':
			code = proxyctl_take_socket(ctl, optarg);
			break;
		case 'j':
			json = true;
			break;
		case 'V':
			printf("proxyctl %s\n", PROXYD_VERSION);
			return PROXYCTL_DONE;
		case 'h':
			proxyctl_help(stdout);
			return PROXYCTL_DONE;
		default:
			return proxyctl_say(PROXYCTL_USAGE, "see `proxyctl --help`");
		}
		if (code != PROXYCTL_DONE)
			return code;
	}
	if (optind == argc)
		return proxyctl_say(PROXYCTL_USAGE, "no command; see `proxyctl --help`");
	for (int i = optind; i < argc && code == PROXYCTL_DONE; i++) {
		if (i > optind && proxyctl_takes_file(argv[optind]) && argv[i][0] != '-')
			code = proxyctl_add_file(ctl, argv[i]);
		else
			code = proxyctl_add_word(ctl, argv[i]);
	}
	if (code == PROXYCTL_DONE && json)
		code = proxyctl_add_word(ctl, "--json");
	return code == PROXYCTL_DONE ? -1 : code;
}

/* What was printed has to arrive. */
static int proxyctl_exit(int code)
{
	if (fflush(stdout) == 0 && !ferror(stdout))
		return code;
	perror("proxyctl: standard output");
	return code != PROXYCTL_DONE ? code : PROXYCTL_FAILED;
}

int main(int argc, char *argv[])
{
	static struct proxyctl ctl = { .fd = -1 };
	int code;

	ctl.npaths = rundir_candidates(ctl.paths);
	code = proxyctl_parse(&ctl, argc, argv);
	if (code >= 0)
		return proxyctl_exit(code);
	ctl.line[ctl.len++] = '\n';
	code = proxyctl_open(&ctl);
	if (code == PROXYCTL_DONE)
		code = proxyctl_ask(&ctl);
	if (code == PROXYCTL_DONE)
		code = proxyctl_show(&ctl);
	if (ctl.fd >= 0)
		close(ctl.fd);
	return proxyctl_exit(code);
}
