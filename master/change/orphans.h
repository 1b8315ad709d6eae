/* Children that are another master's, and then ours: the part of the supervisor that a takeover asks for. And the
 * successor of a keeper. process.h includes this; nobody else does.
 */
#ifndef PROXYD_MASTER_CHANGE_ORPHANS_H
#define PROXYD_MASTER_CHANGE_ORPHANS_H

#include <stdbool.h>

#include "common/must.h"

struct message;
struct supervisor;

void orphans_close(int *fd); /* idempotent */

/* ---- successor.c: one keeper is filled by the one before, with all that it has
 *
 *   wanted    it waits until nothing is on its way
 *   filling   the spare one was forked; M2K_HAND_OVER and M2K_INHERIT: what there is to say to a keeper is held back
 *   over      K2M_FILLED: it is the keeper, and hears what was held back; or it failed, and the old one hears it
 */
void successor_init(struct supervisor *supervisor);
void successor_deinit(struct supervisor *supervisor);
void successor_want(struct supervisor *supervisor);

/* The spare one was forked, it is dead. */
void successor_born(struct supervisor *supervisor);
void successor_ended(struct supervisor *supervisor);

/* K2M_FILLED. Returns -1 when it cannot be. */
MUST_USE int successor_filled(struct supervisor *supervisor);

/* Whether this is held back; then it is copied. */
bool successor_holds(struct supervisor *supervisor, const struct message *message);

/* The keeper is dead: whether its successor had it all is in what that one said. Else there is no successor. */
void successor_look(struct supervisor *supervisor);

/* The keeper is there, and no relay is on the move that would have to wait. */
bool supervisor_is_quiet(const struct supervisor *supervisor);

bool successor_is_pending(const struct supervisor *supervisor); /* wanted, or being filled */
bool successor_is_filling(const struct supervisor *supervisor);

/* There will be none. */
void successor_give_up(struct supervisor *supervisor, const char *why);

#endif
