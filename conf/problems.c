/* Collects errors, sorts them, and turns them into the lines that people see.
 */
#include "conf/problems.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/child.h"
#include "common/escape.h"
#include "conf/arena.h"
#include "conf/load.h"

#define KEPT_MAX  10000
#define QUOTE_MAX 60

/* A configuration is read before anything serves, or aside from what serves: giving up is right. */
static void *grow(void *memory, size_t bytes)
{
	memory = realloc(memory, bytes);
	if (memory == NULL) {
		fputs("proxyd: no memory for the errors of the configuration\n", stderr);
		exit(EXIT_CODE_FAILED);
	}
	return memory;
}

void problem_add(struct problems *problems, const struct conf_mark *mark, const char *format, ...)
{
	char text[1024];
	va_list args;

	if (++problems->count > KEPT_MAX)
		return;
	if (problems->kept == problems->room) {
		problems->room = problems->room == 0 ? 16 : problems->room * 2;
		problems->list = grow(problems->list, problems->room * sizeof(*problems->list));
	}
	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	problems->list[problems->kept] = (struct problem){
		.mark = *mark,
		.text = arena_strdup(problems->arena, text),
		.order = problems->kept,
	};
	problems->kept++;
}

static int by_place(const void *a_, const void *b_)
{
	const struct problem *a = a_, *b = b_;

	if (a->mark.line != b->mark.line)
		return a->mark.line < b->mark.line ? -1 : 1;
	if (a->mark.column != b->mark.column)
		return a->mark.column < b->mark.column ? -1 : 1;
	return a->order < b->order ? -1 : a->order > b->order;
}

static void line_add(struct conf_errors *errors, const char *line)
{
	size_t bytes = strlen(line) + 1;

	errors->lines = grow(errors->lines, (errors->count + 1) * sizeof(*errors->lines));
	errors->lines[errors->count++] = memcpy(grow(NULL, bytes), line, bytes);
}

void problems_finish(struct problems *problems, struct conf_errors *errors)
{
	struct arena *arena = problems->arena;

	if (problems->kept > 0)
		qsort(problems->list, problems->kept, sizeof(*problems->list), by_place);
	for (size_t i = 0; i < problems->kept; i++) {
		const struct problem *problem = &problems->list[i];
		const struct conf_mark *mark = &problem->mark;

		if (mark->line == 0)
			line_add(errors, arena_printf(arena, "%s: %s", mark->file, problem->text));
		else
			line_add(errors,
				arena_printf(arena, "%s:%u:%u: %s", mark->file, mark->line,
					mark->column, problem->text));
	}
	if (problems->count > problems->kept)
		line_add(errors,
			arena_printf(arena, "%s: and %zu more errors", problems->list[0].mark.file,
				problems->count - problems->kept));
	free(problems->list);
	problems->list = NULL;
}

const char *quote_text(struct arena *arena, const char *text)
{
	char harmless[QUOTE_MAX + 1];
	size_t len = strlen(text);
	const char *dots = len > QUOTE_MAX ? "..." : "";

	escape_json(text, len, harmless, sizeof(harmless));
	return arena_printf(arena, "`%s%s`", harmless, dots);
}

void conf_errors_free(struct conf_errors *errors)
{
	for (size_t i = 0; i < errors->count; i++)
		free(errors->lines[i]);
	free(errors->lines);
	*errors = (struct conf_errors){ 0 };
}

void conf_errors_print(const struct conf_errors *errors, FILE *to)
{
	for (size_t i = 0; i < errors->count; i++)
		fprintf(to, "%s\n", errors->lines[i]);
}
