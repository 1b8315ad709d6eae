/* Rounds: who asks, who waits, what is told, and the way back.
 */
#include "master/change/reload.h"

#include <event2/event.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "common/clock.h"
#include "common/log.h"
#include "common/memory.h"
#include "common/shm.h"
#include "master/change/reload_impl.h"
#include "master/change/way_back.h"
#include "master/children/supervisor.h"
#include "master/notify.h"
#include "master/views/print.h"

void reload_because(struct reload *reload, const char *format, ...)
{
	char *before = reload->reasons;
	char *line;
	va_list args;

	va_start(args, format);
	if (vasprintf(&line, format, args) < 0)
		line = NULL;
	va_end(args);
	memory_or_exit(line, "reload");
	log_errorx("reload: %s", line);
	if (before == NULL) {
		reload->reasons = line;
		return;
	}
	if (asprintf(&reload->reasons, "%s\n%s", before, line) < 0)
		reload->reasons = NULL;
	memory_or_exit(reload->reasons, "reload");
	free(before);
	free(line);
}

/* ------------------------------------------------------------------ the end of a round */

static void reload_start_next(struct reload *reload);

static void reload_answer(
	struct reload_waiters *waiters, enum reload_result result, const char *text)
{
	struct reload_waiter *waiter;

	while ((waiter = TAILQ_FIRST(waiters)) != NULL) {
		TAILQ_REMOVE(waiters, waiter, link);
		waiter->answer(waiter, result, text);
	}
}

/* As an event, with its first line. */
static void reload_tell(struct reload *reload, enum reload_result result, const char *text)
{
	static const enum event_level levels[] = {
		[RELOAD_NEVER] = EVENT_INFO,
		[RELOAD_DONE] = EVENT_GOOD,
		[RELOAD_UNCHANGED] = EVENT_INFO,
		[RELOAD_REFUSED] = EVENT_BAD,
	};
	const struct event_what what = { EVENT_RELOAD, levels[result], "" };

	events_add(reload->env.shm, &what, "%s%.*s", result == RELOAD_REFUSED ? "refused: " : "",
		(int)strcspn(text, "\n"), text);
}

static void reload_remember_last(struct reload *reload, enum reload_result result, const char *text)
{
	struct reload_last *last = &reload->last;

	last->result = result;
	last->at_wall_s = (uint64_t)time(NULL);
	last->generation = shm_master(reload->env.shm)->generation;
	reload_tell(reload, result, text);
	snprintf(last->message, sizeof(last->message), "%.*s", (int)strcspn(text, "\n"), text);
}

void reload_note(struct reload *reload, enum reload_result result, const char *text)
{
	reload_remember_last(reload, result, text);
	if (result == RELOAD_REFUSED)
		log_errorx("%s", text);
	else
		log_info("%s", text);
}

static void reload_count(struct reload *reload, enum reload_result result)
{
	_Atomic uint64_t *reloads = shm_master(reload->env.shm)->reloads;

	switch (result) {
	case RELOAD_NEVER:
		break;
	case RELOAD_DONE:
		shm_count(&reloads[SHM_RELOAD_DONE], 1);
		break;
	case RELOAD_UNCHANGED:
		shm_count(&reloads[SHM_RELOAD_UNCHANGED], 1);
		break;
	case RELOAD_REFUSED:
		shm_count(&reloads[SHM_RELOAD_REFUSED], 1);
		break;
	}
}

void reload_end(struct reload *reload, enum reload_result result, const char *text)
{
	reload_count(reload, result);
	evtimer_del(reload->timer);
	reload->step = RELOAD_IDLE;
	if (reload->now.from == RELOAD_BEFORE)
		way_back_until(reload->env.shm, 0); /* also when it cannot be gone */
	reload_remember_last(reload, result, text);
	if (result != RELOAD_REFUSED)
		log_info("reload: %s", text);
	notify_ready();
	reload_answer(&reload->now.waiters, result, text);
	reload_start_next(reload);
}

