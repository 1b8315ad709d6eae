/* The commands about generations: what a reload would do, do it, confirm it, undo it, even out.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "conf/arena.h"
#include "conf/diff.h"
#include "conf/load.h"
#include "conf/value.h"
#include "master/control/handlers.h"

int verb_generations(struct control_request *request)
{
	return control_show(request, &view_generations);
}

int verb_events(struct control_request *request)
{
	return control_show(request, &view_events);
}

/* All errors, one a line. */
static int reload_print_errors(struct control_request *request, const struct conf_errors *errors)
{
	char *text = NULL;
	size_t len;
	FILE *to = open_memstream(&text, &len);
	int result = -1;

	if (to == NULL)
		return -1;
	for (size_t i = 0; i < errors->count; i++)
		fprintf(to, "%s%s", i > 0 ? "\n" : "", errors->lines[i]);
	if (fclose(to) == 0)
		result = control_print(request->out, request->line->json, true, text);
	free(text);
	return result;
}

int verb_diff(struct control_request *request)
{
	const struct control_actions *actions = request->actions;
	const char *path = request->argument;
	struct conf_errors errors = { 0 };
	int result;

	if (path != NULL && path[0] != '/')
		return control_fail(request, "usage: the path of FILE is absolute");
	request->diff = actions->diff(path, &errors, actions->arg);
	if (request->diff == NULL)
		result = reload_print_errors(request, &errors);
	else if (request->diff->count == 0 && !request->line->json)
		result = control_say(request, "nothing would change");
	else
		result = control_show(request, &view_diff);
	conf_errors_free(&errors);
	return result;
}

static int reload_read_span(struct control_request *request, uint32_t *ms_r)
{
	static const struct conf_key key = {
		.name = "--confirm", .type = CONF_SPAN, .min = 1000, .max = 24 * 3600 * 1000
	};
	const struct value_text value = { .text = request->argument };
	struct arena *arena = arena_new();
	const char *error;
	int result = value_parse(&key, &value, arena, ms_r, &error);

	if (result < 0 && control_fail(request, "usage: %s", error) < 0)
		result = -2;
	arena_free(arena);
	return result;
}

int verb_reload(struct control_request *request)
{
	const struct control_actions *actions = request->actions;
	const bool confirm = request->line->noptions > 0;
	uint32_t confirm_ms = 0;
	const char *why;

	if (confirm != (request->argument != NULL))
		return control_fail(request, "usage: reload [--confirm DURATION]");
	if (confirm) {
		int result = reload_read_span(request, &confirm_ms);

		if (result < 0)
			return result == -2 ? -1 : 0;
	}
	why = actions->reload(confirm_ms, request->waiter, actions->arg);
	request->later = why == NULL;
	return why == NULL ? 0 : control_fail(request, "%s", why);
}

int verb_rollback(struct control_request *request)
{
	const struct control_actions *actions = request->actions;
	const char *why = actions->rollback(request->waiter, actions->arg);

	request->later = why == NULL;
	return why == NULL ? 0 : control_fail(request, "%s", why);
}

int verb_confirm(struct control_request *request)
{
	const char *why = request->actions->confirm(request->actions->arg);

	return why == NULL ? control_say(request, "confirmed") : control_fail(request, "%s", why);
}

int verb_rebalance(struct control_request *request)
{
	uint64_t relays = 0;
	const char *why = request->actions->rebalance(&relays, request->actions->arg);

	if (why != NULL)
		return control_fail(request, "%s", why);
	if (relays == 0)
		return control_say(request, "nothing to even out");
	return control_say(request, "%" PRIu64 " connections move", relays);
}

int verb_upgrade(struct control_request *request)
{
	const struct control_actions *actions = request->actions;
	const char *binary = request->argument;
	const char *why;

	if (binary != NULL && binary[0] != '/')
		return control_fail(request, "usage: the path of BINARY is absolute");
	why = actions->upgrade(binary, request->waiter, actions->arg);
	request->later = why == NULL;
	return why == NULL ? 0 : control_fail(request, "%s", why);
}
