/* Makes text from outside harmless for a log line or a JSON string. */
#ifndef PROXYD_COMMON_ESCAPE_H
#define PROXYD_COMMON_ESCAPE_H

#include <stddef.h>

/* Copy in to out: control characters, DEL, '"' and '\' as JSON escapes (\n, \", \u001b), bytes that are
 * not valid UTF-8 as \u00XX, everything else as it is. Cut at a whole character when it does not fit.
 * out is always terminated; out_bytes >= 1. Returns the length without the final 0. */
size_t escape_json(const char *in, size_t in_len, char *out, size_t out_bytes);

#endif
