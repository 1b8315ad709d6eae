/* Fits a table into a terminal. Only widths are known here: the text is views_table.c's.
 */
#include "master/views/layout.h"

#include <string.h>

#include "master/views/views.h"

#define LAYOUT_SHORT 16 /* a text is not made shorter than this for the sake of another column */

size_t layout_width(const char *text)
{
	size_t width = 0;

	for (; *text != '\0'; text++)
		width += ((unsigned char)*text & 0xc0) != 0x80;
	return width;
}

size_t layout_heading(const struct view_column *column)
{
	return column->heading != NULL ? layout_width(column->heading) : 0;
}

size_t layout_bytes(const char *text, size_t width)
{
	size_t bytes = 0;

	for (;; bytes++) {
		if (text[bytes] == '\0')
			return bytes;
		if (((unsigned char)text[bytes] & 0xc0) != 0x80 && width-- == 0)
			return bytes;
	}
}

bool layout_is_number(const struct view_column *column)
{
	switch (column->kind) {
	case VIEW_TEXT:
	case VIEW_LIST:
	case VIEW_RATES:
	case VIEW_NUMBERS:
	case VIEW_COUNTS:
		return false;
	case VIEW_COUNT:
	case VIEW_BYTES:
	case VIEW_MS:
	case VIEW_SECONDS:
	case VIEW_US:
	case VIEW_RATE:
	case VIEW_BYTES_RATE:
		break;
	}
	return true;
}

/* What a column takes at least. */
static size_t layout_least(const struct view_column *column, size_t width)
{
	const size_t heading = layout_heading(column);

	if (layout_is_number(column) || width <= LAYOUT_SHORT)
		return width;
	return heading > LAYOUT_SHORT ? heading : LAYOUT_SHORT;
}

static size_t layout_total(const struct view *view, const size_t widths[])
{
	size_t total = 0;

	for (size_t i = 0; i < view->ncolumns; i++)
		if (widths[i] > 0)
			total += layout_least(&view->columns[i], widths[i]) +
				(total > 0 ? TABLE_GAP : 0);
	return total;
}

/* Drop the column that is called as *spare begins, and move it on to the next. */
static void layout_drop_spare(const struct view *view, const char **spare, size_t widths[])
{
	const size_t len = strcspn(*spare, " ");

	for (size_t i = 1; i < view->ncolumns; i++) {
		const char *name = view->columns[i].name;

		if (strlen(name) == len && strncmp(name, *spare, len) == 0)
			widths[i] = 0;
	}
	*spare += len + strspn(*spare + len, " ");
}

/* The first one stays, as short as it takes. */
static void layout_drop(const struct view *view, size_t width, size_t widths[])
{
	const char *spare = view->spare != NULL ? view->spare : "";
	size_t last = view->ncolumns;

	while (*spare != '\0' && layout_total(view, widths) > width)
		layout_drop_spare(view, &spare, widths);
	while (last > 1 && layout_total(view, widths) > width)
		widths[--last] = 0;
}

void layout_fit(const struct view *view, size_t width, size_t widths[])
{
	size_t left;

	layout_drop(view, width, widths);
	left = layout_total(view, widths);
	left = left < width ? width - left : 0;
	for (size_t i = 0; i < view->ncolumns; i++) {
		const size_t least = layout_least(&view->columns[i], widths[i]);
		const size_t wants = widths[i] - least;
		const size_t gets = wants < left ? wants : left;

		widths[i] = least + gets;
		left -= gets;
	}
	if (widths[0] > width)
		widths[0] = width;
}

/* ------------------------------------------------------------------ colours */

static bool layout_is_state(const char *name)
{
	static const char *const states[] = { "state", "admin", "worker_state",
		"last_reload.result" };

	for (size_t i = 0; i < NELEMS(states); i++)
		if (strcmp(name, states[i]) == 0)
			return true;
	return false;
}

const char *layout_color(const struct view_column *column, const char *text)
{
	static const struct {
		const char *state;
		const char *color;
	} colors[] = {
		{ "up", "\033[32m" },
		{ "serving", "\033[32m" },
		{ "done", "\033[32m" },
		{ "down", "\033[31m" },
		{ "hung", "\033[31m" },
		{ "refused", "\033[31m" },
		{ "drain", "\033[33m" },
		{ "maint", "\033[33m" },
		{ "draining", "\033[33m" },
		{ "leaving", "\033[33m" },
		{ "starting", "\033[33m" },
		{ "stopping", "\033[33m" },
	};

	if (!layout_is_state(column->name))
		return NULL;
	for (size_t i = 0; i < NELEMS(colors); i++)
		if (strcmp(text, colors[i].state) == 0)
			return colors[i].color;
	return NULL;
}
