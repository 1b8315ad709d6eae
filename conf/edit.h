/* Servers that are added to a configuration, or taken out of it, while it is loaded: what an operator did since the file was
 * written. Each is a line:
 *
 *   add BACKEND/NAME ADDRESS [KEY=VALUE]...    the keys of a server
 *   del BACKEND/SERVER HASH                    of what it says of the server that is taken out
 *
 * They are done in this order, after the file is read and before it is checked, so every check of a file is theirs.
 */
#ifndef PROXYD_CONF_EDIT_H
#define PROXYD_CONF_EDIT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/must.h"

struct conf_backend;
struct conf_server;
struct draft;

#define CONF_EDITS_MAX  256
#define CONF_EDIT_BYTES 512 /* of a line, with its final 0 */

/* What became of one where the file may be another than the one that it was made for. */
enum conf_edit_result {
	EDIT_DONE,
	EDIT_OVERRULED, /* the file says something of that server that it did not say then: it wins */
	EDIT_MOOT,      /* there is nothing left that it could be done to */
};

struct conf_edits {
	bool strict; /* what cannot be done is an error, not a result */
	uint32_t count;
	char lines[CONF_EDITS_MAX][CONF_EDIT_BYTES];
	enum conf_edit_result results[CONF_EDITS_MAX]; /* out */
};

/* While loading. edits NULL: none. */
void draft_edit(struct draft *draft, struct conf_edits *edits);

/* The line that takes that server out. Returns -1 when it is too long. */
MUST_USE int conf_edit_del(const struct conf_backend *backend, const struct conf_server *server,
	char line_r[CONF_EDIT_BYTES]);

/* Whether a line is of this kind ("add", "del") and about this server. */
bool conf_edit_is(const char *line, const char *what, const char *name);

/* BACKEND/SERVER of a line, in buf. */
const char *conf_edit_name(const char *line, char *buf, size_t buf_bytes);

#endif
