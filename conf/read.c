/* The reader: walks the document as the key table has it and sets fields. It knows no key by name but the
 * few that are maps of objects.
 */
#include "conf/read.h"

#include <string.h>

#include "conf/arena.h"
#include "conf/value.h"

/* Where the keys of a map may go. In `defaults` that is a frontend and a backend at once, and `timeouts`
 * there is the timeouts of both. */
struct target {
	const struct conf_table *table;
	void *base;
	struct draft_given *given; /* one per row */
};

struct scope {
	const char *name; /* of the map, for messages */
	bool defaults;
	size_t ntargets;
	struct target targets[2];
};

/* A row, and which target it was found in. */
struct match {
	const struct conf_key *key;
	const struct target *target;
};

static void *match_field(const struct match *match)
{
	return value_field(match->key, match->target->base);
}

static struct draft_given *match_given(const struct match *match)
{
	return &match->target->given[match->key - match->target->table->keys];
}

/* ------------------------------------------------------------------ unknown keys */

static void scope_unknown(
	const struct source *source, const struct scope *scope, const yaml_node_t *node)
{
	const struct conf_table *tables[2];
	const struct conf_key *key;

	for (size_t t = 0; t < scope->ntargets; t++)
		tables[t] = scope->targets[t].table;
	key = read_unknown(source, node, tables, scope->ntargets, scope->defaults);
	if (key == NULL)
		return;
	for (size_t t = 0; t < scope->ntargets; t++) {
		struct match match = { key, &scope->targets[t] };
		size_t row = (size_t)(key - match.target->table->keys);

		if (key >= match.target->table->keys && row < match.target->table->nkeys &&
			match_given(&match)->how == KEY_ABSENT)
			match_given(&match)->how = KEY_GUESSED;
	}
}

/* ------------------------------------------------------------------ values */

void read_wrong(const struct source *source, const struct conf_key *key, const yaml_node_t *node)
{
	struct draft *draft = source->draft;
	struct conf_mark mark = node_mark(source, node);

	problem_add(&draft->problems, &mark, "`%s` is %s, not %s", key->name,
		value_expected(key, draft->scratch), node_what(source, node));
}

static void read_value(const struct source *source, const struct conf_key *key,
	const yaml_node_t *node, void *field)
{
	struct draft *draft = source->draft;
	struct conf_mark mark = node_mark(source, node);
	struct value_text value = { node_text(node), node_is_quoted(node) };
	const char *error;

	if (value.text == NULL)
		read_wrong(source, key, node);
	else if (value_parse(key, &value, draft->arena, field, &error) == -1)
		problem_add(&draft->problems, &mark, "%s", error);
}

/* ------------------------------------------------------------------ maps */

static void read_map(
	const struct source *source, const yaml_node_t *node, const struct scope *scope);

/* Nothing or {}: there is nothing that says more. */
static bool is_empty(const yaml_node_t *node)
{
	if (node->type == YAML_MAPPING_NODE)
		return node->data.mapping.pairs.start == node->data.mapping.pairs.top;
	return node_is_null(node);
}

/* `check: {}` takes back what defaults say; a check with any key is what they say or a tcp check, unless it
 * has a type. */
static void read_check(
	const struct source *source, const yaml_node_t *node, const struct scope *scope)
{
	const struct target *target = &scope->targets[0];
	struct conf_check *check = target->base;
	const enum conf_check_type inherited = check->type;

	check->type = CHECK_NONE;
	if (is_empty(node)) {
		value_defaults(target->table, check, source->draft->arena);
		return;
	}
	read_map(source, node, scope);
	if (target->given[CHECK_KEY_TYPE].how == KEY_ABSENT)
		check->type = inherited == CHECK_NONE ? CHECK_TCP : inherited;
	if (check->type != CHECK_NONE)
		draft_check_probe(source->draft, check, target->given);
}

