/* What the keys of top do.
 */
#include <ncurses.h>
#include <stdio.h>
#include <string.h>

#include "master/proxyctl/top_impl.h"

#define KEY_ESCAPE 27

static const uint32_t keys_intervals_ms[] = { 200, 500, 1000, 2000, 5000, 10000, 30000, 60000 };

/* The next one up (1) or down (-1). */
static void keys_interval(struct top *top, int step)
{
	const size_t n = NELEMS(keys_intervals_ms);
	uint32_t ms = top->interval_ms;

	for (size_t i = 0; i < n; i++) {
		const uint32_t candidate = keys_intervals_ms[step > 0 ? i : n - 1 - i];

		if (step > 0 ? candidate > ms : candidate < ms) {
			top->interval_ms = candidate;
			break;
		}
	}
	if (top->absent_ms == 0)
		top->round_ms = 0;
}

/* ------------------------------------------------------------------ orders */

/* Prepare `set server NAME state STATE` for the selected server; false: there is none. */
static bool keys_prepare(struct top *top, const char *state)
{
	const struct top_row *row =
		top_rows_selected(&top->rows[PANE_SERVERS], top_list(top, PANE_SERVERS));

	if (top->pane != PANE_SERVERS || row == NULL) {
		top_say(top, "that is for a server: s goes to the servers");
		return false;
	}
	snprintf(top->order, sizeof(top->order), "set server %s state %s\n", row->name, state);
	return true;
}

static void keys_ask(struct top *top, const char *state, const char *consequence)
{
	const struct top_row *row;

	if (!keys_prepare(top, state))
		return;
	row = top_rows_selected(&top->rows[PANE_SERVERS], top_list(top, PANE_SERVERS));
	snprintf(top->ask, sizeof(top->ask), "%s: %s? %s (y/n)", row->name, state, consequence);
	top->mode = MODE_CONFIRM;
}

static void keys_confirm(struct top *top, int key)
{
	top->mode = MODE_LIST;
	if (key == 'y' || key == 'Y')
		top_give_order(top);
	else
		top_say(top, "nothing was done");
}

/* ------------------------------------------------------------------ the filter */

static void keys_filter(struct top *top, int key)
{
	struct top_rows *rows = &top->rows[top->pane];
	const size_t len = strlen(rows->filter);

	if (key == KEY_ESCAPE)
		rows->filter[0] = '\0';
	if (key == KEY_ESCAPE || key == '\r' || key == '\n' || key == KEY_ENTER)
		top->mode = MODE_LIST;
	else if ((key == KEY_BACKSPACE || key == 127 || key == 8) && len > 0)
		rows->filter[len - 1] = '\0';
	else if (key > ' ' && key <= '~' && len + 1 < sizeof(rows->filter)) {
		rows->filter[len] = (char)key;
		rows->filter[len + 1] = '\0';
	}
	top_arrange(top);
}

/* ------------------------------------------------------------------ the list */

/* Returns false when it is another key. */
static bool keys_move(struct top *top, int key)
{
	struct top_rows *rows = &top->rows[top->pane];
	const long page = top->page > 1 ? (long)top->page - 1 : 1;
	long by;

	switch (key) {
	case KEY_UP:
	case 'k':
		by = -1;
		break;
	case KEY_DOWN:
	case 'j':
		by = 1;
		break;
	case KEY_PPAGE:
		by = -page;
		break;
	case KEY_NPAGE:
		by = page;
		break;
	case KEY_HOME:
	case 'g':
		by = -(long)rows->n;
		break;
	case KEY_END:
	case 'G':
		by = (long)rows->n;
		break;
	default:
		return false;
	}
	top_rows_move(rows, top_list(top, top->pane), by);
	return true;
}

static bool keys_sort(struct top *top, int key)
{
	struct top_rows *rows = &top->rows[top->pane];

	if (key == '<' || key == '>')
		top_rows_sort_step(rows, key == '>' ? 1 : -1);
	else if (key == 'r')
		rows->reversed = !rows->reversed;
	else if (key < 'A' || key > 'Z' || !top_rows_sort_by(rows, (char)key))
		return false;
	/* Who sorts wants to see what is first now. */
	rows->selected[0] = '\0';
	top_arrange(top);
	return true;
}

static bool keys_pane(struct top *top, int key)
{
	switch (key) {
	case '\t':
		top->pane = (top->pane + 1) % PANES;
		break;
	case KEY_BTAB:
		top->pane = (top->pane + PANES - 1) % PANES;
		break;
	case 'f':
		top->pane = PANE_FRONTENDS;
		break;
	case 's':
		top->pane = PANE_SERVERS;
		break;
	case 'w':
		top->pane = PANE_WORKERS;
		break;
	default:
		return false;
	}
	return true;
}

static void keys_other(struct top *top, int key)
{
	switch (key) {
	case 'q':
		top->over = true;
		break;
	case 'h':
	case '?':
		top->mode = MODE_HELP;
		break;
	case '/':
		top->mode = MODE_FILTER;
		break;
	case KEY_ESCAPE:
		top->rows[top->pane].filter[0] = '\0';
		top_arrange(top);
		break;
	case 'd':
		keys_ask(top, "drain", "It gets no new connections.");
		break;
	case 'm':
		keys_ask(top, "maint", "It gets no new connections and is not checked.");
		break;
	case 'e':
		if (keys_prepare(top, "ready"))
			top_give_order(top);
		break;
	case ' ':
		top->paused = !top->paused;
		break;
	case '+':
	case '-':
		keys_interval(top, key == '+' ? 1 : -1);
		break;
	default:
		break;
	}
}

void top_key(struct top *top, int key)
{
	/* The next drawing has the new size. */
	if (key == KEY_RESIZE)
		return;
	switch (top->mode) {
	case MODE_HELP:
		top->mode = MODE_LIST;
		return;
	case MODE_FILTER:
		keys_filter(top, key);
		return;
	case MODE_CONFIRM:
		keys_confirm(top, key);
		return;
	case MODE_LIST:
		break;
	}
	if (!keys_pane(top, key) && !keys_move(top, key) && !keys_sort(top, key))
		keys_other(top, key);
}
