/* Ranges of HTTP statuses: "200-399", "200,204,301-302".
 */
#ifndef PROXYD_CONF_STATUSES_H
#define PROXYD_CONF_STATUSES_H

#include "common/must.h"
#include "conf/conf.h"

struct arena;

/* Sets the statuses of *http_r, at least one. Returns 0, or -1 with *http_r untouched. */
MUST_USE int statuses_parse(const char *text, struct conf_check_http *http_r);

/* As they are read, in the arena. */
const char *statuses_format(struct arena *arena, const struct conf_check_http *http);

#endif
