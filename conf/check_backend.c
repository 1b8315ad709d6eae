/* What the keys of a check say together, and what those of a server and of its backend do.
 */
#include <string.h>

#include "conf/arena.h"
#include "conf/draft.h"

#define INSTANCE_NAME_BYTES 60 /* "#16" is three more */

static void goes_with(struct draft *draft, const struct draft_given given[CHECK_KEYS], unsigned row,
	const char *type)
{
	if (given[row].how == KEY_GIVEN && !given[row].empty)
		problem_add(&draft->problems, &given[row].mark, "`%s` goes with `type: %s` alone",
			conf_check_table.keys[row].name, type);
}

void draft_check_probe(struct draft *draft, const struct conf_check *check,
	const struct draft_given given[CHECK_KEYS])
{
	const struct draft_given *type = &given[CHECK_KEY_TYPE];
	const struct draft_given *expect = &given[CHECK_KEY_EXPECT];

	if (check->type != CHECK_HTTP)
		goes_with(draft, given, CHECK_KEY_HTTP, "http");
	if (check->type != CHECK_SEND_EXPECT) {
		/* "" says nothing, whatever the type. */
		if (check->send.len > 0)
			goes_with(draft, given, CHECK_KEY_SEND, "send_expect");
		if (check->expect.len > 0)
			goes_with(draft, given, CHECK_KEY_EXPECT, "send_expect");
	} else if (check->expect.len == 0 && !expect->wrong) {
		problem_add(&draft->problems,
			expect->how == KEY_GIVEN ? &expect->mark : &type->mark,
			"`type: send_expect` needs an `expect`: bytes that must appear in the answer");
	}
}

/* ------------------------------------------------------------------ servers */

/* Whether nothing checks the servers of a backend; not when that may only have been misread. */
static bool is_unchecked(const struct draft *draft, const struct draft_backend *backend)
{
	const struct draft_given *given = &backend->given[BACKEND_CHECK];

	if (backend->conf.check.type != CHECK_NONE)
		return false;
	if (given->how == KEY_ABSENT)
		given = &draft->backend_defaults.given[BACKEND_CHECK];
	return !given->wrong;
}

static const char *family_name(int family)
{
	return family == AF_INET ? "IPv4" : "IPv6";
}

static void check_family(struct draft *draft, const struct draft_backend *backend,
	const struct address *address, const struct conf_mark *mark)
{
	const struct sockaddr_any *source = &backend->conf.source;
	struct sockaddr_any addr;

	if (source->len == 0 || address->text == NULL || address->kind != ADDRESS_LITERAL ||
		sockaddr_from_literal(address->host, address->port_first, &addr) == -1 ||
		addr.u.sa.sa_family == source->u.sa.sa_family)
		return;
	problem_add(&draft->problems, mark,
		"%s cannot be reached from `source`: one is an %s address, the other %s",
		quote_text(draft->scratch, address->text), family_name(addr.u.sa.sa_family),
		family_name(source->u.sa.sa_family));
}

/* The keys of a name that is looked up again and again. */
static void check_resolve(struct draft *draft, const struct draft_server *server)
{
	const struct address *address = &server->conf.address;
	const struct draft_given *at = &server->given[SERVER_ADDRESS];
	const struct draft_given *key =
		&server->given[server->conf.srv ? SERVER_SRV : SERVER_RESOLVE];
	const char *text = address->text == NULL ? "" : quote_text(draft->scratch, address->text);

	if (address->text != NULL && server->conf.srv && address->port_first != 0)
		problem_add(&draft->problems, &at->value_mark,
			"%s: with `srv` an address is that of a service without a port, such as "
			"_redis._tcp.example.org",
			text);
	else if (address->text != NULL && address->kind != ADDRESS_NAME)
		problem_add(&draft->problems, &key->mark, "%s is no name to look up", text);
	if (server->conf.check_address.text != NULL)
		problem_add(&draft->problems, &server->given[SERVER_CHECK_ADDRESS].mark,
			"`check_address` does not go with `%s`: each address is checked itself",
			server->conf.srv ? "srv" : "resolve");
}

