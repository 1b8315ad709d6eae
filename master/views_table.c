/* Tables for people. Rows come in portions, for there may be very many: columns can grow from one portion to
 * the next, but never shrink.
 */
#include <event2/buffer.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "master/views_print.h"

#define TABLE_GAP 2

struct table {
	const struct view *view; /* borrowed */
	struct evbuffer *text;   /* owned: the cells, each with its final 0 */
	size_t rows;
	size_t widths[VIEW_COLUMNS_MAX];
	bool headed;
};

const char *view_format_bytes(uint64_t bytes, char *buf)
{
	static const char units[] = "kMGTPE";
	size_t unit = 0;
	double n;

	if (bytes < 1024) {
		snprintf(buf, VIEW_UNIT_MAX, "%" PRIu64, bytes);
		return buf;
	}
	n = (double)bytes / 1024;
	/* 1023.5k would be printed as 1024k. */
	while (n >= 1023.5) {
		n /= 1024;
		unit++;
	}
	snprintf(buf, VIEW_UNIT_MAX, "%.*f%c", n < 9.95 ? 1 : 0, n, units[unit]);
	return buf;
}

const char *view_format_ms(uint64_t ms, char *buf)
{
	const uint64_t s = ms / 1000;

	if (ms < 1000)
		snprintf(buf, VIEW_UNIT_MAX, "%" PRIu64 "ms", ms);
	else if (s < 60)
		snprintf(buf, VIEW_UNIT_MAX, "%" PRIu64 "s", s);
	else if (s < 3600)
		snprintf(buf, VIEW_UNIT_MAX, "%" PRIu64 "m%02" PRIu64 "s", s / 60, s % 60);
	else if (s < 86400)
		snprintf(buf, VIEW_UNIT_MAX, "%" PRIu64 "h%02" PRIu64 "m", s / 3600, s / 60 % 60);
	else
		snprintf(
			buf, VIEW_UNIT_MAX, "%" PRIu64 "d%02" PRIu64 "h", s / 86400, s / 3600 % 24);
	return buf;
}

struct table *table_new(const struct view *view)
{
	struct table *table = calloc(1, sizeof(*table));

	if (table == NULL)
		return NULL;
	MUST(view->ncolumns <= VIEW_COLUMNS_MAX);
	table->view = view;
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

/* Columns on the screen: bytes that begin a character of UTF-8. */
static size_t table_width(const char *text)
{
	size_t width = 0;

	for (; *text != '\0'; text++)
		width += ((unsigned char)*text & 0xc0) != 0x80;
	return width;
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

static int table_add_cell(struct table *table, enum view_kind kind, const struct view_cell *cell)
{
	char buf[VIEW_UNIT_MAX];

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

static bool table_is_right(const struct view_column *column)
{
	switch (column->kind) {
	case VIEW_TEXT:
	case VIEW_LIST:
		return false;
	case VIEW_COUNT:
	case VIEW_BYTES:
	case VIEW_MS:
	case VIEW_SECONDS:
		break;
	}
	return true;
}

static int table_put(const struct table *table, struct evbuffer *out, size_t i, const char *text)
{
	const size_t width = table_width(text);
	const int pad = table->widths[i] > width ? (int)(table->widths[i] - width) : 0;
	const bool last = i + 1 == table->view->ncolumns;
	int result;

	if (table_is_right(&table->view->columns[i]))
		result = evbuffer_add_printf(out, "%*s%s", pad, "", text);
	else
		result = evbuffer_add_printf(out, "%s%*s", text, last ? 0 : pad, "");
	return result < 0 ? -1 : evbuffer_add_printf(out, "%s", last ? "\n" : "  ");
}

static int table_head(struct table *table, struct evbuffer *out)
{
	for (size_t i = 0; i < table->view->ncolumns; i++)
		if (table_put(table, out, i, table->view->columns[i].heading) < 0)
			return -1;
	table->headed = true;
	return 0;
}

static void table_measure(struct table *table, const char *text)
{
	for (size_t i = 0; i < table->view->ncolumns; i++) {
		size_t width = table_width(table->view->columns[i].heading);

		if (width > table->widths[i])
			table->widths[i] = width;
	}
	for (size_t i = 0; i < table->rows * table->view->ncolumns; i++) {
		size_t column = i % table->view->ncolumns;
		size_t width = table_width(text);

		if (width > table->widths[column])
			table->widths[column] = width;
		text += strlen(text) + 1;
	}
}

/* One line for each column: heading and value. */
static int table_flush_single(const struct table *table, struct evbuffer *out, const char *text)
{
	size_t widest = 0;

	for (size_t i = 0; i < table->view->ncolumns; i++) {
		size_t width = table_width(table->view->columns[i].heading);

		widest = width > widest ? width : widest;
	}
	for (size_t i = 0; i < table->rows * table->view->ncolumns; i++) {
		const char *heading = table->view->columns[i].heading;

		if (evbuffer_add_printf(out, "%-*s%s\n", (int)widest + TABLE_GAP, heading, text) <
			0)
			return -1;
		text += strlen(text) + 1;
	}
	return 0;
}

static int table_flush_rows(struct table *table, struct evbuffer *out, const char *text)
{
	table_measure(table, text);
	if (!table->headed && table_head(table, out) < 0)
		return -1;
	for (size_t i = 0; i < table->rows * table->view->ncolumns; i++) {
		if (table_put(table, out, i % table->view->ncolumns, text) < 0)
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
	result = table->view->single ? table_flush_single(table, out, text)
				     : table_flush_rows(table, out, text);
	table->rows = 0;
	evbuffer_drain(table->text, evbuffer_get_length(table->text));
	return result < 0 ? -1 : 0;
}
