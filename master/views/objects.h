/* Everything that is counted, one after the other: the daemon, frontends, backends each with its servers, workers.
 */
#ifndef PROXYD_MASTER_VIEWS_OBJECTS_H
#define PROXYD_MASTER_VIEWS_OBJECTS_H

#include <stdbool.h>
#include <stdint.h>

#include "common/history.h"
#include "master/views/views.h"

struct view_object {
	enum history_of of;
	uint32_t place;    /* as history.h has it */
	const char *name;  /* in the row's scratch, or borrowed; NULL: the daemon */
	const char *state; /* of servers and workers; else NULL */
};

/* "daemon", "frontend", "backend", "server", "worker". */
const char *view_scope_name(enum history_of of);

/* The next one, of the configuration that serves; a name that lies nowhere goes to row->scratch. False after the last. */
bool view_object_next(const struct view_source *source, struct view_cursor *cursor,
	struct view_row *row, struct view_object *object_r);

#endif
