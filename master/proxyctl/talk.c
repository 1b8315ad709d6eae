/* A conversation in steps.
 */
#include "master/proxyctl/talk.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/clock.h"

#define TALK_FIRST      65536
#define TALK_ANSWER_MAX (256U << 20)

void talk_init(struct talk *talk)
{
	*talk = (struct talk){ .fd = -1 };
}

static void talk_close(struct talk *talk)
{
	if (talk->fd >= 0)
		close(talk->fd);
	talk->fd = -1;
}

void talk_end(struct talk *talk)
{
	talk_close(talk);
	talk->state = TALK_IDLE;
}

void talk_deinit(struct talk *talk)
{
	talk_end(talk);
	free(talk->text);
	talk->text = NULL;
	talk->room = 0;
}

static enum talk_state talk_over(struct talk *talk, enum talk_state state)
{
	talk_close(talk);
	talk->state = state;
	return state;
}

static void talk_touch(struct talk *talk)
{
	talk->until_ms = clock_now_ms() + TALK_SILENCE_MS;
}

enum talk_state talk_start(
	struct talk *talk, const struct client *client, const char *line, struct ctl_why *why_r)
{
	const size_t len = strlen(line);

	MUST(len < sizeof(talk->line));
	talk_end(talk);
	memcpy(talk->line, line, len + 1);
	talk->sent = talk->len = 0;
	talk->fd = client_try(client, &talk->path);
	if (talk->fd < 0) {
		ctl_why(why_r, CTL_NOBODY, "%s on %s", strerror(errno), client->paths[0].text);
		return talk_over(talk, TALK_FAILED);
	}
	talk->state = TALK_BUSY;
	talk->events = POLLOUT;
	talk_touch(talk);
	return talk_step(talk, why_r);
}

/* Returns 1 when there is room, -1 without memory or when the answer is too long to be one. */
static int talk_make_room(struct talk *talk)
{
	size_t room;
	char *text;

	if (talk->len + 1 < talk->room)
		return 1;
	room = talk->room == 0 ? TALK_FIRST : talk->room * 2;
	text = room <= TALK_ANSWER_MAX ? realloc(talk->text, room) : NULL;
	if (text == NULL)
		return -1;
	talk->text = text;
	talk->room = room;
	return 1;
}

/* 1: something was sent or read; 0: later; -1: it failed, see errno. *end_r: the other side has said all. */
static int talk_move(struct talk *talk, bool *end_r)
{
	const size_t len = strlen(talk->line);
	ssize_t n;

	*end_r = false;
	if (talk->sent < len) {
		n = send(talk->fd, talk->line + talk->sent, len - talk->sent, MSG_NOSIGNAL);
		if (n > 0)
			talk->sent += (size_t)n;
	} else {
		if (talk_make_room(talk) < 0) {
			errno = ENOMEM;
			return -1;
		}
		n = read(talk->fd, talk->text + talk->len, talk->room - talk->len - 1);
		if (n > 0)
			talk->len += (size_t)n;
		*end_r = n == 0;
	}
	talk->events = talk->sent < len ? POLLOUT : POLLIN;
	if (n >= 0)
		return 1;
	return errno == EAGAIN || errno == EINTR ? 0 : -1;
}

enum talk_state talk_step(struct talk *talk, struct ctl_why *why_r)
{
	bool end = false;
	int moved;

	if (talk->state != TALK_BUSY)
		return talk->state;
	while ((moved = talk_move(talk, &end)) > 0) {
		talk_touch(talk);
		if (!end)
			continue;
		if (talk->len == 0) {
			ctl_why(why_r, CTL_NOBODY,
				"%s: the connection was closed without an answer", talk->path);
			return talk_over(talk, TALK_FAILED);
		}
		talk->text[talk->len] = '\0';
		return talk_over(talk, TALK_DONE);
	}
	if (moved < 0) {
		ctl_why(why_r, CTL_NOBODY, "%s on %s", strerror(errno), talk->path);
		return talk_over(talk, TALK_FAILED);
	}
	if (clock_now_ms() >= talk->until_ms) {
		ctl_why(why_r, CTL_NOBODY, "the daemon is silent on %s", talk->path);
		return talk_over(talk, TALK_FAILED);
	}
	return TALK_BUSY;
}
