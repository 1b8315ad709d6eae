/* Reads one value, as its row says, or says what would have been right.
 */
#include "conf/value.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "conf/arena.h"
#include "conf/conf.h"
#include "conf/escapes.h"
#include "conf/nearest.h"
#include "conf/problems.h"
#include "conf/statuses.h"

static const struct span_unit {
	const char *name;
	uint32_t ms;
} span_units[] = {
	{ "d", 86400000 },
	{ "h", 3600000 },
	{ "m", 60000 },
	{ "s", 1000 },
	{ "ms", 1 },
};

const char *value_span(uint32_t ms, struct arena *arena)
{
	if (ms == 0 || ms == CONF_FOREVER)
		return "0";
	for (size_t i = 0; i < NELEMS(span_units); i++)
		if (ms % span_units[i].ms == 0)
			return arena_printf(
				arena, "%u%s", ms / span_units[i].ms, span_units[i].name);
	MUST(!"every number of milliseconds is a multiple of one");
	return NULL;
}

static const char *words_text(const struct conf_key *key, struct arena *arena)
{
	const char *text = "";

	for (const struct conf_word *word = key->words; word->name != NULL; word++)
		text = arena_printf(arena, "%s%s%s", text, *text == '\0' ? "" : " | ", word->name);
	return text;
}

const char *value_expected(const struct conf_key *key, struct arena *arena)
{
	switch (key->type) {
	case CONF_BOOL:
		return "true or false";
	case CONF_COUNT:
		return arena_printf(arena, "%u to %u", key->min, key->max);
	case CONF_WORKERS:
		return arena_printf(arena, "%u to %u or auto", key->min, key->max);
	case CONF_SPAN:
	case CONF_EVER:
		return arena_printf(arena, "%s to %s%s%s%s%s%s", value_span(key->min, arena),
			value_span(key->max, arena), key->zero != NULL ? ", or 0 (" : "",
			key->zero != NULL ? key->zero : "", key->zero != NULL ? ")" : "",
			key->words != NULL ? ", or " : "",
			key->words != NULL ? words_text(key, arena) : "");
	case CONF_MODE:
		return "permissions as 3 or 4 octal digits, such as 0600";
	case CONF_WORD:
	case CONF_CHOICE:
		return words_text(key, arena);
	case CONF_SINK:
		return arena_printf(arena, "%s | a path with a /", words_text(key, arena));
	case CONF_TEXT:
		return arena_printf(arena, "a text of %s%u bytes",
			key->min > 0 ? "1 to " : "at most ", key->max);
	case CONF_URL_PATH:
		return arena_printf(arena,
			"a path that begins with /, printable ASCII without spaces, at most %u bytes",
			key->max);
	case CONF_URL_HOST:
		return arena_printf(arena,
			"a host's name, printable ASCII without spaces, at most %u bytes",
			key->max);
	case CONF_STATUSES:
		return arena_printf(arena,
			"HTTP statuses of 100 to 599 such as \"200-399\" or \"200,204,301-302\", at "
			"most %u ranges",
			key->max);
	case CONF_BYTES:
		return arena_printf(arena,
			"a text of at most %u bytes in single quotes, with C escapes such as \\r\\n "
			"and \\x00",
			key->max);
	case CONF_LITERAL:
		return "an IPv4 or IPv6 address without a port";
	case CONF_CIDRS:
		return "a list of networks such as 10.0.0.0/8";
	case CONF_ADDRESS:
		return "an address";
	case CONF_ADDRESSES:
		return "an address or a list of addresses";
	case CONF_SECTION:
	case CONF_OBJECTS:
		return "a map";
	}
	MUST(!"every type is above");
	return NULL;
}

static int fail(const struct conf_key *key, const struct value_text *value, struct arena *arena,
	const char **error_r)
{
	*error_r = arena_printf(arena, "`%s` is %s, not %s", key->name, value_expected(key, arena),
		quote_text(arena, value->text));
	return -1;
}

/* Digits alone: no sign, no leading zero (YAML would take it for octal). */
static int parse_number(const char *text, const char **end_r, uint64_t *number_r)
{
	char *end;

	if (*text < '0' || *text > '9' || (text[0] == '0' && text[1] >= '0' && text[1] <= '9'))
		return -1;
	errno = 0;
	*number_r = strtoull(text, &end, 10);
	*end_r = end;
	return errno == 0 ? 0 : -1;
}

static uint32_t online_cpus(const struct conf_key *key)
{
	long cpus = sysconf(_SC_NPROCESSORS_ONLN);

	if (cpus < (long)key->min)
		return key->min;
	return cpus > (long)key->max ? key->max : (uint32_t)cpus;
}

static int parse_count(const struct conf_key *key, const struct value_text *value,
	struct arena *arena, uint32_t *field, const char **error_r)
{
	const char *end;
	uint64_t number;

