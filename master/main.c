/* proxyd: from the command line to a configuration, and then to what was asked for.
 */
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/child.h"
#include "common/log.h"
#include "common/title.h"
#include "conf/conf.h"
#include "conf/load.h"
#include "master/change/program.h"
#include "master/daemonize.h"
#include "master/demo.h"
#include "master/master.h"
#include "master/options.h"

static struct conf *main_load(const struct options *options, const struct conf_overrides *overrides,
	struct demo *demo_r, struct conf_errors *errors)
{
	const struct conf_quick quick = {
		.listen = options->listen,
		.nforward = options->nforward,
		.forward = options->forward,
		.balance = options->balance,
	};

	switch (options->source) {
	case SOURCE_QUICK:
		return conf_load_quick(&quick, overrides, errors);
	case SOURCE_DEMO:
		return demo_load(demo_r, overrides, errors);
	case SOURCE_DEFAULT_FILE:
	case SOURCE_FILE:
		break;
	}
	return conf_load_file(options->config, overrides, errors);
}

static const char *main_source_name(const struct options *options)
{
	switch (options->source) {
	case SOURCE_QUICK:
		return "command line";
	case SOURCE_DEMO:
		return "demo";
	case SOURCE_DEFAULT_FILE:
	case SOURCE_FILE:
		break;
	}
	return options->config;
}

/* What the configuration came from, for as long as the process lives. */
struct main_source {
	const struct options *options;
	struct demo demo;
	char path[PATH_MAX]; /* of the file, absolute: a daemon goes to / */
};

static void main_refuse(struct conf_errors *errors, const char *why)
{
	errors->lines = calloc(1, sizeof(char *));
	if (errors->lines == NULL)
		return;
	errors->lines[0] = strdup(why);
	errors->count = errors->lines[0] != NULL ? 1 : 0;
}

static struct conf *main_load_again(struct conf_edits *edits, struct conf_errors *errors, void *arg)
{
	struct main_source *source = arg;
	const struct options *options = source->options;
	struct conf_overrides overrides = options->overrides;

	overrides.edits = edits;

	switch (options->source) {
	case SOURCE_DEMO:
		main_refuse(errors, "the demo has no configuration to be loaded again");
		return NULL;
	case SOURCE_DEFAULT_FILE:
	case SOURCE_FILE:
		if (strcmp(options->config, "-") == 0) {
			main_refuse(errors, "standard input: it cannot be read a second time");
			return NULL;
		}
		return conf_load_file(source->path, &overrides, errors);
	case SOURCE_QUICK:
		break;
	}
	return main_load(options, &overrides, &source->demo, errors);
}

static void on_demo_serving(void *arg)
{
	const struct main_source *source = arg;

	demo_explain(&source->demo, stdout);
}

/* What a daemon reads again must be found from /; else messages name the file as it was named. */
static void main_find_file(struct main_source *source)
{
	const char *path = source->options->config;
	char *found = NULL;

	if (path != NULL && source->options->daemon)
		found = realpath(path, NULL);
	snprintf(source->path, sizeof(source->path), "%s",
		found != NULL          ? found
			: path != NULL ? path
				       : "");
	free(found);
}

static enum exit_code main_act(struct main_source *source, struct conf *conf)
{
	const struct options *options = source->options;
	const struct master_ask ask = {
		.conf = conf,
		.load = main_load_again,
		.overrides = &options->overrides,
		.daemon = options->daemon,
		.control_optional =
			options->source == SOURCE_QUICK || options->source == SOURCE_DEMO,
		.on_serving = options->source == SOURCE_DEMO ? on_demo_serving : NULL,
		.arg = source,
	};

	program_begins();
	if (options->action == ACTION_RUN)
		return master_run(&ask);
	if (options->action == ACTION_DUMP)
		conf_dump(conf, stdout);
	else
		printf("%s: ok\n", main_source_name(options));
	conf_free(conf);
	return EXIT_CODE_OK;
}

static enum exit_code main_configured(const struct options *options)
{
	static struct main_source source;
	struct conf_errors errors = { 0 };
	struct conf *conf;
	enum exit_code result;

	if (options->source == SOURCE_DEFAULT_FILE && access(OPTIONS_CONFIG_DEFAULT, F_OK) < 0) {
		fprintf(stderr,
			"proxyd: there is no " OPTIONS_CONFIG_DEFAULT
			": name a file with -c, or try `proxyd --demo` or `proxyd -f PORT -p PORT`; "
			"see `proxyd --help`\n");
		return EXIT_CODE_USAGE;
	}
	source.options = options;
	main_find_file(&source);
	conf = main_load(options, &options->overrides, &source.demo, &errors);
	if (conf == NULL) {
		conf_errors_print(&errors, stderr);
		conf_errors_free(&errors);
		return EXIT_CODE_USAGE;
	}
	result = main_act(&source, conf);
	conf_errors_free(&errors);
	return result;
}

/* What was printed has to arrive: `proxyd -T > /dev/full` is no success. */
static int main_exit_code(enum exit_code result)
{
	if (fflush(stdout) == 0 && !ferror(stdout))
		return result;
	perror("proxyd: standard output");
	return result != EXIT_CODE_OK ? (int)result : EXIT_CODE_FAILED;
}

int main(int argc, char *argv[], char *envp[])
{
	static struct options
		options; /* lives as long as the process, for its strings are pointed to */
	enum exit_code result = EXIT_CODE_OK;

	daemonize_secure_stdio();
	program_init(argc, argv);
	title_init(argc, argv, envp);
	if (options_parse(argc, argv, &options) < 0)
		result = EXIT_CODE_USAGE;
	else if (options.action == ACTION_HELP)
		options_help(stdout);
	else if (options.action == ACTION_VERSION)
		options_version(stdout);
	else
		result = main_configured(&options);
	return main_exit_code(result);
}
