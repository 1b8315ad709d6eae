/* Compares what the normalised dump would print, key by key: so whatever is a key is compared.
 */
#include "conf/diff.h"

#include <string.h>

#include "conf/arena.h"
#include "conf/conf.h"
#include "conf/draft.h"
#include "conf/names.h"
#include "conf/value.h"

struct differ {
	struct conf_diff *diff;
	size_t room;
	struct arena *scratch; /* of the object that is being compared */
	/* of that object */
	const char *keys;
	enum conf_change change;
	const char *worst;
};

/* ------------------------------------------------------------------ entries */

static struct conf_diff_entry *diff_add(
	struct differ *differ, enum conf_diff_how how, enum conf_diff_what what, const char *name)
{
	struct conf_diff *diff = differ->diff;
	struct conf_diff_entry *entry;

	if (diff->count == differ->room) {
		struct conf_diff_entry *old = diff->entries;

		differ->room = differ->room * 2 + 16;
		diff->entries = arena_alloc(diff->arena, differ->room * sizeof(*entry));
		if (diff->count > 0)
			memcpy(diff->entries, old, diff->count * sizeof(*entry));
	}
	entry = &diff->entries[diff->count++];
	*entry = (struct conf_diff_entry){ .how = how, .what = what, .keys = "", .worst = "" };
	entry->name = arena_strdup(diff->arena, name);
	return entry;
}

/* The object that was compared, when there was a difference; NULL: none. */
static struct conf_diff_entry *diff_end(
	struct differ *differ, enum conf_diff_what what, const char *name)
{
	struct conf_diff_entry *entry = NULL;

	if (differ->keys != NULL) {
		entry = diff_add(differ, DIFF_CHANGED, what, name);
		entry->keys = differ->keys;
		entry->change = differ->change;
		entry->worst = differ->worst;
	}
	arena_free(differ->scratch);
	differ->scratch = NULL;
	return entry;
}

static void diff_begin(struct differ *differ)
{
	differ->scratch = arena_new();
	differ->keys = NULL;
	differ->change = CHANGE_NOTHING;
	differ->worst = "";
}

/* ------------------------------------------------------------------ keys */

static void diff_key(struct differ *differ, const char *path, enum conf_change change)
{
	differ->keys = differ->keys == NULL
		? arena_strdup(differ->diff->arena, path)
		: arena_printf(differ->diff->arena, "%s, %s", differ->keys, path);
	if (differ->worst[0] != '\0' && change <= differ->change)
		return;
	differ->change = change;
	differ->worst = arena_strdup(differ->diff->arena, path);
}

static bool diff_is_same(
	struct differ *differ, const struct conf_key *key, const void *from, const void *to)
{
	const char *a = value_format(key, from, differ->scratch);
	const char *b = value_format(key, to, differ->scratch);

	return a == b || (a != NULL && b != NULL && strcmp(a, b) == 0);
}

/* Both structs of one table. prefix: "tcp." */
static void diff_table(struct differ *differ, const struct conf_table *table, const char *prefix,
	void *from, void *to)
{
	for (size_t i = 0; i < table->nkeys; i++) {
		const struct conf_key *key = &table->keys[i];
		void *a = value_field(key, from);
		void *b = value_field(key, to);

		if (key->type == CONF_OBJECTS)
			continue;
		if (key->type == CONF_SECTION)
			diff_table(differ, key->section,
				arena_printf(differ->scratch, "%s%s.", prefix, key->name), a, b);
		else if (!diff_is_same(differ, key, a, b))
			diff_key(differ, arena_printf(differ->scratch, "%s%s", prefix, key->name),
				key->change);
	}
}

/* ------------------------------------------------------------------ objects */

static void diff_global(struct differ *differ, const struct conf *from, const struct conf *to)
{
	struct conf_global a = from->global;
	struct conf_global b = to->global;

	diff_begin(differ);
	diff_table(differ, &conf_global_table, "", &a, &b);
	(void)diff_end(differ, DIFF_GLOBAL, "");
}

static struct draft_frontend diff_draft(const struct conf_frontend *conf)
{
	struct draft_frontend frontend = { .conf = *conf };

