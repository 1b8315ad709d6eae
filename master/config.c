/* Counting the holders, and the files behind the logs.
 */
#include "master/config.h"

#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/log.h"
#include "common/memory.h"
#include "common/sink.h"
#include "conf/conf.h"

struct config *config_new(struct conf *conf)
{
	struct config *config = memory_or_exit(calloc(1, sizeof(*config)), "configuration");

	config->conf = conf;
	config->holders = 1;
	return config;
}

struct config *config_hold(struct config *config)
{
	config->holders++;
	return config;
}

void config_release(struct config *config)
{
	if (config == NULL || --config->holders > 0)
		return;
	if (config->access_log != NULL)
		sink_close(config->access_log);
	if (config->log != NULL)
		sink_close(config->log);
	conf_free(config->conf);
	free(config);
	/* Every child that is forked from now on would carry what the reload needed. */
	malloc_trim(0);
}

static struct sink *config_open_sink(const char *key, const char *to, char *why, size_t why_bytes)
{
	const char *error;
	struct sink *sink = sink_open(to, &error);

	if (sink == NULL)
		snprintf(why, why_bytes, "%s: cannot open %s: %s", key, to, error);
	return sink;
}

int config_open_logs(struct config *config, char *why, size_t why_bytes)
{
	const struct conf_global *global = &config->conf->global;

	config->log = config_open_sink("global.log", global->log.to, why, why_bytes);
	if (config->log == NULL)
		return -1;
	if (strcmp(global->access_log.to, "off") == 0)
		return 0;
	config->access_log =
		config_open_sink("global.access_log", global->access_log.to, why, why_bytes);
	if (config->access_log == NULL)
		return -1;
	log_lost_lines(config->access_log, global->access_log.format);
	return 0;
}

static int config_reopen_sink(
	const char *key, struct sink *sink, const char *to, char *why, size_t why_bytes)
{
	const char *error;

	if (sink == NULL || sink_reopen(sink, to, &error) == 0)
		return 0;
	snprintf(why + strlen(why), why_bytes - strlen(why), "%s%s: %s", why[0] != '\0' ? "; " : "",
		key, error);
	return -1;
}

static bool config_is_file(const struct sink *sink, const char *to)
{
	return sink != NULL && strcmp(to, "stderr") != 0 && strcmp(to, "syslog") != 0;
}

int config_reopen_logs(struct config *config, bool *files_r, char *why, size_t why_bytes)
{
	const struct conf_global *global = &config->conf->global;
	int result = 0;

	*files_r = config_is_file(config->log, global->log.to) ||
		config_is_file(config->access_log, global->access_log.to);
	why[0] = '\0';
	if (config_reopen_sink("global.log", config->log, global->log.to, why, why_bytes) < 0)
		result = -1;
	if (config_reopen_sink("global.access_log", config->access_log, global->access_log.to, why,
		    why_bytes) < 0)
		result = -1;
	return result;
}
