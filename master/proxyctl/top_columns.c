/* Tables of columns, and numbers for people.
 */
#include "master/proxyctl/top_columns.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "common/must.h"

static const struct top_column columns_frontends[] = {
	{ "FRONTEND", FORM_NAME, VALUES, 0, 0, 'N' },
	{ "ACTIVE", FORM_COUNT, VALUE_ACTIVE, 6, 0, 'A' },
	{ "1S/s", FORM_RATE, VALUE_RATE_1S, 5, 0, 'R' },
	{ "10S/s", FORM_RATE, VALUE_RATE_10S, 5, 0, '\0' },
	{ "60S/s", FORM_RATE, VALUE_RATE_60S, 5, 0, '\0' },
	{ "IN/s", FORM_BYTES, VALUE_IN_1S, 5, 0, 'I' },
	{ "OUT/s", FORM_BYTES, VALUE_OUT_1S, 5, 0, 'O' },
	{ "TOTAL", FORM_COUNT, VALUE_TOTAL, 6, 0, 'T' },
	{ "REFUSED", FORM_COUNT, VALUE_REFUSED, 7, 0, '\0' },
	{ "FAILED", FORM_COUNT, VALUE_FAILED, 6, 0, 'F' },
	{ "P50", FORM_MS, VALUE_SESSION_P50_MS, 5, 2, '\0' },
	{ "P99", FORM_MS, VALUE_SESSION_P99_MS, 5, 1, 'P' },
};

static const struct top_column columns_servers[] = {
	{ "SERVER", FORM_NAME, VALUES, 0, 0, 'N' },
	{ "STATE", FORM_STATE, VALUES, 7, 0, 'S' },
	{ "1S/s", FORM_RATE, VALUE_RATE_1S, 5, 0, 'R' },
	{ "10S/s", FORM_RATE, VALUE_RATE_10S, 5, 0, '\0' },
	{ "60S/s", FORM_RATE, VALUE_RATE_60S, 5, 4, '\0' },
	{ "IN/s", FORM_BYTES, VALUE_IN_1S, 5, 0, 'I' },
	{ "OUT/s", FORM_BYTES, VALUE_OUT_1S, 5, 0, 'O' },
	{ "ACTV", FORM_COUNT, VALUE_ACTIVE, 5, 0, 'A' },
	{ "QUEUE", FORM_COUNT, VALUE_QUEUED, 5, 0, 'Q' },
	{ "MAX", FORM_LIMIT, VALUE_MAXCONN, 5, 3, '\0' },
	{ "P50", FORM_US, VALUE_CONNECT_P50_US, 5, 2, '\0' },
	{ "P99", FORM_US, VALUE_CONNECT_P99_US, 5, 0, 'P' },
	{ "FAILED", FORM_COUNT, VALUE_FAILED, 6, 5, 'F' },
	{ "TOTAL", FORM_COUNT, VALUE_TOTAL, 6, 6, 'T' },
	{ "WEIGHT", FORM_COUNT, VALUE_WEIGHT, 6, 8, '\0' },
	{ "SINCE", FORM_SECONDS, VALUE_LAST_CHANGE_S, 6, 7, '\0' },
};

static const struct top_column columns_workers[] = {
	{ "WORKER", FORM_NAME, VALUES, 0, 0, 'N' },
	{ "STATE", FORM_STATE, VALUES, 8, 0, 'S' },
	{ "PID", FORM_PLAIN, VALUE_PID, 7, 0, '\0' },
	{ "GEN", FORM_PLAIN, VALUE_GENERATION, 5, 3, '\0' },
	{ "ACTIVE", FORM_COUNT, VALUE_ACTIVE, 6, 0, 'A' },
	{ "SHARE", FORM_BAR, VALUE_SHARE, 18, 0, '\0' },
	{ "1S/s", FORM_RATE, VALUE_RATE_1S, 5, 0, 'R' },
	{ "10S/s", FORM_RATE, VALUE_RATE_10S, 5, 4, '\0' },
	{ "60S/s", FORM_RATE, VALUE_RATE_60S, 5, 5, '\0' },
	{ "ACCEPTED", FORM_COUNT, VALUE_ACCEPTED, 8, 2, 'T' },
	{ "RESTARTS", FORM_COUNT, VALUE_RESTARTS, 8, 1, '\0' },
};

const struct top_column *top_columns(enum top_pane pane, size_t *n_r)
{
	switch (pane) {
	case PANE_FRONTENDS:
		*n_r = NELEMS(columns_frontends);
		return columns_frontends;
	case PANE_SERVERS:
		*n_r = NELEMS(columns_servers);
		return columns_servers;
	case PANE_WORKERS:
	case PANES:
		break;
	}
	*n_r = NELEMS(columns_workers);
	return columns_workers;
}

/* Of all but the name, each with its blank. */
static size_t columns_width(const struct top_column *columns, size_t n, const bool shown[])
{
	size_t width = 0;

	for (size_t i = 1; i < n; i++)
		if (shown[i])
			width += columns[i].width + 1U;
	return width;
}

