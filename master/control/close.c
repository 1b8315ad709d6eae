/* The commands that end connections.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/shm.h"
#include "master/control/handlers.h"

/* As `show sessions` has it, or 0x and as the access log has it. Returns false when text is no number. */
static bool close_id(const char *text, uint64_t *id_r)
{
	const bool hex = strncmp(text, "0x", 2) == 0;
	const char *digits = hex ? "0123456789abcdefABCDEF" : "0123456789";
	char *end;

	text += hex ? 2 : 0;
	if (text[0] == '\0' || text[strspn(text, digits)] != '\0')
		return false;
	errno = 0;
	*id_r = strtoull(text, &end, hex ? 16 : 10);
	return errno == 0;
}

int verb_close_session(struct control_request *request)
{
	const struct control_actions *actions = request->actions;
	const char *why;
	uint64_t id;

	if (request->argument == NULL || !close_id(request->argument, &id))
		return control_fail(request,
			"usage: close session ID, a number as `show sessions` has it, or 0x and what the "
			"access log has");
	why = actions->close_session(id, request->waiter, actions->arg);
	request->later = why == NULL;
	return why == NULL ? 0 : control_fail(request, "%s", why);
}

/* Also of a server that left the configuration: it may have some yet. */
static uint32_t close_place(struct shm *shm, const char *name)
{
	const uint32_t count = shm_placed(shm, SHM_SERVER);

	for (uint32_t place = 0; place < count; place++) {
		if (strcmp(shm_name(shm, SHM_SERVER, place), name) == 0)
			return place;
	}
	return SHM_NONE;
}

int verb_close_sessions(struct control_request *request)
{
	const struct control_actions *actions = request->actions;
	const char *why;
	uint32_t place;

	if (request->argument == NULL || strchr(request->argument, '/') == NULL)
		return control_fail(request, "usage: close sessions BACKEND/SERVER");
	place = close_place(request->source->shm, request->argument);
	if (place == SHM_NONE)
		return control_fail(request, "there is no such server: `show servers` lists them");
	why = actions->close_sessions(place, request->waiter, actions->arg);
	request->later = why == NULL;
	return why == NULL ? 0 : control_fail(request, "%s", why);
}
