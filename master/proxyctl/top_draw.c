/* Draws top's screen with ncurses.
 */
#include <math.h>
#include <ncurses.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "common/clock.h"
#include "master/proxyctl/top_impl.h"

#define DRAW_HEAD     4 /* lines above the panes */
#define DRAW_LEAST    8 /* lines, and so many characters: */
#define DRAW_NARROW   40
#define DRAW_LINE_MAX 512

static void draw_line(int y, int attributes, const char *format, ...) PRINTF_LIKE(3, 4);

/* As much of it as there is room for. */
static void draw_line(int y, int attributes, const char *format, ...)
{
	char raw[DRAW_LINE_MAX];
	char text[DRAW_LINE_MAX] = "";
	va_list args;

	va_start(args, format);
	vsnprintf(raw, sizeof(raw), format, args);
	va_end(args);
	top_text_add(text, sizeof(text), raw);
	attrset(attributes);
	mvaddnstr(y, 0, text, COLS);
	attrset(A_NORMAL);
}

/* ------------------------------------------------------------------ the head */

static void draw_clock(const struct top *top)
{
	const time_t now = time(NULL);
	char when[16] = "";
	char text[64];
	struct tm tm;

	if (localtime_r(&now, &tm) != NULL)
		strftime(when, sizeof(when), "%T", &tm);
	if (top->paused)
		snprintf(text, sizeof(text), "  PAUSED  %s", when);
	else
		snprintf(text, sizeof(text), "  every %gs  %s", top->interval_ms / 1000.0, when);
	if ((int)strlen(text) < COLS)
		mvaddstr(0, COLS - (int)strlen(text), text);
}

static const char *draw_number(
	const struct top *top, enum top_form form, enum top_value value, char *buf)
{
	return top_format(form, top->model->daemon.values[value], buf);
}

static void draw_head(const struct top *top)
{
	char a[TOP_CELL_MAX], b[TOP_CELL_MAX], c[TOP_CELL_MAX], d[TOP_CELL_MAX], e[TOP_CELL_MAX],
		f[TOP_CELL_MAX], g[TOP_CELL_MAX];

	if (top->model == NULL) {
		draw_line(0, A_BOLD, "proxyd");
		return;
	}
	draw_line(0, A_BOLD, "proxyd %s  %s  up %s  generation %s  workers %s",
		top->model->daemon.name, top->model->daemon.state,
		draw_number(top, FORM_SECONDS, VALUE_UPTIME_S, a),
		draw_number(top, FORM_PLAIN, VALUE_GENERATION, b),
		draw_number(top, FORM_PLAIN, VALUE_WORKERS, c));
	draw_line(1, A_NORMAL, "connections %s now  %s in all  %s %s %s /s  in %s/s  out %s/s",
		draw_number(top, FORM_COUNT, VALUE_ACTIVE, a),
		draw_number(top, FORM_COUNT, VALUE_TOTAL, b),
		draw_number(top, FORM_RATE, VALUE_RATE_1S, c),
		draw_number(top, FORM_RATE, VALUE_RATE_10S, d),
		draw_number(top, FORM_RATE, VALUE_RATE_60S, e),
		draw_number(top, FORM_BYTES, VALUE_IN_1S, f),
		draw_number(top, FORM_BYTES, VALUE_OUT_1S, g));
	draw_line(2, A_NORMAL, "moves %s  kept %s  last reload %s",
		draw_number(top, FORM_COUNT, VALUE_MOVED, a),
		draw_number(top, FORM_COUNT, VALUE_KEPT, b),
		top->model->reload[0] != '\0' ? top->model->reload : "none");
}

