/* `set server`: what the operator wants of a server, for all workers at once, until the file says something else of it.
 */
#include "common/log.h"
#include "common/shm.h"
#include "conf/arena.h"
#include "conf/conf.h"
#include "conf/find.h"
#include "conf/value.h"
#include "master/control/handlers.h"
#include "master/place.h"

static _Atomic uint32_t *set_where(struct shm_admin *admin, const struct conf_key *key)
{
	if (key == &conf_server_table.keys[SERVER_STATE])
		return &admin->state;
	if (key == &conf_server_table.keys[SERVER_WEIGHT])
		return &admin->weight;
	if (key == &conf_server_table.keys[SERVER_MAXCONN])
		return &admin->maxconn;
	return NULL;
}

/* Returns NULL, or why it cannot be that. */
static const char *set_value(
	const struct conf_key *key, const char *text, struct arena *arena, _Atomic uint32_t *where)
{
	const struct value_text as_in_file = { .text = text };
	const char *why;
	uint32_t value;

	if (value_parse(key, &as_in_file, arena, &value, &why) < 0)
		return why;
	if (key == &conf_server_table.keys[SERVER_STATE])
		value = place_state((enum conf_server_state)value);
	atomic_store_explicit(where, value, memory_order_relaxed);
	return NULL;
}

static int set_word(struct control_request *request, const struct conf_backend *backend,
	const struct conf_key *key, _Atomic uint32_t *where)
{
	char *const *arguments = request->arguments;
	struct arena *arena = arena_new();
	const char *why = set_value(key, arguments[2], arena, where);
	int result;

	if (why != NULL) {
		result = control_fail(request, "%s", why);
	} else {
		shm_backend_changed(request->source->shm, backend->place);
		log_info("%s: %s is %s from now on", arguments[0], key->name, arguments[2]);
		result =
			control_say(request, "%s: %s is %s", arguments[0], key->name, arguments[2]);
	}
	arena_free(arena);
	return result;
}

int verb_set_server(struct control_request *request)
{
	const struct conf_backend *backend;
	const struct conf_server *server;
	const struct conf_key *key;
	_Atomic uint32_t *where;

	if (request->narguments != 3)
		return control_fail(
			request, "usage: set server BACKEND/SERVER state|weight|maxconn VALUE");
	server = conf_find_server(request->source->conf, request->arguments[0], &backend);
	if (server == NULL)
		return control_fail(request, "there is no such server: `show servers` lists them");
	key = table_find(&conf_server_table, request->arguments[1]);
	where = set_where(&shm_master(request->source->shm)->admin[server->place], key);
	if (where == NULL)
		return control_fail(
			request, "a server has `state`, `weight` and `maxconn` to be set");
	return set_word(request, backend, key, where);
}
