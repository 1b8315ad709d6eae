/* Two arrays, as long as the highest place of the configuration.
 */
#include "worker/relay/places.h"

#include <stddef.h>
#include <stdlib.h>

#include "common/memory.h"
#include "conf/conf.h"

struct places {
	const struct conf_frontend **frontends;
	struct placed_server *servers;
	uint32_t nfrontends;
	uint32_t nservers;
};

static void *places_alloc(size_t count, size_t bytes)
{
	return memory_or_exit(calloc(count + 1, bytes), "no memory for places");
}

static void places_fill_frontends(struct places *places, const struct conf *conf)
{
	for (size_t i = 0; i < conf->nfrontends; i++) {
		if (conf->frontends[i].place >= places->nfrontends)
			places->nfrontends = conf->frontends[i].place + 1;
	}
	places->frontends = places_alloc(places->nfrontends, sizeof(struct conf_frontend *));
	for (size_t i = 0; i < conf->nfrontends; i++)
		places->frontends[conf->frontends[i].place] = &conf->frontends[i];
}

static void places_fill_servers(struct places *places, const struct conf_backend *backend)
{
	for (size_t i = 0; i < backend->nservers; i++) {
		struct placed_server *at = &places->servers[backend->servers[i].place];

		at->backend = backend;
		at->server = &backend->servers[i];
	}
}

struct places *places_new(const struct conf *conf)
{
	struct places *places = places_alloc(1, sizeof(*places));

	places_fill_frontends(places, conf);
	for (size_t i = 0; i < conf->nbackends; i++) {
		for (size_t k = 0; k < conf->backends[i].nservers; k++) {
			if (conf->backends[i].servers[k].place >= places->nservers)
				places->nservers = conf->backends[i].servers[k].place + 1;
		}
	}
	places->servers = places_alloc(places->nservers, sizeof(places->servers[0]));
	for (size_t i = 0; i < conf->nbackends; i++)
		places_fill_servers(places, &conf->backends[i]);
	return places;
}

void places_free(struct places *places)
{
	free(places->frontends);
	free(places->servers);
	free(places);
}

const struct conf_frontend *places_frontend(const struct places *places, uint32_t place)
{
	return place < places->nfrontends ? places->frontends[place] : NULL;
}

const struct placed_server *places_server(const struct places *places, uint32_t place)
{
	if (place >= places->nservers || places->servers[place].server == NULL)
		return NULL;
	return &places->servers[place];
}
