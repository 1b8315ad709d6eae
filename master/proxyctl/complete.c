/* Completion. Nothing is ever said on stderr here: it would land in the line that is being typed.
 */
#include "master/proxyctl/complete.h"

#include <cjson/cJSON.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "master/proxyctl/client.h"
#include "master/proxyctl/commands.h"
#include "master/proxyctl/ctl_options.h"

#define COMPLETE_PATIENCE_MS 1000
#define COMPLETE_FILES       ":files"

struct complete {
	const char *socket; /* borrowed; NULL: the usual places */
	const char *typed;  /* borrowed: the word that is completed */
	size_t nwords;      /* before it, without options */
	const char *words[OPTIONS_WORDS_MAX];
	const struct option_row *option; /* whose value typed is; NULL: none's */
};

static void complete_offer(const struct complete *complete, const char *candidate)
{
	if (strncmp(candidate, complete->typed, strlen(complete->typed)) == 0)
		printf("%s\n", candidate);
}

static void complete_offer_all(
	const struct complete *complete, const char *const candidates[], size_t n)
{
	for (size_t i = 0; i < n; i++)
		complete_offer(complete, candidates[i]);
}

/* ------------------------------------------------------------------ what the daemon knows */

/* The caller's; NULL when nobody says. */
static cJSON *complete_ask(const struct complete *complete, const char *line)
{
	struct client client;
	struct ctl_why why;
	cJSON *answer;
	char *text;
	size_t len;

	client_init(&client, complete->socket);
	client.patience_ms = COMPLETE_PATIENCE_MS;
	if (client_ask(&client, line, &text, &len, &why) != CTL_DONE)
		return NULL;
	answer = cJSON_ParseWithLength(text, len);
	free(text);
	return answer;
}

static const char *complete_text(const cJSON *object, const char *name)
{
	const char *text = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(object, name));

	/* What is no word is none here either. */
	for (size_t i = 0; text != NULL && text[i] != '\0'; i++)
		if ((unsigned char)text[i] <= ' ' || text[i] == 0x7f)
			return NULL;
	return text;
}

/* BACKEND/SERVER; a backend alone where a new server is to be named. */
static void complete_servers(const struct complete *complete, bool backends)
{
	cJSON *list = complete_ask(complete, "show servers --json\n");
	const char *last = "";
	const cJSON *row;
	char name[1024];

	cJSON_ArrayForEach(row, list)
	{
		const char *backend = complete_text(row, "backend");
		const char *server = complete_text(row, "server");

		if (backend == NULL || server == NULL || (backends && strcmp(backend, last) == 0))
			continue;
		snprintf(name, sizeof(name), "%s/%s", backend, backends ? "" : server);
		complete_offer(complete, name);
		last = backend;
	}
	cJSON_Delete(list);
}

static void complete_sessions(const struct complete *complete)
{
	cJSON *list = complete_ask(complete, "show sessions --json\n");
	const cJSON *row;
	char id[32];

	cJSON_ArrayForEach(row, list)
	{
		const cJSON *number = cJSON_GetObjectItemCaseSensitive(row, "id");

		if (!cJSON_IsNumber(number))
			continue;
		snprintf(id, sizeof(id), "%.0f", cJSON_GetNumberValue(number));
		complete_offer(complete, id);
	}
	cJSON_Delete(list);
}

/* ------------------------------------------------------------------ words */

static const char *const complete_whats[] = { "state", "weight", "maxconn" };
static const char *const complete_states[] = { "ready", "drain", "maint" };
static const char *const complete_levels[] = { "debug", "info", "warn", "error" };
static const char *const complete_colors[] = { "auto", "always", "never" };

/* token is as in control_verbs.def. */
static void complete_argument(const struct complete *complete, const char *token, size_t len)
{
	const char *before = complete->nwords > 0 ? complete->words[complete->nwords - 1] : "";

#define IS(name) (len == strlen(name) && strncmp(token, name, len) == 0)
	if (IS("BACKEND/SERVER"))
		complete_servers(complete, false);
	else if (IS("BACKEND/NAME"))
		complete_servers(complete, true);
	else if (IS("WHAT"))
		complete_offer_all(complete, complete_whats, NELEMS(complete_whats));
	else if (IS("VALUE") && strcmp(before, "state") == 0)
		complete_offer_all(complete, complete_states, NELEMS(complete_states));
	else if (IS("LEVEL"))
		complete_offer_all(complete, complete_levels, NELEMS(complete_levels));
	else if (IS("ID"))
		complete_sessions(complete);
	else if (IS("FILE") || IS("BINARY"))
		printf(COMPLETE_FILES "\n");
#undef IS
}

