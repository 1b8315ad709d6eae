/* The predecessor's file (tcp_proxy_epoll, JSON): {"Apps": [{"Name", "Ports", "Targets"}]}. Each port
 * becomes a frontend NAME:PORT, each app a backend NAME, with the settings that the predecessor had built
 * in. Errors in it are reported like those of our own files.
 */
#include <string.h>

#include "conf/arena.h"
#include "conf/read.h"
#include "conf/value.h"

enum { APP_NAME, APP_PORTS, APP_TARGETS, APP_KEYS };

static const struct conf_key app_keys[] = {
	[APP_NAME] = { .name = "Name", .type = CONF_TEXT, .min = 1, .max = 4096 },
	[APP_PORTS] = { .name = "Ports", .type = CONF_COUNT, .min = 1, .max = UINT16_MAX },
	[APP_TARGETS] = { .name = "Targets", .type = CONF_ADDRESSES, .use = ADDRESS_SERVER },
};
static const struct conf_table app_table = { "an app", app_keys, APP_KEYS };

static const struct conf_key top_key = { .name = "Apps", .type = CONF_OBJECTS };
static const struct conf_table apps_table = { "the file", &top_key, 1 };

/* The values of one app, NULL where a key is absent. */
struct app {
	struct conf_mark mark;
	bool guessed[APP_KEYS];
	const yaml_node_t *values[APP_KEYS];
	const char *name; /* "" when there is none */
};

bool apps_is(const struct source *source, const yaml_node_t *root)
{
	if (root->type != YAML_MAPPING_NODE)
		return false;
	for (const yaml_node_pair_t *pair = root->data.mapping.pairs.start;
		pair < root->data.mapping.pairs.top; pair++) {
		const char *key = node_text(node_at(source, pair->key));

		if (key != NULL && strcmp(key, top_key.name) == 0)
			return true;
	}
	return false;
}

static void say(const struct source *source, const yaml_node_t *node, const char *what)
{
	struct conf_mark mark = node_mark(source, node);

	problem_add(&source->draft->problems, &mark, "%s, not %s", what, node_what(source, node));
}

/* What the predecessor had built in, where proxyd's own defaults differ. */
static void apps_defaults(struct draft *draft)
{
	struct conf_check *check = &draft->backend_defaults.conf.check;

	draft->global.bind_retry_ms = 5000;
	draft->global.log.format = LOG_FORMAT_JSON;
	draft->backend_defaults.conf.balance = BALANCE_LEASTCONN;
	check->type = CHECK_TCP;
	check->inter_ms = 5000;
	check->timeout_ms = 2000;
	check->rise = 1;
	check->fall = 1;
}

static void app_pair(const struct source *source, struct app *app, const yaml_node_pair_t *pair)
{
	const struct conf_table *table = &app_table;
	const yaml_node_t *node = node_at(source, pair->key);
	struct conf_mark mark = node_mark(source, node);
	const char *name = node_key(source, pair->key);
	const struct conf_key *key;

	if (name == NULL)
		return;
	key = table_find(&app_table, name);
	if (key == NULL) {
		key = read_unknown(source, node, &table, 1, false);
		if (key != NULL)
			app->guessed[key - app_keys] = true;
	} else if (app->values[key - app_keys] != NULL) {
		problem_add(&source->draft->problems, &mark, "`%s` is there twice", name);
	} else {
		app->values[key - app_keys] = node_at(source, pair->value);
	}
}

/* A name that cannot be one here has its other characters replaced: the file loads unchanged. */
static const char *app_name(const struct source *source, const struct app *app)
{
	const yaml_node_t *node = app->values[APP_NAME];
	char *name;

	if (node == NULL)
		return "";
	if (node_text(node) == NULL || *node_text(node) == '\0') {
		say(source, node, "`Name` is a text");
		return "";
	}
	name = arena_strdup(source->draft->scratch, node_text(node));
	for (char *p = name; *p != '\0'; p++)
		if (!draft_name_has(*p))
			*p = '_';
	return name;
}

static void app_port(const struct source *source, const struct app *app, const yaml_node_t *node,
	struct draft_backend *backend)
{
	struct draft *draft = source->draft;
	struct value_text value = { node_text(node), node_is_quoted(node) };
	struct conf_mark mark = node_mark(source, node);
	struct draft_frontend *frontend;
	const char *error, *text;
	uint32_t port;

