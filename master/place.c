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

enum admin_state place_state(enum conf_server_state state)
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
		shm_belongs(shm, backend->place, server->place);
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

/* ------------------------------------------------------------------ commit */

static bool place_differs(const struct shm_admin *admin, const struct conf_server *server)
{
	return admin->file_state != (uint32_t)place_state(server->state) ||
		admin->file_weight != server->weight || admin->file_maxconn != server->maxconn;
}

/* One of the words of a server that the file has and `set server` changes. */
struct place_word {
	const char *server;
	const char *what;
	bool state; /* an enum admin_state */
	bool is_new;
};

static void place_say(const struct place_word *word, uint32_t file, uint32_t set)
{
	static const char *const states[] = {
		[ADMIN_READY] = "ready", [ADMIN_DRAIN] = "drain", [ADMIN_MAINT] = "maint"
	};

	if (word->state && file <= ADMIN_MAINT && set <= ADMIN_MAINT)
		log_info("%s: state: the file says %s now, which wins over %s", word->server,
			states[file], states[set]);
	else
		log_info("%s: %s: the file says %u now, which wins over %u", word->server,
			word->what, file, set);
}

static void place_set(
	const struct place_word *word, _Atomic uint32_t *now, uint32_t *file, uint32_t value)
{
	const uint32_t set = *now;

	if (!word->is_new && *file == value)
		return;
	if (!word->is_new && set != *file && set != value)
		place_say(word, value, set);
	atomic_store(now, value);
	*file = value;
}

/* What the operator wants of it, as far as the file says: what was changed while it ran stays, unless the file has
 * another opinion than last time. Returns whether anything is new. */
static bool place_admin(struct shm *shm, const struct conf_server *server)
{
	struct shm_admin *admin = &shm_master(shm)->admin[server->place];
	const char *name = shm_name(shm, SHM_SERVER, server->place);
	const uint32_t state = place_state(server->state);
	const bool is_new =
		admin->in_file == 0 || !shm_place_is_current(shm, SHM_SERVER, server->place);

	if (!is_new && !place_differs(admin, server))
		return false;
	place_set(&(struct place_word){ name, "state", true, is_new }, &admin->state,
		&admin->file_state, state);
	place_set(&(struct place_word){ name, "weight", false, is_new }, &admin->weight,
		&admin->file_weight, server->weight);
	place_set(&(struct place_word){ name, "maxconn", false, is_new }, &admin->maxconn,
		&admin->file_maxconn, server->maxconn);
	admin->in_file = 1;
	return true;
}

static void place_flags(
	struct shm *shm, const struct conf_backend *backend, const struct conf_server *server)
{
	uint32_t flags = 0;

	if (server->backup)
		flags |= SHM_SERVER_BACKUP;
	if (server->dynamic)
		flags |= SHM_SERVER_DYNAMIC;
	else if (server->naddrs == 0)
		flags |= SHM_SERVER_NO_ADDRESS;
	if (backend->check.type != CHECK_NONE)
		flags |= SHM_SERVER_CHECKED;
	shm_master(shm)->admin[server->place].flags = flags;
}

/* The epoch moves after what it stands for. */
static void place_commit_backend(
	struct shm *shm, const struct conf_backend *backend, uint32_t generation)
{
	bool changed = false;

	for (size_t i = 0; i < backend->nservers; i++) {
		changed = place_admin(shm, &backend->servers[i]) || changed;
		place_flags(shm, backend, &backend->servers[i]);
		shm_place_stays(shm, SHM_SERVER, backend->servers[i].place, generation);
	}
	shm_place_stays(shm, SHM_BACKEND, backend->place, generation);
	if (changed)
		shm_backend_changed(shm, backend->place);
}

void place_commit(const struct conf *conf, struct shm *shm, uint32_t generation)
{
	for (size_t i = 0; i < conf->nfrontends; i++) {
		const struct conf_frontend *frontend = &conf->frontends[i];

		shm_master(shm)->frontend_backend[frontend->place] =
			frontend->backend != NULL ? frontend->backend->place : SHM_NONE;
		shm_place_stays(shm, SHM_FRONTEND, frontend->place, generation);
	}
	for (size_t i = 0; i < conf->nbackends; i++)
		place_commit_backend(shm, &conf->backends[i], generation);
	shm_master(shm)->generation = generation;
}
