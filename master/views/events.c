/* What happened, the oldest that is remembered first.
 */
#include <stdio.h>
#include <time.h>

#include "common/events.h"
#include "common/shm.h"
#include "master/views/views.h"

static const struct view_column events_columns[] = {
	{ "id", NULL, VIEW_COUNT },
	{ "time", "TIME", VIEW_TEXT },
	{ "kind", "KIND", VIEW_TEXT },
	{ "level", "LEVEL", VIEW_TEXT },
	{ "object", "OBJECT", VIEW_TEXT },
	{ "text", "WHAT", VIEW_TEXT },
};

/* 2026-01-31T23:59:59.123Z */
static const char *events_wall(uint64_t wall_ms, char *buf, size_t bytes)
{
	const time_t at = (time_t)(wall_ms / 1000);
	struct tm tm;
	size_t len = 0;

	if (gmtime_r(&at, &tm) != NULL)
		len = strftime(buf, bytes, "%Y-%m-%dT%H:%M:%S", &tm);
	snprintf(buf + len, bytes - len, ".%03uZ", (unsigned)(wall_ms % 1000));
	return buf;
}

/* The master is who writes them: what it points to stays as it is while it prints. */
static enum view_step events_next(
	const struct view_source *source, struct view_cursor *cursor, struct view_row *row_r)
{
	const struct shm_events *events = &shm_master(source->shm)->events;
	const uint64_t first = events_first(source->shm);
	uint64_t number = (uint64_t)cursor->outer + 1;
	const struct event_record *record;

	if (number < first)
		number = first;
	if (first == 0 || number > events_last(source->shm))
		return VIEW_END;
	cursor->outer = (uint32_t)number;
	record = &events->ring[number % EVENTS_MAX];
	view_number(row_r, number);
	view_text(row_r, events_wall(record->wall_ms, row_r->scratch, sizeof(row_r->scratch)));
	view_text(row_r, event_kind_name(record->kind));
	view_text(row_r, event_level_name(record->level));
	view_text(row_r, record->object[0] != '\0' ? record->object : NULL);
	view_text(row_r, record->text);
	return VIEW_ROW;
}

const struct view view_events = {
	.columns = events_columns,
	.ncolumns = NELEMS(events_columns),
	.next = events_next,
};
