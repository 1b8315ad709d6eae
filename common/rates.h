/* The arithmetic of a history: what is kept of a sample, and what a minute of them says. Pure: no clock, no shared memory.
 */
#ifndef PROXYD_COMMON_RATES_H
#define PROXYD_COMMON_RATES_H

#include <stdint.h>

#include "common/history.h"

/* A second, on the average over one window. */
struct rates_window {
	double connections;
	double bytes_in;
	double bytes_out;
};

enum { RATES_1S, RATES_10S, RATES_60S, RATES_WINDOWS };

struct rates {
	struct rates_window windows[RATES_WINDOWS];
};

/* One more sample, taken in `step` (clock_now_ms / HISTORY_STEP_MS, the same for all that are sampled together). When
 * it is the first of another step, the one before is over, and p99_us was its time to connect. A new history (all zero)
 * begins with nothing at before_ms, under at_ms. Steps in which nobody took samples get the average over them. */
void rates_sample(struct shm_history *history, const struct history_sample *sample, uint64_t step,
	uint32_t p99_us);
void rates_begin(struct shm_history *history, uint64_t before_ms);

/* The windows that end with the newest sample: exact, between that and the one that was taken so long before. Where
 * samples are missing a window is longer. All 0 without samples. */
void rates_windows(const struct shm_history *history, struct rates *rates_r);

/* One of the HISTORY_STEPS that are over, 0 is the oldest. */
const struct history_step *rates_step(const struct shm_history *history, unsigned index);

/* n of them in ms: how many a second; 0 when ms is. */
double rates_per_second(uint64_t n, uint64_t ms);

#endif
