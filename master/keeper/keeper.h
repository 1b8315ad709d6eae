/* The keeper: second holder of every relay's sockets, of the listeners and of the shared memory. keeper_main
 * (common/child.h) is these three; a test runs them in a loop of its own.
 */
#ifndef PROXYD_MASTER_KEEPER_KEEPER_H
#define PROXYD_MASTER_KEEPER_KEEPER_H

#include <stdbool.h>

#include "common/must.h"

struct child;
struct event_base;
struct keeper;

/* child is borrowed, its fds are taken over. Exits on no memory (start of a process). Then says C2M_READY. */
struct keeper *keeper_new(struct event_base *base, const struct child *child);
void keeper_free(struct keeper *keeper); /* closes all it keeps */

/* Whether there is nothing left to do; *code_r is then what to exit with. */
bool keeper_over(const struct keeper *keeper, int *code_r);

#endif
