/* The master's life with one configuration: prepare all that can fail, serve, end.
 */
#ifndef PROXYD_MASTER_MASTER_H
#define PROXYD_MASTER_MASTER_H

#include <stdbool.h>

#include "common/child.h"

struct conf;
struct conf_edits;
struct conf_errors;
struct conf_overrides;

struct master_ask {
	struct conf *conf; /* owned from then on */
	/* The same once more, from where it came, with edits (NULL: none). NULL, and the errors. */
	struct conf *(*load)(struct conf_edits *edits, struct conf_errors *errors, void *arg);
	const struct conf_overrides *overrides; /* borrowed: of the command line */
	bool daemon;
	bool control_optional; /* goes without the control socket where the default one is taken */
	void (*on_serving)(void *arg); /* once it serves; may be NULL */
	void *arg;
};

/* Returns when asked to stop and all children are gone, or when it could not start: nothing is left
 * behind then, and what was wrong was said. */
enum exit_code master_run(const struct master_ask *ask);

#endif