static void read_section(const struct source *source, const struct match *matches, size_t nmatches,
	const yaml_node_t *node)
{
	struct draft_given given[2][CONF_KEYS_MAX] = { 0 };
	struct scope scope = { .name = matches[0].key->name, .ntargets = nmatches };

	for (size_t i = 0; i < nmatches; i++) {
		MUST(matches[i].key->section->nkeys <= CONF_KEYS_MAX);
		scope.targets[i] = (struct target){
			.table = matches[i].key->section,
			.base = match_field(&matches[i]),
			.given = given[i],
		};
	}
	if (scope.targets[0].table == &conf_check_table)
		read_check(source, node, &scope);
	else
		read_map(source, node, &scope);
}

/* Its rows: one, or in `defaults` one of each kind of object. */
static size_t find_rows(const struct scope *scope, const char *name, struct match *matches_r)
{
	size_t n = 0;

	for (size_t t = 0; t < scope->ntargets; t++) {
		const struct conf_key *key = table_find(scope->targets[t].table, name);

		if (key != NULL)
			matches_r[n++] = (struct match){ key, &scope->targets[t] };
	}
	return n;
}

/* Whether key comes for the first time; remembers where. */
static bool is_first(const struct source *source, const struct match *match, const yaml_node_t *key,
	const yaml_node_t *value)
{
	struct draft_given *given = match_given(match);
	struct conf_mark mark = node_mark(source, key);

	if (given->how == KEY_GIVEN) {
		problem_add(&source->draft->problems, &mark,
			"`%s` is there twice, first in line %u", match->key->name,
			given->mark.line);
		return false;
	}
	*given = (struct draft_given){
		.how = KEY_GIVEN,
		.empty = is_empty(value),
		.order = (uint32_t)key->start_mark.index,
		.mark = mark,
		.value_mark = node_mark(source, value),
	};
	return true;
}

static void read_servers(
	const struct source *source, struct draft_backend *backend, const yaml_node_t *node);

/* The value of a key, into its field; of a section into those of all rows that match. */
static void read_match(
	const struct source *source, const struct match *matches, size_t n, const yaml_node_t *node)
{
	switch (matches[0].key->type) {
	case CONF_SECTION:
		read_section(source, matches, n, node);
		return;
	case CONF_ADDRESSES:
		read_addresses(source, matches[0].key, node, match_field(&matches[0]));
		return;
	case CONF_CIDRS:
		read_cidrs(source, matches[0].key, node, match_field(&matches[0]));
		return;
	case CONF_OBJECTS:
		read_servers(source, matches[0].target->base, node);
		return;
	case CONF_BOOL:
	case CONF_COUNT:
	case CONF_WORKERS:
	case CONF_SPAN:
	case CONF_EVER:
	case CONF_WORD:
	case CONF_MODE:
	case CONF_TEXT:
	case CONF_SINK:
	case CONF_CHOICE:
	case CONF_URL_PATH:
	case CONF_URL_HOST:
	case CONF_STATUSES:
	case CONF_BYTES:
	case CONF_LITERAL:
	case CONF_ADDRESS:
		read_value(source, matches[0].key, node, match_field(&matches[0]));
		return;
	}
}

static void read_pair(
	const struct source *source, const struct scope *scope, const yaml_node_pair_t *pair)
{
	const yaml_node_t *key_node = node_at(source, pair->key);
	const yaml_node_t *node = node_at(source, pair->value);
	const char *name = node_key(source, pair->key);
	struct conf_mark mark = node_mark(source, key_node);
	size_t before = source->draft->problems.count;
	struct match matches[2];
	size_t n;

	if (name == NULL)
		return;
	n = find_rows(scope, name, matches);
	if (n == 0) {
		scope_unknown(source, scope, key_node);
		return;
	}
	if (scope->defaults && !matches[0].key->inherit) {
		problem_add(&source->draft->problems, &mark,
			"`%s` cannot stand in `defaults`: every object has its own", name);
		return;
	}
	if (!is_first(source, &matches[0], key_node, node))
		return;
	read_match(source, matches, n, node);
	match_given(&matches[0])->wrong = source->draft->problems.count > before;
}

