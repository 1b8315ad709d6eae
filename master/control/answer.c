/* Turns the steps of a view into portions of text. A table is laid out in portions of TABLE_ROWS rows, JSON in
 * as many, so that both cost about the same in one turn of the loop.
 */
#include "master/control/answer.h"

#include <event2/buffer.h>
#include <stdlib.h>

#include "master/views/print.h"

struct answer {
	const struct view *view;          /* borrowed */
	const struct view_source *source; /* borrowed */
	struct table *table;              /* owned; NULL for JSON */
	struct view_cursor cursor;
	bool begun;
};

struct answer *answer_new(
	const struct view *view, const struct view_source *source, const struct table_style *style)
{
	struct answer *answer = calloc(1, sizeof(*answer));

	if (answer == NULL)
		return NULL;
	answer->view = view;
	answer->source = source;
	if (style != NULL) {
		answer->table = table_new(view, style);
		if (answer->table == NULL) {
			free(answer);
			return NULL;
		}
	}
	return answer;
}

void answer_free(struct answer *answer)
{
	if (answer == NULL)
		return;
	table_free(answer->table);
	free(answer);
}

/* A list has one row a line. */
static int answer_add_json(struct answer *answer, const struct view_row *row, struct evbuffer *out)
{
	if (!answer->view->single &&
		evbuffer_add(out, answer->begun ? ",\n" : "[", answer->begun ? 2 : 1) < 0)
		return -1;
	answer->begun = true;
	return json_add_row(out, answer->view, row);
}

static int answer_end(struct answer *answer, struct evbuffer *out)
{
	if (answer->table != NULL)
		return table_flush(answer->table, out);
	if (answer->view->single)
		return evbuffer_add(out, "\n", 1);
	return evbuffer_add_printf(out, "%s]\n", answer->begun ? "" : "[") < 0 ? -1 : 0;
}

int answer_more(struct answer *answer, struct evbuffer *out)
{
	struct view_row row;
	int result;

	for (size_t rows = answer->table != NULL ? table_rows(answer->table) : 0; rows < TABLE_ROWS;
		rows++) {
		row.ncells = 0;
		switch (answer->view->next(answer->source, &answer->cursor, &row)) {
		case VIEW_ROW:
			result = answer->table != NULL ? table_add(answer->table, &row)
						       : answer_add_json(answer, &row, out);
			if (result < 0)
				return -1;
			break;
		case VIEW_PAUSE:
			return 1;
		case VIEW_END:
			return answer_end(answer, out);
		}
	}
	if (answer->table != NULL && table_flush(answer->table, out) < 0)
		return -1;
	return 1;
}
