/* From JSON to rows.
 */
#include "master/proxyctl/top_model.h"

#include <cjson/cJSON.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Everywhere the same names mean the same. */
static const struct {
	const char *name;
	enum top_value value;
} model_numbers[] = {
	{ "active", VALUE_ACTIVE },
	{ "queued", VALUE_QUEUED },
	{ "total", VALUE_TOTAL },
	{ "accepted", VALUE_ACCEPTED },
	{ "failed", VALUE_FAILED },
	{ "refused", VALUE_REFUSED },
	{ "rate_1s", VALUE_RATE_1S },
	{ "rate_10s", VALUE_RATE_10S },
	{ "rate_60s", VALUE_RATE_60S },
	{ "bytes_in_1s", VALUE_IN_1S },
	{ "bytes_out_1s", VALUE_OUT_1S },
	{ "connect_p50_us", VALUE_CONNECT_P50_US },
	{ "connect_p99_us", VALUE_CONNECT_P99_US },
	{ "session_p50_ms", VALUE_SESSION_P50_MS },
	{ "session_p99_ms", VALUE_SESSION_P99_MS },
	{ "weight", VALUE_WEIGHT },
	{ "maxconn", VALUE_MAXCONN },
	{ "last_change_s", VALUE_LAST_CHANGE_S },
	{ "pid", VALUE_PID },
	{ "generation", VALUE_GENERATION },
	{ "restarts", VALUE_RESTARTS },
	{ "uptime_s", VALUE_UPTIME_S },
	{ "workers", VALUE_WORKERS },
	{ "moved", VALUE_MOVED },
	{ "kept", VALUE_KEPT },
};

const char *top_question(enum top_question question)
{
	static const char *const lines[QUESTIONS] = {
		[QUESTION_STATUS] = "status --json\n",
		[QUESTION_FRONTENDS] = "show frontends --json\n",
		[QUESTION_SERVERS] = "show servers --json\n",
		[QUESTION_WORKERS] = "show workers --json\n",
		[QUESTION_STATS] = "show stats --json\n",
	};

	return lines[question];
}

static void row_clear(struct top_row *row)
{
	row->name[0] = row->state[0] = '\0';
	for (size_t i = 0; i < VALUES; i++)
		row->values[i] = NAN;
}

struct top_model *top_model_new(void)
{
	struct top_model *model = calloc(1, sizeof(*model));

	if (model != NULL)
		row_clear(&model->daemon);
	return model;
}

void top_model_free(struct top_model *model)
{
	if (model == NULL)
		return;
	for (size_t i = 0; i < PANES; i++)
		free(model->lists[i].rows);
	free(model);
}

/* ------------------------------------------------------------------ pieces of JSON */

void top_text_add(char *to, size_t bytes, const char *text)
{
	size_t len = strlen(to);

	for (; text != NULL && *text != '\0' && len + 1 < bytes; text++)
		to[len++] = *text >= ' ' && *text <= '~' ? *text : '?';
	to[len] = '\0';
}

static const char *model_string(const cJSON *object, const char *name)
{
	return cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(object, name));
}

static void model_take_numbers(struct top_row *row, const cJSON *object)
{
	const cJSON *item;

	cJSON_ArrayForEach(item, object)
	{
		if (!cJSON_IsNumber(item) || item->string == NULL)
			continue;
		for (size_t i = 0; i < NELEMS(model_numbers); i++) {
			if (strcmp(item->string, model_numbers[i].name) == 0) {
				row->values[model_numbers[i].value] = item->valuedouble;
				break;
			}
		}
	}
}

static void model_take_state(struct top_row *row, const cJSON *object)
{
	const char *state = model_string(object, "state");

	if (state == NULL)
		return;
	row->state[0] = '\0';
	top_text_add(row->state, sizeof(row->state), state);
}

static struct top_row *list_add(struct top_list *list)
{
	if (list->n == list->room) {
		const size_t room = list->room == 0 ? 64 : list->room * 2;
		struct top_row *rows = realloc(list->rows, room * sizeof(*rows));

		if (rows == NULL)
			return NULL;
		list->rows = rows;
		list->room = room;
	}
	row_clear(&list->rows[list->n]);
	return &list->rows[list->n++];
}

/* ------------------------------------------------------------------ answers */

static int model_take_status(struct top_model *model, const cJSON *status)
{
	const cJSON *reload = cJSON_GetObjectItemCaseSensitive(status, "last_reload");
	const char *at = model_string(reload, "at");
	const char *message = model_string(reload, "message");

	if (!cJSON_IsObject(status))
		return -1;
	top_text_add(
		model->daemon.name, sizeof(model->daemon.name), model_string(status, "version"));
	model_take_state(&model->daemon, status);
	model_take_numbers(&model->daemon, status);
	model_take_numbers(&model->daemon, cJSON_GetObjectItemCaseSensitive(status, "connections"));
	model_take_numbers(&model->daemon, cJSON_GetObjectItemCaseSensitive(status, "moves"));
	if (at == NULL)
		return 0;
	top_text_add(model->reload, sizeof(model->reload), at);
	top_text_add(model->reload, sizeof(model->reload), " ");
	top_text_add(model->reload, sizeof(model->reload), model_string(reload, "result"));
	if (message != NULL && message[0] != '\0') {
		top_text_add(model->reload, sizeof(model->reload), ": ");
		top_text_add(model->reload, sizeof(model->reload), message);
	}
	return 0;
}

