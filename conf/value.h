/* One value between the text of the file and the field that its row describes, both ways.
 */
#ifndef PROXYD_CONF_VALUE_H
#define PROXYD_CONF_VALUE_H

#include <stdbool.h>

#include "common/must.h"
#include "conf/table.h"

struct arena;

/* A scalar as it stands in the file. quoted: what is in quotes is no number and no boolean. */
struct value_text {
	const char *text;
	bool quoted;
};

/* Set the field of a row that is neither a list nor a section; strings are copied to arena. Returns 0, or
 * -1 and *error_r (in arena) says what is wrong and what would be right. */
MUST_USE int value_parse(const struct conf_key *key, const struct value_text *value,
	struct arena *arena, void *field, const char **error_r);

/* Give every field that a table with the struct base has its default. */
void value_defaults(const struct conf_table *table, void *base, struct arena *arena);

/* "1 to 64 or auto": what a row takes. */
const char *value_expected(const struct conf_key *key, struct arena *arena);

/* The field's value as YAML, in arena; NULL when there is nothing to write. */
const char *value_format(const struct conf_key *key, const void *field, struct arena *arena);

/* text as a YAML scalar that is read as exactly this text, in quotes where it needs them. */
const char *value_quote(const char *text, struct arena *arena);

/* A span with the largest unit that fits: "90s". 0 and CONF_FOREVER are "0". */
const char *value_span(uint32_t ms, struct arena *arena);

/* The field of a row in the struct base. */
void *value_field(const struct conf_key *key, void *base);

#endif
