/* Whether the daemon runs, and whether it can serve: for whoever starts it, and for whoever sends it clients.
 */
#include <event2/http.h>
#include <stdio.h>

#include "common/server_state.h"
#include "common/shm.h"
#include "worker/admin/impl.h"

void health_alive(struct admin *admin, struct evhttp_request *request)
{
	if (admin_has_master(admin))
		http_reply_text(request, 200, "ok");
	else
		http_reply_text(request, 503,
			"the master does not run; workers go on, see proxyd's log and start it again");
}

/* ------------------------------------------------------------------ ready */

struct ready_backends {
	uint64_t bits[SHM_BACKENDS_MAX / 64];
};

/* Those with a server that can be chosen. */
static void ready_backends(struct shm *shm, struct ready_backends *ready_r)
{
	const struct shm_belongings *belongings = &shm_master(shm)->belongings;
	const uint32_t servers = shm_placed(shm, SHM_SERVER);

	*ready_r = (struct ready_backends){ 0 };
	for (uint32_t i = 0; i < servers && i < SHM_SERVERS_MAX; i++) {
		const uint32_t backend = belongings->owner[i] - 1;

		if (backend < SHM_BACKENDS_MAX && shm_place_is_current(shm, SHM_SERVER, i) &&
			server_is_usable(shm, i))
			ready_r->bits[backend / 64] |= (uint64_t)1 << backend % 64;
	}
}

/* A worker that accepts. */
static bool ready_workers(struct shm *shm)
{
	const uint32_t slots = shm_master(shm)->slots;

	for (uint32_t i = 0; i < slots && i < SHM_SLOTS; i++) {
		if (shm_slot(shm, i)->state == SLOT_SERVING)
			return true;
	}
	return false;
}

static bool ready_frontends(struct shm *shm)
{
	const struct shm_master *master = shm_master(shm);
	const uint32_t frontends = shm_placed(shm, SHM_FRONTEND);
	struct ready_backends ready;

	ready_backends(shm, &ready);
	for (uint32_t i = 0; i < frontends && i < SHM_FRONTENDS_MAX; i++) {
		const uint32_t backend = master->frontend_backend[i];

		if (!shm_place_is_current(shm, SHM_FRONTEND, i))
			continue;
		if (backend == SHM_NONE)
			return true;
		if (backend < SHM_BACKENDS_MAX &&
			(ready.bits[backend / 64] >> backend % 64 & 1) != 0)
			return true;
	}
	return false;
}

void health_ready(struct admin *admin, struct evhttp_request *request)
{
	struct shm *shm = admin->child->shm;

	if (shm_master(shm)->stopping != 0)
		http_reply_text(request, 503, "proxyd stops");
	else if (!ready_workers(shm))
		http_reply_text(request, 503, "no worker accepts");
	else if (!ready_frontends(shm))
		http_reply_text(request, 503, "no frontend has a server that is up");
	else
		http_reply_text(request, 200, "ok");
}
