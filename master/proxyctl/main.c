/* proxyctl: says one command to the daemon and shows what it answers. The words are the daemon's; only where
 * the socket is, who may use it, how it looks and how it went is known here.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "master/proxyctl/client.h"
#include "master/proxyctl/commands.h"
#include "master/proxyctl/complete.h"
#include "master/proxyctl/ctl_options.h"
#include "master/proxyctl/help.h"
#include "master/proxyctl/terminal.h"
#include "master/proxyctl/top.h"
#include "master/proxyctl/watch.h"

#define MAIN_LONG_MS  120000 /* for what is answered when it is done */
#define MAIN_LINE_MAX 4096

/* ------------------------------------------------------------------ the line */

/* How the answer is to look, for the daemon lays it out. */
static const char *main_line(const struct ctl_options *options, uint32_t columns)
{
	static char line[MAIN_LINE_MAX + 64];
	size_t len = 0;

	for (size_t i = 0; i < options->nwords; i++)
		len += (size_t)snprintf(line + len, sizeof(line) - len, "%s%s", i > 0 ? " " : "",
			options->words[i]);
	if (options->json)
		len += (size_t)snprintf(line + len, sizeof(line) - len, " --json");
	if (options->no_header)
		len += (size_t)snprintf(line + len, sizeof(line) - len, " --no-header");
	if (terminal_colors(options->color))
		len += (size_t)snprintf(line + len, sizeof(line) - len, " --color");
	if (columns > 0)
		len += (size_t)snprintf(
			line + len, sizeof(line) - len, " --width=%u", (unsigned)columns);
	snprintf(line + len, sizeof(line) - len, "\n");
	return line;
}

static enum ctl_exit main_check_length(const struct ctl_options *options, struct ctl_why *why_r)
{
	size_t len = 0;

	for (size_t i = 0; i < options->nwords; i++)
		len += strlen(options->words[i]) + 1;
	if (len >= MAIN_LINE_MAX - 64)
		return ctl_why(why_r, CTL_USAGE, "the command is too long");
	return CTL_DONE;
}

static bool main_takes_file(const char *word)
{
	return strcmp(word, "diff") == 0 || strcmp(word, "upgrade") == 0;
}

/* A file is named from where we are, the daemon is somewhere else. What is found is kept until the end. */
static enum ctl_exit main_find_files(struct ctl_options *options, struct ctl_why *why_r)
{
	for (size_t i = 1; i < options->nwords && main_takes_file(options->words[0]); i++) {
		char *found;

		if (options->words[i][0] == '-')
			continue;
		found = realpath(options->words[i], NULL);
		if (found == NULL)
			return ctl_why(
				why_r, CTL_FAILED, "%s: %s", options->words[i], strerror(errno));
		if (found[strcspn(found, " \t\r\n")] != '\0') {
			ctl_why(why_r, CTL_USAGE, "'%s': a word has no blanks", found);
			free(found);
			return CTL_USAGE;
		}
		options->words[i] = found;
	}
	return CTL_DONE;
}

/* Some commands are answered when it is done. */
static uint32_t main_patience_ms(const struct ctl_options *options)
{
	static const char *const longer[] = { "reload", "rollback", "upgrade", "add", "del" };

	if (options->timeout_ms > 0)
		return options->timeout_ms;
	for (size_t i = 0; i < NELEMS(longer); i++)
		if (strcmp(options->words[0], longer[i]) == 0)
			return MAIN_LONG_MS;
	return CLIENT_PATIENCE_MS;
}

/* ------------------------------------------------------------------ one question */

static void main_write(struct terminal_filter *filter, const char *text, size_t len, FILE *to)
{
	if (terminal_is())
		terminal_write(filter, text, len, to);
	else
		fwrite(text, 1, len, to);
}

/* What is an answer goes to standard output as it comes, what is none to stderr. */
static enum ctl_exit main_show(
	struct client *client, const struct ctl_options *options, struct ctl_why *why_r)
{
	struct terminal_filter filter = { .color = terminal_colors(options->color) };
	char start[CLIENT_START] = "";
	char buf[16384];
	enum ctl_exit verdict;
	enum ctl_exit code;
	size_t got;
	FILE *to;

