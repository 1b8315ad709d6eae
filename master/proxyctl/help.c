/* Prints the help, from the tables of commands and options.
 */
#include "master/proxyctl/help.h"

#include <cjson/cJSON.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "master/proxyctl/commands.h"
#include "master/proxyctl/ctl_options.h"

#define HELP_AT 28 /* column of what it does */

static void help_print_command(const struct command *command)
{
	const bool takes = command->arguments[0] != '\0';
	const int len = printf("  %s%s%s%s", command->words, takes ? " [" : "", command->arguments,
		takes ? "]" : "");

	if (len >= HELP_AT)
		printf("\n%*s%s\n", HELP_AT, "", command->help);
	else
		printf("%*s%s\n", HELP_AT - len, "", command->help);
}

static void help_print_option(const struct option_row *row)
{
	const char *rest = row->help;
	int len = row->letter != '\0' ? printf("  -%c, ", row->letter) : printf("      ");

	len += printf("--%s%s%s", row->name, row->value != NULL ? " " : "",
		row->value != NULL ? row->value : "");
	if (len >= HELP_AT)
		len = printf("\n") - 1;
	for (;;) {
		const size_t line = strcspn(rest, "\n");

		printf("%*s%.*s\n", HELP_AT - len, "", (int)line, rest);
		if (rest[line] == '\0')
			return;
		rest += line + 1;
		len = 0;
	}
}

void help_print(void)
{
	size_t n;
	const struct command *list = commands(&n);
	const struct option_row *rows;

	printf("proxyctl, which talks to a running proxyd\n"
	       "\n"
	       "  proxyctl [OPTION]... COMMAND...\n"
	       "\n");
	for (size_t i = 0; i < n; i++)
		help_print_command(&list[i]);
	printf("\n");
	rows = ctl_options_rows(&n);
	for (size_t i = 0; i < n; i++)
		help_print_option(&rows[i]);
	printf("\n"
	       "  Exit code: 0 done, 1 refused or failed, 2 bad usage, 3 nobody answers.\n");
}

static enum ctl_exit help_unknown(const char *const words[], struct ctl_why *why_r)
{
	return ctl_why(
		why_r, CTL_USAGE, "there is no command '%s'; `proxyctl help` lists them", words[0]);
}

/* "set" and "set server" are both asked for by `help set`. */
static bool help_is_asked(const struct command *command, const char *const words[], size_t nwords)
{
	return nwords == 0 || command_match(command, words, nwords) > 0;
}

enum ctl_exit help_print_commands(const char *const words[], size_t nwords, struct ctl_why *why_r)
{
	size_t n, shown = 0;
	const struct command *list = commands(&n);

	for (size_t i = 0; i < n; i++) {
		if (help_is_asked(&list[i], words, nwords)) {
			help_print_command(&list[i]);
			shown++;
		}
	}
	return shown > 0 ? CTL_DONE : help_unknown(words, why_r);
}

static cJSON *help_object(const struct command *command)
{
	cJSON *object = cJSON_CreateObject();

	if (cJSON_AddStringToObject(object, "command", command->words) != NULL &&
		(command->arguments[0] != '\0'
				? cJSON_AddStringToObject(object, "arguments", command->arguments)
				: cJSON_AddNullToObject(object, "arguments")) != NULL &&
		cJSON_AddStringToObject(object, "role", command->role) != NULL &&
		cJSON_AddStringToObject(object, "help", command->help) != NULL &&
		cJSON_AddBoolToObject(object, "own", command->own) != NULL)
		return object;
	cJSON_Delete(object);
	return NULL;
}

static char *help_json(const char *const words[], size_t nwords, size_t *shown_r)
{
	cJSON *all = cJSON_CreateArray();
	size_t n;
	const struct command *list = commands(&n);
	char *text = NULL;
	bool good = all != NULL;

	*shown_r = 0;
	for (size_t i = 0; i < n && good; i++) {
		if (help_is_asked(&list[i], words, nwords)) {
			good = cJSON_AddItemToArray(all, help_object(&list[i]));
			(*shown_r)++;
		}
	}
	if (good)
		text = cJSON_PrintUnformatted(all);
	cJSON_Delete(all);
	return text;
}

enum ctl_exit help_print_json(const char *const words[], size_t nwords, struct ctl_why *why_r)
{
	size_t shown;
	char *text = help_json(words, nwords, &shown);

	if (text == NULL)
		return ctl_why(why_r, CTL_FAILED, "no memory");
	if (shown > 0)
		printf("%s\n", text);
	cJSON_free(text);
	return shown > 0 ? CTL_DONE : help_unknown(words, why_r);
}
