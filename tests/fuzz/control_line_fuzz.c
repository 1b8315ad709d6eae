/* A line of the control socket: whatever a client sends becomes words, or is refused. And what an edit of servers may say: the
 * words of `add server`, done to a configuration, which is refused then or loads again as it is dumped. */
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/must.h"
#include "conf/conf.h"
#include "conf/edit.h"
#include "conf/load.h"
#include "master/control/line.h"
#include "master/control/verbs.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char base[] =
	"frontends: {f: {bind: ':1', backend: b}}\n"
	"backends: {b: {check: {type: tcp}, servers: {a: '127.0.0.1:2', c: '[::1]:3'}}}\n";

static void check_words(char *const *words, size_t count, const char *text, size_t len)
{
	for (size_t i = 0; i < count; i++) {
		MUST(words[i] >= text && words[i] <= text + len && words[i][0] != '\0');
		for (const char *at = words[i]; *at != '\0'; at++)
			MUST((unsigned char)*at > ' ' && *at != 0x7f);
	}
}

static void check_dump(const struct conf *conf)
{
	struct conf_errors errors = { 0 };
	char *text = NULL;
	size_t len = 0;
	FILE *to = open_memstream(&text, &len);
	struct conf *again;

	MUST(to != NULL);
	conf_dump(conf, to);
	fclose(to);
	again = conf_load_text("again", text, len, NULL, &errors);
	MUST(again != NULL);
	conf_free(again);
	free(text);
}

static void check_edit(const struct control_line *line, bool strict)
{
	static struct conf_edits edits;
	const struct conf_overrides overrides = { .edits = &edits };
	struct conf_errors errors = { 0 };
	char *text = edits.lines[0];
	struct conf *conf;
	size_t len = 0;

	edits.strict = strict;
	edits.count = 1;
	text[0] = '\0';
	for (size_t i = 0; i < line->nwords && len < CONF_EDIT_BYTES; i++)
		len += (size_t)snprintf(text + len, CONF_EDIT_BYTES - len, "%s%s", i > 0 ? " " : "",
			line->words[i]);
	conf = conf_load_text("base", base, strlen(base), &overrides, &errors);
	MUST((conf == NULL) == (errors.count > 0));
	if (conf != NULL)
		check_dump(conf);
	conf_errors_free(&errors);
	conf_free(conf);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char text[CONTROL_LINE_MAX + 1];
	struct control_line line;
	const char *error = NULL;

	if (size > CONTROL_LINE_MAX)
		return 0;
	memcpy(text, data, size);
	text[size] = '\0';
	if (control_line_parse(text, size, &line, &error) < 0) {
		MUST(error != NULL);
		return 0;
	}
	MUST(line.nwords > 0 && line.nwords <= CONTROL_WORDS_MAX &&
		line.noptions <= CONTROL_WORDS_MAX);
	check_words(line.words, line.nwords, text, size);
	check_words(line.options, line.noptions, text, size);
	(void)control_verb_find(&line);
	check_edit(&line, true);
	check_edit(&line, false);
	return 0;
}
