/* The normalised configuration: every key with its value, by the rows of the key table, in the order of
 * the file. What it prints is read as the same value, and dumped as the same text.
 */
#include <stdio.h>

#include "conf/arena.h"
#include "conf/draft.h"
#include "conf/load.h"
#include "conf/value.h"

struct dump {
	FILE *to;
	struct arena *scratch; /* of the object that is being printed */
};

static void indent(const struct dump *dump, unsigned depth)
{
	fprintf(dump->to, "%*s", (int)(2 * depth), "");
}

/* Whether a row says something: what belongs to another type of check cannot be loaded again. */
static bool is_dumped(const struct conf_table *table, const struct conf_key *key, const void *base)
{
	const struct conf_check *check = base;

	if (key->type == CONF_OBJECTS)
		return false;
	if (table != &conf_check_table)
		return true;
	if (key == &conf_check_table.keys[CHECK_KEY_HTTP])
		return check->type == CHECK_HTTP;
	if (key == &conf_check_table.keys[CHECK_KEY_SEND] ||
		key == &conf_check_table.keys[CHECK_KEY_EXPECT])
		return check->type == CHECK_SEND_EXPECT;
	return true;
}

static void dump_table(
	const struct dump *dump, const struct conf_table *table, void *base, unsigned depth)
{
	for (size_t i = 0; i < table->nkeys; i++) {
		const struct conf_key *key = &table->keys[i];
		void *field = value_field(key, base);
		const char *text;

		if (!is_dumped(table, key, base))
			continue;
		if (key->type == CONF_SECTION) {
			bool none = key->section == &conf_check_table &&
				((const struct conf_check *)field)->type == CHECK_NONE;

			indent(dump, depth);
			fprintf(dump->to, "%s:%s\n", key->name, none ? " {}" : "");
			if (!none)
				dump_table(dump, key->section, field, depth + 1);
			continue;
		}
		text = value_format(key, field, dump->scratch);
		if (text == NULL)
			continue;
		indent(dump, depth);
		fprintf(dump->to, "%s: %s\n", key->name, text);
	}
}

static void dump_name(const struct dump *dump, const char *name)
{
	indent(dump, 1);
	fprintf(dump->to, "%s:\n", value_quote(name, dump->scratch));
}

static void dump_frontend(const struct dump *dump, const struct conf_frontend *conf)
{
	struct draft_frontend frontend = { .conf = *conf };

	frontend.bind.count = conf->nbinds;
	frontend.bind.list = conf->binds;
	frontend.backend_name = conf->backend != NULL ? conf->backend->name : NULL;
	if (conf->service != SERVICE_HTTP)
		frontend.conf.message = NULL;
	dump_name(dump, conf->name);
	dump_table(dump, &conf_frontend_table, &frontend, 2);
}

/* One line each: there may be thousands. */
static void dump_server(const struct dump *dump, const struct conf_server *conf)
{
	struct draft_server server = { .conf = *conf };

	indent(dump, 3);
	fprintf(dump->to, "%s: {", value_quote(conf->name, dump->scratch));
	for (size_t i = 0; i < conf_server_table.nkeys; i++) {
		const struct conf_key *key = &conf_server_table.keys[i];

		fprintf(dump->to, "%s%s: %s", i == 0 ? "" : ", ", key->name,
			value_format(key, value_field(key, &server), dump->scratch));
	}
	fputs("}\n", dump->to);
}

static void dump_backend(const struct dump *dump, const struct conf_backend *conf)
{
	struct draft_backend backend = { .conf = *conf };

	dump_name(dump, conf->name);
	dump_table(dump, &conf_backend_table, &backend, 2);
	indent(dump, 2);
	fputs("servers:\n", dump->to);
	for (size_t i = 0; i < conf->nwritten; i++)
		dump_server(dump, &conf->written[i]);
}

void conf_dump(const struct conf *conf, FILE *to)
{
	struct dump dump = { .to = to, .scratch = arena_new() };
	struct conf_global global = conf->global;

	fputs("global:\n", to);
	dump_table(&dump, &conf_global_table, &global, 1);
	fputs("frontends:\n", to);
	for (size_t i = 0; i < conf->nfrontends; i++)
		dump_frontend(&dump, &conf->frontends[i]);
	if (conf->nbackends > 0)
		fputs("backends:\n", to);
	for (size_t i = 0; i < conf->nbackends; i++)
		dump_backend(&dump, &conf->backends[i]);
	arena_free(dump.scratch);
}