/* A service is an address only where `srv` is. */
static void check_port(struct draft *draft, const struct address *address,
	const struct conf_mark *mark, const char *hint)
{
	if (address->text != NULL && address->kind == ADDRESS_NAME && address->port_first == 0)
		problem_add(&draft->problems, mark,
			"%s has no port: an address is HOST:PORT, :PORT, [V6]:PORT or unix:/PATH%s",
			quote_text(draft->scratch, address->text), hint);
}

static void check_server(
	struct draft *draft, const struct draft_backend *backend, const struct draft_server *server)
{
	const struct draft_given *address = &server->given[SERVER_ADDRESS];
	const struct draft_given *check_address = &server->given[SERVER_CHECK_ADDRESS];

	if (address->how == KEY_ABSENT)
		problem_add(&draft->problems, &server->conf.mark, "server %s has no `address`",
			quote_text(draft->scratch, server->conf.name));
	if (server->conf.resolve || server->conf.srv)
		check_resolve(draft, server);
	if (!server->conf.srv)
		check_port(draft, &server->conf.address, &address->value_mark,
			"; SRV records need `srv: true`");
	check_port(draft, &server->conf.check_address, &check_address->value_mark, "");
	check_family(draft, backend, &server->conf.address, &address->value_mark);
	check_family(draft, backend, &server->conf.check_address, &check_address->value_mark);
	if (server->conf.check_address.text != NULL && is_unchecked(draft, backend))
		problem_add(&draft->problems, &check_address->mark,
			"`check_address` without an active check: the backend needs a `check`");
}

/* What a name becomes must fit: as names, besides the other servers, and in number. */
static void check_instances(struct draft *draft, const struct draft_backend *backend)
{
	struct names *names = names_new(draft->scratch);
	struct draft_server *server, *same;

	for (server = TAILQ_FIRST(&backend->servers); server != NULL;
		server = TAILQ_NEXT(server, next))
		names_add(names, server->conf.name, server);
	for (server = TAILQ_FIRST(&backend->servers); server != NULL;
		server = TAILQ_NEXT(server, next)) {
		if (!server->conf.resolve && !server->conf.srv)
			continue;
		if (strlen(server->conf.name) > INSTANCE_NAME_BYTES)
			problem_add(&draft->problems, &server->conf.mark,
				"the name of server %s is longer than %u bytes: it needs room for "
				"#1 to #%u",
				quote_text(draft->scratch, server->conf.name), INSTANCE_NAME_BYTES,
				CONF_RESOLVE_MAX);
		for (unsigned i = 1; i <= CONF_RESOLVE_MAX; i++) {
			same = names_find(
				names, arena_printf(draft->scratch, "%s#%u", server->conf.name, i));
			if (same != NULL)
				problem_add(&draft->problems, &same->conf.mark,
					"server %s is there twice: %s is looked up and becomes %s",
					quote_text(draft->scratch, same->conf.name),
					quote_text(draft->scratch, server->conf.name),
					quote_text(draft->scratch, same->conf.name));
		}
		if (!draft_has_instance_room(draft, &server->conf.mark))
			return;
	}
}

void draft_check_servers(struct draft *draft, const struct draft_backend *backend)
{
	const struct draft_server *server;
	size_t nbackups = 0;

	for (server = TAILQ_FIRST(&backend->servers); server != NULL;
		server = TAILQ_NEXT(server, next)) {
		check_server(draft, backend, server);
		nbackups += server->conf.backup;
	}
	check_instances(draft, backend);
	if (backend->nservers > 0 && nbackups == backend->nservers)
		problem_add(&draft->problems, &backend->conf.mark,
			"backend %s has nothing but backup servers: at least one must be no backup",
			quote_text(draft->scratch, backend->conf.name));
}
