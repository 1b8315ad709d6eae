/* JSON for programs, by cJSON. Its numbers are doubles, which a count of bytes can outgrow: ours are written as
 * the digits that they are.
 */
#include <cjson/cJSON.h>
#include <event2/buffer.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "master/views/print.h"

static cJSON *json_list(const struct view_cell *cell)
{
	cJSON *list = cJSON_CreateArray();

	for (size_t i = 0; list != NULL && i < cell->count; i++) {
		cJSON *item = cJSON_CreateString(cell->item(cell->list, i));

		if (item == NULL || !cJSON_AddItemToArray(list, item)) {
			cJSON_Delete(item);
			cJSON_Delete(list);
			return NULL;
		}
	}
	return list;
}

static cJSON *json_count(uint64_t number)
{
	char digits[24];

	snprintf(digits, sizeof(digits), "%" PRIu64, number);
	return cJSON_CreateRaw(digits);
}

/* To a thousandth, and always with a point: who reads it knows that it is no whole number. */
static cJSON *json_real(double real)
{
	char digits[400];

	snprintf(digits, sizeof(digits), "%.3f", real);
	return cJSON_CreateRaw(digits);
}

static cJSON *json_numbers(enum view_kind kind, const struct view_cell *cell)
{
	cJSON *list = cJSON_CreateArray();

	for (size_t i = 0; list != NULL && i < cell->count; i++) {
		cJSON *item = kind == VIEW_RATES ? json_real(cell->numbers[i].real)
						 : json_count(cell->numbers[i].number);

		if (item == NULL || !cJSON_AddItemToArray(list, item)) {
			cJSON_Delete(item);
			cJSON_Delete(list);
			return NULL;
		}
	}
	return list;
}

static cJSON *json_counts(const struct view_cell *cell)
{
	cJSON *object = cJSON_CreateObject();

	for (size_t i = 0; object != NULL && i < cell->count; i++) {
		cJSON *item = json_count(cell->numbers[i].number);

		if (item == NULL || !cJSON_AddItemToObject(object, cell->item(NULL, i), item)) {
			cJSON_Delete(item);
			cJSON_Delete(object);
			return NULL;
		}
	}
	return object;
}

static cJSON *json_cell(enum view_kind kind, const struct view_cell *cell)
{
	if (cell->none)
		return cJSON_CreateNull();
	switch (kind) {
	case VIEW_TEXT:
		return cell->text != NULL ? cJSON_CreateString(cell->text) : cJSON_CreateNull();
	case VIEW_LIST:
		return json_list(cell);
	case VIEW_RATE:
	case VIEW_BYTES_RATE:
		return json_real(cell->real);
	case VIEW_RATES:
	case VIEW_NUMBERS:
		return json_numbers(kind, cell);
	case VIEW_COUNTS:
		return json_counts(cell);
	case VIEW_COUNT:
	case VIEW_BYTES:
	case VIEW_MS:
	case VIEW_SECONDS:
	case VIEW_US:
		break;
	}
	return json_count(cell->number);
}

/* The object that holds what is called "a.b": a, made when it is not there; and b. */
static cJSON *json_parent(cJSON *object, const char *name, const char **rest_r)
{
	const char *dot = strchr(name, '.');
	char outer[32];
	cJSON *parent;

	*rest_r = name;
	if (dot == NULL)
		return object;
	MUST((size_t)(dot - name) < sizeof(outer));
	snprintf(outer, sizeof(outer), "%.*s", (int)(dot - name), name);
	*rest_r = dot + 1;
	parent = cJSON_GetObjectItemCaseSensitive(object, outer);
	return parent != NULL ? parent : cJSON_AddObjectToObject(object, outer);
}

static int json_add_cell(
	cJSON *object, const struct view_column *column, const struct view_cell *cell)
{
	const char *name;
	cJSON *parent = json_parent(object, column->name, &name);
	cJSON *value = json_cell(column->kind, cell);

	if (parent != NULL && value != NULL && cJSON_AddItemToObject(parent, name, value))
		return 0;
	cJSON_Delete(value);
	return -1;
}

static int json_print(struct evbuffer *out, const cJSON *object)
{
	char *text = cJSON_PrintUnformatted(object);
	int result;

	if (text == NULL)
		return -1;
	result = evbuffer_add(out, text, strlen(text));
	cJSON_free(text);
	return result;
}

int json_add_row(struct evbuffer *out, const struct view *view, const struct view_row *row)
{
	cJSON *object = cJSON_CreateObject();
	int result = object != NULL ? 0 : -1;

	MUST(row->ncells == view->ncolumns);
	for (size_t i = 0; i < row->ncells && result == 0; i++)
		result = json_add_cell(object, &view->columns[i], &row->cells[i]);
	if (result == 0)
		result = json_print(out, object);
	cJSON_Delete(object);
	return result;
}

int json_add_text(struct evbuffer *out, const char *name, const char *text)
{
	cJSON *object = cJSON_CreateObject();
	int result = -1;

	if (object != NULL && cJSON_AddStringToObject(object, name, text) != NULL)
		result = json_print(out, object);
	cJSON_Delete(object);
	return result < 0 ? -1 : evbuffer_add(out, "\n", 1);
}
