/* Passive health: what the workers themselves learn of a server from connects that fail. In shared
 * memory, so that all workers see it.
 */
#ifndef PROXYD_WORKER_BALANCE_PASSIVE_H
#define PROXYD_WORKER_BALANCE_PASSIVE_H

#include <stdbool.h>
#include <stdint.h>

struct conf_backend;
struct shm;

/* A connect to server (index in the backend) failed. Returns true when that made it ejected: the caller
 * logs it, the backend's epoch has moved. */
bool passive_failed(
	const struct conf_backend *conf, struct shm *shm, uint32_t server, uint64_t now_ms);

/* A connect worked: the failures counted so far are forgotten. */
void passive_worked(const struct conf_backend *conf, struct shm *shm, uint32_t server);

bool passive_ejected(
	const struct conf_backend *conf, struct shm *shm, uint32_t server, uint64_t now_ms);

#endif
