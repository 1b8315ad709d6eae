/* The master's life with one configuration: prepare all that can fail, serve, end.
 */
#ifndef PROXYD_MASTER_MASTER_H
#define PROXYD_MASTER_MASTER_H

#include <stdbool.h>

#include "common/child.h"

struct conf;

struct master_ask {
	struct conf *conf; /* borrowed; places and addresses are filled in */
	bool daemon;
	bool control_optional; /* goes without the control socket where the default one is taken */
	void (*on_serving)(void *arg); /* once it serves; may be NULL */
	void *arg;
};

/* Returns when asked to stop and all children are gone, or when it could not start: nothing is left
 * behind then, and what was wrong was said. */
enum exit_code master_run(const struct master_ask *ask);

#endif
