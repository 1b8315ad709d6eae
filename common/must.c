/* The end of a process that found a bug of its own. */
#include "common/must.h"

#include <stdio.h>
#include <stdlib.h>

void must_fail(const char *cond, const char *file, int line)
{
	fprintf(stderr, "proxyd: bug: %s:%d: %s does not hold\n", file, line, cond);
	abort();
}
