/* What was found wrong so far. Everything is collected first and sorted by its place in the file at the
 * end, so that the readers may go through the file in whatever order suits them.
 */
#ifndef PROXYD_CONF_PROBLEMS_H
#define PROXYD_CONF_PROBLEMS_H

#include <stddef.h>

#include "common/must.h"
#include "conf/conf.h"

struct arena;
struct conf_errors;

struct problem {
	struct conf_mark mark;
	const char *text;
	size_t order; /* in which it was found: decides between two of one place */
};

struct problems {
	struct arena *arena; /* borrowed; for the texts */
	size_t count;        /* found, also beyond what is kept */
	size_t kept;
	size_t room;
	struct problem *list; /* owned */
};

/* One line about the place mark, of which the strings are copied. Without a line in mark only its file
 * is said. From the 10,001st on they are only counted. */
void problem_add(struct problems *problems, const struct conf_mark *mark, const char *format, ...)
	PRINTF_LIKE(3, 4);

/* Sorted into lines for the caller. The list is freed. */
void problems_finish(struct problems *problems, struct conf_errors *errors);

/* text between backticks, cut at 60 bytes, harmless for a terminal; in the arena. */
const char *quote_text(struct arena *arena, const char *text);

#endif