/* What is wrong; else how the rows in front are picked. */
static void draw_condition(const struct top *top)
{
	static const char *const names[PANES] = {
		[PANE_FRONTENDS] = "frontends",
		[PANE_SERVERS] = "servers",
		[PANE_WORKERS] = "workers",
	};
	const struct top_rows *rows = &top->rows[top->pane];
	size_t ncolumns;
	const struct top_column *columns = top_columns(top->pane, &ncolumns);
	char since[TOP_CELL_MAX];

	if (top->absent_ms > 0) {
		draw_line(3, A_BOLD | COLOR_PAIR(COLOR_RED), "NO ANSWER for %s, trying again: %s",
			top_format(FORM_SECONDS, (double)(clock_now_ms() - top->absent_ms) / 1000,
				since),
			top->why.text);
		return;
	}
	if (top->model == NULL)
		return;
	draw_line(3, COLOR_PAIR(COLOR_CYAN), "%zu of %zu %s by %s%s%s%s", rows->n,
		top_list(top, top->pane)->n, names[top->pane],
		rows->sort > 0 ? columns[rows->sort - 1].heading : "configuration",
		rows->reversed ? " reversed" : "", rows->filter[0] != '\0' ? "  filter: " : "",
		rows->filter);
}

/* ------------------------------------------------------------------ the panes */

static int draw_state_attributes(const char *state)
{
	static const struct {
		const char *state;
		short color;
	} colors[] = {
		{ "up", COLOR_GREEN },
		{ "serving", COLOR_GREEN },
		{ "down", COLOR_RED },
		{ "hung", COLOR_RED },
		{ "drain", COLOR_YELLOW },
		{ "maint", COLOR_YELLOW },
		{ "draining", COLOR_YELLOW },
		{ "starting", COLOR_YELLOW },
	};

	for (size_t i = 0; i < NELEMS(colors); i++)
		if (strcmp(colors[i].state, state) == 0)
			return (int)(COLOR_PAIR(colors[i].color) |
				(colors[i].color == COLOR_RED ? A_BOLD : 0));
	return A_NORMAL;
}

/* A text on the left, of which the end may be missing. */
static void draw_text(const char *text, size_t width)
{
	const size_t len = strlen(text);

	if (len > width && width > 0)
		printw("%.*s+", (int)width - 1, text);
	else
		printw("%-*s", (int)width, text);
}

static void draw_cell(
	const struct top_column *column, const struct top_row *row, size_t width, int attributes)
{
	char buf[TOP_CELL_MAX];

	switch (column->form) {
	case FORM_NAME:
		draw_text(row->name, width);
		return;
	case FORM_STATE:
		attrset(attributes | draw_state_attributes(row->state));
		draw_text(row->state[0] != '\0' ? row->state : "-", width);
		attrset(attributes);
		return;
	case FORM_BAR:
		printw("%s", top_format_bar(row->values[column->value], width, buf));
		return;
	case FORM_COUNT:
	case FORM_LIMIT:
	case FORM_RATE:
	case FORM_BYTES:
	case FORM_US:
	case FORM_MS:
	case FORM_SECONDS:
	case FORM_PLAIN:
		break;
	}
	printw("%*s", (int)width, top_format(column->form, row->values[column->value], buf));
}

struct draw_pane {
	const struct top_column *columns;
	size_t ncolumns;
	size_t name_width;
	bool shown[TOP_COLUMNS_MAX];
};

static void draw_heading(const struct draw_pane *pane, int y, int attributes, size_t sort)
{
	attrset(attributes);
	move(y, 0);
	for (size_t i = 0; i < pane->ncolumns; i++) {
		const struct top_column *column = &pane->columns[i];
		const bool left = column->form == FORM_NAME || column->form == FORM_STATE;
		const int width = (int)(i == 0 ? pane->name_width : column->width);

		if (!pane->shown[i])
			continue;
		if (i > 0)
			addch(' ');
		attrset(attributes | (sort == i + 1 ? A_UNDERLINE : 0));
		printw(left ? "%-*s" : "%*s", width, column->heading);
		attrset(attributes);
	}
	attrset(A_NORMAL);
}

static void draw_row(const struct draw_pane *pane, int y, const struct top_row *row, int attributes)
{
	attrset(attributes);
	move(y, 0);
	for (size_t i = 0; i < pane->ncolumns; i++) {
		if (!pane->shown[i])
			continue;
		if (i > 0)
			addch(' ');
		draw_cell(&pane->columns[i], row,
			i == 0 ? pane->name_width : pane->columns[i].width, attributes);
	}
	attrset(A_NORMAL);
}

