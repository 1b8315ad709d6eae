/* What to say about a key that nobody knows.
 */
#include "conf/arena.h"
#include "conf/nearest.h"
#include "conf/read.h"

static const char *known_keys(
	struct arena *arena, const struct conf_table *const *tables, size_t ntables, bool inherited)
{
	const char *text = "";

	for (size_t t = 0; t < ntables; t++)
		for (size_t i = 0; i < tables[t]->nkeys; i++) {
			const struct conf_key *key = &tables[t]->keys[i];

			if (t > 0 && table_find(tables[0], key->name) != NULL)
				continue;
			if (!inherited || key->inherit)
				text = arena_printf(arena, "%s%s%s", text,
					*text == '\0' ? "" : ", ", key->name);
		}
	return text;
}

const struct conf_key *read_unknown(const struct source *source, const yaml_node_t *node,
	const struct conf_table *const *tables, size_t ntables, bool inherited)
{
	struct arena *scratch = source->draft->scratch;
	struct conf_mark mark = node_mark(source, node);
	const char *name = node_text(node) != NULL ? node_text(node) : "";
	const struct conf_key *key = NULL;
	struct nearest nearest;

	nearest_start(&nearest, name);
	for (size_t t = 0; t < ntables; t++)
		for (size_t i = 0; i < tables[t]->nkeys; i++)
			if (!inherited || tables[t]->keys[i].inherit)
				nearest_offer(&nearest, tables[t]->keys[i].name);
	if (nearest.name == NULL) {
		problem_add(&source->draft->problems, &mark, "unknown key %s, known here: %s",
			quote_text(scratch, name), known_keys(scratch, tables, ntables, inherited));
		return NULL;
	}
	problem_add(&source->draft->problems, &mark, "unknown key %s, did you mean `%s`?",
		quote_text(scratch, name), nearest.name);
	for (size_t t = 0; t < ntables && key == NULL; t++)
		key = table_find(tables[t], nearest.name);
	return key;
}
