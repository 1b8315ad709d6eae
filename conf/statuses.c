/* Ranges of HTTP statuses.
 */
#include "conf/statuses.h"

#include <string.h>

#include "conf/arena.h"

/* Three digits, 100 to 599 (RFC 9110, 15); *text moves behind them. */
static int parse_status(const char **text, uint16_t *status_r)
{
	const char *p = *text;

	if (strspn(p, "0123456789") != 3 || p[0] < '1' || p[0] > '5')
		return -1;
	*status_r = (uint16_t)((p[0] - '0') * 100 + (p[1] - '0') * 10 + (p[2] - '0'));
	*text += 3;
	return 0;
}

static int parse_range(const char **text, struct conf_status *range_r)
{
	if (parse_status(text, &range_r->first) == -1)
		return -1;
	range_r->last = range_r->first;
	if (**text != '-')
		return 0;
	++*text;
	if (parse_status(text, &range_r->last) == -1)
		return -1;
	return range_r->first <= range_r->last ? 0 : -1;
}

int statuses_parse(const char *text, struct conf_check_http *http_r)
{
	struct conf_status ranges[CONF_STATUSES_MAX] = { 0 };
	size_t n = 0;

	for (;;) {
		if (n == CONF_STATUSES_MAX || parse_range(&text, &ranges[n++]) == -1)
			return -1;
		if (*text == '\0')
			break;
		if (*text++ != ',')
			return -1;
		text += strspn(text, " ");
	}
	http_r->nstatuses = n;
	memcpy(http_r->statuses, ranges, sizeof(ranges));
	return 0;
}

const char *statuses_format(struct arena *arena, const struct conf_check_http *http)
{
	const char *text = "";

	for (size_t i = 0; i < http->nstatuses; i++) {
		const struct conf_status *range = &http->statuses[i];

		text = arena_printf(arena, "%s%s%u", text, i == 0 ? "" : ",", range->first);
		if (range->last != range->first)
			text = arena_printf(arena, "%s-%u", text, range->last);
	}
	return text;
}
