/* One cursor over all kinds of objects.
 */
#include "master/views/objects.h"

#include <stdio.h>

#include "common/instances.h"
#include "common/shm.h"
#include "conf/conf.h"

const char *view_scope_name(enum history_of of)
{
	switch (of) {
	case HISTORY_DAEMON:
		break;
	case HISTORY_FRONTEND:
		return "frontend";
	case HISTORY_BACKEND:
		return "backend";
	case HISTORY_SERVER:
		return "server";
	case HISTORY_WORKER:
		return "worker";
	}
	return "daemon";
}

static bool object_frontend(
	const struct view_source *source, struct view_cursor *cursor, struct view_object *object_r)
{
	const struct conf_frontend *frontend;

	if (cursor->outer == source->conf->nfrontends)
		return false;
	frontend = &source->conf->frontends[cursor->outer++];
	object_r->of = HISTORY_FRONTEND;
	object_r->place = frontend->place;
	object_r->name = frontend->name;
	return true;
}

/* A backend; inner is 1 then, and goes through its servers, one more than their own index. */
static bool object_backend(const struct view_source *source, struct view_cursor *cursor,
	struct view_row *row, struct view_object *object_r)
{
	for (; cursor->outer < source->conf->nbackends; cursor->outer++, cursor->inner = 0) {
		const struct conf_backend *backend = &source->conf->backends[cursor->outer];
		struct view_cursor servers = { .outer = cursor->outer, .inner = cursor->inner - 1 };
		const struct conf_server *server;
		struct instance instance;

		if (cursor->inner++ == 0) {
			object_r->of = HISTORY_BACKEND;
			object_r->place = backend->place;
			object_r->name = backend->name;
			return true;
		}
		server = view_server_next(source, &servers, &instance);
		cursor->inner = servers.inner + 1;
		if (server == NULL)
			continue;
		object_r->of = HISTORY_SERVER;
		object_r->place = server->place;
		object_r->state = view_server_state(source, server->place);
		snprintf(row->scratch, sizeof(row->scratch), "%s/%s", backend->name, server->name);
		object_r->name = row->scratch;
		return true;
	}
	return false;
}

static bool object_worker(const struct view_source *source, struct view_cursor *cursor,
	struct view_row *row, struct view_object *object_r)
{
	object_r->of = HISTORY_WORKER;
	object_r->place = view_worker_next(source, cursor, &object_r->state);
	if (object_r->place == SHM_NONE)
		return false;
	snprintf(row->scratch, sizeof(row->scratch), "%u",
		shm_slot(source->shm, object_r->place)->number);
	object_r->name = row->scratch;
	return true;
}

static bool object_of_stage(const struct view_source *source, struct view_cursor *cursor,
	struct view_row *row, struct view_object *object_r)
{
	*object_r = (struct view_object){ .of = HISTORY_DAEMON };
	switch (cursor->stage) {
	case HISTORY_DAEMON:
		return cursor->outer++ == 0;
	case HISTORY_FRONTEND:
		return object_frontend(source, cursor, object_r);
	case HISTORY_BACKEND:
		return object_backend(source, cursor, row, object_r);
	case HISTORY_SERVER:
		return false; /* with their backends */
	default:
		return object_worker(source, cursor, row, object_r);
	}
}

bool view_object_next(const struct view_source *source, struct view_cursor *cursor,
	struct view_row *row, struct view_object *object_r)
{
	for (; cursor->stage <= HISTORY_WORKER;
		cursor->stage++, cursor->outer = 0, cursor->inner = 0) {
		if (object_of_stage(source, cursor, row, object_r))
			return true;
	}
	return false;
}
