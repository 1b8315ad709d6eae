/* Intervals and their jitter. What keeps to them is check.c. */
#include "worker/checker/schedule.h"

#include "conf/conf.h"
#include "worker/checker/state.h"

static uint32_t schedule_base_ms(const struct conf_check *conf, const struct check_state *state)
{
	if (state->streak > 0 && conf->fastinter_ms > 0)
		return conf->fastinter_ms;
	if (state->streak == 0 && state->health == HEALTH_DOWN && conf->downinter_ms > 0)
		return conf->downinter_ms;
	return conf->inter_ms;
}

uint32_t schedule_interval_ms(
	const struct conf_check *conf, const struct check_state *state, uint64_t random)
{
	uint64_t base_ms = schedule_base_ms(conf, state);
	uint64_t spread_ms = base_ms * conf->spread_pct / 100;

	return (uint32_t)(base_ms + ((random >> 32) * (spread_ms + 1) >> 32));
}

/* splitmix64 */
uint64_t schedule_random(uint64_t *random)
{
	uint64_t x = *random += 0x9e3779b97f4a7c15ULL;

	x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9ULL;
	x = (x ^ x >> 27) * 0x94d049bb133111ebULL;
	return x ^ x >> 31;
}
