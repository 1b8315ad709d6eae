/* A backend's epoch tells cheaply that the state of one of its servers changed; only then the relays are looked
 * through.
 */
#include "worker/relay/down.h"

#include <event2/event.h>
#include <event2/event_struct.h>
#include <stdlib.h>

#include "common/memory.h"
#include "worker/relay/impl.h"
#include "worker/relay/keep.h"

static const struct timeval watch_time = { 0, 100000 };

struct down_watch {
	struct event timer;
	struct relays *relays; /* borrowed */
	uint32_t epochs[];     /* last seen, per backend of the configuration */
};

static bool down_is_down(const struct relay *relay)
{
	struct shm_checker *checker = shm_checker(relay->relays->shm);

	return relay->chosen != NULL &&
		atomic_load_explicit(&checker->servers[relay->chosen->place].health,
			memory_order_relaxed) == HEALTH_DOWN;
}

static void down_close(struct relays *relays, const struct conf_backend *backend)
{
	for (uint32_t i = 0; i < relays->slab_used; i++) {
		struct relay *relay = &relays->slab[i];

		if (relay->magic == RELAY_MAGIC && relay->backend == backend &&
			relay_state(relay) == RELAY_RELAYING && relay->keeping != KEEPING_LET_GO &&
			down_is_down(relay))
			relay_close(relay, CLOSE_SERVER_DOWN);
	}
}

static void on_watch(evutil_socket_t fd, short what, void *arg)
{
	struct down_watch *watch = arg;
	struct relays *relays = watch->relays;
	const struct conf *conf = relays->conf;

	(void)fd;
	(void)what;
	for (size_t i = 0; i < conf->nbackends; i++) {
		const struct conf_backend *backend = &conf->backends[i];
		uint32_t epoch = atomic_load_explicit(
			&shm_shared(relays->shm)->backends[backend->place].epoch,
			memory_order_acquire);

		if (backend->on_down != ON_DOWN_CLOSE || epoch == watch->epochs[i])
			continue;
		watch->epochs[i] = epoch;
		down_close(relays, backend);
	}
}

static bool down_is_wanted(const struct conf *conf)
{
	for (size_t i = 0; i < conf->nbackends; i++) {
		if (conf->backends[i].on_down == ON_DOWN_CLOSE)
			return true;
	}
	return false;
}

struct down_watch *down_watch_new(struct relays *relays)
{
	struct down_watch *watch;

	if (!down_is_wanted(relays->conf))
		return NULL;
	watch = memory_or_exit(
		calloc(1, sizeof(*watch) + relays->conf->nbackends * sizeof(watch->epochs[0])),
		"no memory for on_down");
	watch->relays = relays;
	event_assign(&watch->timer, relays->base, -1, EV_PERSIST, on_watch, watch);
	event_add(&watch->timer, &watch_time);
	return watch;
}

void down_watch_free(struct down_watch *watch)
{
	if (watch == NULL)
		return;
	event_del(&watch->timer);
	free(watch);
}
