/* Counting the holders, and the files behind the logs.
 */
#include "master/config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "common/child.h"
#include "common/log.h"
#include "common/sink.h"
#include "conf/conf.h"

struct config *config_new(struct conf *conf)
{
	struct config *config = calloc(1, sizeof(*config));

	if (config == NULL) {
		log_fatal("configuration");
		exit(EXIT_CODE_FAILED);
	}
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
	return config->access_log != NULL ? 0 : -1;
}

static bool config_sink_moved(const struct sink *sink, const char *to)
{
	struct stat here, there;
	int fds[2];

	if (sink == NULL || strcmp(to, "stderr") == 0 || strcmp(to, "syslog") == 0)
		return false;
	if (sink_fds(sink, fds) == 0 || fstat(fds[0], &here) < 0)
		return false;
	return stat(to, &there) < 0 || here.st_ino != there.st_ino || here.st_dev != there.st_dev;
}

bool config_logs_moved(const struct config *config)
{
	const struct conf_global *global = &config->conf->global;

	return config_sink_moved(config->log, global->log.to) ||
		config_sink_moved(config->access_log, global->access_log.to);
}
