/* Tables for people. Rows come in portions, for there may be very many: columns can grow from one portion to
 * the next, but never shrink.
 */
#include <event2/buffer.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "master/views/print.h"

struct table {
	const struct view *view; /* borrowed */
	struct evbuffer *text;   /* owned: the cells, each with its final 0 */
	struct table_style style;
	size_t rows;
	size_t widths[VIEW_COLUMNS_MAX]; /* 0: not shown */
	bool begun;
};

struct table *table_new(const struct view *view, const struct table_style *style)
{
	struct table *table = calloc(1, sizeof(*table));

	if (table == NULL)
		return NULL;
	MUST(view->ncolumns <= VIEW_COLUMNS_MAX);
	table->view = view;
	table->style = *style;
	table->text = evbuffer_new();
	if (table->text == NULL) {
		free(table);
		return NULL;
	}
	return table;
}

void table_free(struct table *table)
{
	if (table == NULL)
		return;
	evbuffer_free(table->text);
	free(table);
}

size_t table_rows(const struct table *table)
{
	return table->rows;
}

/* Nothing that is shown may move the cursor, whoever thought of it. */
static int table_add_text(struct evbuffer *to, const char *text)
{
	for (; *text != '\0'; text++) {
		bool harmless = (unsigned char)*text >= ' ' && *text != 0x7f;

		if (evbuffer_add(to, harmless ? text : "?", 1) < 0)
			return -1;
	}
	return 0;
}

/* Those that are not 0. */
static int table_add_counts(struct evbuffer *to, const struct view_cell *cell)
{
	const char *gap = "";

	for (size_t i = 0; i < cell->count; i++) {
		if (cell->numbers[i].number == 0)
			continue;
		if (evbuffer_add_printf(to, "%s%s=%" PRIu64, gap, cell->item(NULL, i),
			    cell->numbers[i].number) < 0)
			return -1;
		gap = ",";
	}
	return *gap == '\0' ? table_add_text(to, "-") : 0;
}

static int table_add_cell(struct table *table, enum view_kind kind, const struct view_cell *cell)
{
	char buf[VIEW_UNIT_MAX];

	if (cell->none)
		return table_add_text(table->text, "-");
	switch (kind) {
	case VIEW_TEXT:
		return table_add_text(table->text, cell->text != NULL ? cell->text : "-");
	case VIEW_COUNT:
		return evbuffer_add_printf(table->text, "%" PRIu64, cell->number);
	case VIEW_BYTES:
		return table_add_text(table->text, view_format_bytes(cell->number, buf));
	case VIEW_MS:
		return table_add_text(table->text, view_format_ms(cell->number, buf));
	case VIEW_SECONDS:
		/* Not 0ms: it was counted in seconds. */
		return table_add_text(table->text,
			cell->number == 0 ? "0s" : view_format_ms(cell->number * 1000, buf));
	case VIEW_US:
		return table_add_text(table->text, view_format_us(cell->number, buf));
	case VIEW_RATE:
		return table_add_text(table->text, view_format_rate(cell->real, buf));
	case VIEW_BYTES_RATE:
		return table_add_text(
			table->text, view_format_bytes((uint64_t)(cell->real + 0.5), buf));
	case VIEW_RATES:
	case VIEW_NUMBERS:
		return view_add_curve(table->text, kind, cell);
	case VIEW_COUNTS:
		return table_add_counts(table->text, cell);
	case VIEW_LIST:
		break;
	}
	for (size_t i = 0; i < cell->count; i++) {
		if ((i > 0 && table_add_text(table->text, ",") < 0) ||
			table_add_text(table->text, cell->item(cell->list, i)) < 0)
			return -1;
	}
	return 0;
}

int table_add(struct table *table, const struct view_row *row)
{
	MUST(row->ncells == table->view->ncolumns);
	MUST(table->rows < TABLE_ROWS);
	for (size_t i = 0; i < row->ncells; i++) {
		if (table_add_cell(table, table->view->columns[i].kind, &row->cells[i]) < 0 ||
			evbuffer_add(table->text, "", 1) < 0)
			return -1;
	}
	table->rows++;
	return 0;
}

/* What does not fit: a text ends in a '+', half a number is none. */
static int table_put_cut(
	struct evbuffer *out, const struct view_column *column, const char *text, size_t width)
{
	if (!layout_is_number(column))
		return evbuffer_add_printf(out, "%.*s+", (int)layout_bytes(text, width - 1), text);
	for (size_t i = 0; i < width; i++)
		if (evbuffer_add(out, "#", 1) < 0)
			return -1;
	return 0;
}

/* width 0: however long it is. */
static int table_put_text(const struct table *table, struct evbuffer *out,
	const struct view_column *column, const char *text, size_t width)
{
	const char *color = table->style.color ? layout_color(column, text) : NULL;
	int result;

	if (color != NULL && evbuffer_add_printf(out, "%s", color) < 0)
		return -1;
	if (width > 0 && layout_width(text) > width)
		result = table_put_cut(out, column, text, width);
	else
		result = evbuffer_add(out, text, strlen(text));
	if (result < 0)
		return -1;
	return color != NULL ? evbuffer_add_printf(out, LAYOUT_PLAIN) : 0;
}

