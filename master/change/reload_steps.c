/* Prepare, commit, undo.
 */
#include <event2/event.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/log.h"
#include "common/shm.h"
#include "conf/conf.h"
#include "conf/diff.h"
#include "conf/load.h"
#include "master/change/edits.h"
#include "master/change/reload_impl.h"
#include "master/change/way_back.h"
#include "master/children/supervisor.h"
#include "master/config.h"
#include "master/first.h"
#include "master/hosts.h"
#include "master/limits.h"
#include "master/listen/bindings.h"
#include "master/listen/handover.h"
#include "master/place.h"
#include "master/views/print.h"

#define RELOAD_LOOK_MS    20
#define RELOAD_SETTLE_MS  2000  /* for the generation before to move what can move */
#define RELOAD_SOCKETS_MS 3000  /* for its sockets to be accepted empty */
#define RELOAD_ROOM_MS    10000 /* for places for the workers */
#define RELOAD_CUT_MS     2000  /* for a generation to end, before another one is to */
#define RELOAD_READY_MS   10000 /* for the workers to get ready */

static void reload_timer(struct reload *reload, uint32_t ms)
{
	const struct timeval delay = clock_timeval(ms);

	evtimer_add(reload->timer, &delay);
}

static struct config *reload_serving(const struct reload *reload)
{
	return supervisor_serving(reload->env.supervisor)->config;
}

/* ------------------------------------------------------------------ load and compare */

static char *reload_text(const struct reload *reload)
{
	char *text = NULL;
	size_t len;
	FILE *to = open_memstream(&text, &len);

	if (to == NULL)
		return NULL;
	conf_dump(reload_serving(reload)->conf, to);
	fclose(to);
	return text;
}

static struct conf *reload_load_edited(struct reload *reload, struct conf_errors *errors)
{
	struct conf_edits *one = edits_new();
	const struct conf_overrides overrides = { .edits = one };
	char *text = reload_text(reload);
	struct conf *conf = NULL;

	reload->edits = edits_read(reload->env.shm);
	one->strict = true;
	if (text == NULL || edits_push(one, reload->line) < 0)
		reload_because(reload, "no memory");
	else if (edits_push(reload->edits, reload->line) < 0)
		reload_because(reload,
			"%u servers were added or deleted since the file was written, and no more can "
			"be: the file wants an update",
			CONF_EDITS_MAX);
	else
		conf = conf_load_text("what serves", text, strlen(text), &overrides, errors);
	free(text);
	free(one);
	return conf;
}

static struct conf *reload_load_before(struct reload *reload, struct conf_errors *errors)
{
	if (reload->previous == NULL) {
		reload_because(reload, "there is no previous configuration");
		return NULL;
	}
	reload->edits = edits_read_before(reload->env.shm);
	return conf_load_text("the previous configuration", reload->previous,
		strlen(reload->previous), NULL, errors);
}

static struct conf *reload_load_from(struct reload *reload, struct conf_errors *errors)
{
	switch (reload->now.from) {
	case RELOAD_EDIT:
		return reload_load_edited(reload, errors);
	case RELOAD_BEFORE:
		return reload_load_before(reload, errors);
	case RELOAD_FILE:
		break;
	}
	reload->edits = edits_read(reload->env.shm);
	return reload->env.load(reload->edits, errors, reload->env.load_arg);
}

static struct conf *reload_load(struct reload *reload)
{
	struct conf_errors errors = { 0 };
	struct conf *conf = reload_load_from(reload, &errors);

	for (size_t i = 0; i < errors.count; i++)
		reload_because(reload, "%s", errors.lines[i]);
	conf_errors_free(&errors);
	return conf;
}

/* What no reload can change. */
static void reload_check_changes(struct reload *reload, const struct conf_diff *diff)
{
	for (size_t i = 0; i < diff->count; i++) {
		const struct conf_diff_entry *entry = &diff->entries[i];

		if (entry->how == DIFF_CHANGED && entry->change == CHANGE_RESTART)
			reload_because(reload, "%s%s: a change needs a restart of proxyd",
				entry->what == DIFF_GLOBAL ? "global." : "", entry->worst);
	}
}

/* Returns false when there is nothing to replace, or nothing that can be. */
static bool reload_compare(struct reload *reload)
{
	struct conf_diff *diff = conf_diff(reload_serving(reload)->conf, reload->config->conf);

	reload->changes = (uint32_t)diff->count;
	reload_check_changes(reload, diff);
	conf_diff_free(diff);
	return reload->reasons == NULL && reload->changes > 0;
}

static void reload_keep_edits(struct reload *reload)
{
	edits_settle(reload->edits);
	edits_write(reload->env.shm, reload->edits);
}

