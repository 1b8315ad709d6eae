/* Memory of one configuration: given out piece by piece, freed whole. Never returns NULL: a process that
 * cannot hold its configuration exits with code 1.
 */
#ifndef PROXYD_CONF_ARENA_H
#define PROXYD_CONF_ARENA_H

#include <stddef.h>

#include "common/must.h"

struct arena;

struct arena *arena_new(void);
void arena_free(struct arena *arena);
void *arena_alloc(struct arena *arena, size_t bytes); /* zeroed, aligned for anything */
char *arena_strdup(struct arena *arena, const char *text);
char *arena_printf(struct arena *arena, const char *format, ...) PRINTF_LIKE(2, 3);

#endif
