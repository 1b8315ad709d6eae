/* A configuration while it is being read: as struct conf, but growing, and knowing where everything was
 * said. The rows of the key table describe these structs.
 */
#ifndef PROXYD_CONF_DRAFT_H
#define PROXYD_CONF_DRAFT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

#include "conf/conf.h"
#include "conf/names.h"
#include "conf/problems.h"
#include "conf/table.h"

struct arena;

/* What a name may hold besides letters and digits. The first slash of BACKEND/SERVER ends the backend, so
 * a server, which may be named after its address, may have more of them. */
#define DRAFT_NAME_MARKS   "_.:@-"
#define DRAFT_SERVER_MARKS "_.:@-[]/#+%~"

/* Whether and where a key was given. KEY_GUESSED: something misspelt was, that probably means it, so that
 * nobody complains a second time that it is missing. */
struct draft_given {
	enum { KEY_ABSENT, KEY_GUESSED, KEY_GIVEN } how;
	bool empty;     /* null or {} */
	bool wrong;     /* a problem was found in it: its field may not be what was meant */
	uint32_t order; /* among the keys of the file */
	struct conf_mark mark;
	struct conf_mark value_mark;
};

struct draft_addresses {
	size_t count;
	struct address *list;
	struct conf_mark *marks;
};

struct draft_server {
	TAILQ_ENTRY(draft_server) next;
	struct conf_server conf;
	struct draft_given given[SERVER_KEYS];
};
TAILQ_HEAD(draft_servers, draft_server);

struct draft_backend {
	TAILQ_ENTRY(draft_backend) next;
	struct conf_backend conf;
	struct draft_servers servers;
	size_t nservers;
	struct draft_given given[BACKEND_KEYS];
	struct conf_backend *frozen; /* what it became */
};
TAILQ_HEAD(draft_backends, draft_backend);

struct draft_frontend {
	TAILQ_ENTRY(draft_frontend) next;
	struct conf_frontend conf;
	struct draft_addresses bind;
	struct draft_addresses forward;
	const char *backend_name; /* NULL: not given */
	struct draft_backend *backend;
	uint32_t protocol;
	struct draft_given given[FRONTEND_KEYS];
};
TAILQ_HEAD(draft_frontends, draft_frontend);

struct draft {
	struct arena *arena;   /* owned until frozen: what the configuration will live in */
	struct arena *scratch; /* owned; gone with the draft */
	struct problems problems;
	struct conf_global global;
	struct draft_given global_given[CONF_KEYS_MAX];
	struct draft_frontend frontend_defaults;
	struct draft_backend backend_defaults;
	struct draft_frontends frontends;
	struct draft_backends backends;
	struct names *frontend_names;
	struct names *backend_names;
	size_t nfrontends;
	size_t nbackends;
	size_t nservers;          /* of all backends */
	size_t naddresses[3];     /* in lists, by enum address_use */
	size_t ncidrs;            /* of all lists */
	struct conf_edits *edits; /* borrowed; NULL */
	bool readable;            /* it was YAML, there is something to check */
	bool frontends_said;      /* that `frontends` is misspelt or no map */
	struct conf_mark frontends_mark;
	size_t suggestions; /* how many times a near name was looked for */
};

/* A draft with the defaults of the table. */
struct draft *draft_new(void);
void draft_free(struct draft *draft);

/* Add an object with what draft holds as defaults. A name that is wrong or taken is a problem; the object
 * is made all the same, so that errors in it are found. NULL when there are too many of them (a problem,
 * said once). name is copied. server_names is of this backend's servers alone. */
struct draft_frontend *draft_frontend_add(
	struct draft *draft, const char *name, const struct conf_mark *mark);
struct draft_backend *draft_backend_add(
	struct draft *draft, const char *name, const struct conf_mark *mark);
struct draft_server *draft_server_add(struct draft *draft, struct draft_backend *backend,
	struct names *server_names, const char *name, const struct conf_mark *mark);

/* Whether a name of a frontend or backend may hold this, and whether a server may be called that. */
bool draft_name_has(char c);
bool draft_server_name_fits(const char *name);

/* Servers named after their addresses, what is there twice with #2 and so on. */
void draft_forward(struct draft *draft, struct draft_backend *backend,
	const struct draft_addresses *addresses);

/* Whether so many more addresses fit; said for the first list that does not. Aliases can make one list
 * stand in many places. */
bool draft_has_room(
	struct draft *draft, enum address_use use, size_t count, const struct conf_mark *mark);

/* The same for the servers that a name to look up becomes, besides itself. */
bool draft_has_instance_room(struct draft *draft, const struct conf_mark *mark);

/* The same for networks. */
bool draft_has_cidr_room(struct draft *draft, size_t count, const struct conf_mark *mark);

/* The value that the draft became; it takes the arena over. Only for a draft without problems. */
struct conf *draft_freeze(struct draft *draft);

/* Everything that several keys say together; also makes the backends that `forward` stands for. */
void draft_check(struct draft *draft);

/* The keys of a `check` together; given says which are in this one, the type may come from `defaults`. */
void draft_check_probe(struct draft *draft, const struct conf_check *check,
	const struct draft_given given[CHECK_KEYS]);

/* The servers of a backend, each with what the backend says. */
void draft_check_servers(struct draft *draft, const struct draft_backend *backend);

/* Two frontends must not listen on one address: SO_REUSEPORT would let them, and the kernel would deal
 * their clients out between them. */
void draft_check_overlap(struct draft *draft);

#endif
