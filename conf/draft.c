/* Makes the objects of a configuration, keeps their names apart, and turns the whole into the value.
 */
#include "conf/draft.h"

#include <stdlib.h>
#include <string.h>

#include "common/shm.h"
#include "conf/arena.h"
#include "conf/value.h"

#define NAME_BYTES 63
#define BINDS_MAX  16384
#define CIDRS_MAX  2000000

_Static_assert(2 * NAME_BYTES + 2 <= SHM_NAME_MAX, "backend/server has room in shared memory");

struct draft *draft_new(void)
{
	struct arena *scratch = arena_new();
	struct draft *draft = arena_alloc(scratch, sizeof(*draft));

	draft->scratch = scratch;
	draft->arena = arena_new();
	draft->problems.arena = scratch;
	draft->frontend_names = names_new(scratch);
	draft->backend_names = names_new(scratch);
	TAILQ_INIT(&draft->frontends);
	TAILQ_INIT(&draft->backends);
	value_defaults(&conf_global_table, &draft->global, draft->arena);
	value_defaults(&conf_frontend_table, &draft->frontend_defaults, draft->arena);
	value_defaults(&conf_backend_table, &draft->backend_defaults, draft->arena);
	return draft;
}

void draft_free(struct draft *draft)
{
	arena_free(draft->arena);
	arena_free(draft->scratch);
}

/* ------------------------------------------------------------------ names */

static bool is_name_byte(char c, const char *marks)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
		(c != '\0' && strchr(marks, c) != NULL);
}

static bool has_only(const char *name, const char *marks)
{
	while (is_name_byte(*name, marks))
		name++;
	return *name == '\0';
}

bool draft_name_has(char c)
{
	return is_name_byte(c, DRAFT_NAME_MARKS);
}

bool draft_server_name_fits(const char *name)
{
	return *name != '\0' && strlen(name) <= NAME_BYTES && has_only(name, DRAFT_SERVER_MARKS);
}

static void name_check(
	struct draft *draft, const char *what, const char *name, const struct conf_mark *mark)
{
	bool server = strcmp(what, "server") == 0;
	const char *marks = server ? DRAFT_SERVER_MARKS : DRAFT_NAME_MARKS;

	if (*name == '\0')
		problem_add(&draft->problems, mark, "a %s needs a name", what);
	else if (strlen(name) > NAME_BYTES)
		problem_add(&draft->problems, mark, "the name of %s %s is longer than %u bytes",
			what, quote_text(draft->scratch, name), NAME_BYTES);
	else if (!has_only(name, marks))
		problem_add(&draft->problems, mark,
			"the name of %s %s has other characters than letters, digits and %s", what,
			quote_text(draft->scratch, name), marks);
}

static void taken(struct draft *draft, const char *what, const char *name,
	const struct conf_mark *mark, const struct conf_mark *first)
{
	name = quote_text(draft->scratch, name);
	if (first->line == 0)
		problem_add(&draft->problems, mark, "%s %s is there twice", what, name);
	else
		problem_add(&draft->problems, mark, "%s %s is there twice, first in line %u", what,
			name, first->line);
}

/* Whether one more fits; said for the first one that does not. */
static bool has_room(struct draft *draft, const char *what, size_t *count, size_t max,
	const struct conf_mark *mark)
{
	if (*count < max) {
		++*count;
		return true;
	}
	if (*count == max) {
		++*count;
		problem_add(
			&draft->problems, mark, "too many %ss: there is room for %zu", what, max);
	}
	return false;
}

/* The same for the items of a list. */
static bool has_list_room(struct draft *draft, const char *what, size_t *count, size_t more,
	size_t max, const struct conf_mark *mark)
{
	size_t before = *count;

	*count += more;
	if (*count <= max)
		return true;
	if (before <= max)
		problem_add(
			&draft->problems, mark, "too many %s: there is room for %zu", what, max);
	return false;
}

bool draft_has_room(
	struct draft *draft, enum address_use use, size_t count, const struct conf_mark *mark)
{
	size_t max = use == ADDRESS_BIND ? BINDS_MAX : SHM_SERVERS_MAX;

	return has_list_room(draft, "addresses", &draft->naddresses[use], count, max, mark);
}

bool draft_has_instance_room(struct draft *draft, const struct conf_mark *mark)
{
	return has_list_room(draft, "servers with those that names become", &draft->nservers,
		CONF_RESOLVE_MAX - 1, SHM_SERVERS_MAX, mark);
}

