/* The command line: what to do, with which configuration, and what it says over the file.
 */
#ifndef PROXYD_MASTER_OPTIONS_H
#define PROXYD_MASTER_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include "common/must.h"
#include "conf/load.h"

#define OPTIONS_CONFIG_DEFAULT "/etc/proxyd/proxyd.yaml"

enum options_action {
	ACTION_RUN,
	ACTION_CHECK, /* -t */
	ACTION_DUMP,  /* -T */
	ACTION_HELP,
	ACTION_VERSION,
};

enum options_source {
	SOURCE_DEFAULT_FILE, /* nothing said: OPTIONS_CONFIG_DEFAULT */
	SOURCE_FILE,
	SOURCE_QUICK, /* -f and -p, or --listen and --forward */
	SOURCE_DEMO,
};

/* Strings point into argv or into memory that is kept for the life of the process. */
struct options {
	enum options_action action;
	enum options_source source;
	const char *config;
	const char *listen;
	size_t nforward;
	const char **forward;
	const char *balance;
	struct conf_overrides overrides;
	bool daemon;
};

/* Returns -1 when the command line is wrong; the one line that says why is then on stderr. */
MUST_USE int options_parse(int argc, char *argv[], struct options *options_r);

void options_help(FILE *to);
void options_version(FILE *to);

#endif