/* What a row of a pane is called. */
static void model_take_name(struct top_row *row, enum top_pane pane, const cJSON *object)
{
	const cJSON *slot;

	switch (pane) {
	case PANE_FRONTENDS:
		top_text_add(row->name, sizeof(row->name), model_string(object, "name"));
		break;
	case PANE_SERVERS:
		top_text_add(row->name, sizeof(row->name), model_string(object, "backend"));
		top_text_add(row->name, sizeof(row->name), "/");
		top_text_add(row->name, sizeof(row->name), model_string(object, "server"));
		break;
	case PANE_WORKERS:
		slot = cJSON_GetObjectItemCaseSensitive(object, "slot");
		if (cJSON_IsNumber(slot))
			snprintf(row->name, sizeof(row->name), "%d", slot->valueint);
		break;
	case PANES:
		break;
	}
}

static int model_take_list(struct top_model *model, enum top_pane pane, const cJSON *list)
{
	const cJSON *object;

	if (!cJSON_IsArray(list))
		return -1;
	cJSON_ArrayForEach(object, list)
	{
		struct top_row *row = list_add(&model->lists[pane]);

		if (row == NULL)
			return -1;
		model_take_name(row, pane, object);
		model_take_state(row, object);
		model_take_numbers(row, object);
	}
	return 0;
}

/* The row of that name; both lists are in the same order as a rule, so it is mostly the one at *hint. */
static struct top_row *list_find(struct top_list *list, const char *name, size_t *hint)
{
	for (size_t i = 0; i < list->n; i++) {
		struct top_row *row = &list->rows[(*hint + i) % list->n];

		if (strcmp(row->name, name) == 0) {
			*hint = (*hint + i + 1) % list->n;
			return row;
		}
	}
	return NULL;
}

/* A worker's name is a number, as text or not. */
static void model_stats_name(const cJSON *object, char name_r[TOP_TEXT_MAX])
{
	const cJSON *name = cJSON_GetObjectItemCaseSensitive(object, "name");

	name_r[0] = '\0';
	if (cJSON_IsNumber(name))
		snprintf(name_r, TOP_TEXT_MAX, "%d", name->valueint);
	else
		top_text_add(name_r, TOP_TEXT_MAX, cJSON_GetStringValue(name));
}

/* A queue is its backend's: each of the backend's servers has it. They stand together, mostly at hint. */
static void model_take_queue(
	struct top_list *list, const char *backend, const cJSON *object, size_t hint)
{
	const cJSON *queued = cJSON_GetObjectItemCaseSensitive(object, "queued");
	const size_t len = strlen(backend);
	bool found = false;

	for (size_t i = 0; cJSON_IsNumber(queued) && i < list->n; i++) {
		struct top_row *row = &list->rows[(hint + i) % list->n];

		if (strncmp(row->name, backend, len) != 0 || row->name[len] != '/') {
			if (found)
				return;
			continue;
		}
		found = true;
		row->values[VALUE_QUEUED] = queued->valuedouble;
	}
}

static int model_take_stats(struct top_model *model, const cJSON *stats)
{
	static const char *const scopes[PANES] = {
		[PANE_FRONTENDS] = "frontend",
		[PANE_SERVERS] = "server",
		[PANE_WORKERS] = "worker",
	};
	size_t hints[PANES] = { 0 };
	char name[TOP_TEXT_MAX];
	const cJSON *object;

	if (!cJSON_IsArray(stats))
		return -1;
	cJSON_ArrayForEach(object, stats)
	{
		const char *scope = model_string(object, "scope");

		if (scope == NULL)
			continue;
		if (strcmp(scope, "daemon") == 0)
			model_take_numbers(&model->daemon, object);
		model_stats_name(object, name);
		if (strcmp(scope, "backend") == 0)
			model_take_queue(
				&model->lists[PANE_SERVERS], name, object, hints[PANE_SERVERS]);
		for (size_t i = 0; i < PANES; i++) {
			struct top_row *row = strcmp(scope, scopes[i]) == 0
				? list_find(&model->lists[i], name, &hints[i])
				: NULL;

			if (row != NULL)
				model_take_numbers(row, object);
		}
	}
	return 0;
}

int top_model_take(
	struct top_model *model, enum top_question question, const char *text, size_t len)
{
	cJSON *answer = cJSON_ParseWithLength(text, len);
	int result = -1;

	if (answer == NULL)
		return -1;
	switch (question) {
	case QUESTION_STATUS:
		result = model_take_status(model, answer);
		break;
	case QUESTION_FRONTENDS:
		result = model_take_list(model, PANE_FRONTENDS, answer);
		break;
	case QUESTION_SERVERS:
		result = model_take_list(model, PANE_SERVERS, answer);
		break;
	case QUESTION_WORKERS:
		result = model_take_list(model, PANE_WORKERS, answer);
		break;
	case QUESTION_STATS:
		result = model_take_stats(model, answer);
		break;
	case QUESTIONS:
		break;
	}
	cJSON_Delete(answer);
	return result;
}

void top_model_finish(struct top_model *model)
{
	const struct top_list *workers = &model->lists[PANE_WORKERS];
	double active = 0;

	for (size_t i = 0; i < workers->n; i++)
		if (!isnan(workers->rows[i].values[VALUE_ACTIVE]))
			active += workers->rows[i].values[VALUE_ACTIVE];
	for (size_t i = 0; i < workers->n; i++)
		workers->rows[i].values[VALUE_SHARE] =
			active > 0 ? workers->rows[i].values[VALUE_ACTIVE] / active : 0;
}
