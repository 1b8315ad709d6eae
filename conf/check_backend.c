/* What the keys of a check say together, and what those of a server and of its backend do.
 */
#include "conf/draft.h"

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

static void check_server(
	struct draft *draft, const struct draft_backend *backend, const struct draft_server *server)
{
	const struct draft_given *address = &server->given[SERVER_ADDRESS];
	const struct draft_given *check_address = &server->given[SERVER_CHECK_ADDRESS];

	if (address->how == KEY_ABSENT)
		problem_add(&draft->problems, &server->conf.mark, "server %s has no `address`",
			quote_text(draft->scratch, server->conf.name));
	check_family(draft, backend, &server->conf.address, &address->value_mark);
	check_family(draft, backend, &server->conf.check_address, &check_address->value_mark);
	if (server->conf.check_address.text != NULL && is_unchecked(draft, backend))
		problem_add(&draft->problems, &check_address->mark,
			"`check_address` without an active check: the backend needs a `check`");
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
	if (backend->nservers > 0 && nbackups == backend->nservers)
		problem_add(&draft->problems, &backend->conf.mark,
			"backend %s has nothing but backup servers: at least one must be no backup",
			quote_text(draft->scratch, backend->conf.name));
}