	frontend.bind.count = conf->nbinds;
	frontend.bind.list = conf->binds;
	frontend.backend_name = conf->backend != NULL ? conf->backend->name : NULL;
	return frontend;
}

static void diff_frontend(
	struct differ *differ, const struct conf_frontend *from, const struct conf_frontend *to)
{
	struct draft_frontend a = diff_draft(from);
	struct draft_frontend b = diff_draft(to);
	struct conf_diff_entry *entry;

	diff_begin(differ);
	diff_table(differ, &conf_frontend_table, "", &a, &b);
	entry = diff_end(differ, DIFF_FRONTEND, to->name);
	if (entry != NULL)
		entry->frontend = from;
}

static void diff_frontends(struct differ *differ, const struct conf *from, const struct conf *to)
{
	struct arena *arena = arena_new();
	struct names *before = names_new(arena);
	struct names *after = names_new(arena);

	for (size_t i = 0; i < from->nfrontends; i++)
		(void)names_add(before, from->frontends[i].name, &from->frontends[i]);
	for (size_t i = 0; i < to->nfrontends; i++) {
		const struct conf_frontend *is = &to->frontends[i];
		const struct conf_frontend *was = names_find(before, is->name);

		(void)names_add(after, is->name, &to->frontends[i]);
		if (was == NULL)
			(void)diff_add(differ, DIFF_ADDED, DIFF_FRONTEND, is->name);
		else
			diff_frontend(differ, was, is);
	}
	for (size_t i = 0; i < from->nfrontends; i++) {
		if (names_find(after, from->frontends[i].name) == NULL)
			diff_add(differ, DIFF_REMOVED, DIFF_FRONTEND, from->frontends[i].name)
				->frontend = &from->frontends[i];
	}
	arena_free(arena);
}

/* ------------------------------------------------------------------ servers */

static bool diff_has_addr(const struct conf_server *server, const struct sockaddr_any *addr)
{
	for (size_t i = 0; i < server->naddrs; i++) {
		if (server->addrs[i].len == addr->len &&
			memcmp(&server->addrs[i].u, &addr->u, addr->len) == 0)
			return true;
	}
	return false;
}

/* What a name resolves to; a server that waits for its name to be resolved says nothing. */
static bool diff_resolves_alike(const struct conf_server *from, const struct conf_server *to)
{
	if (from->address.kind != ADDRESS_NAME || to->naddrs == 0)
		return true;
	if (from->naddrs != to->naddrs)
		return false;
	for (size_t i = 0; i < to->naddrs; i++) {
		if (!diff_has_addr(from, &to->addrs[i]))
			return false;
	}
	return true;
}

static const char *diff_server_name(
	struct differ *differ, const struct conf_backend *backend, const struct conf_server *server)
{
	return arena_printf(differ->diff->arena, "%s/%s", backend->name, server->name);
}

static void diff_server(struct differ *differ, const struct conf_backend *backend,
	const struct conf_server *from, const struct conf_server *to)
{
	struct draft_server a = { .conf = *from };
	struct draft_server b = { .conf = *to };
	struct conf_diff_entry *entry;

	diff_begin(differ);
	diff_table(differ, &conf_server_table, "", &a, &b);
	if (differ->keys == NULL && !diff_resolves_alike(from, to))
		diff_key(differ, "address (its name has others now)", CHANGE_WORKERS);
	entry = diff_end(differ, DIFF_SERVER, diff_server_name(differ, backend, to));
	if (entry == NULL)
		return;
	entry->backend = backend;
	entry->server = from;
}

static void diff_servers_gone(
	struct differ *differ, const struct conf_backend *from, const struct names *after)
{
	for (size_t i = 0; i < from->nwritten; i++) {
		const struct conf_server *server = &from->written[i];
		struct conf_diff_entry *entry;

		if (after != NULL && names_find(after, server->name) != NULL)
			continue;
		entry = diff_add(
			differ, DIFF_REMOVED, DIFF_SERVER, diff_server_name(differ, from, server));
		entry->backend = from;
		entry->server = server;
	}
}

