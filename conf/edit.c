/* Lines to changes of a draft.
 */
#include "conf/edit.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <xxhash.h>

#include "conf/arena.h"
#include "conf/draft.h"
#include "conf/nearest.h"
#include "conf/value.h"

#define EDIT_WORDS_MAX 32
#define EDIT_NAME_AT   4 /* "add ", "del " */

/* One of them on its way into the draft. All in the draft's scratch. */
struct edit {
	struct draft *draft;
	bool strict;
	struct conf_mark mark; /* for problems: "add server back/a" */
	size_t nwords;         /* after the first */
	char *words[EDIT_WORDS_MAX];
	const char *backend_name;
	const char *server_name;
	struct draft_backend *backend; /* NULL: there is none */
	struct draft_server *server;   /* the same */
};

/* ------------------------------------------------------------------ lines */

bool conf_edit_is(const char *line, const char *what, const char *name)
{
	const size_t len = strlen(name);

	return strncmp(line, what, EDIT_NAME_AT - 1) == 0 && strlen(line) > EDIT_NAME_AT + len &&
		strncmp(line + EDIT_NAME_AT, name, len) == 0 && line[EDIT_NAME_AT + len] == ' ';
}

const char *conf_edit_name(const char *line, char *buf, size_t buf_bytes)
{
	const char *name = strlen(line) > EDIT_NAME_AT ? line + EDIT_NAME_AT : "";

	snprintf(buf, buf_bytes, "%.*s", (int)strcspn(name, " "), name);
	return buf;
}

/* Of all that the file can say of a server. */
static uint64_t edit_hash(const struct conf_server *conf)
{
	struct draft_server server = { .conf = *conf };
	struct arena *arena = arena_new();
	const char *text = "";
	uint64_t hash;

	for (size_t i = 0; i < conf_server_table.nkeys; i++) {
		const struct conf_key *key = &conf_server_table.keys[i];

		text = arena_printf(arena, "%s%s: %s, ", text, key->name,
			value_format(key, value_field(key, &server), arena));
	}
	hash = XXH3_64bits(text, strlen(text));
	arena_free(arena);
	return hash;
}

int conf_edit_del(const struct conf_backend *backend, const struct conf_server *server,
	char line_r[CONF_EDIT_BYTES])
{
	int len = snprintf(line_r, CONF_EDIT_BYTES, "del %s/%s %016" PRIx64, backend->name,
		server->name, edit_hash(server));

	return len < CONF_EDIT_BYTES ? 0 : -1;
}

/* ------------------------------------------------------------------ one of them */

#define edit_problem(edit, ...) problem_add(&(edit)->draft->problems, &(edit)->mark, __VA_ARGS__)

static void edit_split(struct edit *edit, const char *line)
{
	char *rest = arena_strdup(edit->draft->scratch, line);
	char *word;

	(void)strsep(&rest, " ");
	while ((word = strsep(&rest, " ")) != NULL && edit->nwords < EDIT_WORDS_MAX)
		edit->words[edit->nwords++] = word;
}

static void edit_find(struct edit *edit)
{
	struct draft *draft = edit->draft;

	edit->backend = names_find(draft->backend_names, edit->backend_name);
	if (edit->backend == NULL)
		return;
	for (edit->server = TAILQ_FIRST(&edit->backend->servers); edit->server != NULL;
		edit->server = TAILQ_NEXT(edit->server, next)) {
		if (strcmp(edit->server->conf.name, edit->server_name) == 0)
			return;
	}
}

/* Returns false when the line is none; said. */
static bool edit_open(struct edit *edit, const char *line)
{
	char *slash;

	edit_split(edit, line);
	edit->mark.file = arena_printf(edit->draft->scratch, "%.3s server%s%s", line,
		edit->nwords > 0 ? " " : "", edit->nwords > 0 ? edit->words[0] : "");
	slash = edit->nwords > 0 ? strchr(edit->words[0], '/') : NULL;
	if (slash == NULL || edit->nwords < 2) {
		edit_problem(edit, "this is not BACKEND/SERVER and what belongs to it");
		return false;
	}
	*slash = '\0';
	edit->backend_name = edit->words[0];
	edit->server_name = slash + 1;
	edit_find(edit);
	return true;
}

static const char *edit_known_keys(struct arena *arena)
{
	const char *text = "";

	for (size_t i = 0; i < conf_server_table.nkeys; i++) {
		if (i != SERVER_ADDRESS)
			text = arena_printf(arena, "%s%s%s", text, *text == '\0' ? "" : ", ",
				conf_server_table.keys[i].name);
	}
	return text;
}