	if (key->type == CONF_WORKERS && strcmp(value->text, "auto") == 0) {
		*field = online_cpus(key);
		return 0;
	}
	if (parse_number(value->text, &end, &number) == -1 || *end != '\0' || number < key->min ||
		number > key->max)
		return fail(key, value, arena, error_r);
	if (value->quoted) {
		*error_r = arena_printf(
			arena, "`%s` is a number: write %s without quotes", key->name, value->text);
		return -1;
	}
	*field = (uint32_t)number;
	return 0;
}

static const struct span_unit *find_unit(const char *name)
{
	for (size_t i = 0; i < NELEMS(span_units); i++)
		if (strcmp(span_units[i].name, name) == 0)
			return &span_units[i];
	return NULL;
}

static const struct conf_word *find_word(const struct conf_word *words, const char *name)
{
	for (; words->name != NULL; words++)
		if (strcmp(words->name, name) == 0)
			return words;
	return NULL;
}

static int parse_span(const struct conf_key *key, const struct value_text *value,
	struct arena *arena, uint32_t *field, const char **error_r)
{
	const struct conf_word *word =
		key->words != NULL ? find_word(key->words, value->text) : NULL;
	const struct span_unit *unit = NULL;
	const char *end;
	uint64_t number;

	if (word != NULL) {
		*field = word->value;
		return 0;
	}
	if (parse_number(value->text, &end, &number) == -1)
		return fail(key, value, arena, error_r);
	if (*end == '\0' && number != 0) {
		*error_r = arena_printf(arena, "`%s` needs a unit: %ss or %sms (units: ms s m h d)",
			key->name, value->text, value->text);
		return -1;
	}
	unit = *end == '\0' ? &span_units[0] : find_unit(end);
	if (unit == NULL) {
		*error_r = arena_printf(arena,
			"`%s` is a whole number and one unit of ms, s, m, h, d, such as 1500ms, not %s",
			key->name, quote_text(arena, value->text));
		return -1;
	}
	if (number == 0 && key->zero != NULL) {
		*field = key->type == CONF_EVER ? CONF_FOREVER : 0;
		return 0;
	}
	if (number > key->max / unit->ms || number * unit->ms < key->min)
		return fail(key, value, arena, error_r);
	*field = (uint32_t)number * unit->ms;
	return 0;
}

static int parse_bool(const struct conf_key *key, const struct value_text *value,
	struct arena *arena, bool *field, const char **error_r)
{
	static const char *const yes[] = { "true", "yes", "on" };
	static const char *const no[] = { "false", "no", "off" };

	for (size_t i = 0; i < NELEMS(yes); i++) {
		bool is_yes = strcasecmp(value->text, yes[i]) == 0;

		if (!is_yes && strcasecmp(value->text, no[i]) != 0)
			continue;
		if (value->quoted) {
			*error_r = arena_printf(
				arena, "`%s` is true or false: write it without quotes", key->name);
			return -1;
		}
		*field = is_yes;
		return 0;
	}
	return fail(key, value, arena, error_r);
}

static int fail_word(const struct conf_key *key, const struct value_text *value,
	struct arena *arena, const char **error_r)
{
	struct nearest nearest;

	nearest_start(&nearest, value->text);
	for (const struct conf_word *word = key->words; word->name != NULL; word++)
		nearest_offer(&nearest, word->name);
	/* Of one word nothing else can be meant. */
	if (nearest.name == NULL || key->words[1].name == NULL)
		return fail(key, value, arena, error_r);
	*error_r = arena_printf(arena, "`%s` is %s, not %s: did you mean `%s`?", key->name,
		value_expected(key, arena), quote_text(arena, value->text), nearest.name);
	return -1;
}

static int parse_word(const struct conf_key *key, const struct value_text *value,
	struct arena *arena, uint32_t *field, const char **error_r)
{
	const struct conf_word *word = find_word(key->words, value->text);

	if (word == NULL)
		return fail_word(key, value, arena, error_r);
	*field = word->value;
	return 0;
}

static int parse_mode(const struct conf_key *key, const struct value_text *value,
	struct arena *arena, uint32_t *field, const char **error_r)
{
	const size_t digits = strspn(value->text, "01234567");
	const unsigned long mode = strtoul(value->text, NULL, 8);

	if (value->text[digits] != '\0' || digits < 3 || digits > 4 || mode > key->max)
		return fail(key, value, arena, error_r);
	*field = (uint32_t)mode;
	return 0;
}

static int parse_text(const struct conf_key *key, const struct value_text *value,
	struct arena *arena, const char **field, const char **error_r)
{
	size_t len = strlen(value->text);

	if (len < key->min || len > key->max)
		return fail(key, value, arena, error_r);
	*field = arena_strdup(arena, value->text);
	return 0;
}

/* A path must have a slash: `sterr` would otherwise become a file of that name without a word. */
static int parse_sink(const struct conf_key *key, const struct value_text *value,
	struct arena *arena, const char **field, const char **error_r)
{
	if (strchr(value->text, '/') == NULL && find_word(key->words, value->text) == NULL)
		return fail_word(key, value, arena, error_r);
	*field = arena_strdup(arena, value->text);
	return 0;
}

