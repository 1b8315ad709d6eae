/* One step waits for the other: each of those that are under way is a waiter of the reload, then of the closing.
 */
#include "master/change/deleting.h"

#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#include "common/memory.h"
#include "common/shm.h"
#include "conf/edit.h"
#include "master/change/closing.h"
#include "master/change/reload.h"

/* One server. */
struct deleting_one {
	TAILQ_ENTRY(deleting_one) link;
	struct deleting *deleting;    /* borrowed */
	struct reload_waiter *waiter; /* borrowed; NULL: nobody any more */
	struct reload_waiter step;    /* waits for the reload, then for the closing */
	char name[CONF_EDIT_BYTES];   /* BACKEND/SERVER */
	char text[CONF_EDIT_BYTES];   /* what the reload answered */
};

struct deleting {
	struct reload *reload;          /* borrowed */
	struct closing *closing;        /* borrowed */
	struct shm *shm;                /* borrowed */
	TAILQ_HEAD(, deleting_one) all; /* owned */
};

static struct deleting_one *deleting_of(struct reload_waiter *step)
{
	return (struct deleting_one *)(void *)((char *)step - offsetof(struct deleting_one, step));
}

static void deleting_answer(struct deleting_one *one, enum reload_result result, const char *text)
{
	if (one->waiter != NULL)
		one->waiter->answer(one->waiter, result, text);
	TAILQ_REMOVE(&one->deleting->all, one, link);
	free(one);
}

static void on_deleting_closed(
	struct reload_waiter *waiter, enum reload_result result, const char *text)
{
	struct deleting_one *one = deleting_of(waiter);
	char both[2 * CONF_EDIT_BYTES];

	snprintf(both, sizeof(both), "%s; %s", one->text, text);
	deleting_answer(one, result, both);
}

/* The server itself, or one of those that its name stands for: NAME#1. */
static bool deleting_is(const char *name, const char *of)
{
	const size_t len = strlen(of);

	return strncmp(name, of, len) == 0 && (name[len] == '\0' || name[len] == '#');
}

static void on_deleting_reloaded(
	struct reload_waiter *waiter, enum reload_result result, const char *text)
{
	struct deleting_one *one = deleting_of(waiter);
	struct deleting *deleting = one->deleting;
	const uint32_t count = shm_placed(deleting->shm, SHM_SERVER);
	uint32_t last = SHM_NONE;

	if (result != RELOAD_DONE) {
		deleting_answer(one, result, text);
		return;
	}
	snprintf(one->text, sizeof(one->text), "%s", text);
	for (uint32_t place = 0; place < count; place++) {
		if (!deleting_is(shm_name(deleting->shm, SHM_SERVER, place), one->name) ||
			shm_place_is_current(deleting->shm, SHM_SERVER, place))
			continue;
		if (last != SHM_NONE)
			closing_server(deleting->closing, last, NULL);
		last = place;
	}
	if (last == SHM_NONE) {
		deleting_answer(one, result, text);
		return;
	}
	one->step.answer = on_deleting_closed;
	closing_server(deleting->closing, last, &one->step);
}

const char *deleting_ask(struct deleting *deleting, const char *line, struct reload_waiter *waiter)
{
	struct deleting_one *one = memory_or_exit(calloc(1, sizeof(*one)), "deleting");
	const char *why;

	one->deleting = deleting;
	one->waiter = waiter;
	one->step.answer = on_deleting_reloaded;
	conf_edit_name(line, one->name, sizeof(one->name));
	why = reload_edit(deleting->reload, line, &one->step);
	if (why != NULL) {
		free(one);
		return why;
	}
	TAILQ_INSERT_TAIL(&deleting->all, one, link);
	return NULL;
}

void deleting_forget(struct deleting *deleting, struct reload_waiter *waiter)
{
	struct deleting_one *one;

	TAILQ_FOREACH(one, &deleting->all, link) {
		if (one->waiter == waiter)
			one->waiter = NULL;
	}
}

struct deleting *deleting_new(struct reload *reload, struct closing *closing, struct shm *shm)
{
	struct deleting *deleting = memory_or_exit(calloc(1, sizeof(*deleting)), "deleting");

	deleting->reload = reload;
	deleting->closing = closing;
	deleting->shm = shm;
	TAILQ_INIT(&deleting->all);
	return deleting;
}

void deleting_free(struct deleting *deleting)
{
	struct deleting_one *one;
	struct deleting_one *next;

	if (deleting == NULL)
		return;
	for (one = TAILQ_FIRST(&deleting->all); one != NULL; one = next) {
		next = TAILQ_NEXT(one, link);
		free(one);
	}
	free(deleting);
}
