/* `set server`: what the operator wants of a server, for all workers at once, until the file says something else of it.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/log.h"
#include "common/shm.h"
#include "conf/conf.h"
#include "conf/find.h"
#include "master/control/handlers.h"

#define SET_WEIGHT_MAX 256
#define SET_CONN_MAX   1000000

static const char *const set_states[] = {
	[ADMIN_READY] = "ready",
	[ADMIN_DRAIN] = "drain",
	[ADMIN_MAINT] = "maint",
};

/* Returns false when text is no number up to most. */
static bool set_number(const char *text, uint32_t most, uint32_t *value_r)
{
	char *end;
	unsigned long value;

	if (text[0] < '0' || text[0] > '9')
		return false;
	errno = 0;
	value = strtoul(text, &end, 10);
	if (*end != '\0' || errno != 0 || value > most)
		return false;
	*value_r = (uint32_t)value;
	return true;
}

static bool set_state(const char *text, uint32_t *value_r)
{
	for (uint32_t i = 0; i < NELEMS(set_states); i++) {
		if (strcmp(text, set_states[i]) == 0) {
			*value_r = i;
			return true;
		}
	}
	return false;
}

/* Which of its words, and what it becomes. NULL with *why_r. */
static _Atomic uint32_t *set_what(struct shm_admin *admin, const char *what, const char *text,
	uint32_t *value_r, const char **why_r)
{
	*why_r = "a server has `state`, `weight` and `maxconn` to be set";
	if (strcmp(what, "state") == 0) {
		*why_r = "a state is `ready`, `drain` or `maint`";
		return set_state(text, value_r) ? &admin->state : NULL;
	}
	if (strcmp(what, "weight") == 0) {
		*why_r = "a weight is 0 to 256";
		return set_number(text, SET_WEIGHT_MAX, value_r) ? &admin->weight : NULL;
	}
	if (strcmp(what, "maxconn") == 0) {
		*why_r = "maxconn is 0 (no limit) to 1000000";
		return set_number(text, SET_CONN_MAX, value_r) ? &admin->maxconn : NULL;
	}
	return NULL;
}

int verb_set_server(struct control_request *request)
{
	struct shm *shm = request->source->shm;
	const struct conf_backend *backend;
	const struct conf_server *server;
	_Atomic uint32_t *where;
	const char *why;
	uint32_t value;

	if (request->narguments != 3)
		return control_fail(
			request, "usage: set server BACKEND/SERVER state|weight|maxconn VALUE");
	server = conf_find_server(request->source->conf, request->arguments[0], &backend);
	if (server == NULL)
		return control_fail(request, "there is no such server: `show servers` lists them");
	where = set_what(&shm_master(shm)->admin[server->place], request->arguments[1],
		request->arguments[2], &value, &why);
	if (where == NULL)
		return control_fail(request, "%s", why);
	atomic_store_explicit(where, value, memory_order_relaxed);
	shm_backend_changed(shm, backend->place);
	log_info("%s: %s is %s from now on", request->arguments[0], request->arguments[1],
		request->arguments[2]);
	return control_say(request, "%s: %s is %s", request->arguments[0], request->arguments[1],
		request->arguments[2]);
}