static bool table_is_last(const struct table *table, size_t i)
{
	while (++i < table->view->ncolumns)
		if (table->widths[i] > 0)
			return false;
	return true;
}

static int table_put(const struct table *table, struct evbuffer *out, size_t i, const char *text)
{
	const struct view_column *column = &table->view->columns[i];
	const bool number = layout_is_number(column);
	const bool last = table_is_last(table, i);
	size_t width;
	int pad;

	if (table->widths[i] == 0)
		return 0;
	width = layout_width(text);
	pad = table->widths[i] > width ? (int)(table->widths[i] - width) : 0;
	if (evbuffer_add_printf(out, "%*s", number ? pad : 0, "") < 0 ||
		table_put_text(table, out, column, text, table->widths[i]) < 0)
		return -1;
	if (last)
		return 0;
	return evbuffer_add_printf(out, "%*s", (number ? 0 : pad) + TABLE_GAP, "");
}

static int table_head(const struct table *table, struct evbuffer *out)
{
	if (table->style.color && evbuffer_add_printf(out, LAYOUT_BOLD) < 0)
		return -1;
	for (size_t i = 0; i < table->view->ncolumns; i++)
		if (table_put(table, out, i, table->view->columns[i].heading) < 0)
			return -1;
	return evbuffer_add_printf(out, "%s\n", table->style.color ? LAYOUT_PLAIN : "");
}

/* On a terminal the first portion says how wide the columns are. */
static void table_measure(struct table *table, const char *text)
{
	if (table->begun && table->style.width > 0)
		return;
	for (size_t i = 0; i < table->view->ncolumns; i++) {
		size_t width = layout_heading(&table->view->columns[i]);

		if (width > table->widths[i])
			table->widths[i] = width;
	}
	for (size_t i = 0; i < table->rows * table->view->ncolumns; i++) {
		size_t column = i % table->view->ncolumns;
		size_t width = layout_width(text);

		if (width > table->widths[column] && table->view->columns[column].heading != NULL)
			table->widths[column] = width;
		text += strlen(text) + 1;
	}
	if (table->style.width > 0)
		layout_fit(table->view, table->style.width, table->widths);
}

/* What a line of a single view begins with. */
static int table_put_name(
	const struct table *table, struct evbuffer *out, const char *heading, size_t width)
{
	if (table->style.no_header)
		return 0;
	return evbuffer_add_printf(out, "%s%-*s%s", table->style.color ? LAYOUT_BOLD : "",
		(int)width, heading, table->style.color ? LAYOUT_PLAIN : "");
}

/* One line for each column: heading and value. */
static int table_flush_single(const struct table *table, struct evbuffer *out, const char *text)
{
	const size_t most = table->style.width;
	size_t widest = 0;

	for (size_t i = 0; i < table->view->ncolumns; i++) {
		size_t width = layout_heading(&table->view->columns[i]) + TABLE_GAP;

		widest = width > widest ? width : widest;
	}
	if (table->style.no_header)
		widest = 0;
	for (size_t i = 0; i < table->view->ncolumns; i++) {
		const struct view_column *column = &table->view->columns[i];
		const size_t room = most == 0 ? 0 : most > widest ? most - widest : 1;

		if (column->heading != NULL &&
			(table_put_name(table, out, column->heading, widest) < 0 ||
				table_put_text(table, out, column, text, room) < 0 ||
				evbuffer_add(out, "\n", 1) < 0))
			return -1;
		text += strlen(text) + 1;
	}
	return 0;
}

static int table_flush_rows(struct table *table, struct evbuffer *out, const char *text)
{
	const size_t columns = table->view->ncolumns;

	table_measure(table, text);
	if (!table->begun && !table->style.no_header && table_head(table, out) < 0)
		return -1;
	table->begun = true;
	for (size_t i = 0; i < table->rows * columns; i++) {
		if (table_put(table, out, i % columns, text) < 0)
			return -1;
		if (i % columns == columns - 1 && evbuffer_add(out, "\n", 1) < 0)
			return -1;
		text += strlen(text) + 1;
	}
	return 0;
}

int table_flush(struct table *table, struct evbuffer *out)
{
	const char *text = "";
	int result;

	if (table->rows > 0)
		text = (const char *)evbuffer_pullup(table->text, -1);
	if (text == NULL)
		return -1;
	MUST(!table->view->single || table->rows <= 1);
	if (!table->view->single)
		result = table_flush_rows(table, out, text);
	else
		result = table->rows == 1 ? table_flush_single(table, out, text) : 0;
	table->rows = 0;
	evbuffer_drain(table->text, evbuffer_get_length(table->text));
	return result < 0 ? -1 : 0;
}