static void draw_pane(struct top *top, enum top_pane which, int y, size_t height)
{
	struct top_rows *rows = &top->rows[which];
	const struct top_list *list = top_list(top, which);
	const bool front = which == top->pane;
	struct draw_pane pane;

	pane.columns = top_columns(which, &pane.ncolumns);
	top_columns_fit(which, (size_t)COLS, pane.shown, &pane.name_width);
	draw_heading(&pane, y, front ? A_REVERSE | A_BOLD : A_BOLD, rows->sort);
	top_rows_scroll(rows, height);
	for (size_t i = 0; i < height && rows->first + i < rows->n; i++) {
		const size_t at = rows->first + i;

		draw_row(&pane, y + 1 + (int)i, &list->rows[rows->order[at]],
			front && at == rows->at ? A_REVERSE : A_NORMAL);
	}
}

static void draw_panes(struct top *top)
{
	size_t needed[PANES], heights[PANES];
	size_t rows = (size_t)LINES - DRAW_HEAD - 1;
	const bool alone = rows < 6 + PANES;
	int y = DRAW_HEAD;

	rows -= alone ? 1 : PANES;
	for (size_t i = 0; i < PANES; i++)
		needed[i] = alone && i != (size_t)top->pane ? 0 : top->rows[i].n;
	top_rows_share(rows, needed, top->pane, heights);
	top->page = heights[top->pane];
	for (size_t i = 0; i < PANES; i++) {
		if (alone && i != (size_t)top->pane)
			continue;
		draw_pane(top, i, y, heights[i]);
		y += 1 + (int)heights[i];
	}
}

/* ------------------------------------------------------------------ the rest */

static void draw_help(void)
{
	static const char *const lines[] = {
		"q            quit",
		"h ?          this; any key goes back",
		"tab f s w    the next pane; frontends, servers, workers",
		"arrows j k   select; also PgUp PgDn Home End g G",
		"< >          sort by another column, r the other way round; or by",
		"             N name, S state, A active, R rate, I in, O out, P p99,",
		"             Q queued, F failed, T total",
		"/            show only what has a text in its name or state; esc: all",
		"d            drain the selected server, m maint (both ask), e ready",
		"space        pause          + -  a longer, shorter interval",
		"",
		"1S/s 10S/s 60S/s  new connections a second, in so many seconds",
		"IN/s OUT/s        bytes a second; P50 P99 of servers: time to connect,",
		"                  of frontends: how long sessions last",
	};

	for (size_t i = 0; i < NELEMS(lines); i++)
		draw_line((int)(i + DRAW_HEAD), A_NORMAL, "  %s", lines[i]);
}

static void draw_bottom(const struct top *top)
{
	const int y = LINES - 1;

	if (top->mode == MODE_CONFIRM)
		draw_line(y, A_BOLD | COLOR_PAIR(COLOR_YELLOW), "%s", top->ask);
	else if (top->mode == MODE_FILTER)
		draw_line(y, A_BOLD, "filter: %s_", top->rows[top->pane].filter);
	else if (top->message_ms > clock_now_ms())
		draw_line(y, A_BOLD, "%s", top->message);
	else
		draw_line(y, A_NORMAL,
			"h help  q quit  tab pane  <> sort  / filter  d drain  m maint  e ready");
}

void top_draw(struct top *top)
{
	erase();
	if (LINES < DRAW_LEAST || COLS < DRAW_NARROW) {
		draw_line(0, A_NORMAL, "%dx%d is too small: %dx%d at least", COLS, LINES,
			DRAW_NARROW, DRAW_LEAST);
		refresh();
		return;
	}
	draw_head(top);
	draw_clock(top);
	draw_condition(top);
	if (top->mode == MODE_HELP)
		draw_help();
	else
		draw_panes(top);
	draw_bottom(top);
	refresh();
}
