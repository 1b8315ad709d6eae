/* When. How many from where to where is route.c's.
 */
#include "master/children/rebalance.h"

#include <event2/event.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdlib.h>

#include "common/child.h"
#include "common/clock.h"
#include "common/log.h"
#include "master/children/supervisor.h"

struct rebalance {
	struct supervisor *supervisor; /* borrowed */
	struct event *timer;           /* owned; pending while it is done by itself */
	uint32_t bound_pct;
	bool returned;
	uint64_t last_ms;
};

uint64_t rebalance_now(struct rebalance *rebalance)
{
	struct route_target workers[SHM_WORKERS_MAX];
	struct route_move moves[SHM_WORKERS_MAX];
	const size_t nworkers = supervisor_targets(rebalance->supervisor, workers);
	const size_t nmoves = route_even_out(workers, nworkers, moves);
	uint64_t relays = 0;

	rebalance->returned = false;
	rebalance->last_ms = clock_now_ms();
	for (size_t i = 0; i < nmoves; i++) {
		relays += moves[i].count;
		supervisor_shed(rebalance->supervisor, &moves[i]);
	}
	return relays;
}

/* Whether it is worth it. */
static bool rebalance_is_due(const struct rebalance *rebalance)
{
	const uint32_t bound_pct = rebalance->returned ? REBALANCE_AIM_PCT : rebalance->bound_pct;
	struct route_target workers[SHM_WORKERS_MAX];
	const size_t nworkers = supervisor_targets(rebalance->supervisor, workers);
	uint64_t total = 0;
	uint64_t most = 0;

	for (size_t i = 0; i < nworkers; i++) {
		total += workers[i].relays;
		if (workers[i].relays > most)
			most = workers[i].relays;
	}
	return nworkers > 1 && most >= total / nworkers + REBALANCE_LEAST &&
		route_spread_pct(workers, nworkers) > bound_pct;
}

static void on_rebalance_timer(evutil_socket_t fd, short what, void *arg)
{
	struct rebalance *rebalance = arg;

	(void)fd;
	(void)what;
	if (clock_now_ms() - rebalance->last_ms < REBALANCE_PAUSE_MS)
		return;
	if (rebalance_is_due(rebalance))
		log_info("rebalance: %" PRIu64 " relays move", rebalance_now(rebalance));
	rebalance->returned = false;
}

struct rebalance *rebalance_new(struct event_base *base, struct supervisor *supervisor)
{
	struct rebalance *rebalance = calloc(1, sizeof(*rebalance));

	if (rebalance != NULL)
		rebalance->timer = event_new(base, -1, EV_PERSIST, on_rebalance_timer, rebalance);
	if (rebalance == NULL || rebalance->timer == NULL) {
		log_fatal("rebalance");
		exit(EXIT_CODE_FAILED);
	}
	rebalance->supervisor = supervisor;
	return rebalance;
}

void rebalance_free(struct rebalance *rebalance)
{
	if (rebalance == NULL)
		return;
	event_free(rebalance->timer);
	free(rebalance);
}

void rebalance_bound(struct rebalance *rebalance, uint32_t pct)
{
	const struct timeval every = { .tv_sec = REBALANCE_LOOK_MS / 1000 };

	rebalance->bound_pct = pct;
	if (pct == 0)
		event_del(rebalance->timer);
	else
		event_add(rebalance->timer, &every);
}

void rebalance_returned(struct rebalance *rebalance)
{
	rebalance->returned = rebalance->bound_pct > 0;
}
