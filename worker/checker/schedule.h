/* When a server is checked next: a pure function of its configuration and state.
 */
#ifndef PROXYD_WORKER_CHECKER_SCHEDULE_H
#define PROXYD_WORKER_CHECKER_SCHEDULE_H

#include <stdint.h>

struct check_state;
struct conf_check;

/* From one check to the next, in ms: fastinter while the last checks spoke against the state, downinter
 * while it is down, else inter; 0 of the first two stands for inter. random (all its bits) adds up to
 * spread_pct of it and never takes away: an interval never sees two checks. */
uint32_t schedule_interval_ms(
	const struct conf_check *conf, const struct check_state *state, uint64_t random);

/* The next number of a generator whose state is *random: any seed is fine. */
uint64_t schedule_random(uint64_t *random);

#endif
