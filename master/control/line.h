/* One line that a client of the control socket sent, as words.
 */
#ifndef PROXYD_MASTER_CONTROL_LINE_H
#define PROXYD_MASTER_CONTROL_LINE_H

#include <stdbool.h>
#include <stddef.h>

#include "common/must.h"
#include "master/views/layout.h"

#define CONTROL_LINE_MAX  4096 /* bytes, with its newline */
#define CONTROL_WORDS_MAX 16

/* Words point into the line. */
struct control_line {
	size_t nwords;
	char *words[CONTROL_WORDS_MAX + 1];
	size_t noptions; /* --now; not among them are those that say how the answer looks */
	char *options[CONTROL_WORDS_MAX + 1];
	bool json;                /* --json */
	struct table_style style; /* --no-header, --color, --width=N */
};

/* Splits text (len bytes, and a final 0 behind them) in place at blanks. Options may stand anywhere. Returns -1
 * with *error_r, static, when it is none that anybody would have typed; json is right all the same. */
MUST_USE int control_line_parse(
	char *text, size_t len, struct control_line *line_r, const char **error_r);

#endif
