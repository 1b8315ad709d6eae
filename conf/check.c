/* What several keys say together: exactly one of backend, forward and service, references that lead
 * somewhere, backends with servers.
 */
#include <stdlib.h>
#include <string.h>

#include "conf/arena.h"
#include "conf/draft.h"
#include "conf/edit.h"
#include "conf/nearest.h"

/* Looking for the nearest name costs time by the number of names: not for every one of 4,096 errors. */
#define SUGGESTIONS_MAX 20
#define LISTED_MAX      8

static bool is_given(const struct draft_given *given)
{
	return given->how != KEY_ABSENT;
}

/* ------------------------------------------------------------------ references */

static const char *backend_list(struct draft *draft)
{
	const char *text = "";
	struct draft_backend *backend;
	size_t n = 0;

	for (backend = TAILQ_FIRST(&draft->backends); backend != NULL;
		backend = TAILQ_NEXT(backend, next)) {
		if (n++ == LISTED_MAX)
			return arena_printf(draft->scratch, "%s, ...", text);
		text = arena_printf(draft->scratch, "%s%s%s", text, n == 1 ? "" : ", ",
			quote_text(draft->scratch, backend->conf.name));
	}
	return text;
}

static void no_backend(struct draft *draft, const struct draft_frontend *frontend)
{
	const struct conf_mark *mark = &frontend->given[FRONTEND_BACKEND].value_mark;
	const char *name = quote_text(draft->scratch, frontend->backend_name);
	struct draft_backend *backend;
	struct nearest nearest;

	if (TAILQ_EMPTY(&draft->backends)) {
		problem_add(&draft->problems, mark, "there is no backend %s: there are no backends",
			name);
		return;
	}
	nearest_start(&nearest, frontend->backend_name);
	if (draft->suggestions++ < SUGGESTIONS_MAX)
		for (backend = TAILQ_FIRST(&draft->backends); backend != NULL;
			backend = TAILQ_NEXT(backend, next))
			nearest_offer(&nearest, backend->conf.name);
	if (nearest.name != NULL)
		problem_add(&draft->problems, mark, "there is no backend %s, did you mean %s?",
			name, quote_text(draft->scratch, nearest.name));
	else
		problem_add(&draft->problems, mark, "there is no backend %s, there are %s", name,
			backend_list(draft));
}

static void check_reference(struct draft *draft, struct draft_frontend *frontend)
{
	if (frontend->backend_name == NULL || frontend->backend != NULL)
		return;
	frontend->backend = names_find(draft->backend_names, frontend->backend_name);
	if (frontend->backend == NULL)
		no_backend(draft, frontend);
}

/* ------------------------------------------------------------------ frontends */

/* Each of the keys that say who serves, against the first of them in the file. */
static void check_who_serves(struct draft *draft, const struct draft_frontend *frontend)
{
	static const unsigned rows[] = { FRONTEND_BACKEND, FRONTEND_FORWARD, FRONTEND_SERVICE };
	const struct conf_key *keys = conf_frontend_table.keys;
	const struct draft_given *first = NULL;

	for (size_t i = 0; i < NELEMS(rows); i++) {
		const struct draft_given *given = &frontend->given[rows[i]];

		if (is_given(given) && (first == NULL || given->order < first->order))
			first = given;
	}
	if (first == NULL) {
		problem_add(&draft->problems, &frontend->conf.mark,
			"frontend %s needs one of `backend`, `forward` and `service`",
			quote_text(draft->scratch, frontend->conf.name));
		return;
	}
	for (size_t i = 0; i < NELEMS(rows); i++) {
		const struct draft_given *given = &frontend->given[rows[i]];

		if (given->how == KEY_GIVEN && given != first)
			problem_add(&draft->problems, &given->mark,
				"`%s` besides `%s`: a frontend has exactly one of `backend`, `forward` and "
				"`service`",
				keys[rows[i]].name, keys[first - frontend->given].name);
	}
}

static void check_frontend(struct draft *draft, struct draft_frontend *frontend)
{
	const struct draft_given *message = &frontend->given[FRONTEND_MESSAGE];
	const struct draft_given *service = &frontend->given[FRONTEND_SERVICE];

	if (!is_given(&frontend->given[FRONTEND_BIND]))
		problem_add(&draft->problems, &frontend->conf.mark,
			"frontend %s has no `bind`: it needs an address to listen on, such as `bind: \":8080\"`",
			quote_text(draft->scratch, frontend->conf.name));
	check_who_serves(draft, frontend);
	/* A service that is not known may have been meant to be http. */
	if (message->how == KEY_GIVEN && frontend->conf.service != SERVICE_HTTP &&
		(!is_given(service) || frontend->conf.service != SERVICE_NONE))
		problem_add(&draft->problems, &message->mark,
			"`message` goes with `service: http` alone");
}

/* A backend of its own for a frontend that says `forward`. */
static void expand_forward(struct draft *draft, struct draft_frontend *frontend)
{
	const struct conf_mark *mark = &frontend->given[FRONTEND_FORWARD].mark;
	const char *name = frontend->conf.name;
	struct draft_backend *backend = names_find(draft->backend_names, name);

	if (backend != NULL) {
		problem_add(&draft->problems, mark,
			"`forward` makes a backend %s, which is there already: write `backend: %s` or rename "
			"one of them",
			quote_text(draft->scratch, name), name);
		return;
	}
	backend = draft_backend_add(draft, name, mark);
	if (backend == NULL)
		return;
	draft_forward(draft, backend, &frontend->forward);
	backend->given[BACKEND_SERVERS] = frontend->given[FRONTEND_FORWARD];
	frontend->backend = backend;
}

/* ------------------------------------------------------------------ backends */

static void check_backend(struct draft *draft, const struct draft_backend *backend)
{
	const struct draft_given *servers = &backend->given[BACKEND_SERVERS];

	if (backend->nservers == 0 && (!is_given(servers) || servers->empty))
		problem_add(&draft->problems,
			is_given(servers) ? &servers->mark : &backend->conf.mark,
			"backend %s has no servers: it needs `servers: {NAME: ADDRESS}`",
			quote_text(draft->scratch, backend->conf.name));
	draft_check_servers(draft, backend);
}

void draft_check(struct draft *draft)
{
	const struct conf_mark *mark = &draft->frontends_mark;
	struct draft_frontend *frontend;
	struct draft_backend *backend;

	for (frontend = TAILQ_FIRST(&draft->frontends); frontend != NULL;
		frontend = TAILQ_NEXT(frontend, next)) {
		check_frontend(draft, frontend);
		if (frontend->forward.count > 0 && frontend->backend == NULL)
			expand_forward(draft, frontend);
	}
	draft_edit(draft, draft->edits);
	for (backend = TAILQ_FIRST(&draft->backends); backend != NULL;
		backend = TAILQ_NEXT(backend, next))
		check_backend(draft, backend);
	for (frontend = TAILQ_FIRST(&draft->frontends); frontend != NULL;
		frontend = TAILQ_NEXT(frontend, next))
		check_reference(draft, frontend);
	draft_check_overlap(draft);
	if (TAILQ_EMPTY(&draft->frontends) && !draft->frontends_said)
		problem_add(&draft->problems, mark,
			"there is nothing to do: `frontends` needs at least one, such as `web: {bind: "
			"\":8080\", forward: [\"127.0.0.1:8101\"]}`");
}
