/* When a server changes from up to down and back: rise and fall, as a pure function.
 */
#ifndef PROXYD_WORKER_CHECKER_STATE_H
#define PROXYD_WORKER_CHECKER_STATE_H

#include <stdbool.h>
#include <stdint.h>

#include "common/shm.h"

struct check_state {
	enum health health;
	uint32_t streak; /* checks in a row that spoke against health */
	uint32_t checks; /* done so far; stays at its maximum */
};

enum check_target {
	TARGET_UNCHECKED,  /* its backend has no active check */
	TARGET_UNRESOLVED, /* it has no address */
	TARGET_CHECKED,
};

/* What a checker that starts makes of the state it finds: that of its predecessor stays, a server that
 * was never checked is up on probation. */
void check_state_begin(struct check_state *state, enum check_target target);

/* One check was good or bad. `rise` good ones in a row bring a server up, `fall` bad ones down; on
 * probation, which ends with the first check, one bad one is enough. Returns true when health changed. */
bool check_state_step(struct check_state *state, bool good, uint32_t rise, uint32_t fall);

#endif