/* What is something else is said to be wrong, which is enough: nothing is missing in it. */
static bool may_be_map(const yaml_node_t *node)
{
	return node_is_null(node) || node->type == YAML_MAPPING_NODE;
}

/* A map, or nothing at all. Returns false, having said so, when it is something else. */
static bool is_map(const struct source *source, const yaml_node_t *node, const char *name)
{
	struct conf_mark mark = node_mark(source, node);

	if (node_is_null(node))
		return false;
	if (node->type == YAML_MAPPING_NODE)
		return true;
	problem_add(&source->draft->problems, &mark, "%s is a map (`key: value`), not %s",
		quote_text(source->draft->scratch, name), node_what(source, node));
	return false;
}

static void read_map(
	const struct source *source, const yaml_node_t *node, const struct scope *scope)
{
	if (!is_map(source, node, scope->name))
		return;
	for (const yaml_node_pair_t *pair = node->data.mapping.pairs.start;
		pair < node->data.mapping.pairs.top; pair++)
		read_pair(source, scope, pair);
}

/* ------------------------------------------------------------------ objects */

typedef bool object_fn(const struct source *source, const char *name, const yaml_node_t *key,
	const yaml_node_t *value, void *arg);

/* Call read for every NAME of a map until it returns false. */
static void read_objects(const struct source *source, const yaml_node_t *node, const char *what,
	object_fn *read, void *arg)
{
	if (!is_map(source, node, what))
		return;
	for (const yaml_node_pair_t *pair = node->data.mapping.pairs.start;
		pair < node->data.mapping.pairs.top; pair++) {
		const char *name = node_key(source, pair->key);

		if (name != NULL &&
			!read(source, name, node_at(source, pair->key),
				node_at(source, pair->value), arg))
			return;
	}
}

struct servers_arg {
	struct draft_backend *backend;
	struct names *names;
};

static bool read_server(const struct source *source, const char *name, const yaml_node_t *key,
	const yaml_node_t *value, void *arg_)
{
	struct servers_arg *arg = arg_;
	struct conf_mark mark = node_mark(source, key);
	struct draft_server *server =
		draft_server_add(source->draft, arg->backend, arg->names, name, &mark);
	struct scope scope = { .name = name, .ntargets = 1 };

	if (server == NULL)
		return false;
	if (value->type == YAML_MAPPING_NODE) {
		scope.targets[0] = (struct target){ &conf_server_table, server, server->given };
		read_map(source, value, &scope);
		return true;
	}
	server->given[SERVER_ADDRESS].how = KEY_GIVEN;
	server->given[SERVER_ADDRESS].value_mark = node_mark(source, value);
	read_value(source, &conf_server_table.keys[SERVER_ADDRESS], value, &server->conf.address);
	return true;
}

static void read_servers(
	const struct source *source, struct draft_backend *backend, const yaml_node_t *node)
{
	struct servers_arg arg = { backend, names_new(source->draft->scratch) };

	read_objects(source, node, "servers", read_server, &arg);
}

static bool read_backend(const struct source *source, const char *name, const yaml_node_t *key,
	const yaml_node_t *value, void *arg)
{
	struct conf_mark mark = node_mark(source, key);
	struct draft_backend *backend = draft_backend_add(source->draft, name, &mark);
	struct scope scope = { .name = name, .ntargets = 1 };

	(void)arg;
	if (backend == NULL)
		return false;
	scope.targets[0] = (struct target){ &conf_backend_table, backend, backend->given };
	if (!may_be_map(value))
		backend->given[BACKEND_SERVERS].how = KEY_GUESSED;
	read_map(source, value, &scope);
	return true;
}

