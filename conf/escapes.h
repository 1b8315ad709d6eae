/* Bytes as the file has them: text with C escapes, best between single quotes, where YAML has none of its own.
 */
#ifndef PROXYD_CONF_ESCAPES_H
#define PROXYD_CONF_ESCAPES_H

#include <stddef.h>

#include "common/must.h"
#include "conf/conf.h"

struct arena;

/* \r \n \t \\ \" \xHH and one to three octal digits; what is no escape stands for itself. Returns 0, or -1 and
 * *error_r (in the arena) says which escape, at which byte, is none. *bytes_r lives in the arena. */
MUST_USE int escapes_parse(
	struct arena *arena, const char *text, struct conf_bytes *bytes_r, const char **error_r);

/* A YAML scalar that is read as these bytes, in the arena. */
const char *escapes_format(struct arena *arena, const struct conf_bytes *bytes);

#endif
