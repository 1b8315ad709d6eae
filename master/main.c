/* proxyd: from the command line to a configuration, and then to what was asked for.
 */
#include <stdio.h>
#include <unistd.h>

#include "common/child.h"
#include "common/log.h"
#include "common/title.h"
#include "conf/conf.h"
#include "conf/load.h"
#include "master/daemonize.h"
#include "master/demo.h"
#include "master/master.h"
#include "master/options.h"

static struct conf *main_load(
	const struct options *options, struct demo *demo_r, struct conf_errors *errors)
{
	const struct conf_quick quick = {
		.listen = options->listen,
		.nforward = options->nforward,
		.forward = options->forward,
		.balance = options->balance,
	};

	switch (options->source) {
	case SOURCE_QUICK:
		return conf_load_quick(&quick, &options->overrides, errors);
	case SOURCE_DEMO:
		return demo_load(demo_r, &options->overrides, errors);
	case SOURCE_DEFAULT_FILE:
	case SOURCE_FILE:
		break;
	}
	return conf_load_file(options->config, &options->overrides, errors);
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

static void on_demo_serving(void *arg)
{
	demo_explain(arg, stdout);
}

static enum exit_code main_act(const struct options *options, struct conf *conf, struct demo *demo)
{
	const struct master_ask ask = {
		.conf = conf,
		.daemon = options->daemon,
		.control_optional =
			options->source == SOURCE_QUICK || options->source == SOURCE_DEMO,
		.on_serving = options->source == SOURCE_DEMO ? on_demo_serving : NULL,
		.arg = demo,
	};

	if (options->action == ACTION_DUMP) {
		conf_dump(conf, stdout);
		return EXIT_CODE_OK;
	}
	if (options->action == ACTION_CHECK) {
		printf("%s: ok\n", main_source_name(options));
		return EXIT_CODE_OK;
	}
	return master_run(&ask);
}

static enum exit_code main_configured(const struct options *options)
{
	struct conf_errors errors = { 0 };
	struct demo demo;
	struct conf *conf;
	enum exit_code result;

	if (options->source == SOURCE_DEFAULT_FILE && access(OPTIONS_CONFIG_DEFAULT, F_OK) < 0) {
		fprintf(stderr,
			"proxyd: there is no " OPTIONS_CONFIG_DEFAULT
			": name a file with -c, or try `proxyd --demo` or `proxyd -f PORT -p PORT`; "
			"see `proxyd --help`\n");
		return EXIT_CODE_USAGE;
	}
	conf = main_load(options, &demo, &errors);
	if (conf == NULL) {
		conf_errors_print(&errors, stderr);
		conf_errors_free(&errors);
		return EXIT_CODE_USAGE;
	}
	result = main_act(options, conf, &demo);
	conf_free(conf);
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
