/* Reads the command line.
 */
#include "master/proxyctl/ctl_options.h"

#include <stdlib.h>
#include <string.h>

#include "common/must.h"
#include "master/control/rundir.h"

enum option_id {
	OPTION_SOCKET,
	OPTION_JSON,
	OPTION_NO_HEADER,
	OPTION_WATCH,
	OPTION_COLOR,
	OPTION_TIMEOUT,
	OPTION_VERSION,
	OPTION_HELP,
};

static const struct option_row option_rows[] = {
	[OPTION_SOCKET] = { "socket", 's', "SOCKET",
		"the control socket (else in /run/proxyd, $XDG_RUNTIME_DIR/proxyd,\n"
		"/tmp/proxyd-UID: the first where somebody answers)" },
	[OPTION_JSON] = { "json", '\0', NULL, "JSON instead of a table" },
	[OPTION_NO_HEADER] = { "no-header", '\0', NULL, "a table without its headings" },
	[OPTION_WATCH] = { "watch", 'w', "SECONDS",
		"again and again, until Ctrl-C; of top: its interval" },
	[OPTION_COLOR] = { "color", '\0', "auto|always|never",
		"colours; auto: on a terminal, unless NO_COLOR is set" },
	[OPTION_TIMEOUT] = { "timeout", 't', "SECONDS",
		"how long the daemon may be silent (10, where it takes longer 120)" },
	[OPTION_VERSION] = { "version", 'V', NULL, "the version" },
	[OPTION_HELP] = { "help", 'h', NULL, "this; `help COMMAND` of one command" },
};

const struct option_row *ctl_options_rows(size_t *n_r)
{
	*n_r = NELEMS(option_rows);
	return option_rows;
}

const struct option_row *ctl_options_find(const char *word, const char **value_r)
{
	*value_r = NULL;
	for (size_t i = 0; i < NELEMS(option_rows); i++) {
		const struct option_row *row = &option_rows[i];
		const size_t len = strlen(row->name);

		if (strncmp(word, "--", 2) == 0 && strncmp(word + 2, row->name, len) == 0 &&
			(word[2 + len] == '\0' || word[2 + len] == '=')) {
			*value_r = word[2 + len] == '=' ? word + 3 + len : NULL;
			return row;
		}
		if (word[0] == '-' && row->letter != '\0' && word[1] == row->letter) {
			*value_r = word[2] != '\0' ? word + 2 : NULL;
			return row;
		}
	}
	return NULL;
}

/* "2", "0.5": 0.1 to a day. */
static enum ctl_exit ctl_options_seconds(
	const struct option_row *row, const char *text, uint32_t *ms_r, struct ctl_why *why_r)
{
	char *end;
	double seconds = strtod(text, &end);

	/* Not a number, too: all comparisons with it are false. */
	if (end == text || *end != '\0' || !(seconds >= 0.1 && seconds <= 86400))
		return ctl_why(
			why_r, CTL_USAGE, "--%s %s: seconds are 0.1 to 86400", row->name, text);
	*ms_r = (uint32_t)(seconds * 1000);
	return CTL_DONE;
}

static enum ctl_exit ctl_options_color(
	const char *text, enum terminal_color *color_r, struct ctl_why *why_r)
{
	static const char *const names[] = {
		[COLOR_AUTO] = "auto", [COLOR_ALWAYS] = "always", [COLOR_NEVER] = "never"
	};

	for (size_t i = 0; i < NELEMS(names); i++) {
		if (strcmp(text, names[i]) == 0) {
			*color_r = (enum terminal_color)i;
			return CTL_DONE;
		}
	}
	return ctl_why(why_r, CTL_USAGE, "--color %s: one of auto, always, never", text);
}

static enum ctl_exit ctl_options_socket(
	const char *path, const char **socket_r, struct ctl_why *why_r)
{
	const size_t len = strlen(path);

	if (len == 0 || len >= RUNDIR_PATH_BYTES)
		return ctl_why(why_r, CTL_USAGE,
			"the path of a socket has 1 to %d bytes (the kernel's limit), this one has %zu",
			RUNDIR_PATH_BYTES - 1, len);
	*socket_r = path;
	return CTL_DONE;
}

static enum ctl_exit ctl_options_take(struct ctl_options *options, const struct option_row *row,
	const char *value, struct ctl_why *why_r)
{
	switch ((enum option_id)(row - option_rows)) {
	case OPTION_SOCKET:
		return ctl_options_socket(value, &options->socket, why_r);
	case OPTION_JSON:
		options->json = true;
		break;
	case OPTION_NO_HEADER:
		options->no_header = true;
		break;
	case OPTION_WATCH:
		return ctl_options_seconds(row, value, &options->watch_ms, why_r);
	case OPTION_COLOR:
		return ctl_options_color(value, &options->color, why_r);
	case OPTION_TIMEOUT:
		return ctl_options_seconds(row, value, &options->timeout_ms, why_r);
	case OPTION_VERSION:
		options->version = true;
		break;
	case OPTION_HELP:
		options->help = true;
		break;
	}
	return CTL_DONE;
}

static enum ctl_exit ctl_options_add_word(
	struct ctl_options *options, const char *word, struct ctl_why *why_r)
{
	if (word[0] == '\0' || word[strcspn(word, " \t\r\n")] != '\0')
		return ctl_why(why_r, CTL_USAGE,
			"'%s': a word has no blanks; see `proxyctl --help`", word);
	if (word[0] == '-' && options->nwords == 0)
		return ctl_why(
			why_r, CTL_USAGE, "there is no option %s; see `proxyctl --help`", word);
	if (options->nwords == NELEMS(options->words))
		return ctl_why(why_r, CTL_USAGE, "the command has too many words");
	options->words[options->nwords++] = word;
	return CTL_DONE;
}

enum ctl_exit ctl_options_parse(
	int argc, char *const argv[], struct ctl_options *options_r, struct ctl_why *why_r)
{
	enum ctl_exit code = CTL_DONE;
	bool over = false;

	*options_r = (struct ctl_options){ 0 };
	for (int i = 0; i < argc && code == CTL_DONE; i++) {
		const struct option_row *row;
		const char *value;

		if (!over && strcmp(argv[i], "--") == 0) {
			over = true;
			continue;
		}
		row = over ? NULL : ctl_options_find(argv[i], &value);
		if (row == NULL) {
			code = ctl_options_add_word(options_r, argv[i], why_r);
			continue;
		}
		if (row->value == NULL && value != NULL)
			return ctl_why(
				why_r, CTL_USAGE, "%s: --%s takes no value", argv[i], row->name);
		if (row->value != NULL && value == NULL && ++i < argc)
			value = argv[i];
		if (row->value != NULL && value == NULL)
			return ctl_why(why_r, CTL_USAGE, "--%s needs %s", row->name, row->value);
		code = ctl_options_take(options_r, row, value != NULL ? value : "", why_r);
	}
	return code;
}
