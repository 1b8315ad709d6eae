/* What a server is, for people and programs, from what lies of it in shared memory.
 */
#ifndef PROXYD_COMMON_SERVER_STATE_H
#define PROXYD_COMMON_SERVER_STATE_H

#include <stdbool.h>
#include <stdint.h>

struct shm;

enum server_state {
	SERVER_STATE_UP,
	SERVER_STATE_DOWN,
	SERVER_STATE_DRAIN,
	SERVER_STATE_MAINT,
	SERVER_STATE_NOCHECK, /* taken for up */
	SERVER_STATE_ABSENT,  /* the name has fewer addresses than that */
	SERVER_STATES,
};

/* What the operator took out of service says so, whatever its checks say. */
enum server_state server_state(struct shm *shm, uint32_t place);

/* "up". */
const char *server_state_name(enum server_state state);

/* It is not chosen for now, for connects to it failed; while others work. */
bool server_is_ejected(struct shm *shm, uint32_t place, uint64_t now_ms);

/* Whether it can be chosen, ejected or not. */
bool server_is_usable(struct shm *shm, uint32_t place);

#endif
