/* Splits a line of the control socket. It comes from outside: anything may be in it.
 */
#include "master/control_line.h"

#include <string.h>

static int control_line_add(struct control_line *line, char *word, const char **error_r)
{
	const bool option = strncmp(word, "--", 2) == 0;

	if (strcmp(word, "--json") == 0) {
		line->json = true;
		return 0;
	}
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