/* The one to go next; 0, which is the name: none may. */
static size_t columns_most_spare(const struct top_column *columns, size_t n, const bool shown[])
{
	size_t found = 0;

	for (size_t i = 1; i < n; i++)
		if (shown[i] && columns[i].spare > columns[found].spare)
			found = i;
	return found;
}

void top_columns_fit(
	enum top_pane pane, size_t width, bool shown_r[TOP_COLUMNS_MAX], size_t *name_width_r)
{
	size_t n, spare;
	const struct top_column *columns = top_columns(pane, &n);
	size_t last = n;

	for (size_t i = 0; i < TOP_COLUMNS_MAX; i++)
		shown_r[i] = i < n;
	while (columns_width(columns, n, shown_r) + TOP_NAME_LEAST > width &&
		(spare = columns_most_spare(columns, n, shown_r)) > 0)
		shown_r[spare] = false;
	while (columns_width(columns, n, shown_r) + TOP_NAME_LEAST > width && last > 1)
		shown_r[--last] = false;
	*name_width_r = width - columns_width(columns, n, shown_r);
}

/* ------------------------------------------------------------------ numbers */

/* 1.2k, 12.3k where there is room for it, 123k: with steps of `step`. */
static const char *format_scaled(double value, double step, char *buf)
{
	static const char units[] = "kMGTPE";
	size_t unit = 0;

	value /= step;
	while (value >= step - 0.5 && units[unit + 1] != '\0') {
		value /= step;
		unit++;
	}
	snprintf(buf, TOP_CELL_MAX, "%.*f%c", value < 99.95 ? 1 : 0, value, units[unit]);
	return buf;
}

static const char *format_us(double us, char *buf)
{
	if (us < 999.5)
		snprintf(buf, TOP_CELL_MAX, "%.0fus", us);
	else if (us < 9950)
		snprintf(buf, TOP_CELL_MAX, "%.1fms", us / 1e3);
	else if (us < 999500)
		snprintf(buf, TOP_CELL_MAX, "%.0fms", us / 1e3);
	else if (us < 99.95e6)
		snprintf(buf, TOP_CELL_MAX, "%.1fs", us / 1e6);
	else if (us < 9999.5e6)
		snprintf(buf, TOP_CELL_MAX, "%.0fs", us / 1e6);
	else
		snprintf(buf, TOP_CELL_MAX, "%.0fh", us / 3.6e9);
	return buf;
}

static const char *format_seconds(double seconds, char *buf)
{
	const unsigned long s = seconds < 1e10 ? (unsigned long)seconds : 0;

	if (s < 60)
		snprintf(buf, TOP_CELL_MAX, "%lus", s);
	else if (s < 3600)
		snprintf(buf, TOP_CELL_MAX, "%lum%02lus", s / 60, s % 60);
	else if (s < 86400)
		snprintf(buf, TOP_CELL_MAX, "%luh%02lum", s / 3600, s / 60 % 60);
	else if (s < 100UL * 86400)
		snprintf(buf, TOP_CELL_MAX, "%lud%02luh", s / 86400, s / 3600 % 24);
	else
		snprintf(buf, TOP_CELL_MAX, "%lud", s / 86400);
	return buf;
}

const char *top_format(enum top_form form, double value, char *buf)
{
	/* Nothing below zero is a count of anything. */
	if (!isfinite(value) || value < 0 || (form == FORM_LIMIT && value == 0)) {
		snprintf(buf, TOP_CELL_MAX, "-");
		return buf;
	}
	switch (form) {
	case FORM_COUNT:
	case FORM_LIMIT:
		if (value >= 99999.5)
			return format_scaled(value, 1000, buf);
		break;
	case FORM_RATE:
		if (value >= 9999.5)
			return format_scaled(value, 1000, buf);
		snprintf(buf, TOP_CELL_MAX, "%.*f", value < 99.95 ? 1 : 0, value);
		return buf;
	case FORM_BYTES:
		if (value >= 1023.5)
			return format_scaled(value, 1024, buf);
		break;
	case FORM_US:
		return format_us(value, buf);
	case FORM_MS:
		return format_us(value * 1000, buf);
	case FORM_SECONDS:
		return format_seconds(value, buf);
	case FORM_NAME:
	case FORM_STATE:
	case FORM_PLAIN:
	case FORM_BAR:
		break;
	}
	snprintf(buf, TOP_CELL_MAX, "%.0f", value);
	return buf;
}

const char *top_format_bar(double share, size_t width, char *buf)
{
	const double part = isfinite(share) && share > 0 ? (share < 1 ? share : 1) : 0;
	const size_t room = width > 5 ? width - 5 : 0; /* for " 100%" */
	const size_t full = (size_t)(part * (double)room + 0.5);

	for (size_t i = 0; i < room; i++)
		buf[i] = i < full ? '|' : ' ';
	snprintf(buf + room, width - room + 1, " %3.0f%%", part * 100);
	return buf;
}
