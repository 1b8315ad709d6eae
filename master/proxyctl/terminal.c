/* What is known of the terminal, and what may reach it.
 */
#include "master/proxyctl/terminal.h"

#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define TERMINAL_LEAST 20
#define TERMINAL_MOST  10000
#define TERMINAL_LINES 24 /* where it does not say */

bool terminal_is(void)
{
	return isatty(STDOUT_FILENO) == 1;
}

/* 0: the environment does not say. */
static uint32_t terminal_from_env(const char *name)
{
	const char *text = getenv(name);
	unsigned long n;
	char *end;

	if (text == NULL || text[0] < '0' || text[0] > '9')
		return 0;
	n = strtoul(text, &end, 10);
	return *end == '\0' && n <= TERMINAL_MOST ? (uint32_t)n : 0;
}

bool terminal_size(uint32_t *columns_r, uint32_t *lines_r)
{
	struct winsize size = { 0 };
	uint32_t columns = terminal_from_env("COLUMNS");
	uint32_t lines = terminal_from_env("LINES");

	if ((columns == 0 || lines == 0) && ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) < 0)
		size = (struct winsize){ 0 };
	columns = columns > 0 ? columns : size.ws_col;
	lines = lines > 0 ? lines : size.ws_row;
	if (columns == 0)
		return false;
	*columns_r = columns < TERMINAL_LEAST ? TERMINAL_LEAST : columns;
	*lines_r = lines > 0 ? lines : TERMINAL_LINES;
	return true;
}

static bool terminal_is_dumb(void)
{
	const char *term = getenv("TERM");

	return term == NULL || term[0] == '\0' || strcmp(term, "dumb") == 0;
}

/* See no-color.org: set and not empty. */
bool terminal_colors(enum terminal_color wish)
{
	const char *no_color = getenv("NO_COLOR");

	if (wish != COLOR_AUTO)
		return wish == COLOR_ALWAYS;
	return terminal_is() && !terminal_is_dumb() && (no_color == NULL || no_color[0] == '\0');
}

bool terminal_can_clear(void)
{
	return terminal_is() && !terminal_is_dumb();
}

/* ------------------------------------------------------------------ the filter */

void terminal_end(struct terminal_filter *filter, FILE *to)
{
	if (filter->held > 0)
		fputc('?', to);
	filter->held = 0;
}

/* Whether c goes on what is held: ESC [ digits m, or the first byte of what may be a C1 control character. */
static bool terminal_goes_on(const struct terminal_filter *filter, unsigned char c)
{
	if ((unsigned char)filter->hold[0] == 0xc2)
		return (c & 0xc0) == 0x80;
	if (filter->held == 1)
		return c == '[';
	return filter->held < sizeof(filter->hold) &&
		((c >= '0' && c <= '9') || c == ';' || c == 'm');
}

/* Something is held, and c goes on with it. */
static void terminal_go_on(struct terminal_filter *filter, unsigned char c, FILE *to)
{
	filter->hold[filter->held++] = (char)c;
	if ((unsigned char)filter->hold[0] == 0xc2) {
		if (c < 0xa0)
			fputc('?', to);
		else
			fwrite(filter->hold, 1, filter->held, to);
	} else if (c == 'm') {
		fwrite(filter->hold, 1, filter->held, to);
	} else {
		return;
	}
	filter->held = 0;
}

void terminal_write(struct terminal_filter *filter, const char *text, size_t len, FILE *to)
{
	for (size_t i = 0; i < len; i++) {
		const unsigned char c = (unsigned char)text[i];

		if (filter->held > 0 && terminal_goes_on(filter, c)) {
			terminal_go_on(filter, c, to);
			continue;
		}
		terminal_end(filter, to);
		if ((c == '\033' && filter->color) || c == 0xc2)
			filter->hold[filter->held++] = (char)c;
		else if ((c < ' ' && c != '\n' && c != '\t') || c == 0x7f)
			fputc('?', to);
		else
			fputc(c, to);
	}
}
