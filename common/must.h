/* Assertions for our own bugs, always compiled in. Never for what peers, files or the system do.
 */
#ifndef PROXYD_COMMON_MUST_H
#define PROXYD_COMMON_MUST_H

#define MUST_USE               __attribute__((warn_unused_result))
#define PRINTF_LIKE(at, first) __attribute__((format(printf, at, first)))

/* Say where and what on stderr, then abort: the supervisor replaces the process. */
__attribute__((noreturn)) void must_fail(const char *cond, const char *file, int line);

#define MUST(cond) ((cond) ? (void)0 : must_fail(#cond, __FILE__, __LINE__))

#define NELEMS(array) (sizeof(array) / sizeof((array)[0]))

#endif
