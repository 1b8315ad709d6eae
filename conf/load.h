/* From a file, a text or a quick form of the command line to a checked configuration.
 */
#ifndef PROXYD_CONF_LOAD_H
#define PROXYD_CONF_LOAD_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "common/must.h"

struct conf;
struct conf_edits;

/* Every error found, in the order of the file; each a line "FILE:LINE:COLUMN: what is wrong, what would
 * be right" (or "FILE: ..." when it has no position). Zero-initialise, then conf_errors_free. */
struct conf_errors {
	size_t count;
	char **lines; /* owned */
};

void conf_errors_free(struct conf_errors *errors);
void conf_errors_print(const struct conf_errors *errors, FILE *to);

/* What is said over the file, by the command line and by an operator: applied as if the file said so. NULL: the file's
 * own. */
struct conf_overrides {
	const char *workers;
	const char *loglevel;
	const char *logformat;
	const char *pidfile;
	const char *control;      /* global.control.path */
	const char *admin;        /* global.admin.bind */
	struct conf_edits *edits; /* of servers, see conf/edit.h; their results are written */
};

/* path "-" is standard input. A file whose top level is `Apps` is a predecessor's (predecessors.md) and
 * gives what it stands for. Returns NULL with at least one error, else a value for conf_free. */
MUST_USE struct conf *conf_load_file(
	const char *path, const struct conf_overrides *overrides, struct conf_errors *errors);

/* The same from memory; name stands where the file's name would in messages. */
MUST_USE struct conf *conf_load_text(const char *name, const char *text, size_t len,
	const struct conf_overrides *overrides, struct conf_errors *errors);

/* The quick forms: one frontend named after what is listened on, one backend. */
struct conf_quick {
	const char *listen;
	size_t nforward;
	const char *const *forward;
	const char *balance; /* NULL: the default */
};

MUST_USE struct conf *conf_load_quick(const struct conf_quick *quick,
	const struct conf_overrides *overrides, struct conf_errors *errors);

/* The whole configuration, defaults included, as YAML that loads to the same value. */
void conf_dump(const struct conf *conf, FILE *to);

#endif
