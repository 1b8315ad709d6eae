/* Rise and fall. Where the state lies, and who is told of a change, is check.c's. */
#include "worker/checker/state.h"

#include "common/must.h"

static void check_state_reset(struct check_state *state, enum health health)
{
	state->health = health;
	state->streak = 0;
	state->checks = 0;
}

void check_state_begin(struct check_state *state, enum check_target target)
{
	switch (target) {
	case TARGET_UNCHECKED:
		check_state_reset(state, HEALTH_NOCHECK);
		break;
	case TARGET_UNRESOLVED:
		check_state_reset(state, HEALTH_DOWN);
		break;
	case TARGET_CHECKED:
		if (state->health == HEALTH_NOCHECK || state->checks == 0)
			check_state_reset(state, HEALTH_UP);
		break;
	}
}

bool check_state_step(struct check_state *state, bool good, uint32_t rise, uint32_t fall)
{
	bool up = state->health == HEALTH_UP;
	bool probation = state->checks == 0 && up;
	uint32_t needed = up ? fall : rise;

	MUST(state->health != HEALTH_NOCHECK);
	if (state->checks < UINT32_MAX)
		state->checks++;
	if (good == up) {
		state->streak = 0;
		return false;
	}
	state->streak++;
	if (state->streak < needed && !probation)
		return false;
	state->health = up ? HEALTH_DOWN : HEALTH_UP;
	state->streak = 0;
	return true;
}