	if (value.text == NULL) {
		say(source, node, "a port is 1 to 65535");
		return;
	}
	if (value_parse(&app_keys[APP_PORTS], &value, draft->scratch, &port, &error) == -1) {
		problem_add(&draft->problems, &mark, "%s", error);
		return;
	}
	text = arena_printf(draft->scratch, "%s:%u", app->name, port);
	frontend = draft_frontend_add(draft, text, &mark);
	if (frontend == NULL || !draft_has_room(draft, ADDRESS_BIND, 1, &mark))
		return;
	frontend->bind.count = 1;
	frontend->bind.list = arena_alloc(draft->scratch, sizeof(*frontend->bind.list));
	frontend->bind.marks = arena_alloc(draft->scratch, sizeof(*frontend->bind.marks));
	frontend->bind.marks[0] = mark;
	text = arena_printf(draft->scratch, ":%u", port);
	MUST(address_parse(draft->arena, text, ADDRESS_BIND, frontend->bind.list, &error) == 0);
	frontend->backend = backend;
	frontend->given[FRONTEND_BIND].how = KEY_GIVEN;
	frontend->given[FRONTEND_BACKEND].how = KEY_GIVEN;
}

static void app_ports(
	const struct source *source, const struct app *app, struct draft_backend *backend)
{
	const yaml_node_t *node = app->values[APP_PORTS];

	if (node == NULL)
		return;
	if (node->type != YAML_SEQUENCE_NODE ||
		node->data.sequence.items.start == node->data.sequence.items.top) {
		say(source, node, "`Ports` is a list with at least one port");
		return;
	}
	for (const yaml_node_item_t *item = node->data.sequence.items.start;
		item < node->data.sequence.items.top; item++)
		app_port(source, app, node_at(source, *item), backend);
}

static void app_targets(
	const struct source *source, const struct app *app, struct draft_backend *backend)
{
	const yaml_node_t *node = app->values[APP_TARGETS];
	struct draft_addresses targets = { 0 };

	backend->given[BACKEND_SERVERS].how = KEY_GUESSED;
	if (node == NULL)
		return;
	if (node->type != YAML_SEQUENCE_NODE) {
		say(source, node, "`Targets` is a list of addresses");
		return;
	}
	read_addresses(source, &app_keys[APP_TARGETS], node, &targets);
	draft_forward(source->draft, backend, &targets);
}

static void app_read(const struct source *source, const yaml_node_t *node)
{
	struct app app = { .mark = node_mark(source, node) };
	struct draft_backend *backend;

	if (node->type != YAML_MAPPING_NODE) {
		say(source, node, "an app is an object with `Name`, `Ports` and `Targets`");
		return;
	}
	for (const yaml_node_pair_t *pair = node->data.mapping.pairs.start;
		pair < node->data.mapping.pairs.top; pair++)
		app_pair(source, &app, pair);
	for (size_t i = 0; i < APP_KEYS; i++)
		if (app.values[i] == NULL && !app.guessed[i])
			problem_add(&source->draft->problems, &app.mark, "an app without `%s`",
				app_keys[i].name);
	app.name = app_name(source, &app);
	/* Without a name the rest is still read, for its errors. */
	if (*app.name == '\0')
		app.name = arena_printf(
			source->draft->scratch, "app-%u-%u", app.mark.line, app.mark.column);
	backend = draft_backend_add(source->draft, app.name, &app.mark);
	if (backend == NULL)
		return;
	app_targets(source, &app, backend);
	app_ports(source, &app, backend);
}

static void apps_list(const struct source *source, const yaml_node_t *list)
{
	if (list->type != YAML_SEQUENCE_NODE) {
		say(source, list, "`Apps` is a list");
		source->draft->frontends_said = true;
		return;
	}
	source->draft->frontends_said =
		list->data.sequence.items.start < list->data.sequence.items.top;
	for (const yaml_node_item_t *item = list->data.sequence.items.start;
		item < list->data.sequence.items.top; item++)
		app_read(source, node_at(source, *item));
}

void apps_read(const struct source *source, const yaml_node_t *root)
{
	const struct conf_table *table = &apps_table;
	bool seen = false;

	apps_defaults(source->draft);
	for (const yaml_node_pair_t *pair = root->data.mapping.pairs.start;
		pair < root->data.mapping.pairs.top; pair++) {
		const yaml_node_t *node = node_at(source, pair->key);
		struct conf_mark mark = node_mark(source, node);
		const char *name = node_key(source, pair->key);

		if (name == NULL)
			continue;
		if (strcmp(name, top_key.name) != 0) {
			read_unknown(source, node, &table, 1, false);
		} else if (seen) {
			problem_add(&source->draft->problems, &mark, "`Apps` is there twice");
		} else {
			seen = true;
			apps_list(source, node_at(source, pair->value));
		}
	}
}