static void reload_unchanged(struct reload *reload)
{
	char text[96];

	snprintf(text, sizeof(text), "nothing changed, generation %u serves on",
		supervisor_serving(reload->env.supervisor)->number);
	reload_keep_edits(reload);
	reload_undo(reload);
	reload_end(reload, RELOAD_UNCHANGED, text);
}

/* ------------------------------------------------------------------ wait for the one before */

static bool reload_sockets_left(struct reload *reload, uint64_t waited_ms)
{
	if (bindings_leaving(reload->env.bindings) == 0)
		return true;
	if (waited_ms < RELOAD_SOCKETS_MS)
		return false;
	log_warnx("reload: %zu sockets that left the configuration were not accepted empty",
		handover_close_leaving(reload->env.handover));
	return true;
}

/* What is left of a generation after a while drains, and is not waited for. */
static bool reload_settled(struct reload *reload)
{
	const struct generations *all = supervisor_generations(reload->env.supervisor);
	const struct generation *generation;

	TAILQ_FOREACH(generation, all, link) {
		if (generation->state == GENERATION_LEAVING &&
			clock_now_ms() - generation->since_ms < RELOAD_SETTLE_MS)
			return false;
	}
	return true;
}

/* Only the oldest drain a shorter time than they were promised, one after the other. */
static bool reload_has_room(struct reload *reload, uint64_t waited_ms)
{
	const uint32_t needed = reload->config->conf->global.workers;

	if (supervisor_room(reload->env.supervisor) >= needed)
		return true;
	if (waited_ms >= reload->cut_ms && supervisor_cut_short(reload->env.supervisor)) {
		reload->cut_ms = (uint32_t)waited_ms + RELOAD_CUT_MS;
		log_warnx("reload: no places for %u more workers: the oldest generation is ended",
			needed);
	}
	if (waited_ms > RELOAD_ROOM_MS)
		reload_because(reload,
			"no places for %u more workers: %u of %u are free, generations that drain "
			"have the others; see `show generations`, drain_timeout",
			needed, supervisor_room(reload->env.supervisor), SHM_SLOTS);
	return false;
}

static void reload_find(struct reload *reload);

static void reload_wait(struct reload *reload)
{
	const uint64_t waited_ms = clock_now_ms() - reload->since_ms;

	if (reload_sockets_left(reload, waited_ms) && reload_settled(reload) &&
		reload_has_room(reload, waited_ms))
		reload_find(reload);
	else if (reload->reasons != NULL)
		reload_refuse(reload);
	else
		reload_timer(reload, RELOAD_LOOK_MS);
}

/* ------------------------------------------------------------------ resolve */

/* Only now the two can be compared: names may have other addresses than before. */
static void on_reload_resolved(const char *error, void *arg)
{
	struct reload *reload = arg;

	if (error != NULL) {
		reload_because(reload, "cannot resolve names: %s", error);
		reload_refuse(reload);
		return;
	}
	hosts_give(reload->hosts, reload->config->conf, reload_serving(reload)->conf);
	if (reload_compare(reload)) {
		reload->step = RELOAD_WAITING;
		reload->since_ms = clock_now_ms();
		reload->cut_ms = 0;
		reload_wait(reload);
	} else if (reload->reasons != NULL) {
		reload_refuse(reload);
	} else {
		reload_unchanged(reload);
	}
}

static void reload_prepare(struct reload *reload)
{
	struct conf *conf = reload_load(reload);

	if (conf == NULL) {
		reload_refuse(reload);
		return;
	}
	reload->config = config_new(conf);
	reload->step = RELOAD_RESOLVING;
	reload->hosts = hosts_begin(reload->env.base, conf, on_reload_resolved, reload);
}

static void reload_start(struct reload *reload);

static void on_reload_found(void *arg)
{
	reload_start(arg);
}

/* First addresses of names that are new. */
static void reload_find(struct reload *reload)
{
	if (place_objects(reload->config->conf, reload->env.shm) < 0) {
		reload_because(reload, "no room in shared memory for all names");
		reload_refuse(reload);
		return;
	}
	reload->step = RELOAD_FINDING;
	reload->first = first_begin(
		reload->env.base, reload->config->conf, reload->env.shm, on_reload_found, reload);
}

/* ------------------------------------------------------------------ bind and start */

static void on_reload_bind_error(const char *line, void *arg)
{
	reload_because(arg, "%s", line);
}

