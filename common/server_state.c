/* One answer to "how is this server", for the views, the events and the admin process.
 */
#include "common/server_state.h"

#include "common/must.h"
#include "common/shm.h"

static bool server_is_absent(struct shm *shm, uint32_t place, uint32_t flags)
{
	const struct shm_address *address = &shm_checker(shm)->addresses[place];

	return (flags & SHM_SERVER_DYNAMIC) != 0 &&
		atomic_load_explicit(&address->family, memory_order_relaxed) == 0;
}

enum server_state server_state(struct shm *shm, uint32_t place)
{
	const struct shm_admin *admin = &shm_master(shm)->admin[place];
	const struct shm_health *health = &shm_checker(shm)->servers[place];
	const uint32_t flags = atomic_load_explicit(&admin->flags, memory_order_relaxed);
	const uint32_t wanted = atomic_load_explicit(&admin->state, memory_order_relaxed);
	const uint32_t found = atomic_load_explicit(&health->health, memory_order_relaxed);

	if (server_is_absent(shm, place, flags))
		return SERVER_STATE_ABSENT;
	if (wanted == ADMIN_DRAIN)
		return SERVER_STATE_DRAIN;
	if (wanted == ADMIN_MAINT)
		return SERVER_STATE_MAINT;
	if (found == HEALTH_DOWN || (flags & SHM_SERVER_NO_ADDRESS) != 0)
		return SERVER_STATE_DOWN;
	return found == HEALTH_UP ? SERVER_STATE_UP : SERVER_STATE_NOCHECK;
}

const char *server_state_name(enum server_state state)
{
	static const char *const names[SERVER_STATES] = {
		[SERVER_STATE_UP] = "up",
		[SERVER_STATE_DOWN] = "down",
		[SERVER_STATE_DRAIN] = "drain",
		[SERVER_STATE_MAINT] = "maint",
		[SERVER_STATE_NOCHECK] = "nocheck",
		[SERVER_STATE_ABSENT] = "absent",
	};

	MUST(state < SERVER_STATES);
	return names[state];
}

bool server_is_ejected(struct shm *shm, uint32_t place, uint64_t now_ms)
{
	const struct shm_shared_server *shared = &shm_shared(shm)->servers[place];

	return atomic_load_explicit(&shared->ejected_until_ms, memory_order_relaxed) > now_ms;
}

bool server_is_usable(struct shm *shm, uint32_t place)
{
	const struct shm_admin *admin = &shm_master(shm)->admin[place];
	const enum server_state state = server_state(shm, place);

	return (state == SERVER_STATE_UP || state == SERVER_STATE_NOCHECK) &&
		atomic_load_explicit(&admin->weight, memory_order_relaxed) > 0;
}
