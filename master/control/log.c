/* The commands about the log.
 */
#include <string.h>

#include "conf/table.h"
#include "master/control/handlers.h"

int verb_log_reopen(struct control_request *request)
{
	const struct control_actions *actions = request->actions;
	const char *why = actions->log_reopen(request->waiter, actions->arg);

	request->later = why == NULL;
	return why == NULL ? 0 : control_fail(request, "%s", why);
}

/* The words of global.log.level. */
static bool log_level_find(const char *text, enum log_level *level_r)
{
	const struct conf_key *log = table_find(&conf_global_table, "log");
	const struct conf_key *key = table_find(log->section, "level");

	for (const struct conf_word *word = key->words; word->name != NULL; word++) {
		if (strcmp(word->name, text) == 0) {
			*level_r = (enum log_level)word->value;
			return true;
		}
	}
	return false;
}

int verb_log_level(struct control_request *request)
{
	const struct control_actions *actions = request->actions;
	enum log_level level;
	const char *why;

	if (request->argument == NULL || !log_level_find(request->argument, &level))
		return control_fail(request, "usage: log level debug|info|warn|error|fatal|none");
	why = actions->log_level(level, request->waiter, actions->arg);
	request->later = why == NULL;
	return why == NULL ? 0 : control_fail(request, "%s", why);
}