static void edit_unknown(struct edit *edit, const char *name)
{
	struct arena *scratch = edit->draft->scratch;
	struct nearest nearest;

	nearest_start(&nearest, name);
	for (size_t i = 0; i < conf_server_table.nkeys; i++)
		nearest_offer(&nearest, conf_server_table.keys[i].name);
	if (nearest.name != NULL)
		edit_problem(edit, "unknown key %s, did you mean `%s`?", quote_text(scratch, name),
			nearest.name);
	else
		edit_problem(edit, "unknown key %s, known here: %s", quote_text(scratch, name),
			edit_known_keys(scratch));
}

static void edit_set(struct edit *edit, const struct conf_key *key, const char *text)
{
	struct draft_given *given = &edit->server->given[key - conf_server_table.keys];
	const struct value_text value = { .text = text };
	const char *error;

	if (given->how == KEY_GIVEN) {
		edit_problem(edit, "`%s` is there twice", key->name);
		return;
	}
	*given = (struct draft_given){
		.how = KEY_GIVEN, .mark = edit->mark, .value_mark = edit->mark
	};
	if (value_parse(key, &value, edit->draft->arena, value_field(key, edit->server), &error) <
		0) {
		given->wrong = true;
		edit_problem(edit, "%s", error);
	}
}

static void edit_pair(struct edit *edit, char *word)
{
	char *value = strchr(word, '=');
	const struct conf_key *key;

	if (value == NULL) {
		edit_problem(edit, "%s is no KEY=VALUE; keys are %s",
			quote_text(edit->draft->scratch, word),
			edit_known_keys(edit->draft->scratch));
		return;
	}
	*value++ = '\0';
	key = table_find(&conf_server_table, word);
	if (key == NULL)
		edit_unknown(edit, word);
	else
		edit_set(edit, key, value);
}

static enum conf_edit_result edit_add(struct edit *edit)
{
	struct draft *draft = edit->draft;

	if (edit->backend == NULL) {
		if (edit->strict)
			edit_problem(edit, "there is no backend %s",
				quote_text(draft->scratch, edit->backend_name));
		return EDIT_MOOT;
	}
	if (edit->server != NULL) {
		if (edit->strict)
			edit_problem(edit, "backend %s has a server %s already",
				quote_text(draft->scratch, edit->backend_name),
				quote_text(draft->scratch, edit->server_name));
		return EDIT_OVERRULED;
	}
	edit->server = draft_server_add(
		draft, edit->backend, names_new(draft->scratch), edit->server_name, &edit->mark);
	if (edit->server == NULL)
		return EDIT_MOOT; /* said: there is no room */
	edit_set(edit, &conf_server_table.keys[SERVER_ADDRESS], edit->words[1]);
	for (size_t i = 2; i < edit->nwords; i++)
		edit_pair(edit, edit->words[i]);
	return EDIT_DONE;
}

static enum conf_edit_result edit_del(struct edit *edit)
{
	struct draft *draft = edit->draft;
	char hash[17];

	if (edit->server == NULL) {
		if (edit->strict)
			edit_problem(edit, "there is no such server");
		return EDIT_MOOT;
	}
	snprintf(hash, sizeof(hash), "%016" PRIx64, edit_hash(&edit->server->conf));
	if (!edit->strict && strcmp(hash, edit->words[1]) != 0)
		return EDIT_OVERRULED;
	if (edit->backend->nservers == 1) {
		if (edit->strict)
			edit_problem(edit, "it is the last server of backend %s",
				quote_text(draft->scratch, edit->backend_name));
		return EDIT_OVERRULED;
	}
	TAILQ_REMOVE(&edit->backend->servers, edit->server, next);
	edit->backend->nservers--;
	draft->nservers--;
	return EDIT_DONE;
}

void draft_edit(struct draft *draft, struct conf_edits *edits)
{
	for (uint32_t i = 0; edits != NULL && i < edits->count; i++) {
		struct edit edit = { .draft = draft, .strict = edits->strict };

		if (!edit_open(&edit, edits->lines[i]))
			edits->results[i] = EDIT_MOOT;
		else if (strncmp(edits->lines[i], "add ", EDIT_NAME_AT) == 0)
			edits->results[i] = edit_add(&edit);
		else
			edits->results[i] = edit_del(&edit);
	}
}
