/* The commands that change which servers there are, and the one that shows what is in force.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/shm.h"
#include "conf/conf.h"
#include "conf/edit.h"
#include "conf/find.h"
#include "conf/load.h"
#include "master/control/handlers.h"

/* ------------------------------------------------------------------ add, del */

static int config_edit(struct control_request *request, const char *line, bool close)
{
	const struct control_actions *actions = request->actions;
	const char *why = actions->edit(line, close, request->waiter, actions->arg);

	request->later = why == NULL;
	return why == NULL ? 0 : control_fail(request, "%s", why);
}

/* What is wrong with it is said by who loads the configuration that it makes. */
int verb_add_server(struct control_request *request)
{
	char line[CONF_EDIT_BYTES] = "add";
	size_t len = strlen(line);

	if (request->narguments < 2 || strchr(request->arguments[0], '/') == NULL)
		return control_fail(request, "usage: add server BACKEND/NAME ADDR [KEY=VALUE]...");
	for (size_t i = 0; i < request->narguments && len < sizeof(line); i++)
		len += (size_t)snprintf(
			line + len, sizeof(line) - len, " %s", request->arguments[i]);
	if (len >= sizeof(line))
		return control_fail(request, "usage: this is longer than %zu bytes", sizeof(line));
	return config_edit(request, line, false);
}

int verb_del_server(struct control_request *request)
{
	const struct conf *conf = request->source->conf;
	const struct conf_backend *backend;
	const struct conf_server *server;
	char line[CONF_EDIT_BYTES];

	if (request->argument == NULL || strchr(request->argument, '/') == NULL)
		return control_fail(request, "usage: del server BACKEND/SERVER [--close]");
	server = conf_find_written(conf, request->argument, &backend);
	if (backend == NULL)
		return control_fail(request, "there is no such backend: `show servers` lists them");
	if (server == NULL)
		return control_fail(request,
			"backend %s has no such server: `show servers` lists them; NAME#1 is one of "
			"those that NAME stands for, and goes with it",
			backend->name);
	if (conf_edit_del(backend, server, line) < 0)
		return control_fail(request, "the names are too long");
	return config_edit(request, line, request->line->noptions > 0);
}

/* ------------------------------------------------------------------ show config */

static enum conf_server_state config_state(uint32_t state)
{
	switch (state) {
	case ADMIN_DRAIN:
		return SERVER_DRAIN;
	case ADMIN_MAINT:
		return SERVER_MAINT;
	default:
		return SERVER_READY;
	}
}

/* What `set server` says of it. Of those that a name stands for each has its own: the file cannot say it. */
static void config_set(
	struct shm *shm, const struct conf_backend *backend, struct conf_server *written)
{
	for (size_t i = 0; i < backend->nservers; i++) {
		const struct conf_server *server = &backend->servers[i];
		const struct shm_admin *admin = &shm_master(shm)->admin[server->place];

		if (server->dynamic || strcmp(server->name, written->name) != 0)
			continue;
		written->state = config_state(admin->state);
		written->weight = admin->weight;
		written->maxconn = admin->maxconn;
		return;
	}
}

static struct conf_server *config_servers(struct shm *shm, const struct conf_backend *backend)
{
	struct conf_server *servers = calloc(backend->nwritten + 1, sizeof(*servers));

	if (servers == NULL)
		return NULL;
	for (size_t i = 0; i < backend->nwritten; i++) {
		servers[i] = backend->written[i];
		config_set(shm, backend, &servers[i]);
	}
	return servers;
}

/* Whatever was allocated of it, also after a failure. */
static void config_free_backends(struct conf *conf)
{
	for (size_t i = 0; conf->backends != NULL && i < conf->nbackends; i++)
		free(conf->backends[i].written);
	free(conf->backends);
}

/* As it serves, in a copy of what can be set. */
static int config_print(const struct view_source *source, FILE *to)
{
	struct conf conf = *source->conf;
	int result = 0;

	conf.backends = calloc(conf.nbackends + 1, sizeof(*conf.backends));
	for (size_t i = 0; conf.backends != NULL && i < conf.nbackends; i++) {
		conf.backends[i] = source->conf->backends[i];
		conf.backends[i].written = config_servers(source->shm, &source->conf->backends[i]);
		if (conf.backends[i].written == NULL)
			result = -1;
	}
	if (conf.backends == NULL)
		result = -1;
	if (result == 0)
		conf_dump(&conf, to);
	config_free_backends(&conf);
	return result;
}

int verb_config(struct control_request *request)
{
	char *text = NULL;
	size_t len;
	FILE *to = open_memstream(&text, &len);
	int result;

	if (to == NULL)
		return -1;
	result = config_print(request->source, to);
	if (fclose(to) != 0)
		result = -1;
	if (result == 0)
		result = control_text(request, "config", text, len);
	free(text);
	return result;
}
