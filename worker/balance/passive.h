/* Passive health: what the workers themselves learn of a server from connects that fail and from resets
 * that come instead of an answer. In shared memory, so that all workers see it.
 */
#ifndef PROXYD_WORKER_BALANCE_PASSIVE_H
#define PROXYD_WORKER_BALANCE_PASSIVE_H

#include <stdbool.h>
#include <stdint.h>

struct conf_backend;
struct shm;

/* A connect to server (index in the backend) failed, or the server reset a connection before the first byte
 * of its answer (the caller passes on nothing else: not a reset that the client caused by its own).
 *
 * max_fails of these within window, with no passive_worked in between, eject the server: for eject the
 * first time, for twice as long each further time, up to 32 times. Never ejected is the last server that
 * can be chosen, nor more than max_ejected percent of the backend's (though one of two or more always can
 * be, unless that is 0). While a server is ejected its failures do not count: they are the rest of what
 * ejected it, or panic mode's.
 *
 * Returns 0, or the milliseconds for which this failure ejected it: the caller logs it, the backend's epoch
 * has moved. */
uint32_t passive_failed(
	const struct conf_backend *conf, struct shm *shm, uint32_t server, uint64_t now_ms);

/* The server works: the first byte of an answer came, or a relay ended in order without one. (A connect
 * that was accepted says too little: a server that accepts and then resets would never be ejected.) The
 * failures counted so far are forgotten; how often it was ejected is, when it has not failed for a whole
 * window since the last ejection ended. Cheap when there is nothing to forget. */
void passive_worked(
	const struct conf_backend *conf, struct shm *shm, uint32_t server, uint64_t now_ms);

/* A connect to it worked. */
void passive_connected(
	const struct conf_backend *conf, struct shm *shm, uint32_t server, uint64_t now_ms);

/* The last that was heard of it, at most ten seconds ago, is that a connect worked: nothing failed since. Whether
 * there is passive health or not, and whether it could be ejected or not. */
bool passive_proven(
	const struct conf_backend *conf, struct shm *shm, uint32_t server, uint64_t now_ms);

bool passive_ejected(
	const struct conf_backend *conf, struct shm *shm, uint32_t server, uint64_t now_ms);

#endif
