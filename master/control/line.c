/* Splits a line of the control socket. It comes from outside: anything may be in it.
 */
#include "master/control/line.h"

#include <stdlib.h>
#include <string.h>

/* --width=N; false: N is none. */
static bool control_line_width(const char *digits, uint32_t *width_r)
{
	unsigned long width;
	char *end;

	if (digits[0] < '0' || digits[0] > '9')
		return false;
	width = strtoul(digits, &end, 10);
	if (*end != '\0' || width < TABLE_WIDTH_MIN || width > TABLE_WIDTH_MAX)
		return false;
	*width_r = (uint32_t)width;
	return true;
}

/* What any command may be told of how its answer looks. Returns 1 when word is such an option, 0 when it is not, -1 with
 * *error_r. */
static int control_line_style(struct control_line *line, const char *word, const char **error_r)
{
	static const char width[] = "--width=";

	if (strcmp(word, "--json") == 0)
		line->json = true;
	else if (strcmp(word, "--no-header") == 0)
		line->style.no_header = true;
	else if (strcmp(word, "--color") == 0)
		line->style.color = true;
	else if (strncmp(word, width, strlen(width)) != 0)
		return 0;
	else if (!control_line_width(word + strlen(width), &line->style.width)) {
		*error_r = "usage: --width=N is 20 to 10000 characters in a line";
		return -1;
	}
	return 1;
}

static int control_line_add(struct control_line *line, char *word, const char **error_r)
{
	const bool option = strncmp(word, "--", 2) == 0;
	const int style = option ? control_line_style(line, word, error_r) : 0;

	if (style != 0)
		return style < 0 ? -1 : 0;
	if ((option ? line->noptions : line->nwords) == CONTROL_WORDS_MAX) {
		*error_r = "usage: too many words";
		return -1;
	}
	if (option)
		line->options[line->noptions++] = word;
	else
		line->words[line->nwords++] = word;
	return 0;
}

int control_line_parse(char *text, size_t len, struct control_line *line_r, const char **error_r)
{
	int result = 0;
	char *next = text;
	char *word;

	*line_r = (struct control_line){ 0 };
	for (size_t i = 0; i < len; i++) {
		/* A carriage return is what some send before the newline. */
		if (text[i] == '\t' || text[i] == '\r')
			text[i] = ' ';
		if ((unsigned char)text[i] < ' ' || text[i] == 0x7f) {
			*error_r =
				"usage: a command is one line of words without control characters";
			return -1;
		}
	}
	/* To the end also after an error, for the sake of --json. */
	while ((word = strsep(&next, " ")) != NULL)
		if (word[0] != '\0' && control_line_add(line_r, word, error_r) < 0)
			result = -1;
	if (result == 0 && line_r->nwords == 0) {
		*error_r = "usage: no command; `help` lists them";
		result = -1;
	}
	return result;
}