static int parse_address(const struct conf_key *key, const struct value_text *value,
	struct arena *arena, struct address *field, const char **error_r)
{
	if (key->optional && *value->text == '\0') {
		*field = (struct address){ 0 };
		return 0;
	}
	return address_parse(arena, value->text, key->use, field, error_r);
}

static int parse_choice(const struct conf_key *key, const struct value_text *value,
	struct arena *arena, const char **field, const char **error_r)
{
	const struct conf_word *word = find_word(key->words, value->text);

	if (word == NULL)
		return fail_word(key, value, arena, error_r);
	*field = word->name;
	return 0;
}

/* What goes into a request as it stands: nothing that could end the line or a word of it. */
static int parse_url(const struct conf_key *key, const struct value_text *value,
	struct arena *arena, const char **field, const char **error_r)
{
	const char *p = value->text;

	if ((key->type == CONF_URL_PATH && *p != '/') || strlen(p) > key->max)
		return fail(key, value, arena, error_r);
	for (; *p != '\0'; p++)
		if (*p <= ' ' || *p > '~')
			return fail(key, value, arena, error_r);
	*field = arena_strdup(arena, value->text);
	return 0;
}

static int parse_statuses(const struct conf_key *key, const struct value_text *value,
	struct arena *arena, struct conf_check_http *field, const char **error_r)
{
	return statuses_parse(value->text, field) == 0 ? 0 : fail(key, value, arena, error_r);
}

static int parse_bytes(const struct conf_key *key, const struct value_text *value,
	struct arena *arena, struct conf_bytes *field, const char **error_r)
{
	struct conf_bytes bytes;
	const char *error;

	if (escapes_parse(arena, value->text, &bytes, &error) == -1) {
		*error_r = arena_printf(arena, "`%s`: %s", key->name, error);
		return -1;
	}
	if (bytes.len > key->max)
		return fail(key, value, arena, error_r);
	*field = bytes;
	return 0;
}

static bool sockaddr_is_mapped(const struct sockaddr_any *addr)
{
	return addr->u.sa.sa_family == AF_INET6 && IN6_IS_ADDR_V4MAPPED(&addr->u.in6.sin6_addr);
}

static int parse_literal(const struct conf_key *key, const struct value_text *value,
	struct arena *arena, struct sockaddr_any *field, const char **error_r)
{
	if (*value->text == '\0') {
		*field = (struct sockaddr_any){ 0 };
		return 0;
	}
	if (sockaddr_from_literal(value->text, 0, field) == -1 || sockaddr_is_mapped(field))
		return fail(key, value, arena, error_r);
	return 0;
}

int value_parse(const struct conf_key *key, const struct value_text *value, struct arena *arena,
	void *field, const char **error_r)
{
	switch (key->type) {
	case CONF_BOOL:
		return parse_bool(key, value, arena, field, error_r);
	case CONF_COUNT:
	case CONF_WORKERS:
		return parse_count(key, value, arena, field, error_r);
	case CONF_SPAN:
	case CONF_EVER:
		return parse_span(key, value, arena, field, error_r);
	case CONF_WORD:
		return parse_word(key, value, arena, field, error_r);
	case CONF_MODE:
		return parse_mode(key, value, arena, field, error_r);
	case CONF_TEXT:
		return parse_text(key, value, arena, field, error_r);
	case CONF_SINK:
		return parse_sink(key, value, arena, field, error_r);
	case CONF_CHOICE:
		return parse_choice(key, value, arena, field, error_r);
	case CONF_URL_PATH:
	case CONF_URL_HOST:
		return parse_url(key, value, arena, field, error_r);
	case CONF_STATUSES:
		return parse_statuses(key, value, arena, field, error_r);
	case CONF_BYTES:
		return parse_bytes(key, value, arena, field, error_r);
	case CONF_LITERAL:
		return parse_literal(key, value, arena, field, error_r);
	case CONF_ADDRESS:
		return parse_address(key, value, arena, field, error_r);
	case CONF_CIDRS:
	case CONF_ADDRESSES:
	case CONF_SECTION:
	case CONF_OBJECTS:
		break;
	}
	MUST(!"a list or a section is no value");
	return -1;
}

void *value_field(const struct conf_key *key, void *base)
{
	return (char *)base + key->offset;
}

void value_defaults(const struct conf_table *table, void *base, struct arena *arena)
{
	for (size_t i = 0; i < table->nkeys; i++) {
		const struct conf_key *key = &table->keys[i];
		const struct value_text value = { .text = key->value };
		const char *error;

		if (key->type == CONF_SECTION)
			value_defaults(key->section, value_field(key, base), arena);
		else if (key->value != NULL)
			MUST(value_parse(key, &value, arena, value_field(key, base), &error) == 0);
	}
}
