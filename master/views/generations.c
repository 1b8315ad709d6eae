/* Generations, and what would make another one.
 */
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "common/shm.h"
#include "conf/conf.h"
#include "conf/diff.h"
#include "master/children/generation.h"
#include "master/views/views.h"

const char *view_format_wall(uint64_t wall_s, char *buf, size_t bytes)
{
	const time_t at = (time_t)wall_s;
	struct tm tm;

	if (gmtime_r(&at, &tm) == NULL || strftime(buf, bytes, "%Y-%m-%dT%H:%M:%SZ", &tm) == 0)
		buf[0] = '\0';
	return buf;
}

/* ------------------------------------------------------------------ generations */

static const struct view_column generations_columns[] = {
	{ "generation", "GENERATION", VIEW_COUNT },
	{ "state", "STATE", VIEW_TEXT },
	{ "workers", "WORKERS", VIEW_COUNT },
	{ "active", "ACTIVE", VIEW_COUNT },
	{ "since", "SINCE", VIEW_TEXT },
};

static uint64_t generation_active(struct shm *shm, uint32_t number)
{
	uint64_t active = 0;

	for (uint32_t i = 0; i < shm_master(shm)->slots; i++) {
		const struct shm_slot *slot = shm_slot(shm, i);

		if (slot->state != SLOT_FREE && slot->generation == number)
			active += slot->active;
	}
	return active;
}

static enum view_step generations_next(
	const struct view_source *source, struct view_cursor *cursor, struct view_row *row_r)
{
	const struct generation *generation =
		source->generations != NULL ? TAILQ_FIRST(source->generations) : NULL;

	for (uint32_t i = 0; generation != NULL && i < cursor->outer; i++)
		generation = TAILQ_NEXT(generation, link);
	if (generation == NULL)
		return VIEW_END;
	cursor->outer++;
	view_number(row_r, generation->number);
	view_text(row_r, generation_state_name(generation->state));
	view_number(row_r, generation_alive(generation));
	view_number(row_r, generation_active(source->shm, generation->number));
	view_text(row_r,
		view_format_wall(generation->since_wall_s, row_r->scratch, sizeof(row_r->scratch)));
	return VIEW_ROW;
}

const struct view view_generations = {
	.columns = generations_columns,
	.ncolumns = NELEMS(generations_columns),
	.next = generations_next,
};

/* ------------------------------------------------------------------ differences */

static const struct view_column diff_columns[] = {
	{ "change", "CHANGE", VIEW_TEXT }, { "object", "OBJECT", VIEW_TEXT },
	{ "name", "NAME", VIEW_TEXT }, { "keys", "KEYS", VIEW_TEXT },
	{ "drains", "DRAINS",
		VIEW_COUNT }, /* live connections that cannot go on under the new one */
};

static const char *diff_how(enum conf_diff_how how)
{
	switch (how) {
	case DIFF_ADDED:
		return "added";
	case DIFF_REMOVED:
		return "removed";
	case DIFF_CHANGED:
		break;
	}
	return "changed";
}

static const char *diff_what(enum conf_diff_what what)
{
	switch (what) {
	case DIFF_GLOBAL:
		return "global";
	case DIFF_FRONTEND:
		return "frontend";
	case DIFF_BACKEND:
		return "backend";
	case DIFF_SERVER:
		break;
	}
	return "server";
}

static uint64_t diff_frontend_active(struct shm *shm, uint32_t place)
{
	return shm_shared(shm)->frontends[place].active;
}

/* Of a name: all that it stands for. */
static uint64_t diff_server_active(
	struct shm *shm, const struct conf_backend *backend, const struct conf_server *server)
{
	uint64_t active = 0;

	for (size_t i = 0; i < backend->nservers; i++) {
		const struct conf_server *each = &backend->servers[i];

		if (each->dynamic ? strcmp(each->written->name, server->name) == 0
				  : strcmp(each->name, server->name) == 0)
			active += shm_shared(shm)->servers[each->place].active;
	}
	return active;
}

static uint64_t diff_drains(struct shm *shm, const struct conf_diff_entry *entry)
{
	if (entry->how != DIFF_REMOVED)
		return 0;
	if (entry->what == DIFF_FRONTEND)
		return diff_frontend_active(shm, entry->frontend->place);
	if (entry->what == DIFF_SERVER)
		return diff_server_active(shm, entry->backend, entry->server);
	return 0;
}

static enum view_step diff_next(
	const struct view_source *source, struct view_cursor *cursor, struct view_row *row_r)
{
	const struct conf_diff_entry *entry;

	if (source->diff == NULL || cursor->outer >= source->diff->count)
		return VIEW_END;
	entry = &source->diff->entries[cursor->outer++];
	view_text(row_r, diff_how(entry->how));
	view_text(row_r, diff_what(entry->what));
	view_text(row_r, entry->name[0] != '\0' ? entry->name : NULL);
	view_text(row_r, entry->keys[0] != '\0' ? entry->keys : NULL);
	view_number(row_r, diff_drains(source->shm, entry));
	return VIEW_ROW;
}

const struct view view_diff = {
	.columns = diff_columns,
	.ncolumns = NELEMS(diff_columns),
	.next = diff_next,
};
