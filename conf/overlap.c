/* Finds addresses that two `bind` entries listen on, through ranges, wildcards and both families.
 */
#include <stdlib.h>
#include <string.h>

#include "conf/arena.h"
#include "conf/draft.h"

/* What of the kernel's address space one entry takes. An entry that listens on both families takes both;
 * what a name stands for is not known, so it clashes with the same name and with what takes everything. */
enum space { SPACE_V4, SPACE_V6, SPACE_NAME, SPACE_UNIX };

struct bind {
	const struct address *address;
	const struct conf_mark *mark;
	const struct draft_frontend *frontend; /* NULL: it is global.admin's */
	const char *interface;                 /* interned; NULL: any */
	size_t clash; /* the first other one that it clashes with; its own number: none */
};

struct claim {
	enum space space;
	const char *host; /* interned; NULL: all of them */
	uint16_t port_first;
	uint16_t port_last;
	size_t bind;
};

struct overlap {
	struct arena *scratch;
	struct names *texts; /* interned */
	size_t nbinds;
	struct bind *binds;
	size_t nclaims;
	struct claim *claims; /* at most 3 a bind */
};

/* One pointer for all equal texts. */
static const char *intern(struct overlap *overlap, const char *text)
{
	char *copy = arena_strdup(overlap->scratch, text);
	const char *first = names_add(overlap->texts, copy, copy);

	return first == NULL ? copy : first;
}

static void claim(struct overlap *overlap, enum space space, const char *host)
{
	size_t bind = overlap->nbinds - 1;

	overlap->claims[overlap->nclaims++] = (struct claim){
		.space = space,
		.host = host == NULL ? NULL : intern(overlap, host),
		.port_first = overlap->binds[bind].address->port_first,
		.port_last = overlap->binds[bind].address->port_last,
		.bind = bind,
	};
}

static void claim_all(struct overlap *overlap, bool v6only)
{
	claim(overlap, SPACE_V6, NULL);
	if (v6only)
		return;
	claim(overlap, SPACE_V4, NULL);
	claim(overlap, SPACE_NAME, NULL);
}

/* An IPv4 address that is mapped into IPv6 is the IPv4 address. */
static void claim_literal(struct overlap *overlap, const char *host, bool v6only)
{
	static const unsigned char zero[16];
	struct sockaddr_any addr;
	const void *bytes;
	size_t len;

	MUST(sockaddr_from_literal(host, 1, &addr) == 0);
	bytes = sockaddr_host_bytes(&addr, &len);
	/* The text is normalised, but for the mapped ones. */
	if (memcmp(bytes, zero, len) != 0)
		claim(overlap, len == 4 ? SPACE_V4 : SPACE_V6,
			strncmp(host, "::ffff:", 7) == 0 ? host + 7 : host);
	else if (len == 4)
		claim(overlap, SPACE_V4, NULL);
	else
		claim_all(overlap, v6only);
}

static void claim_address(struct overlap *overlap, const struct address *address, bool v6only)
{
	switch (address->kind) {
	case ADDRESS_ANY:
		claim_all(overlap, v6only);
		return;
	case ADDRESS_LITERAL:
		claim_literal(overlap, address->host, v6only);
		return;
	case ADDRESS_NAME:
		if (strcmp(address->host, "localhost") != 0) {
			claim(overlap, SPACE_NAME, address->host);
			return;
		}
		claim_literal(overlap, "127.0.0.1", v6only);
		claim_literal(overlap, "::1", v6only);
		return;
	case ADDRESS_UNIX:
		claim(overlap, SPACE_UNIX, address->host);
		return;
	}
}

static void claim_frontend(struct overlap *overlap, const struct draft_frontend *frontend)
{
	const struct conf_tcp *tcp = &frontend->conf.tcp;

	for (size_t i = 0; i < frontend->bind.count; i++) {
		overlap->binds[overlap->nbinds] = (struct bind){
			.address = &frontend->bind.list[i],
			.mark = &frontend->bind.marks[i],
			.frontend = frontend,
			.interface =
				*tcp->interface == '\0' ? NULL : intern(overlap, tcp->interface),
			.clash = overlap->nbinds,
		};
		overlap->nbinds++;
		claim_address(overlap, &frontend->bind.list[i], tcp->v6only);
	}
}

