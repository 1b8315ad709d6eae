/* The columns of top's panes: what they show, how wide, in which form, and which of them fit.
 */
#ifndef PROXYD_MASTER_PROXYCTL_TOP_COLUMNS_H
#define PROXYD_MASTER_PROXYCTL_TOP_COLUMNS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "master/proxyctl/top_model.h"

#define TOP_COLUMNS_MAX 16
#define TOP_CELL_MAX    32
#define TOP_NAME_LEAST                                                                             \
	12 /* characters of a name that are shown even if a column has to go for them */

enum top_form {
	FORM_NAME,
	FORM_STATE,
	FORM_COUNT,   /* 99999, 123k, 1.2M */
	FORM_LIMIT,   /* the same; 0 is none */
	FORM_RATE,    /* 0.0, 12.3, 1234, 12.3k: a second */
	FORM_BYTES,   /* 1023, 1.0k, 999M */
	FORM_US,      /* 999us, 1.2ms, 120ms, 1.2s, 120s; of microseconds */
	FORM_MS,      /* the same of milliseconds */
	FORM_SECONDS, /* 12s, 3m05s, 2h13m, 4d07h */
	FORM_PLAIN,   /* all digits */
	FORM_BAR,     /* a share: |||||||      35% */
};

struct top_column {
	const char *heading;
	enum top_form form;
	enum top_value value; /* unless it is the name or the state */
	uint8_t width;
	uint8_t spare; /* 0: always shown; else a narrow terminal goes without, without the highest first */
	char key; /* that sorts by it */
};

const struct top_column *top_columns(enum top_pane pane, size_t *n_r);

/* Which columns fit into width characters (with a blank between them), and how many are left for the name. */
void top_columns_fit(
	enum top_pane pane, size_t width, bool shown_r[TOP_COLUMNS_MAX], size_t *name_width_r);

/* A number in its form; "-" when it is not known. Returns buf, of TOP_CELL_MAX bytes. */
const char *top_format(enum top_form form, double value, char *buf);

/* A share as a bar of that width. buf has room for it and a final 0. */
const char *top_format_bar(double share, size_t width, char *buf);

#endif
