/* What top.c (the loop), top_keys.c and top_draw.c share. Nobody else includes it.
 */
#ifndef PROXYD_MASTER_PROXYCTL_TOP_IMPL_H
#define PROXYD_MASTER_PROXYCTL_TOP_IMPL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "master/proxyctl/client.h"
#include "master/proxyctl/ctl.h"
#include "master/proxyctl/talk.h"
#include "master/proxyctl/top_model.h"
#include "master/proxyctl/top_rows.h"

#define TOP_INTERVAL_MS 2000
#define TOP_MESSAGE_MS  5000 /* that a message stays */

enum top_mode {
	MODE_LIST,
	MODE_HELP,
	MODE_FILTER,  /* keys go into the filter */
	MODE_CONFIRM, /* y sends `order`, any other key does not */
};

struct top {
	const struct client *client; /* borrowed */
	struct top_model *model;     /* owned: what is shown; NULL before the first answers */
	struct top_model *coming;    /* owned: what is being asked for */
	enum top_question question;
	struct talk talk;  /* about the data */
	uint64_t round_ms; /* when the next round begins */
	uint32_t interval_ms;
	bool paused;
	uint64_t absent_ms; /* since when nobody answers; 0: somebody does */
	struct ctl_why why; /* the reason */

	enum top_mode mode;
	enum top_pane pane;
	struct top_rows rows[PANES];
	size_t page;     /* rows of the pane in front that are in sight */
	struct talk act; /* about an order */
	char order[TALK_LINE_MAX];
	char ask[TOP_TEXT_MAX + 128]; /* before it is given */
	char message[TOP_TEXT_MAX + 128];
	uint64_t message_ms; /* until then */
	bool over;
};

/* Show what is in top, on the whole screen. */
void top_draw(struct top *top);

/* A key of ncurses. */
void top_key(struct top *top, int key);

/* The list that a pane shows, empty before the first answers. */
const struct top_list *top_list(const struct top *top, enum top_pane pane);

/* Rows as filter and order want them. */
void top_arrange(struct top *top);

/* Give the order in top->order. */
void top_give_order(struct top *top);

void top_say(struct top *top, const char *format, ...) PRINTF_LIKE(2, 3);

#endif
