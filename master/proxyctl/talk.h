/* One question to the daemon and its answer, without ever waiting: for a screen that answers keys meanwhile.
 */
#ifndef PROXYD_MASTER_PROXYCTL_TALK_H
#define PROXYD_MASTER_PROXYCTL_TALK_H

#include <stddef.h>
#include <stdint.h>

#include "common/must.h"
#include "master/proxyctl/client.h"
#include "master/proxyctl/ctl.h"

#define TALK_LINE_MAX   1024
#define TALK_SILENCE_MS 5000 /* after which nobody answers */

enum talk_state {
	TALK_IDLE, /* nothing was asked, or it is over */
	TALK_BUSY, /* see fd and events */
	TALK_DONE, /* text is the answer, until the next start or talk_end */
	TALK_FAILED,
};

struct talk {
	enum talk_state state;
	int fd; /* owned; -1 when closed */
	short events;
	uint64_t until_ms;
	const char *path; /* borrowed */
	size_t sent;
	size_t len;
	size_t room;
	char *text; /* owned, with a final 0 */
	char line[TALK_LINE_MAX];
};

void talk_init(struct talk *talk);
void talk_end(struct talk *talk); /* forget what it is about; it can be started again */
void talk_deinit(struct talk *talk);

/* Ask; line ends with its newline and fits. TALK_FAILED: see why_r. */
enum talk_state talk_start(
	struct talk *talk, const struct client *client, const char *line, struct ctl_why *why_r);

/* Go on as far as that goes without waiting. */
enum talk_state talk_step(struct talk *talk, struct ctl_why *why_r);

#endif