static bool read_frontend(const struct source *source, const char *name, const yaml_node_t *key,
	const yaml_node_t *value, void *arg)
{
	struct conf_mark mark = node_mark(source, key);
	struct draft_frontend *frontend = draft_frontend_add(source->draft, name, &mark);
	struct scope scope = { .name = name, .ntargets = 1 };

	(void)arg;
	if (frontend == NULL)
		return false;
	scope.targets[0] = (struct target){ &conf_frontend_table, frontend, frontend->given };
	if (!may_be_map(value))
		frontend->given[FRONTEND_BIND].how = frontend->given[FRONTEND_BACKEND].how =
			KEY_GUESSED;
	read_map(source, value, &scope);
	return true;
}

static void read_defaults(const struct source *source, const yaml_node_t *node)
{
	struct draft *draft = source->draft;
	struct scope scope = { .name = "defaults", .defaults = true, .ntargets = 2 };

	scope.targets[0] = (struct target){ &conf_frontend_table, &draft->frontend_defaults,
		draft->frontend_defaults.given };
	scope.targets[1] = (struct target){ &conf_backend_table, &draft->backend_defaults,
		draft->backend_defaults.given };
	read_map(source, node, &scope);
}

static void read_global(const struct source *source, const yaml_node_t *node)
{
	struct draft *draft = source->draft;
	struct scope scope = { .name = "global", .ntargets = 1 };

	scope.targets[0] =
		(struct target){ &conf_global_table, &draft->global, draft->global_given };
	read_map(source, node, &scope);
}

/* ------------------------------------------------------------------ the file */

/* The values of the top level, NULL where a key is absent. */
static void read_top(
	const struct source *source, const yaml_node_t *root, const yaml_node_t *values_r[TOP_KEYS])
{
	struct draft_given given[TOP_KEYS] = { 0 };
	struct scope scope = { .name = "the file", .ntargets = 1 };

	scope.targets[0] = (struct target){ &conf_top_table, NULL, given };
	for (const yaml_node_pair_t *pair = root->data.mapping.pairs.start;
		pair < root->data.mapping.pairs.top; pair++) {
		const yaml_node_t *key = node_at(source, pair->key);
		const char *name = node_key(source, pair->key);
		const yaml_node_t *value = node_at(source, pair->value);
		struct match match;

		if (name == NULL)
			continue;
		if (find_rows(&scope, name, &match) == 0)
			scope_unknown(source, &scope, key);
		else if (is_first(source, &match, key, value))
			values_r[match.key - conf_top_table.keys] = value;
	}
	if (given[TOP_FRONTENDS].how == KEY_GIVEN)
		source->draft->frontends_mark = given[TOP_FRONTENDS].mark;
	source->draft->frontends_said = given[TOP_FRONTENDS].how == KEY_GUESSED ||
		(given[TOP_FRONTENDS].how == KEY_GIVEN && !given[TOP_FRONTENDS].empty);
}

void read_file(const struct source *source, const yaml_node_t *root)
{
	const yaml_node_t *values[TOP_KEYS] = { NULL };
	struct conf_mark mark = node_mark(source, root);

	if (root->type != YAML_MAPPING_NODE) {
		problem_add(&source->draft->problems, &mark,
			"a configuration is a map with at least `frontends`, not %s",
			node_what(source, root));
		source->draft->frontends_said = true;
		return;
	}
	read_top(source, root, values);
	if (values[TOP_GLOBAL] != NULL)
		read_global(source, values[TOP_GLOBAL]);
	if (values[TOP_DEFAULTS] != NULL)
		read_defaults(source, values[TOP_DEFAULTS]);
	if (values[TOP_BACKENDS] != NULL)
		read_objects(source, values[TOP_BACKENDS], "backends", read_backend, NULL);
	if (values[TOP_FRONTENDS] != NULL)
		read_objects(source, values[TOP_FRONTENDS], "frontends", read_frontend, NULL);
}