/* Loopback alone where the address has no host. The first of all, so that it is always the other one that clashes. */
static void claim_admin(struct overlap *overlap, const struct conf_admin *admin)
{
	const struct address *address = &admin->bind;

	if (address->text == NULL)
		return;
	overlap->binds[overlap->nbinds] = (struct bind){ .address = address, .clash = 0 };
	overlap->nbinds++;
	if (address->kind != ADDRESS_ANY) {
		claim_address(overlap, address, true);
		return;
	}
	claim_literal(overlap, "127.0.0.1", true);
	claim_literal(overlap, "::1", true);
}

static int by_space_and_port(const void *a_, const void *b_)
{
	const struct claim *a = a_, *b = b_;

	if (a->space != b->space)
		return a->space < b->space ? -1 : 1;
	return (a->port_first > b->port_first) - (a->port_first < b->port_first);
}

static void compare(struct overlap *overlap, const struct claim *a, const struct claim *b)
{
	struct bind *later = &overlap->binds[a->bind > b->bind ? a->bind : b->bind];
	size_t earlier = a->bind > b->bind ? b->bind : a->bind;
	const char *a_interface = overlap->binds[a->bind].interface;
	const char *b_interface = overlap->binds[b->bind].interface;

	if (a->bind == b->bind || (a->host != NULL && b->host != NULL && a->host != b->host))
		return;
	if (a_interface != NULL && b_interface != NULL && a_interface != b_interface)
		return;
	if (earlier < later->clash)
		later->clash = earlier;
}

static void say(struct draft *draft, const struct bind *later, const struct bind *earlier)
{
	const char *name = "global.admin";
	const char *where = "";

	if (earlier->frontend != NULL)
		name = arena_printf(draft->scratch, "frontend %s",
			quote_text(draft->scratch, earlier->frontend->conf.name));
	if (earlier->mark != NULL && earlier->mark->line != 0)
		where = arena_printf(draft->scratch, " in line %u", earlier->mark->line);
	if (strcmp(later->address->text, earlier->address->text) == 0)
		problem_add(&draft->problems, later->mark, "`%s` is taken by %s%s",
			later->address->text, name, where);
	else
		problem_add(&draft->problems, later->mark, "`%s` overlaps `%s`, taken by %s%s",
			later->address->text, earlier->address->text, name, where);
}

void draft_check_overlap(struct draft *draft)
{
	size_t room = draft->naddresses[ADDRESS_BIND] + 2;
	struct overlap overlap = { .scratch = draft->scratch, .texts = names_new(draft->scratch) };
	const struct draft_frontend *frontend;

	overlap.binds = arena_alloc(draft->scratch, room * sizeof(*overlap.binds));
	overlap.claims = arena_alloc(draft->scratch, 3 * room * sizeof(*overlap.claims));
	claim_admin(&overlap, &draft->global.admin);
	for (frontend = TAILQ_FIRST(&draft->frontends); frontend != NULL;
		frontend = TAILQ_NEXT(frontend, next))
		claim_frontend(&overlap, frontend);
	qsort(overlap.claims, overlap.nclaims, sizeof(*overlap.claims), by_space_and_port);
	for (size_t i = 0; i < overlap.nclaims; i++)
		for (size_t j = i + 1; j < overlap.nclaims; j++) {
			const struct claim *a = &overlap.claims[i], *b = &overlap.claims[j];

			if (b->space != a->space || b->port_first > a->port_last)
				break;
			compare(&overlap, a, b);
		}
	for (size_t i = 0; i < overlap.nbinds; i++)
		if (overlap.binds[i].clash != i)
			say(draft, &overlap.binds[i], &overlap.binds[overlap.binds[i].clash]);
}
