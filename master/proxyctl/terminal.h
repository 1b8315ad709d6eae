/* The terminal that proxyctl writes to, if it is one: how wide, in colour or not, and nothing on it that the
 * daemon's answer should not do there.
 */
#ifndef PROXYD_MASTER_PROXYCTL_TERMINAL_H
#define PROXYD_MASTER_PROXYCTL_TERMINAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

enum terminal_color {
	COLOR_AUTO, /* on a terminal that can, unless NO_COLOR is set */
	COLOR_ALWAYS,
	COLOR_NEVER,
};

/* Whether standard output is one. */
bool terminal_is(void);

/* Characters in a line of it and lines: $COLUMNS, $LINES, else what it says itself (24 lines where it does not). False: the
 * characters are unknown. */
bool terminal_size(uint32_t *columns_r, uint32_t *lines_r);

bool terminal_colors(enum terminal_color wish);

/* Whether it understands the sequences that move and clear. */
bool terminal_can_clear(void);

/* What goes through to a terminal: text, line ends and colours; control characters become '?'. */
struct terminal_filter {
	bool color;  /* SGR sequences (ESC [ ... m) may pass */
	size_t held; /* bytes of a sequence that is not complete */
	char hold[16];
};

/* Write len bytes of text to the stream. */
void terminal_write(struct terminal_filter *filter, const char *text, size_t len, FILE *to);

/* What is held is written out, as '?'. */
void terminal_end(struct terminal_filter *filter, FILE *to);

#endif
