/* One check after the other for every server: it waits for its time, then for its place among those under
 * way, then connects (connect.c) and asks what its kind asks (ask.c, tls.c).
 *
 * Each check keeps its own rhythm: it is due an interval after it last began, however long it took.
 */
#include "worker/checker/check.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "common/child.h"
#include "common/clock.h"
#include "common/instances.h"
#include "common/log.h"
#include "worker/checker/impl.h"
#include "worker/checker/schedule.h"
#include "worker/checker/verdict.h"

/* A server in maintenance is looked at that often: at most so late its checks go on. */
#define CHECK_MAINT_MS 1000

void check_timer_set(struct check *check, uint64_t ms)
{
	const struct timeval wait = clock_timeval(ms);

	if (event_add(&check->timer, &wait) < 0) {
		log_fatalx("no memory for a timer");
		exit(EXIT_CODE_FAILED);
	}
}

void check_rest(struct check *check)
{
	uint64_t now_ms = clock_now_ms();

	if (check->due_ms < now_ms)
		check->due_ms = now_ms; /* what was missed is not made up for */
	check->phase = CHECK_RESTS;
	check_timer_set(check, check->due_ms - now_ms);
}

void check_socket_close(struct check *check)
{
	if (check->fd < 0)
		return;
	if (check->phase == CHECK_ASKS && check->plan->kind->end != NULL)
		check->plan->kind->end(check);
	event_del(&check->io);
	close(check->fd);
	check->fd = -1;
}

/* Its place among those under way goes to the one that has waited longest, which begins from the loop: a
 * chain of instant failures must not recurse. */
static void check_leave(struct check *check)
{
	struct check_set *set = check->set;
	struct check *next = STAILQ_FIRST(&set->queue);
	struct check_state state = verdict_state(set->shm, check->server);

	event_del(&check->timer);
	check_socket_close(check);
	check->due_ms += schedule_interval_ms(
		&check->plan->backend->check, &state, schedule_random(&set->random));
	check_rest(check);
	if (next == NULL) {
		MUST(set->under_way > 0);
		set->under_way--;
		return;
	}
	STAILQ_REMOVE_HEAD(&set->queue, link);
	next->phase = CHECK_ADMITTED;
	check_timer_set(next, 0);
}

void check_again(struct check *check)
{
	if (check->phase == CHECK_CONNECTS || check->phase == CHECK_ASKS)
		check_leave(check);
	if (check->phase != CHECK_RESTS)
		return; /* it has yet to begin */
	check->due_ms = clock_now_ms();
	check_rest(check);
}

/* An instance of a name without an address: nothing to check until it gets one. */
static bool check_is_nowhere(const struct check *check)
{
	struct instance instance;

	return check->server->dynamic &&
		!instance_read(check->set->shm, check->server->place, &instance);
}

void check_finish(struct check *check, enum check_result result, uint32_t detail)
{
	struct shm *shm = check->set->shm;

	/* Who goes into maintenance may be stopped within this very check. */
	if (!verdict_is_maint(shm, check->server))
		verdict_give(shm, check->plan->backend, check->server, result, detail);
	check_leave(check);
}

void check_finish_unanswered(struct check *check, enum check_result result, uint32_t detail)
{
	const struct check_kind *kind = check->plan->kind;

	if (kind->unsatisfied != NULL && kind->unsatisfied(check))
		check_finish(check, CHECKED_UNEXPECTED, 0);
	else
		check_finish(check, result, detail);
}

void check_give_up(struct check *check, int error)
{
	static struct log_rate rate;

	errno = error;
	if (log_rate_ok(&rate))
		log_warn("cannot check %s/%s%s", check->plan->backend->name, check->server->name,
			log_rate_note(&rate));
	check_leave(check);
}

static void on_check_io(evutil_socket_t fd, short what, void *arg)
{
	struct check *check = arg;

	(void)what;
	MUST(check->phase == CHECK_ASKS && fd == check->fd);
	check->plan->kind->ready(check);
}

void check_await(struct check *check, short what)
{
	event_assign(&check->io, check->set->base, check->fd, what, on_check_io, check);
	if (event_add(&check->io, NULL) < 0)
		check_give_up(check, ENOMEM);
}

void check_ask(struct check *check)
{
	uint64_t now_ms = clock_now_ms();

	check->phase = CHECK_ASKS;
	check_timer_set(check, check->deadline_ms > now_ms ? check->deadline_ms - now_ms : 0);
	check->plan->kind->connected(check);
}

static void check_start(struct check *check)
{
	uint64_t now_ms = clock_now_ms();

	if (check->due_ms < now_ms)
		check->due_ms = now_ms; /* late: the next one is an interval away from this one */
	check->phase = CHECK_CONNECTS;
	check->deadline_ms = now_ms + check->plan->backend->check.timeout_ms;
	check_connect_start(check);
}

static void check_due(struct check *check)
{
	struct check_set *set = check->set;

	if (verdict_is_maint(set->shm, check->server) || check_is_nowhere(check)) {
		uint32_t inter_ms = check->plan->backend->check.inter_ms;

		verdict_forget_streak(set->shm, check->server);
		check->due_ms += inter_ms < CHECK_MAINT_MS ? inter_ms : CHECK_MAINT_MS;
		check_rest(check);
		return;
	}
	if (set->under_way >= set->under_way_max) {
		check->phase = CHECK_QUEUED;
		STAILQ_INSERT_TAIL(&set->queue, check, link);
		return;
	}
	set->under_way++;
	check_start(check);
}

void on_check_timer(evutil_socket_t fd, short what, void *arg)
{
	struct check *check = arg;

	(void)fd;
	(void)what;
	switch (check->phase) {
	case CHECK_RESTS:
		check_due(check);
		break;
	case CHECK_ADMITTED:
		check_start(check);
		break;
	case CHECK_CONNECTS:
		check_connect_overdue(check);
		break;
	case CHECK_ASKS:
		check_finish_unanswered(check, CHECKED_TIMEOUT, 0);
		break;
	case CHECK_QUEUED:
		MUST(check->phase != CHECK_QUEUED); /* it has no timer */
		break;
	}
}
