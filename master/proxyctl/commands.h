/* The commands that there are, for help and completion: the daemon's, and those that are proxyctl's own.
 */
#ifndef PROXYD_MASTER_PROXYCTL_COMMANDS_H
#define PROXYD_MASTER_PROXYCTL_COMMANDS_H

#include <stdbool.h>
#include <stddef.h>

struct command {
	const char *words;
	const char
		*arguments; /* as in control_verbs.def: --options, and in capitals further words */
	const char *role;   /* who may */
	const char *help;
	bool own; /* the daemon does not know it */
};

/* All, in the order of the help. */
const struct command *commands(size_t *n_r);

/* Whether it changes nothing. */
bool command_shows(const struct command *command);

/* How many words of command the given ones are: all of its own ("show servers back": 2), or fewer when they are
 * its beginning ("show": 1); 0 when they are another's. */
size_t command_match(const struct command *command, const char *const words[], size_t nwords);

/* The one that the words begin with, the longest; NULL: none. *nwords_r: how many are its own. */
const struct command *command_find(const char *const words[], size_t nwords, size_t *nwords_r);

/* How many words the command itself has. */
size_t command_length(const struct command *command);

/* The next of an arguments' tokens: *rest moves on. Returns its length, 0 at the end; *token_r points into it. */
size_t command_next_argument(const char **rest, const char **token_r);

#endif
