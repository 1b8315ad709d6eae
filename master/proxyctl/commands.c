/* The list of commands, and finding one by its words.
 */
#include "master/proxyctl/commands.h"

#include <string.h>

#include "common/must.h"

static const struct command command_list[] = {
#define ROLE_READER                                         "reader"
#define ROLE_OPERATOR                                       "operator"
#define CONTROL_VERB(handler, words, arguments, role, help) { words, arguments, role, help, false },
#include "master/control/verbs.def"
#undef CONTROL_VERB
#undef ROLE_READER
#undef ROLE_OPERATOR
	{ "top", "", "reader", "live screen; ? shows its keys", true },
};

bool command_shows(const struct command *command)
{
	return strcmp(command->role, "reader") == 0 || strncmp(command->words, "show ", 5) == 0 ||
		strcmp(command->words, "diff") == 0;
}

const struct command *commands(size_t *n_r)
{
	*n_r = NELEMS(command_list);
	return command_list;
}

size_t command_match(const struct command *command, const char *const words[], size_t nwords)
{
	const char *rest = command->words;

	for (size_t i = 0; i < nwords; i++) {
		const size_t len = strcspn(rest, " ");

		if (strlen(words[i]) != len || strncmp(words[i], rest, len) != 0)
			return 0;
		if (rest[len] == '\0')
			return i + 1;
		rest += len + 1;
	}
	return nwords;
}

size_t command_length(const struct command *command)
{
	size_t n = 1;

	for (const char *at = command->words; *at != '\0'; at++)
		n += *at == ' ';
	return n;
}

const struct command *command_find(const char *const words[], size_t nwords, size_t *nwords_r)
{
	const struct command *found = NULL;

	*nwords_r = 0;
	for (size_t i = 0; i < NELEMS(command_list); i++) {
		const size_t n = command_match(&command_list[i], words, nwords);

		if (n > *nwords_r && n == command_length(&command_list[i])) {
			found = &command_list[i];
			*nwords_r = n;
		}
	}
	return found;
}

size_t command_next_argument(const char **rest, const char **token_r)
{
	size_t len;

	*rest += strspn(*rest, " ");
	len = strcspn(*rest, " ");
	*token_r = *rest;
	*rest += len;
	return len;
}
