/* Sorting, filtering, selecting.
 */
#include "master/proxyctl/top_rows.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

void top_rows_init(struct top_rows *rows, enum top_pane pane)
{
	*rows = (struct top_rows){ .pane = pane };
}

void top_rows_deinit(struct top_rows *rows)
{
	free(rows->order);
	rows->order = NULL;
}

/* ------------------------------------------------------------------ order */

struct rows_sorting {
	const struct top_list *list;
	const struct top_column *column; /* NULL: as they stand there */
	bool reversed;
};

/* What wants an eye on it comes first. */
static int rows_state_rank(const char *state)
{
	static const char *const states[] = { "down", "hung", "drain", "draining", "maint",
		"starting", "nocheck" };

	for (size_t i = 0; i < NELEMS(states); i++)
		if (strcmp(state, states[i]) == 0)
			return (int)i;
	return (int)NELEMS(states);
}

static int rows_compare_column(
	const struct top_column *column, const struct top_row *a, const struct top_row *b)
{
	const double x = column->form < FORM_COUNT ? 0 : a->values[column->value];
	const double y = column->form < FORM_COUNT ? 0 : b->values[column->value];

	if (column->form == FORM_NAME)
		return strverscmp(a->name, b->name);
	if (column->form == FORM_STATE)
		return rows_state_rank(a->state) - rows_state_rank(b->state);
	return (x < y) - (x > y);
}

static bool rows_is_unknown(const struct top_column *column, const struct top_row *row)
{
	return column->form >= FORM_COUNT && isnan(row->values[column->value]);
}

static int rows_compare(const void *left, const void *right, void *arg)
{
	const struct rows_sorting *sorting = arg;
	const uint32_t i = *(const uint32_t *)left;
	const uint32_t j = *(const uint32_t *)right;
	const struct top_row *a = &sorting->list->rows[i];
	const struct top_row *b = &sorting->list->rows[j];
	const int as_they_are = (i > j) - (i < j);
	int result = 0;

	if (sorting->column == NULL)
		return sorting->reversed ? -as_they_are : as_they_are;
	/* Unknown is last either way. */
	result = rows_is_unknown(sorting->column, a) - rows_is_unknown(sorting->column, b);
	if (result != 0)
		return result;
	result = rows_compare_column(sorting->column, a, b);
	if (result == 0)
		return as_they_are;
	return sorting->reversed ? -result : result;
}

static bool rows_pass(const struct top_rows *rows, const struct top_row *row)
{
	return rows->filter[0] == '\0' || strcasestr(row->name, rows->filter) != NULL ||
		strcasestr(row->state, rows->filter) != NULL;
}

/* Where the selected one is now; where it was when it is gone. */
static void rows_find_selected(struct top_rows *rows, const struct top_list *list)
{
	const struct top_row *row;

	for (size_t i = 0; i < rows->n && rows->selected[0] != '\0'; i++) {
		if (strcmp(list->rows[rows->order[i]].name, rows->selected) == 0) {
			rows->at = i;
			return;
		}
	}
	/* Nothing was chosen: the first stays chosen, whoever that is. */
	if (rows->selected[0] == '\0')
		rows->at = 0;
	if (rows->at >= rows->n)
		rows->at = rows->n > 0 ? rows->n - 1 : 0;
	row = top_rows_selected(rows, list);
	if (rows->selected[0] != '\0' && row != NULL)
		memcpy(rows->selected, row->name, sizeof(rows->selected));
}

int top_rows_arrange(struct top_rows *rows, const struct top_list *list)
{
	size_t ncolumns;
	const struct top_column *columns = top_columns(rows->pane, &ncolumns);
	struct rows_sorting sorting = {
		.list = list,
		.column = rows->sort > 0 ? &columns[rows->sort - 1] : NULL,
		.reversed = rows->reversed,
	};

	if (list->n > rows->room) {
		uint32_t *order = realloc(rows->order, list->n * sizeof(*order));

		if (order == NULL)
			return -1;
		rows->order = order;
		rows->room = list->n;
	}
	rows->n = 0;
	for (size_t i = 0; i < list->n; i++)
		if (rows_pass(rows, &list->rows[i]))
			rows->order[rows->n++] = (uint32_t)i;
	if (rows->n > 1)
		qsort_r(rows->order, rows->n, sizeof(*rows->order), rows_compare, &sorting);
	rows_find_selected(rows, list);
	return 0;
}

bool top_rows_sort_by(struct top_rows *rows, char key)
{
	size_t n;
	const struct top_column *columns = top_columns(rows->pane, &n);

	for (size_t i = 0; i < n && key != '\0'; i++) {
		if (columns[i].key == key) {
			rows->sort = i + 1;
			rows->reversed = false;
			return true;
		}
	}
	return false;
}

void top_rows_sort_step(struct top_rows *rows, int step)
{
	size_t n;

	(void)top_columns(rows->pane, &n);
	if (step > 0)
		rows->sort = rows->sort < n ? rows->sort + 1 : 0;
	else
		rows->sort = rows->sort > 0 ? rows->sort - 1 : n;
	rows->reversed = false;
}

/* ------------------------------------------------------------------ the selected one */

const struct top_row *top_rows_selected(const struct top_rows *rows, const struct top_list *list)
{
	return rows->at < rows->n ? &list->rows[rows->order[rows->at]] : NULL;
}

void top_rows_move(struct top_rows *rows, const struct top_list *list, long by)
{
	const struct top_row *row;

	if (rows->n == 0)
		return;
	if (by < 0)
		rows->at = rows->at > (size_t)-by ? rows->at - (size_t)-by : 0;
	else
		rows->at =
			rows->n - 1 - rows->at > (size_t)by ? rows->at + (size_t)by : rows->n - 1;
	row = top_rows_selected(rows, list);
	if (row != NULL)
		memcpy(rows->selected, row->name, sizeof(rows->selected));
}

void top_rows_scroll(struct top_rows *rows, size_t height)
{
	if (height == 0)
		return;
	if (rows->at < rows->first)
		rows->first = rows->at;
	if (rows->at >= rows->first + height)
		rows->first = rows->at - height + 1;
	if (rows->first + height > rows->n)
		rows->first = rows->n > height ? rows->n - height : 0;
}

/* ------------------------------------------------------------------ the screen */

void top_rows_share(
	size_t rows, const size_t needed[PANES], enum top_pane front, size_t heights_r[PANES])
{
	const size_t most = rows / 5 > 2 ? rows / 5 : 2;
	size_t left = rows;

	for (size_t i = 0; i < PANES; i++) {
		heights_r[i] = 0;
		if (i == (size_t)front || rows < 6)
			continue;
		heights_r[i] = needed[i] < most ? needed[i] : most;
		left -= heights_r[i];
	}
	heights_r[front] = needed[front] < left ? needed[front] : left;
	left -= heights_r[front];
	for (size_t i = 0; i < PANES; i++) {
		const size_t wants = rows < 6 ? 0 : needed[i] - heights_r[i];
		const size_t more = wants < left ? wants : left;

		heights_r[i] += more;
		left -= more;
	}
}