/* The argument that comes after `given` others. */
static void complete_arguments(
	const struct complete *complete, const struct command *command, size_t given)
{
	const char *rest = command->arguments;
	const char *token;
	size_t len;

	while ((len = command_next_argument(&rest, &token)) > 0) {
		if (token[0] == '-')
			continue;
		if (given-- == 0) {
			complete_argument(complete, token, len);
			return;
		}
	}
}

/* The word of command after `at` others. Returns its length. */
static size_t complete_word_at(const struct command *command, size_t at, const char **word_r)
{
	const char *word = command->words;

	while (at-- > 0)
		word += strcspn(word, " ") + 1;
	*word_r = word;
	return strcspn(word, " ");
}

/* Whether command goes on after the words. */
static bool complete_goes_on(
	const struct command *command, const char *const words[], size_t nwords)
{
	return nwords < command_length(command) &&
		(nwords == 0 || command_match(command, words, nwords) == nwords);
}

/* The next word of list[i], unless one before has the same. */
static void complete_offer_word(
	const struct complete *complete, const char *const words[], size_t nwords, size_t i)
{
	size_t n;
	const struct command *list = commands(&n);
	const char *word, *other;
	const size_t len = complete_word_at(&list[i], nwords, &word);
	char text[64];

	for (size_t j = 0; j < i; j++)
		if (complete_goes_on(&list[j], words, nwords) &&
			complete_word_at(&list[j], nwords, &other) == len &&
			strncmp(word, other, len) == 0)
			return;
	snprintf(text, sizeof(text), "%.*s", (int)len, word);
	complete_offer(complete, text);
}

static void complete_words(const struct complete *complete)
{
	const char *const *words = complete->words;
	size_t nwords = complete->nwords;
	size_t n, own;
	const struct command *list = commands(&n);
	const struct command *command = command_find(words, nwords, &own);

	/* help takes another command's words. */
	if (command != NULL && strcmp(command->words, "help") == 0) {
		words++;
		nwords--;
		command = NULL;
	}
	if (command != NULL) {
		complete_arguments(complete, command, nwords - own);
		return;
	}
	for (size_t i = 0; i < n; i++)
		if (complete_goes_on(&list[i], words, nwords))
			complete_offer_word(complete, words, nwords, i);
}

static void complete_options(const struct complete *complete)
{
	size_t n, own;
	const struct option_row *rows = ctl_options_rows(&n);
	const struct command *command = command_find(complete->words, complete->nwords, &own);
	const char *rest = command != NULL ? command->arguments : "";
	const char *token;
	char text[64];
	size_t len;

	while ((len = command_next_argument(&rest, &token)) > 0) {
		if (token[0] != '-')
			continue;
		snprintf(text, sizeof(text), "%.*s", (int)len, token);
		complete_offer(complete, text);
	}
	for (size_t i = 0; i < n; i++) {
		snprintf(text, sizeof(text), "--%s", rows[i].name);
		complete_offer(complete, text);
	}
}

static void complete_value(const struct complete *complete)
{
	if (strcmp(complete->option->name, "socket") == 0)
		printf(COMPLETE_FILES "\n");
	else if (strcmp(complete->option->name, "color") == 0)
		complete_offer_all(complete, complete_colors, NELEMS(complete_colors));
}

/* Sort out what stands before the word that is completed. */
static void complete_read(struct complete *complete, int nwords, char *const words[])
{
	for (int i = 0; i < nwords - 1; i++) {
		const char *value;
		const struct option_row *row = ctl_options_find(words[i], &value);

		if (row == NULL) {
			if (complete->nwords < NELEMS(complete->words) && words[i][0] != '-')
				complete->words[complete->nwords++] = words[i];
			continue;
		}
		if (row->value == NULL)
			continue;
		if (value == NULL && ++i == nwords - 1) {
			complete->option = row;
			return;
		}
		value = value != NULL ? value : words[i];
		if (strcmp(row->name, "socket") == 0 && strlen(value) < RUNDIR_PATH_BYTES)
			complete->socket = value;
	}
}

void complete_print(int nwords, char *const words[])
{
	struct complete complete = { .typed = nwords > 0 ? words[nwords - 1] : "" };

	complete_read(&complete, nwords, words);
	if (complete.option == NULL && strncmp(complete.typed, "--color=", 8) == 0) {
		complete.typed += 8;
		complete.option = ctl_options_find("--color", &(const char *){ NULL });
	}
	if (complete.option != NULL)
		complete_value(&complete);
	else if (complete.typed[0] == '-')
		complete_options(&complete);
	else
		complete_words(&complete);
}
