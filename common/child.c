/* What every child does alike.
 */
#include "common/child.h"

#include <event2/event.h>
#include <signal.h>
#include <stdlib.h>

#include "common/channel.h"
#include "common/log.h"
#include "common/must.h"
#include "common/sink.h"

void child_ignore_signals(void)
{
	static const int ignored[] = { SIGINT, SIGQUIT, SIGHUP, SIGUSR1, SIGUSR2, SIGPIPE };

	for (unsigned i = 0; i < NELEMS(ignored); i++)
		signal(ignored[i], SIG_IGN);
}

/* Which of the fds that came with it; -1: it has none, or they are not what it says. */
static int child_take_fd(struct message *message, const struct msg_log *log, uint32_t which)
{
	const size_t wanted =
		((log->fds & MSG_LOG_FD) != 0) + (size_t)((log->fds & MSG_ACCESS_FD) != 0);
	const size_t at = which == MSG_ACCESS_FD && (log->fds & MSG_LOG_FD) != 0 ? 1 : 0;
	int fd;

	if ((log->fds & which) == 0 || message->nfds != wanted)
		return -1;
	fd = message->fds[at];
	message->fds[at] = -1;
	return fd;
}

static void child_access_log(struct message *message, const struct msg_log *log,
	struct sink **access_r, enum log_format *format_r)
{
	const struct sink_place place = { .kind = log->access_kind,
		.fd = child_take_fd(message, log, MSG_ACCESS_FD) };
	struct sink *sink;

	if (place.fd < 0) {
		/* It ends here: what it has goes out. */
		sink_close(*access_r);
		*access_r = NULL;
		return;
	}
	sink = sink_follow(*access_r, &place);
	if (sink == NULL) {
		log_errorx("the access log cannot be followed");
		return;
	}
	*access_r = sink;
	*format_r = log->access_format == LOG_FORMAT_JSON ? LOG_FORMAT_JSON : LOG_FORMAT_TEXT;
	log_lost_lines(sink, *format_r);
}

uint32_t child_log(struct message *message, struct sink **access_r, enum log_format *format_r)
{
	const struct msg_log *log = message_payload(message, M2C_LOG, NULL);
	const enum log_level level =
		log->level <= LOG_LEVEL_NONE ? (enum log_level)log->level : LOG_LEVEL_INFO;
	const struct sink_place place = { .kind = log->kind,
		.fd = child_take_fd(message, log, MSG_LOG_FD) };

	if (place.fd >= 0)
		log_follow(
			&place, log->format == LOG_FORMAT_JSON ? LOG_FORMAT_JSON : LOG_FORMAT_TEXT);
	log_set_level(level);
	if (access_r != NULL)
		child_access_log(message, log, access_r, format_r);
	return log->round;
}

struct event_base *child_event_base(void)
{
	struct event_config *config = event_config_new();
	struct event_base *base = NULL;

	if (config != NULL) {
		event_config_set_flag(config, EVENT_BASE_FLAG_NOLOCK);
		base = event_base_new_with_config(config);
		event_config_free(config);
	}
	if (base == NULL) {
		log_fatalx("no event loop");
		exit(EXIT_CODE_FAILED);
	}
	return base;
}
