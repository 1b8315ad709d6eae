/* Servers of a configuration by BACKEND/SERVER, as people name them.
 */
#ifndef PROXYD_CONF_FIND_H
#define PROXYD_CONF_FIND_H

struct conf;
struct conf_backend;
struct conf_server;

/* As it serves, or as the file has it. NULL: there is none; *backend_r then is its backend, or NULL. */
const struct conf_server *conf_find_server(
	const struct conf *conf, const char *name, const struct conf_backend **backend_r);
const struct conf_server *conf_find_written(
	const struct conf *conf, const char *name, const struct conf_backend **backend_r);

#endif
