/* Places in shared memory, by name: the same name finds its counters again in every generation.
 */
#include "master/place.h"

#include <stdio.h>

#include "common/log.h"
#include "common/shm.h"
#include "conf/conf.h"

static int place_one(struct shm *shm, enum shm_kind kind, const char *name, uint32_t *place_r)
{
	*place_r = shm_place(shm, kind, name);
	if (*place_r != SHM_NONE)
		return 0;
	log_errorx("%s: no room for it in shared memory", name);
	return -1;
}

static enum admin_state admin_state(enum conf_server_state state)
{
	switch (state) {
	case SERVER_READY:
		return ADMIN_READY;
	case SERVER_DRAIN:
		return ADMIN_DRAIN;
	case SERVER_MAINT:
		return ADMIN_MAINT;
	}
	MUST(!"every state is above");
	return ADMIN_READY;
}

/* What the operator wants of it, as far as the file says. */
static void place_admin(struct shm *shm, const struct conf_server *server)
{
	struct shm_admin *admin = &shm_master(shm)->admin[server->place];

	atomic_store(&admin->weight, server->weight);
	atomic_store(&admin->maxconn, server->maxconn);
	atomic_store(&admin->state, admin_state(server->state));
}

static int place_backend(struct shm *shm, struct conf_backend *backend)
{
	char name[SHM_NAME_MAX];

	if (place_one(shm, SHM_BACKEND, backend->name, &backend->place) < 0)
		return -1;
	for (size_t i = 0; i < backend->nservers; i++) {
		struct conf_server *server = &backend->servers[i];

		if (snprintf(name, sizeof(name), "%s/%s", backend->name, server->name) >=
			SHM_NAME_MAX) {
			log_errorx("%s/%s: the names are longer than %d bytes together",
				backend->name, server->name, SHM_NAME_MAX - 2);
			return -1;
		}
		if (place_one(shm, SHM_SERVER, name, &server->place) < 0)
			return -1;
		place_admin(shm, server);
	}
	return 0;
}

int place_objects(struct conf *conf, struct shm *shm)
{
	for (size_t i = 0; i < conf->nfrontends; i++) {
		struct conf_frontend *frontend = &conf->frontends[i];

		if (place_one(shm, SHM_FRONTEND, frontend->name, &frontend->place) < 0)
			return -1;
	}
	for (size_t i = 0; i < conf->nbackends; i++) {
		if (place_backend(shm, &conf->backends[i]) < 0)
			return -1;
	}
	return 0;
}
