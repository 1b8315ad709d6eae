/* How wide the columns of a table are on a terminal, which of them it goes without, and in what colour a cell
 * is. Without a terminal nothing of this applies: everything is printed.
 */
#ifndef PROXYD_MASTER_VIEWS_LAYOUT_H
#define PROXYD_MASTER_VIEWS_LAYOUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct view;
struct view_column;

#define TABLE_GAP       2  /* blanks between two columns */
#define TABLE_WIDTH_MIN 20 /* of a terminal */
#define TABLE_WIDTH_MAX 10000

/* How a client wants its table. */
struct table_style {
	bool no_header;
	bool color;
	uint32_t width; /* characters in a line; 0: as many as it takes */
};

/* Make a table fit: widths[] come in as wide as the cells are. First long texts are shortened, then the columns
 * that view->spare names go, then the last ones; what room is left the texts have. A width of 0 afterwards: not
 * shown. */
void layout_fit(const struct view *view, size_t width, size_t widths[]);

/* Characters on the screen: bytes that begin one of UTF-8. */
size_t layout_width(const char *text);

/* Of a column's heading; 0 where it has none. */
size_t layout_heading(const struct view_column *column);

/* How many bytes of text are its first `width` characters. */
size_t layout_bytes(const char *text, size_t width);

/* Numbers stand on the right. */
bool layout_is_number(const struct view_column *column);

/* The escape sequence that a cell begins with, static; NULL: it has no colour. LAYOUT_PLAIN ends it. */
const char *layout_color(const struct view_column *column, const char *text);

#define LAYOUT_BOLD  "\033[1m"
#define LAYOUT_PLAIN "\033[0m"

#endif
