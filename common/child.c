/* What every child does alike.
 */
#include "common/child.h"

#include <signal.h>

#include "common/must.h"

void child_ignore_signals(void)
{
	static const int ignored[] = { SIGINT, SIGQUIT, SIGHUP, SIGUSR1, SIGUSR2, SIGPIPE };

	for (unsigned i = 0; i < NELEMS(ignored); i++)
		signal(ignored[i], SIG_IGN);
}
