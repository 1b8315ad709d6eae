/* What could follow the words that somebody has typed so far, for a shell's completion.
 */
#ifndef PROXYD_MASTER_PROXYCTL_COMPLETE_H
#define PROXYD_MASTER_PROXYCTL_COMPLETE_H

#include <stddef.h>

/* words are proxyctl's arguments, the last of them as far as it is typed (perhaps ""). Prints the candidates, one a
 * line; ":files" is for the names of files. What the daemon knows is asked of it, shortly. */
void complete_print(int nwords, char *const words[]);

#endif