static void reload_bind(struct reload *reload)
{
	const struct conf *conf = reload->config->conf;
	char why[512];

	reload->bindings = bindings_new(conf, reload->hosts, on_reload_bind_error, reload);
	if (reload->bindings == NULL)
		return;
	bindings_inherit(reload->bindings, reload->env.bindings);
	if (limits_check(bindings_count(reload->env.bindings) + bindings_missing(reload->bindings),
		    conf->global.workers, why, sizeof(why)) < 0)
		reload_because(reload, "%s", why);
	else
		(void)bindings_open(reload->bindings);
}

static void reload_start(struct reload *reload)
{
	const uint32_t number = supervisor_serving(reload->env.supervisor)->number + 1;
	char why[512];

	if (config_open_logs(reload->config, why, sizeof(why)) < 0)
		reload_because(reload, "%s", why);
	else
		reload_bind(reload);
	if (reload->reasons != NULL) {
		reload_refuse(reload);
		return;
	}
	reload->step = RELOAD_STARTING;
	reload_timer(reload, RELOAD_READY_MS);
	reload->generation = supervisor_prepare(reload->env.supervisor, reload->config, number);
}

/* A step took too long, or it is time to look again. */
void on_reload_step_timer(int fd, short what, void *arg)
{
	struct reload *reload = arg;

	(void)fd;
	(void)what;
	switch (reload->step) {
	case RELOAD_LOADING:
		reload_prepare(reload);
		return;
	case RELOAD_WAITING:
		reload_wait(reload);
		return;
	case RELOAD_STARTING:
		reload_because(reload, "the new workers did not get ready in %d s",
			RELOAD_READY_MS / 1000);
		reload_refuse(reload);
		return;
	case RELOAD_IDLE:
	case RELOAD_RESOLVING: /* bounded by itself */
	case RELOAD_FINDING:   /* the same */
		return;
	}
}

/* ------------------------------------------------------------------ undo and commit */

void reload_undo(struct reload *reload)
{
	if (reload->generation != NULL)
		supervisor_abandon(reload->generation);
	hosts_free(reload->hosts);
	first_free(reload->first);
	bindings_free(reload->bindings);
	config_release(reload->config);
	free(reload->edits);
	reload->edits = NULL;
	reload->generation = NULL;
	reload->hosts = NULL;
	reload->first = NULL;
	reload->bindings = NULL;
	reload->config = NULL;
}

/* The way back is the text of what serves until now. */
static void reload_remember(struct reload *reload)
{
	char *text = reload_text(reload);

	if (text == NULL)
		return;
	free(reload->previous);
	reload->previous = text;
	way_back_keep(reload->env.shm, text);
	edits_keep_before(reload->env.shm);
}

static void reload_await_confirmation(struct reload *reload)
{
	const uint32_t ms = reload->now.confirm_ms;
	const struct timeval limit = clock_timeval(ms);

	evtimer_del(reload->confirm);
	if (ms > 0)
		evtimer_add(reload->confirm, &limit);
	way_back_until(reload->env.shm, ms > 0 ? clock_now_ms() + ms : 0);
}

static void reload_done(struct reload *reload, uint32_t number)
{
	char span[VIEW_UNIT_MAX];
	char text[CONF_EDIT_BYTES + 160];
	char name[CONF_EDIT_BYTES];
	int len = 0;

	if (reload->now.from == RELOAD_EDIT)
		len = snprintf(text, sizeof(text),
			"%s is %s: ", conf_edit_name(reload->line, name, sizeof(name)),
			strncmp(reload->line, "add", 3) == 0 ? "added" : "deleted");
	len += snprintf(text + len, sizeof(text) - (size_t)len,
		"generation %u serves, objects changed: %u", number, reload->changes);

	if (reload->now.confirm_ms > 0)
		snprintf(text + len, sizeof(text) - (size_t)len,
			"; it goes back in %s unless it is confirmed",
			view_format_ms(reload->now.confirm_ms, span));
	reload_end(reload, RELOAD_DONE, text);
}

void reload_commit(struct reload *reload)
{
	const uint32_t drain_ms = reload->config->conf->global.drain_timeout_ms;
	const uint32_t number = reload->generation->number;
	struct handover_worker workers[SHM_WORKERS_MAX];
	uint32_t count = supervisor_handover_workers(reload->generation, workers);

	evtimer_del(reload->timer);
	reload_remember(reload);
	reload_keep_edits(reload);
	bindings_merge(reload->env.bindings, reload->bindings);
	reload->bindings = NULL;
	place_commit(reload->config->conf, reload->env.shm, number);
	reload->env.on_commit(reload->config, reload->env.arg);
	handover_commit(reload->env.handover, workers, count);
	supervisor_commit(reload->env.supervisor, reload->generation, drain_ms);
	reload_await_confirmation(reload);
	/* What is left to give back is not the generation's any more. */
	reload->generation = NULL;
	reload_undo(reload);
	reload_done(reload, number);
}
