/* Samples in, rates out.
 */
#include "common/rates.h"

#include <string.h>

/* A timer is late now and then: a sample that is this much younger than a window still begins it. */
#define RATES_JITTER_MS 400

static const uint64_t rates_windows_ms[RATES_WINDOWS] = { 1000, 10000, 60000 };

double rates_per_second(uint64_t n, uint64_t ms)
{
	return ms == 0 ? 0 : (double)n * 1000 / (double)ms;
}

/* ------------------------------------------------------------------ in */

static void rates_keep(struct shm_history *history, const struct history_sample *sample)
{
	history->samples[history->samples_taken % HISTORY_SAMPLES] = *sample;
	history->samples_taken++;
}

void rates_begin(struct shm_history *history, uint64_t before_ms)
{
	const struct history_sample nothing = { .at_ms = before_ms };

	memset((char *)history + sizeof(history->sequence), 0,
		sizeof(*history) - sizeof(history->sequence));
	history->begun = nothing;
	history->step = before_ms / HISTORY_STEP_MS;
	rates_keep(history, &nothing);
}

/* What came from `begun` to the sample, in equal parts; the last one has what is left over. */
static void rates_end_steps(struct shm_history *history, const struct history_sample *sample,
	uint64_t step, uint32_t p99_us)
{
	const struct history_sample *begun = &history->begun;
	const uint64_t count = step - history->step;
	const struct history_step all = {
		.ms = (uint32_t)(sample->at_ms - begun->at_ms),
		.p99_us = p99_us,
		.connections = sample->connections - begun->connections,
		.bytes_in = sample->bytes_in - begun->bytes_in,
		.bytes_out = sample->bytes_out - begun->bytes_out,
	};

	for (uint64_t i = count > HISTORY_STEPS ? count - HISTORY_STEPS : 0; i < count; i++) {
		const bool last = i + 1 == count;

		history->steps[(history->step + i) % HISTORY_STEPS] = (struct history_step){
			.ms = (uint32_t)(all.ms / count),
			.p99_us = p99_us,
			.connections =
				all.connections / count + (last ? all.connections % count : 0),
			.bytes_in = all.bytes_in / count + (last ? all.bytes_in % count : 0),
			.bytes_out = all.bytes_out / count + (last ? all.bytes_out % count : 0),
		};
	}
	history->begun = *sample;
	history->step = step;
}

void rates_sample(struct shm_history *history, const struct history_sample *sample, uint64_t step,
	uint32_t p99_us)
{
	if (step > history->step)
		rates_end_steps(history, sample, step, p99_us);
	rates_keep(history, sample);
}

/* ------------------------------------------------------------------ out */

static const struct history_sample *rates_ago(const struct shm_history *history, uint64_t ago)
{
	return &history->samples[(history->samples_taken - 1 - ago) % HISTORY_SAMPLES];
}

static void rates_window(
	const struct shm_history *history, uint64_t window_ms, struct rates_window *window_r)
{
	const struct history_sample *newest = rates_ago(history, 0);
	const struct history_sample *oldest = newest;
	uint64_t most = history->samples_taken;
	uint64_t ms;

	if (most > HISTORY_SAMPLES)
		most = HISTORY_SAMPLES;
	for (uint64_t ago = 1; ago < most; ago++) {
		oldest = rates_ago(history, ago);
		if (newest->at_ms - oldest->at_ms + RATES_JITTER_MS >= window_ms)
			break;
	}
	/* Before the first sample there was nothing: that belongs to the window as well. */
	ms = newest->at_ms - oldest->at_ms;
	if (ms + RATES_JITTER_MS < window_ms)
		ms = window_ms;
	window_r->connections = rates_per_second(newest->connections - oldest->connections, ms);
	window_r->bytes_in = rates_per_second(newest->bytes_in - oldest->bytes_in, ms);
	window_r->bytes_out = rates_per_second(newest->bytes_out - oldest->bytes_out, ms);
}

void rates_windows(const struct shm_history *history, struct rates *rates_r)
{
	memset(rates_r, 0, sizeof(*rates_r));
	if (history->samples_taken == 0)
		return;
	for (unsigned i = 0; i < RATES_WINDOWS; i++)
		rates_window(history, rates_windows_ms[i], &rates_r->windows[i]);
}

const struct history_step *rates_step(const struct shm_history *history, unsigned index)
{
	MUST(index < HISTORY_STEPS);
	return &history->steps[(history->step + index) % HISTORY_STEPS];
}
