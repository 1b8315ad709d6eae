/* Numbers as people read them: in units that fit.
 */
#include <event2/buffer.h>
#include <inttypes.h>
#include <stdio.h>

#include "master/views/print.h"

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

const char *view_format_us(uint64_t us, char *buf)
{
	if (us < 1000)
		snprintf(buf, VIEW_UNIT_MAX, "%" PRIu64 "us", us);
	else if (us < 9950)
		snprintf(buf, VIEW_UNIT_MAX, "%.1fms", (double)us / 1000);
	else
		view_format_ms((us + 500) / 1000, buf);
	return buf;
}

const char *view_format_rate(double rate, char *buf)
{
	static const char units[] = "kMGTPE";
	size_t unit = 0;

	if (rate < 9999.5) {
		snprintf(buf, VIEW_UNIT_MAX, "%.*f", rate > 0 && rate < 9.95 ? 1 : 0, rate);
		return buf;
	}
	rate /= 1000;
	while (rate >= 999.5 && units[unit + 1] != '\0') {
		rate /= 1000;
		unit++;
	}
	snprintf(buf, VIEW_UNIT_MAX, "%.*f%c", rate < 9.95 ? 1 : 0, rate, units[unit]);
	return buf;
}

int view_add_curve(struct evbuffer *to, enum view_kind kind, const struct view_cell *cell)
{
	/* Eighths of a block, U+2581 to U+2588; nothing at all is a low dot. */
	static const char *const heights[] = { ".", "\xe2\x96\x81", "\xe2\x96\x82", "\xe2\x96\x83",
		"\xe2\x96\x84", "\xe2\x96\x85", "\xe2\x96\x86", "\xe2\x96\x87", "\xe2\x96\x88" };
	double values[VIEW_NUMBERS_MAX];
	double most = 0;

	MUST(cell->count <= VIEW_NUMBERS_MAX);
	for (size_t i = 0; i < cell->count; i++) {
		values[i] = kind == VIEW_RATES ? cell->numbers[i].real
					       : (double)cell->numbers[i].number;
		most = values[i] > most ? values[i] : most;
	}
	for (size_t i = 0; i < cell->count; i++) {
		size_t height = values[i] > 0 ? 1 + (size_t)(values[i] / most * 7) : 0;

		if (evbuffer_add_printf(to, "%s", heights[height]) < 0)
			return -1;
	}
	return 0;
}
