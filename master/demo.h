/* proxyd --demo: built-in servers behind built-in frontends, on loopback, with nothing else needed.
 */
#ifndef PROXYD_MASTER_DEMO_H
#define PROXYD_MASTER_DEMO_H

#include <stdint.h>
#include <stdio.h>

#include "common/must.h"
#include "conf/load.h"

#define DEMO_SERVERS 3

struct demo {
	uint16_t web;
	uint16_t servers[DEMO_SERVERS];
	uint16_t echo;
	uint16_t reverse;
};

/* Chooses the ports, the customary ones where they are free, and loads the configuration of the demo.
 * Returns NULL with at least one error. */
MUST_USE struct conf *demo_load(
	struct demo *demo_r, const struct conf_overrides *overrides, struct conf_errors *errors);

/* What to try, once it serves. */
void demo_explain(const struct demo *demo, FILE *to);

#endif
