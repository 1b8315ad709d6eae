/* What every child does alike.
 */
#include "common/child.h"

#include <event2/event.h>
#include <signal.h>
#include <stdlib.h>

#include "common/log.h"
#include "common/must.h"

void child_ignore_signals(void)
{
	static const int ignored[] = { SIGINT, SIGQUIT, SIGHUP, SIGUSR1, SIGUSR2, SIGPIPE };

	for (unsigned i = 0; i < NELEMS(ignored); i++)
		signal(ignored[i], SIG_IGN);
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
