/* A pane's rows as they are looked at: filtered, sorted, one of them selected, some of them in sight.
 */
#ifndef PROXYD_MASTER_PROXYCTL_TOP_ROWS_H
#define PROXYD_MASTER_PROXYCTL_TOP_ROWS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/must.h"
#include "master/proxyctl/top_columns.h"
#include "master/proxyctl/top_model.h"

#define TOP_FILTER_MAX 64

struct top_rows {
	enum top_pane pane;
	size_t sort; /* the column; 0: as they stand in the configuration */
	bool reversed;
	char filter[TOP_FILTER_MAX];
	char selected[TOP_TEXT_MAX]; /* stays selected wherever it moves; "": the first */
	size_t at;                   /* its place in order */
	size_t first;                /* the first in sight */
	size_t n;                    /* that the filter lets through */
	size_t room;
	uint32_t *order; /* owned: their indices in the list */
};

void top_rows_init(struct top_rows *rows, enum top_pane pane);
void top_rows_deinit(struct top_rows *rows);

/* New data, another filter or order. Numbers go down, texts up, unknown is last; reversed the other way. Returns -1
 * without memory. */
MUST_USE int top_rows_arrange(struct top_rows *rows, const struct top_list *list);

/* The row that is selected; NULL: there is none. */
const struct top_row *top_rows_selected(const struct top_rows *rows, const struct top_list *list);

/* Select another, `by` further down; at the ends it stays there. */
void top_rows_move(struct top_rows *rows, const struct top_list *list, long by);

/* Keep the selected one in sight, where height rows are. */
void top_rows_scroll(struct top_rows *rows, size_t height);

/* Sort by the column that has this key; false: none has. */
bool top_rows_sort_by(struct top_rows *rows, char key);

/* By the next column to the right (1) or the left (-1). */
void top_rows_sort_step(struct top_rows *rows, int step);

/* How the rows of a screen are shared: to each pane what it needs, to the one in front most. */
void top_rows_share(
	size_t rows, const size_t needed[PANES], enum top_pane front, size_t heights_r[PANES]);

#endif