	code = client_read(client, start, sizeof(start) - 1, &got, why_r);
	if (code != CTL_DONE)
		return code;
	if (got == 0)
		return ctl_why(why_r, CTL_NOBODY, "%s: the connection was closed without an answer",
			client->path);
	verdict = client_verdict(start);
	to = verdict == CTL_DONE ? stdout : stderr;
	if (verdict != CTL_DONE && start[0] != '{')
		fprintf(to, "proxyctl: %s", start + strlen("error: "));
	else
		main_write(&filter, start, got, to);
	while (code == CTL_DONE && got > 0 && !ferror(to)) {
		code = client_read(client, buf, sizeof(buf), &got, why_r);
		main_write(&filter, buf, got, to);
	}
	return code != CTL_DONE ? code : verdict;
}

static enum ctl_exit main_ask(
	struct client *client, const struct ctl_options *options, struct ctl_why *why_r)
{
	uint32_t columns = 0, lines = 0;
	enum ctl_exit code;

	if (terminal_is())
		(void)terminal_size(&columns, &lines);
	code = client_open(client, why_r);
	if (code == CTL_DONE)
		code = client_send(client, main_line(options, columns), why_r);
	if (code == CTL_DONE)
		code = main_show(client, options, why_r);
	client_close(client);
	return code;
}

static enum ctl_exit main_watch(
	struct client *client, const struct ctl_options *options, struct ctl_why *why_r)
{
	struct watch watch = { .client = client, .options = options, .line = main_line };
	size_t nwords;
	const struct command *command = command_find(options->words, options->nwords, &nwords);

	/* What the daemon alone knows it may do. */
	if (command != NULL && !command_shows(command))
		return ctl_why(why_r, CTL_USAGE,
			"--watch is for what shows something; `%s` is done once", command->words);
	return watch_run(&watch, why_r);
}

/* ------------------------------------------------------------------ the command line */

static enum ctl_exit main_run(struct ctl_options *options, struct ctl_why *why_r)
{
	struct client client;
	enum ctl_exit code;

	if (options->version) {
		printf("proxyctl %s\n", PROXYD_VERSION);
		return CTL_DONE;
	}
	if (options->help ||
		(options->nwords == 1 && strcmp(options->words[0], "help") == 0 &&
			!options->json)) {
		help_print();
		return CTL_DONE;
	}
	if (options->nwords == 0)
		return ctl_why(why_r, CTL_USAGE, "no command; see `proxyctl --help`");
	if (strcmp(options->words[0], "help") == 0)
		return options->json
			? help_print_json(&options->words[1], options->nwords - 1, why_r)
			: help_print_commands(&options->words[1], options->nwords - 1, why_r);
	code = main_find_files(options, why_r);
	if (code == CTL_DONE)
		code = main_check_length(options, why_r);
	if (code != CTL_DONE)
		return code;
	client_init(&client, options->socket);
	client.patience_ms = main_patience_ms(options);
	if (options->nwords == 1 && strcmp(options->words[0], "top") == 0)
		return top_run(&client, options, why_r);
	return options->watch_ms > 0 ? main_watch(&client, options, why_r)
				     : main_ask(&client, options, why_r);
}

/* What was printed has to arrive; that nobody reads on is no news. */
static enum ctl_exit main_flush(enum ctl_exit code)
{
	if (fflush(stdout) == 0 && !ferror(stdout))
		return code;
	if (errno != EPIPE)
		perror("proxyctl: standard output");
	return code != CTL_DONE ? code : CTL_FAILED;
}

int main(int argc, char *argv[])
{
	static struct ctl_options options;
	static struct ctl_why why;
	enum ctl_exit code;

	if (argc > 1 && strcmp(argv[1], "--complete") == 0) {
		complete_print(argc - 2, argv + 2);
		return CTL_DONE;
	}
	code = ctl_options_parse(argc - 1, argv + 1, &options, &why);
	if (code == CTL_DONE)
		code = main_run(&options, &why);
	if (why.text[0] != '\0')
		fprintf(stderr, "proxyctl: %s\n", why.text);
	return (int)main_flush(code);
}
