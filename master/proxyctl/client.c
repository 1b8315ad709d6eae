/* Speaks to the control socket.
 */
#include "master/proxyctl/client.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "common/clock.h"

#define CLIENT_ANSWER_MAX (256U << 20) /* bytes of an answer that is kept in memory */
#define CLIENT_RETRY_MS   50

void client_init(struct client *client, const char *path)
{
	*client = (struct client){ .fd = -1, .patience_ms = CLIENT_PATIENCE_MS };
	if (path == NULL) {
		client->npaths = rundir_candidates(client->paths);
		return;
	}
	MUST(strlen(path) < sizeof(client->paths[0].text));
	client->npaths = 1;
	memcpy(client->paths[0].text, path, strlen(path) + 1);
}

/* ------------------------------------------------------------------ connecting */

/* For a Unix socket this is done at once, or not at all. Returns -1 with errno. */
static int client_connect(const struct rundir_path *path)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	int saved;
	int fd;

	/* Who else made a directory there may only want to be asked. */
	if (path->in_tmp && !rundir_is_private(path)) {
		errno = EPERM;
		return -1;
	}
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -1;
	memcpy(addr.sun_path, path->text, strlen(path->text) + 1);
	if (connect(fd, (const struct sockaddr *)&addr, sizeof(addr)) == 0)
		return fd;
	saved = errno;
	close(fd);
	errno = saved;
	return -1;
}

static bool client_is_stopped(const struct client *client)
{
	return client->stop != NULL && *client->stop != 0;
}

/* A queue that is full is worth waiting for, a while. */
static int client_connect_patiently(const struct client *client, const struct rundir_path *path)
{
	const uint64_t until_ms = clock_now_ms() + client->patience_ms;
	const struct timespec pause = { .tv_nsec = CLIENT_RETRY_MS * 1000000L };
	int fd;

	while ((fd = client_connect(path)) < 0 && errno == EAGAIN && clock_now_ms() < until_ms) {
		ppoll(NULL, 0, &pause, client->mask);
		if (client_is_stopped(client)) {
			errno = EINTR;
			return -1;
		}
	}
	return fd;
}

enum ctl_exit client_open(struct client *client, struct ctl_why *why_r)
{
	int errors[RUNDIR_CANDIDATES];

	for (size_t i = 0; i < client->npaths; i++) {
		client->fd = client_connect_patiently(client, &client->paths[i]);
		client->path = client->paths[i].text;
		if (client->fd >= 0)
			return CTL_DONE;
		errors[i] = errno;
	}
	return client_explain(client, errors, why_r);
}

int client_try(const struct client *client, const char **path_r)
{
	int error = 0;

	for (size_t i = 0; i < client->npaths; i++) {
		int fd = client_connect(&client->paths[i]);

		if (fd >= 0) {
			*path_r = client->paths[i].text;
			return fd;
		}
		if (error == 0 || errno == EACCES)
			error = errno;
	}
	errno = error;
	return -1;
}

void client_close(struct client *client)
{
	if (client->fd >= 0)
		close(client->fd);
	client->fd = -1;
}

/* ------------------------------------------------------------------ talking */

/* Returns when fd is ready, with a reason when it is not in time. */
static enum ctl_exit client_wait(const struct client *client, short what, struct ctl_why *why_r)
{
	const uint64_t until_ms = clock_now_ms() + client->patience_ms;
	struct pollfd pollfd = { .fd = client->fd, .events = what };

	for (;;) {
		const uint64_t now_ms = clock_now_ms();
		const uint64_t left_ms = until_ms > now_ms ? until_ms - now_ms : 0;
		const struct timespec left = { .tv_sec = (time_t)(left_ms / 1000),
			.tv_nsec = (long)(left_ms % 1000) * 1000000L };
		int ready = ppoll(&pollfd, 1, &left, client->mask);

		if (ready > 0)
			return CTL_DONE;
		if (client_is_stopped(client))
			return ctl_why(why_r, CTL_FAILED, "interrupted");
		if (ready == 0)
			return ctl_why(why_r, CTL_NOBODY,
				"nobody answers on %s: there is a daemon, but it was silent for %g s",
				client->path, client->patience_ms / 1000.0);
	}
}

enum ctl_exit client_send(struct client *client, const char *line, struct ctl_why *why_r)
{
	const size_t len = strlen(line);
	size_t sent = 0;

	while (sent < len) {
		ssize_t n = send(client->fd, line + sent, len - sent, MSG_NOSIGNAL);
		enum ctl_exit code;

		if (n > 0) {
			sent += (size_t)n;
			continue;
		}
		if (errno != EAGAIN && errno != EINTR)
			return ctl_why(why_r, CTL_NOBODY, "%s: %s", client->path, strerror(errno));
		code = client_wait(client, POLLOUT, why_r);
		if (code != CTL_DONE)
			return code;
	}
	return CTL_DONE;
}

enum ctl_exit client_read(
	struct client *client, char *buf, size_t bytes, size_t *got_r, struct ctl_why *why_r)
{
	*got_r = 0;
	while (*got_r < bytes) {
		ssize_t n = read(client->fd, buf + *got_r, bytes - *got_r);
		enum ctl_exit code;

		if (n == 0)
			break;
		if (n > 0) {
			*got_r += (size_t)n;
			continue;
		}
		if (errno != EAGAIN && errno != EINTR)
			return ctl_why(why_r, CTL_FAILED, "%s: %s", client->path, strerror(errno));
		code = client_wait(client, POLLIN, why_r);
		if (code != CTL_DONE)
			return code;
	}
	return CTL_DONE;
}

/* All that comes. *text_r is the caller's also when it fails. */
static enum ctl_exit client_read_all(
	struct client *client, char **text_r, size_t *len_r, struct ctl_why *why_r)
{
	size_t room = 0;
	size_t got;

	*len_r = 0;
	do {
		enum ctl_exit code;
		char *grown;

		room = room == 0 ? 16384 : room * 2;
		grown = room <= CLIENT_ANSWER_MAX ? realloc(*text_r, room + 1) : NULL;
		if (grown == NULL)
			return ctl_why(why_r, CTL_FAILED, "no memory for the answer");
		*text_r = grown;
		code = client_read(client, grown + *len_r, room - *len_r, &got, why_r);
		*len_r += got;
		grown[*len_r] = '\0';
		if (code != CTL_DONE)
			return code;
	} while (*len_r == room);
	if (*len_r == 0)
		return ctl_why(why_r, CTL_NOBODY, "%s: the connection was closed without an answer",
			client->path);
	return CTL_DONE;
}

enum ctl_exit client_ask(struct client *client, const char *line, char **text_r, size_t *len_r,
	struct ctl_why *why_r)
{
	char *text = NULL;
	enum ctl_exit code = client_open(client, why_r);

	if (code == CTL_DONE)
		code = client_send(client, line, why_r);
	if (code == CTL_DONE)
		code = client_read_all(client, &text, len_r, why_r);
	client_close(client);
	if (code != CTL_DONE) {
		free(text);
		return code;
	}
	*text_r = text;
	return CTL_DONE;
}

enum ctl_exit client_verdict(const char *start)
{
	static const char *const errors[] = { "error: ", "{\"error\":\"" };

	for (size_t i = 0; i < NELEMS(errors); i++) {
		size_t len = strlen(errors[i]);

		if (strncmp(start, errors[i], len) == 0)
			return strncmp(start + len, "usage: ", 7) == 0 ? CTL_USAGE : CTL_FAILED;
	}
	return CTL_DONE;
}
