/* Memory that a process cannot do without: at its start, or for what the master has to do next.
 */
#ifndef PROXYD_COMMON_MEMORY_H
#define PROXYD_COMMON_MEMORY_H

/* What an allocation gave, the caller's as before. Says for what there was none, and exits, when it is NULL. */
void *memory_or_exit(void *memory, const char *what) __attribute__((returns_nonnull));

#endif
