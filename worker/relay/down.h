/* on_down: close - the relays of a server that goes down are ended, so that their clients come back to another.
 */
#ifndef PROXYD_WORKER_RELAY_DOWN_H
#define PROXYD_WORKER_RELAY_DOWN_H

struct down_watch;
struct relays;

/* Watches from now on, looking ten times a second; NULL when no backend asks for it. Exits on no memory: made at a
 * worker's start. */
struct down_watch *down_watch_new(struct relays *relays);
void down_watch_free(struct down_watch *watch);

#endif
