/* The quick forms of the command line: written as the file that they stand for, then read like one.
 */
#include <stdlib.h>
#include <string.h>

#include "conf/arena.h"
#include "conf/draft.h"
#include "conf/load.h"
#include "conf/text.h"
#include "conf/value.h"

#define NAME_BYTES 63

/* A port alone is short for `:PORT`. */
static const char *quick_address(struct arena *arena, const char *text)
{
	size_t digits = strspn(text, "0123456789");

	return digits > 0 && text[digits] == '\0' ? arena_printf(arena, ":%s", text) : text;
}

/* The frontend is named after its address, as far as that can be a name. */
static const char *quick_name(struct arena *arena, const char *address)
{
	char *name = arena_strdup(arena, address);

	if (strlen(name) > NAME_BYTES)
		name += strlen(name) - NAME_BYTES;
	for (char *p = name; *p != '\0'; p++)
		if (!draft_name_has(*p))
			*p = '_';
	return *name == '\0' ? "quick" : name;
}

static const char *quick_text(const struct conf_quick *quick, struct arena *arena)
{
	const char *listen = quick_address(arena, quick->listen);
	const char *text = "";
	char *quoted;

	if (quick->balance != NULL)
		text = arena_printf(
			arena, "defaults: {balance: %s}\n", value_quote(quick->balance, arena));
	quoted = arena_printf(arena, "%sfrontends:\n  %s:\n    bind: %s\n    forward:\n", text,
		value_quote(quick_name(arena, listen), arena), value_quote(listen, arena));
	for (size_t i = 0; i < quick->nforward; i++)
		quoted = arena_printf(arena, "%s      - %s\n", quoted,
			value_quote(quick_address(arena, quick->forward[i]), arena));
	return quoted;
}

struct conf *conf_load_quick(const struct conf_quick *quick, const struct conf_overrides *overrides,
	struct conf_errors *errors)
{
	struct arena *arena = arena_new();
	struct text text = { .name = "command line", .bytes = quick_text(quick, arena) };
	struct conf *conf;

	text.len = strlen(text.bytes);
	conf = text_load(&text, overrides, errors);
	arena_free(arena);
	return conf;
}
