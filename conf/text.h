/* The text of a configuration on its way into the reader.
 */
#ifndef PROXYD_CONF_TEXT_H
#define PROXYD_CONF_TEXT_H

#include <stdbool.h>
#include <stddef.h>

#include "common/must.h"

struct conf;
struct conf_errors;
struct conf_overrides;

/* All borrowed. */
struct text {
	const char *name; /* for messages */
	const char *bytes;
	size_t len;
	bool positions; /* false: it was generated, nobody knows its lines */
};

/* As conf_load_text. */
MUST_USE struct conf *text_load(const struct text *text, const struct conf_overrides *overrides,
	struct conf_errors *errors);

/* The whole of a regular file, or of standard input for "-"; at most 64 MiB. Returns 0 and the caller owns
 * *bytes_r; or -1 and *why_r (static storage) says why it cannot be read. */
MUST_USE int file_read(const char *path, char **bytes_r, size_t *len_r, const char **why_r);

#endif
