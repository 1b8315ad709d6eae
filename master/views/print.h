/* Views as text: tables for people, JSON for programs.
 */
#ifndef PROXYD_MASTER_VIEWS_PRINT_H
#define PROXYD_MASTER_VIEWS_PRINT_H

#include <stddef.h>

#include "common/must.h"
#include "master/views/layout.h"
#include "master/views/views.h"

struct evbuffer;
struct table;

#define TABLE_ROWS 256 /* that are laid out together */

/* view is borrowed. Returns NULL without memory. */
MUST_USE struct table *table_new(const struct view *view, const struct table_style *style);
void table_free(struct table *table); /* NULL is fine */

/* Keep a row, its cells as people read them: 1.5k, 2m05s, control characters as '?'. Returns -1 without
 * memory. After TABLE_ROWS of them comes table_flush. */
MUST_USE int table_add(struct table *table, const struct view_row *row);
size_t table_rows(const struct table *table); /* kept */

/* Write what is kept, columns as wide as the widest cell so far, numbers to the right; the headings first, the
 * first time. A single view has one line for each column. Returns -1 without memory. */
MUST_USE int table_flush(struct table *table, struct evbuffer *out);

/* One row as an object, numbers exact. Returns -1 without memory. */
MUST_USE int json_add_row(
	struct evbuffer *out, const struct view *view, const struct view_row *row);

/* {"NAME":"TEXT"} and a newline. Returns -1 without memory. */
MUST_USE int json_add_text(struct evbuffer *out, const char *name, const char *text);

/* 999, 1.5k, 12M. buf has room for VIEW_UNIT_MAX. Return buf. */
#define VIEW_UNIT_MAX 32
const char *view_format_bytes(uint64_t bytes, char *buf);

/* 850ms, 12s, 3m05s, 2h13m, 4d07h. And 850us, 1.2ms before that. */
const char *view_format_ms(uint64_t ms, char *buf);
const char *view_format_us(uint64_t us, char *buf);

/* 0, 0.5, 12, 1234, 56k, 7.8M: a second, in thousands. */
const char *view_format_rate(double rate, char *buf);

/* A curve of numbers, the highest of them as high as a character; no more than VIEW_NUMBERS_MAX. Returns -1 without
 * memory. */
MUST_USE int view_add_curve(struct evbuffer *to, enum view_kind kind, const struct view_cell *cell);

#endif
