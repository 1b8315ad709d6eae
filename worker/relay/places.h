/* From a place in shared memory to what this worker's configuration has there.
 */
#ifndef PROXYD_WORKER_RELAY_PLACES_H
#define PROXYD_WORKER_RELAY_PLACES_H

#include <stdint.h>

struct conf;
struct conf_backend;
struct conf_frontend;
struct conf_server;
struct places;

struct placed_server {
	const struct conf_backend *backend;
	const struct conf_server *server;
};

/* conf is borrowed. Exits on no memory: made at a worker's start. */
struct places *places_new(const struct conf *conf);
void places_free(struct places *places);

/* NULL when the configuration has none there; any place may be asked for. */
const struct conf_frontend *places_frontend(const struct places *places, uint32_t place);
const struct placed_server *places_server(const struct places *places, uint32_t place);

#endif
