/* What was probably meant: the known name that a misspelt one is nearest to.
 */
#ifndef PROXYD_CONF_NEAREST_H
#define PROXYD_CONF_NEAREST_H

#include <stddef.h>

struct nearest {
	const char *wrong; /* borrowed */
	const char *name;  /* the nearest so far, borrowed; NULL: none is near */
	size_t distance;   /* of name; without one, the first that is too far */
};

void nearest_start(struct nearest *nearest, const char *wrong);
void nearest_offer(struct nearest *nearest, const char *name);

#endif