bool draft_has_cidr_room(struct draft *draft, size_t count, const struct conf_mark *mark)
{
	return has_list_room(draft, "networks", &draft->ncidrs, count, CIDRS_MAX, mark);
}

/* ------------------------------------------------------------------ objects */

struct draft_frontend *draft_frontend_add(
	struct draft *draft, const char *name, const struct conf_mark *mark)
{
	struct draft_frontend *frontend, *first;

	if (!has_room(draft, "frontend", &draft->nfrontends, SHM_FRONTENDS_MAX, mark))
		return NULL;
	name_check(draft, "frontend", name, mark);
	frontend = arena_alloc(draft->scratch, sizeof(*frontend));
	*frontend = draft->frontend_defaults;
	memset(frontend->given, 0, sizeof(frontend->given));
	frontend->conf.name = arena_strdup(draft->arena, name);
	frontend->conf.place = SHM_NONE;
	frontend->conf.mark = *mark;
	first = names_add(draft->frontend_names, frontend->conf.name, frontend);
	if (first != NULL)
		taken(draft, "frontend", name, mark, &first->conf.mark);
	TAILQ_INSERT_TAIL(&draft->frontends, frontend, next);
	return frontend;
}

struct draft_backend *draft_backend_add(
	struct draft *draft, const char *name, const struct conf_mark *mark)
{
	struct draft_backend *backend, *first;

	if (!has_room(draft, "backend", &draft->nbackends, SHM_BACKENDS_MAX, mark))
		return NULL;
	name_check(draft, "backend", name, mark);
	backend = arena_alloc(draft->scratch, sizeof(*backend));
	*backend = draft->backend_defaults;
	memset(backend->given, 0, sizeof(backend->given));
	TAILQ_INIT(&backend->servers);
	backend->conf.name = arena_strdup(draft->arena, name);
	backend->conf.place = SHM_NONE;
	backend->conf.mark = *mark;
	first = names_add(draft->backend_names, backend->conf.name, backend);
	if (first != NULL)
		taken(draft, "backend", name, mark, &first->conf.mark);
	TAILQ_INSERT_TAIL(&draft->backends, backend, next);
	return backend;
}

struct draft_server *draft_server_add(struct draft *draft, struct draft_backend *backend,
	struct names *server_names, const char *name, const struct conf_mark *mark)
{
	struct draft_server *server, *first;

	if (!has_room(draft, "server", &draft->nservers, SHM_SERVERS_MAX, mark))
		return NULL;
	name_check(draft, "server", name, mark);
	server = arena_alloc(draft->scratch, sizeof(*server));
	value_defaults(&conf_server_table, server, draft->arena);
	server->conf.name = arena_strdup(draft->arena, name);
	server->conf.place = SHM_NONE;
	server->conf.mark = *mark;
	first = names_add(server_names, server->conf.name, server);
	if (first != NULL)
		taken(draft, "server", name, mark, &first->conf.mark);
	TAILQ_INSERT_TAIL(&backend->servers, server, next);
	backend->nservers++;
	return server;
}

/* What an address is called as a server, and how often it was there. */
struct forward_name {
	const char *name;
	size_t count;
};

static struct forward_name *forward_name(
	struct draft *draft, struct names *forwards, const struct address *address, size_t number)
{
	struct forward_name *forward = names_find(forwards, address->text);

	if (forward == NULL) {
		forward = arena_alloc(draft->scratch, sizeof(*forward));
		/* A long path is no name; its number in the list is. */
		forward->name = draft_server_name_fits(address->text)
			? address->text
			: arena_printf(draft->scratch, "server-%zu", number);
		names_add(forwards, address->text, forward);
	}
	forward->count++;
	return forward;
}

void draft_forward(
	struct draft *draft, struct draft_backend *backend, const struct draft_addresses *addresses)
{
	struct names *server_names = names_new(draft->scratch);
	struct names *forwards = names_new(draft->scratch);

	for (size_t i = 0; i < addresses->count; i++) {
		struct forward_name *forward =
			forward_name(draft, forwards, &addresses->list[i], i + 1);
		const char *name = forward->name;
		struct draft_server *server;

		if (forward->count > 1)
			name = arena_printf(draft->scratch, "%s#%zu", name, forward->count);
		server = draft_server_add(draft, backend, server_names, name, &addresses->marks[i]);
		if (server == NULL)
			break;
		server->conf.address = addresses->list[i];
		server->given[SERVER_ADDRESS].how = KEY_GIVEN;
		server->given[SERVER_ADDRESS].value_mark = addresses->marks[i];
	}
}