void reload_refuse(struct reload *reload)
{
	char *reasons = reload->reasons;

	reload->reasons = NULL;
	reload_undo(reload);
	reload_end(reload, RELOAD_REFUSED, reasons != NULL ? reasons : "refused");
	free(reasons);
}

/* ------------------------------------------------------------------ asking */

static bool reload_take_round(struct reload *reload)
{
	struct reload_round *next = &reload->next;

	if (!next->wanted)
		return false;
	reload->now.from = next->from;
	reload->now.confirm_ms = next->confirm_ms;
	TAILQ_CONCAT(&reload->now.waiters, &next->waiters, link);
	next->wanted = false;
	next->confirm_ms = 0;
	return true;
}

static bool reload_take_edit(struct reload *reload)
{
	struct reload_edit *edit = STAILQ_FIRST(&reload->edits_asked);

	if (edit == NULL)
		return false;
	STAILQ_REMOVE_HEAD(&reload->edits_asked, link);
	reload->now.from = RELOAD_EDIT;
	reload->now.confirm_ms = 0;
	if (edit->waiter != NULL)
		TAILQ_INSERT_TAIL(&reload->now.waiters, edit->waiter, link);
	memcpy(reload->line, edit->line, sizeof(reload->line));
	free(edit);
	return true;
}

/* From the loop, not from who asked. */
static void reload_start_next(struct reload *reload)
{
	if (reload->step != RELOAD_IDLE)
		return;
	if (!reload_take_round(reload) && !reload_take_edit(reload))
		return;
	reload->step = RELOAD_LOADING;
	notify_reloading();
	event_active(reload->timer, EV_TIMEOUT, 0);
}

static void reload_want(struct reload *reload, struct reload_waiter *waiter)
{
	reload->next.wanted = true;
	if (waiter != NULL)
		TAILQ_INSERT_TAIL(&reload->next.waiters, waiter, link);
	reload_start_next(reload);
}

void reload_ask(struct reload *reload, uint32_t confirm_ms, struct reload_waiter *waiter)
{
	if (reload->step != RELOAD_IDLE)
		log_info("reload: one is under way, another follows");
	reload->next.from = RELOAD_FILE;
	if (confirm_ms > 0)
		reload->next.confirm_ms = confirm_ms;
	reload_want(reload, waiter);
}

static void reload_want_back(struct reload *reload, struct reload_waiter *waiter)
{
	reload->next.from = RELOAD_BEFORE;
	reload->next.confirm_ms = 0;
	reload_want(reload, waiter);
}

const char *reload_edit(struct reload *reload, const char *line, struct reload_waiter *waiter)
{
	struct reload_edit *edit;

	if (evtimer_pending(reload->confirm, NULL))
		return "a reload waits to be confirmed: `confirm` or `rollback` comes first";
	edit = memory_or_exit(calloc(1, sizeof(*edit)), "reload");
	edit->waiter = waiter;
	snprintf(edit->line, sizeof(edit->line), "%s", line);
	STAILQ_INSERT_TAIL(&reload->edits_asked, edit, link);
	reload_start_next(reload);
	return NULL;
}

bool reload_rollback(struct reload *reload, struct reload_waiter *waiter)
{
	if (reload->previous == NULL && reload->step == RELOAD_IDLE)
		return false;
	reload_want_back(reload, waiter);
	return true;
}

bool reload_confirm(struct reload *reload)
{
	if (!evtimer_pending(reload->confirm, NULL))
		return false;
	evtimer_del(reload->confirm);
	way_back_until(reload->env.shm, 0);
	log_info("reload: confirmed");
	return true;
}

static void on_reload_unconfirmed(evutil_socket_t fd, short what, void *arg)
{
	struct reload *reload = arg;

	(void)fd;
	(void)what;
	log_warnx("reload: not confirmed in time, going back to the configuration before");
	reload_want_back(reload, NULL);
}

