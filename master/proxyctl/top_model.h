/* What top knows of the daemon: numbers and harmless texts, from the JSON of the control socket. Nothing is drawn here.
 */
#ifndef PROXYD_MASTER_PROXYCTL_TOP_MODEL_H
#define PROXYD_MASTER_PROXYCTL_TOP_MODEL_H

#include <stdbool.h>
#include <stddef.h>

#include "common/must.h"

#define TOP_TEXT_MAX 256

enum top_pane {
	PANE_FRONTENDS,
	PANE_SERVERS,
	PANE_WORKERS,
	PANES,
};

/* A round of questions; what a daemon does not know stays unknown. */
enum top_question {
	QUESTION_STATUS,
	QUESTION_FRONTENDS,
	QUESTION_SERVERS,
	QUESTION_WORKERS,
	QUESTION_STATS,
	QUESTIONS,
};

enum top_value {
	VALUE_ACTIVE,
	VALUE_QUEUED,
	VALUE_TOTAL,
	VALUE_ACCEPTED,
	VALUE_FAILED,
	VALUE_REFUSED,
	VALUE_RATE_1S,
	VALUE_RATE_10S,
	VALUE_RATE_60S,
	VALUE_IN_1S,
	VALUE_OUT_1S,
	VALUE_CONNECT_P50_US,
	VALUE_CONNECT_P99_US,
	VALUE_SESSION_P50_MS,
	VALUE_SESSION_P99_MS,
	VALUE_WEIGHT,
	VALUE_MAXCONN,
	VALUE_LAST_CHANGE_S,
	VALUE_PID,
	VALUE_GENERATION,
	VALUE_RESTARTS,
	VALUE_UPTIME_S,
	VALUE_WORKERS,
	VALUE_MOVED,
	VALUE_KEPT,
	VALUE_SHARE, /* of the connections of all workers, 0 to 1 */
	VALUES,
};

/* A frontend, a server, a worker, or the daemon. Unknown numbers are NAN, unknown texts "". */
struct top_row {
	char name[TOP_TEXT_MAX]; /* "front", "backend/server", "0" */
	char state[16];
	double values[VALUES];
};

struct top_list {
	size_t n;
	size_t room;
	struct top_row *rows; /* owned */
};

struct top_model {
	struct top_row daemon;     /* its name is the version */
	char reload[TOP_TEXT_MAX]; /* the last one: when, how, why */
	struct top_list lists[PANES];
};

struct top_model *top_model_new(void);        /* NULL without memory */
void top_model_free(struct top_model *model); /* NULL is fine */

/* Add text to what stands in to, of so many bytes. Nothing that comes from the daemon reaches the terminal raw: what is
 * not printable ASCII becomes '?'. text NULL adds nothing. */
void top_text_add(char *to, size_t bytes, const char *text);

/* The line to ask, with its newline. */
const char *top_question(enum top_question question);

/* Take in an answer. The stats come last, for they add to what is there. Returns -1 when it is no JSON of the right
 * shape, or without memory. */
MUST_USE int top_model_take(
	struct top_model *model, enum top_question question, const char *text, size_t len);

/* All answers are there: what follows from them. */
void top_model_finish(struct top_model *model);

#endif
