/* A walk from the first to the last: an operator asks, one at a time.
 */
#include "conf/find.h"

#include <string.h>

#include "conf/conf.h"

/* Gives the rest of the name, behind the slash. */
static const struct conf_backend *find_backend(
	const struct conf *conf, const char *name, const char **server_r)
{
	const char *slash = strchr(name, '/');
	const size_t len = slash != NULL ? (size_t)(slash - name) : 0;

	for (size_t i = 0; slash != NULL && i < conf->nbackends; i++) {
		const struct conf_backend *backend = &conf->backends[i];

		if (strncmp(backend->name, name, len) == 0 && backend->name[len] == '\0') {
			*server_r = slash + 1;
			return backend;
		}
	}
	return NULL;
}

static const struct conf_server *find_server(
	const struct conf_server *servers, size_t nservers, const char *name)
{
	for (size_t i = 0; i < nservers; i++) {
		if (strcmp(servers[i].name, name) == 0)
			return &servers[i];
	}
	return NULL;
}

const struct conf_server *conf_find_server(
	const struct conf *conf, const char *name, const struct conf_backend **backend_r)
{
	const struct conf_backend *backend = find_backend(conf, name, &name);

	*backend_r = backend;
	return backend != NULL ? find_server(backend->servers, backend->nservers, name) : NULL;
}

const struct conf_server *conf_find_written(
	const struct conf *conf, const char *name, const struct conf_backend **backend_r)
{
	const struct conf_backend *backend = find_backend(conf, name, &name);

	*backend_r = backend;
	return backend != NULL ? find_server(backend->written, backend->nwritten, name) : NULL;
}