bool reload_can_be_inherited(const struct reload *reload)
{
	char *text;

	if (!evtimer_pending(reload->confirm, NULL))
		return true;
	text = way_back_text(reload->env.shm);
	free(text);
	return text != NULL;
}

void reload_inherit(struct reload *reload)
{
	const uint64_t until_ms = way_back_get_until(reload->env.shm);
	const uint64_t now_ms = clock_now_ms();
	const uint64_t left_ms = until_ms > now_ms ? until_ms - now_ms : 0;
	const struct timeval left = clock_timeval(left_ms);
	char span[VIEW_UNIT_MAX];

	reload->previous = way_back_text(reload->env.shm);
	if (until_ms == 0)
		return;
	if (reload->previous == NULL) {
		way_back_until(reload->env.shm, 0);
		log_errorx(
			"reload: one waits to be confirmed, and what was before is not kept: it stays");
		return;
	}
	log_warnx("reload: one of the master before waits to be confirmed: it goes back in %s",
		view_format_ms(left_ms, span));
	evtimer_add(reload->confirm, &left);
}

static bool reload_drop_waiter(struct reload_waiters *waiters, struct reload_waiter *waiter)
{
	struct reload_waiter *each;

	TAILQ_FOREACH(each, waiters, link) {
		if (each != waiter)
			continue;
		TAILQ_REMOVE(waiters, waiter, link);
		return true;
	}
	return false;
}

void reload_forget(struct reload *reload, struct reload_waiter *waiter)
{
	struct reload_edit *edit;

	if (reload_drop_waiter(&reload->now.waiters, waiter) ||
		reload_drop_waiter(&reload->next.waiters, waiter))
		return;
	STAILQ_FOREACH(edit, &reload->edits_asked, link)
	{
		if (edit->waiter == waiter)
			edit->waiter = NULL;
	}
}

void reload_stop(struct reload *reload)
{
	static const char why[] = "proxyd stops";

	evtimer_del(reload->timer);
	evtimer_del(reload->confirm);
	reload_undo(reload);
	reload->step = RELOAD_IDLE;
	reload->next.wanted = false;
	while (reload_take_edit(reload))
		continue;
	reload_answer(&reload->now.waiters, RELOAD_REFUSED, why);
	reload_answer(&reload->next.waiters, RELOAD_REFUSED, why);
}

/* ------------------------------------------------------------------ from the supervisor */

void reload_prepared(struct reload *reload, struct generation *generation)
{
	if (reload->step == RELOAD_STARTING && generation == reload->generation)
		reload_commit(reload);
}

void reload_unprepared(struct reload *reload, const char *why)
{
	if (reload->step != RELOAD_STARTING)
		return;
	reload_because(reload, "%s", why);
	reload_refuse(reload);
}

bool reload_is_busy(const struct reload *reload)
{
	return reload->step != RELOAD_IDLE;
}

const struct reload_last *reload_last(const struct reload *reload)
{
	return &reload->last;
}

struct reload *reload_new(const struct reload_env *env)
{
	struct reload *reload = memory_or_exit(calloc(1, sizeof(*reload)), "reload");

	reload->env = *env;
	TAILQ_INIT(&reload->now.waiters);
	TAILQ_INIT(&reload->next.waiters);
	STAILQ_INIT(&reload->edits_asked);
	reload->timer =
		memory_or_exit(evtimer_new(env->base, on_reload_step_timer, reload), "reload");
	reload->confirm =
		memory_or_exit(evtimer_new(env->base, on_reload_unconfirmed, reload), "reload");
	return reload;
}

void reload_free(struct reload *reload)
{
	struct reload_edit *edit;

	if (reload == NULL)
		return;
	event_free(reload->timer);
	event_free(reload->confirm);
	while ((edit = STAILQ_FIRST(&reload->edits_asked)) != NULL) {
		STAILQ_REMOVE_HEAD(&reload->edits_asked, link);
		free(edit);
	}
	free(reload->edits);
	free(reload->previous);
	free(reload->reasons);
	free(reload);
}
