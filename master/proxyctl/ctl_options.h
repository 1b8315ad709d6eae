/* proxyctl's own command line: its options, which may stand anywhere, and the words that are the daemon's.
 */
#ifndef PROXYD_MASTER_PROXYCTL_CTL_OPTIONS_H
#define PROXYD_MASTER_PROXYCTL_CTL_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "master/proxyctl/ctl.h"
#include "master/proxyctl/terminal.h"

#define OPTIONS_WORDS_MAX 64

struct option_row {
	const char *name;  /* without its two dashes */
	char letter;       /* '\0': none */
	const char *value; /* what follows; NULL: nothing */
	const char *help;
};

struct ctl_options {
	const char *socket; /* borrowed from argv; NULL: the usual places */
	bool json;
	bool no_header;
	enum terminal_color color;
	uint32_t watch_ms;   /* 0: once */
	uint32_t timeout_ms; /* 0: as long as the command may take */
	bool version;
	bool help;
	size_t nwords;
	const char *words[OPTIONS_WORDS_MAX]; /* borrowed from argv */
};

const struct option_row *ctl_options_rows(size_t *n_r);

/* The option that word is, if any: --name, --name=value, -x, -xvalue. *value_r: what stands in the word itself;
 * NULL: nothing. */
const struct option_row *ctl_options_find(const char *word, const char **value_r);

/* argv without the program's name. */
MUST_USE enum ctl_exit ctl_options_parse(
	int argc, char *const argv[], struct ctl_options *options_r, struct ctl_why *why_r);

#endif