/* As the file has them: what the master resolved lies in those that serve, which stand in the same order. */
static const struct conf_server *diff_serving(
	const struct conf_backend *backend, const struct conf_server *written)
{
	for (size_t i = 0; i < backend->nservers; i++) {
		if (!backend->servers[i].dynamic &&
			strcmp(backend->servers[i].name, written->name) == 0)
			return &backend->servers[i];
	}
	return written;
}

static void diff_servers(
	struct differ *differ, const struct conf_backend *from, const struct conf_backend *to)
{
	struct arena *arena = arena_new();
	struct names *before = names_new(arena);
	struct names *after = names_new(arena);

	for (size_t i = 0; i < from->nwritten; i++)
		(void)names_add(before, from->written[i].name, &from->written[i]);
	for (size_t i = 0; i < to->nwritten; i++) {
		const struct conf_server *is = &to->written[i];
		const struct conf_server *was = names_find(before, is->name);

		(void)names_add(after, is->name, &to->written[i]);
		if (was == NULL)
			diff_add(differ, DIFF_ADDED, DIFF_SERVER, diff_server_name(differ, to, is))
				->backend = from;
		else if (is->address.kind == ADDRESS_NAME && !is->resolve && !is->srv)
			diff_server(differ, from, diff_serving(from, was), diff_serving(to, is));
		else
			diff_server(differ, from, was, is);
	}
	diff_servers_gone(differ, from, after);
	arena_free(arena);
}

/* ------------------------------------------------------------------ backends */

/* The same servers, but not in the same order, which is that of round robin, and of who is first. */
static bool diff_order(const struct conf_backend *from, const struct conf_backend *to)
{
	for (size_t i = 0; i < to->nwritten && i < from->nwritten; i++) {
		if (strcmp(from->written[i].name, to->written[i].name) != 0)
			return true;
	}
	return false;
}

static void diff_backend(
	struct differ *differ, const struct conf_backend *from, const struct conf_backend *to)
{
	struct draft_backend a = { .conf = *from };
	struct draft_backend b = { .conf = *to };
	struct conf_diff_entry *entry;
	size_t before;

	diff_begin(differ);
	diff_table(differ, &conf_backend_table, "", &a, &b);
	entry = diff_end(differ, DIFF_BACKEND, to->name);
	if (entry != NULL)
		entry->backend = from;
	before = differ->diff->count;
	diff_servers(differ, from, to);
	if (differ->diff->count > before || !diff_order(from, to))
		return;
	diff_begin(differ);
	diff_key(differ, "servers (their order)", CHANGE_WORKERS);
	diff_end(differ, DIFF_BACKEND, to->name)->backend = from;
}

static void diff_backends(struct differ *differ, const struct conf *from, const struct conf *to)
{
	struct arena *arena = arena_new();
	struct names *before = names_new(arena);
	struct names *after = names_new(arena);

	for (size_t i = 0; i < from->nbackends; i++)
		(void)names_add(before, from->backends[i].name, &from->backends[i]);
	for (size_t i = 0; i < to->nbackends; i++) {
		const struct conf_backend *is = &to->backends[i];
		const struct conf_backend *was = names_find(before, is->name);

		(void)names_add(after, is->name, &to->backends[i]);
		if (was == NULL)
			(void)diff_add(differ, DIFF_ADDED, DIFF_BACKEND, is->name);
		else
			diff_backend(differ, was, is);
	}
	for (size_t i = 0; i < from->nbackends; i++) {
		const struct conf_backend *was = &from->backends[i];

		if (names_find(after, was->name) != NULL)
			continue;
		diff_add(differ, DIFF_REMOVED, DIFF_BACKEND, was->name)->backend = was;
		diff_servers_gone(differ, was, NULL);
	}
	arena_free(arena);
}

struct conf_diff *conf_diff(const struct conf *from, const struct conf *to)
{
	struct arena *arena = arena_new();
	struct conf_diff *diff = arena_alloc(arena, sizeof(*diff));
	struct differ differ = { .diff = diff };

	diff->arena = arena;
	diff_global(&differ, from, to);
	diff_frontends(&differ, from, to);
	diff_backends(&differ, from, to);
	return diff;
}

void conf_diff_free(struct conf_diff *diff)
{
	if (diff != NULL)
		arena_free(diff->arena);
}
