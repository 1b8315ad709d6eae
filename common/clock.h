/* Time spans come from here and only from here: the monotonic clock, which no administrator and no
 * leap second moves. Wall-clock time is for log lines alone (clock_wall_ms).
 */
#ifndef PROXYD_COMMON_CLOCK_H
#define PROXYD_COMMON_CLOCK_H

#include <stdint.h>
#include <sys/time.h>

/* Milliseconds and microseconds since boot, the same for every process. */
uint64_t clock_now_ms(void);
uint64_t clock_now_us(void);

/* The same to a few milliseconds, without reading the hardware: for "when did it last move". */
uint64_t clock_coarse_ms(void);

/* A span as libevent wants it. */
struct timeval clock_timeval(uint64_t ms);

/* Milliseconds since 1970-01-01 UTC; for people only. */
uint64_t clock_wall_ms(void);

#endif
