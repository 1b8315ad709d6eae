/* The way from a file to a configuration: parse, read with range checks, apply the command line, check
 * across keys, freeze.
 */
#include "conf/load.h"

#include <stdlib.h>
#include <string.h>

#include "common/child.h"
#include "conf/arena.h"
#include "conf/read.h"
#include "conf/text.h"
#include "conf/value.h"

/* ------------------------------------------------------------------ YAML */

/* Where a byte is that libyaml's reader did not take: it knows only its offset. */
static yaml_mark_t offset_mark(const struct text *text, size_t offset)
{
	yaml_mark_t mark = { 0 };

	for (size_t i = 0; i < offset && i < text->len; i++) {
		mark.column++;
		if (text->bytes[i] == '\n') {
			mark.line++;
			mark.column = 0;
		}
	}
	return mark;
}

static void problem_yaml(
	const struct source *source, const yaml_parser_t *parser, const struct text *text)
{
	struct problems *problems = &source->draft->problems;
	yaml_mark_t at = parser->problem_mark;
	const char *problem = parser->problem != NULL ? parser->problem : "no memory";
	struct conf_mark mark;

	if (parser->error == YAML_READER_ERROR)
		at = offset_mark(text, parser->problem_offset);
	mark = source_mark(source, &at);
	if (parser->context != NULL && source->positions)
		problem_add(problems, &mark, "this is not YAML: %s (%s from line %zu on)", problem,
			parser->context, parser->context_mark.line + 1);
	else
		problem_add(problems, &mark, "this is not YAML: %s", problem);
}

/* Exactly one document, of which source->document becomes the owner. */
static int parse_document(struct source *source, yaml_parser_t *parser, const struct text *text)
{
	const struct conf_mark start = { source->name, source->positions, source->positions };
	struct problems *problems = &source->draft->problems;
	yaml_document_t second;
	struct conf_mark mark;

	if (!yaml_parser_load(parser, source->document)) {
		problem_yaml(source, parser, text);
		return -1;
	}
	if (yaml_document_get_root_node(source->document) == NULL ||
		node_is_null(yaml_document_get_root_node(source->document))) {
		problem_add(problems, &start, "the file is empty: it needs at least `frontends`");
		yaml_document_delete(source->document);
		return -1;
	}
	if (!yaml_parser_load(parser, &second)) {
		problem_yaml(source, parser, text);
		yaml_document_delete(source->document);
		return -1;
	}
	if (yaml_document_get_root_node(&second) != NULL) {
		mark = source_mark(source, &second.start_mark);
		problem_add(
			problems, &mark, "a second document begins here: a file is one document");
	}
	yaml_document_delete(&second);
	return 0;
}

static void read_text(struct draft *draft, const struct text *text)
{
	yaml_document_t document;
	struct source source = {
		.name = arena_strdup(draft->arena, text->name),
		.positions = text->positions,
		.document = &document,
		.draft = draft,
	};
	const yaml_node_t *root;
	yaml_parser_t parser;

	if (!yaml_parser_initialize(&parser)) {
		fputs("proxyd: no memory for the configuration\n", stderr);
		exit(EXIT_CODE_FAILED);
	}
	yaml_parser_set_input_string(&parser, (const unsigned char *)text->bytes, text->len);
	if (parse_document(&source, &parser, text) == 0) {
		root = yaml_document_get_root_node(&document);
		draft->frontends_mark = node_mark(&source, root);
		draft->readable = true;
		if (apps_is(&source, root))
			apps_read(&source, root);
		else
			read_file(&source, root);
		yaml_document_delete(&document);
	}
	yaml_parser_delete(&parser);
}

/* ------------------------------------------------------------------ the command line */

static void override(struct draft *draft, const char *option, const struct conf_key *key,
	void *field, const char *text)
{
	const struct conf_mark mark = {
		.file = arena_printf(draft->scratch, "command line: --%s", option),
	};
	const struct value_text value = { .text = text };
	const char *error;

	if (text != NULL && value_parse(key, &value, draft->arena, field, &error) == -1)
		problem_add(&draft->problems, &mark, "%s", error);
}

static const struct conf_key *global_key(const char *name)
{
	const struct conf_key *key = table_find(&conf_global_table, name);

	MUST(key != NULL);
	return key;
}

static void overrides_apply(struct draft *draft, const struct conf_overrides *overrides)
{
	const struct conf_table *log_table = global_key("log")->section;
	const struct conf_table *control_table = global_key("control")->section;
	const struct conf_table *admin_table = global_key("admin")->section;
	struct conf_global *global = &draft->global;

	if (overrides == NULL)
		return;
	override(draft, "workers", global_key("workers"), &global->workers, overrides->workers);
	override(draft, "pidfile", global_key("pidfile"), &global->pidfile, overrides->pidfile);
	override(draft, "control", table_find(control_table, "path"), &global->control.path,
		overrides->control);
	override(draft, "admin", table_find(admin_table, "bind"), &global->admin.bind,
		overrides->admin);
	override(draft, "loglevel", table_find(log_table, "level"), &global->log.level,
		overrides->loglevel);
	override(draft, "logformat", table_find(log_table, "format"), &global->log.format,
		overrides->logformat);
}

/* ------------------------------------------------------------------ loading */

struct conf *text_load(
	const struct text *text, const struct conf_overrides *overrides, struct conf_errors *errors)
{
	struct draft *draft = draft_new();
	struct conf *conf = NULL;

	read_text(draft, text);
	overrides_apply(draft, overrides);
	draft->edits = overrides != NULL ? overrides->edits : NULL;
	if (draft->readable)
		draft_check(draft);
	if (draft->problems.count == 0)
		conf = draft_freeze(draft);
	problems_finish(&draft->problems, errors);
	draft_free(draft);
	return conf;
}

struct conf *conf_load_text(const char *name, const char *text, size_t len,
	const struct conf_overrides *overrides, struct conf_errors *errors)
{
	const struct text whole = { .name = name, .bytes = text, .len = len, .positions = true };

	return text_load(&whole, overrides, errors);
}

struct conf *conf_load_file(
	const char *path, const struct conf_overrides *overrides, struct conf_errors *errors)
{
	struct conf *conf = NULL;
	struct text text = { .positions = true };
	const char *why;
	char *bytes;

	text.name = strcmp(path, "-") == 0 ? "standard input" : path;
	if (file_read(path, &bytes, &text.len, &why) == 0) {
		text.bytes = bytes;
		conf = text_load(&text, overrides, errors);
		free(bytes);
	} else {
		struct problems problems = { .arena = arena_new() };
		const struct conf_mark mark = { .file = text.name };

		problem_add(&problems, &mark, "%s", why);
		problems_finish(&problems, errors);
		arena_free(problems.arena);
	}
	return conf;
}
