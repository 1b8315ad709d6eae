/* What is different between two configurations, object by object, by the rows of the key table.
 */
#ifndef PROXYD_CONF_DIFF_H
#define PROXYD_CONF_DIFF_H

#include <stddef.h>

#include "common/must.h"
#include "conf/table.h"

struct conf;
struct conf_backend;
struct conf_server;
struct conf_frontend;

enum conf_diff_how { DIFF_ADDED, DIFF_REMOVED, DIFF_CHANGED };
enum conf_diff_what { DIFF_GLOBAL, DIFF_FRONTEND, DIFF_BACKEND, DIFF_SERVER };

struct conf_diff_entry {
	enum conf_diff_how how;
	enum conf_diff_what what;
	const char *name;        /* of a server BACKEND/SERVER; "" of global */
	const char *keys;        /* DIFF_CHANGED: "bind, tcp.backlog"; else "" */
	enum conf_change change; /* what the worst of the keys needs */
	const char *worst;       /* and which it is */
	/* As it was; NULL unless it is one of those and was there. */
	const struct conf_frontend *frontend;
	const struct conf_backend *backend; /* also of a server */
	const struct conf_server *server;   /* as the file has it */
};

struct conf_diff {
	size_t count;
	struct conf_diff_entry *entries;
	struct arena *arena; /* owned: texts and entries live in it */
};

/* In the order of the files, the new one first. Both are borrowed until conf_diff_free. The addresses of a name are compared
 * where both have some, whatever their order. */
struct conf_diff *conf_diff(const struct conf *from, const struct conf *to);
void conf_diff_free(struct conf_diff *diff); /* NULL is fine */

#endif
