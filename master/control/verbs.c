/* The table of commands and their handlers. A handler never waits for anybody: what it shows lies in shared
 * memory, what it does is begun and goes on in the loop.
 */
#include "master/control/verbs.h"

#include <event2/buffer.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "common/escape.h"
#include "common/log.h"
#include "common/shm.h"
#include "conf/conf.h"
#include "master/control/answer.h"
#include "master/control/handlers.h"
#include "master/views/print.h"

#define CONTROL_TEXT_MAX 1024

static const struct control_verb control_verbs[] = {
#define CONTROL_VERB(handler, words, arguments, role, help)                                        \
	{ words, arguments, role, verb_##handler, help },
#include "master/control/verbs.def"
#undef CONTROL_VERB
};

/* ------------------------------------------------------------------ answers */

int control_print(struct evbuffer *out, bool json, bool failed, const char *text)
{
	if (json)
		return json_add_text(out, failed ? "error" : "message", text);
	return evbuffer_add_printf(out, "%s%s\n", failed ? "error: " : "", text) < 0 ? -1 : 0;
}

int control_text(struct control_request *request, const char *name, const char *text, size_t len)
{
	if (request->line->json)
		return json_add_text(request->out, name, text);
	return evbuffer_add(request->out, text, len);
}

int control_say(struct control_request *request, const char *format, ...)
{
	char text[CONTROL_TEXT_MAX];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	return control_print(request->out, request->line->json, false, text);
}

int control_fail(struct control_request *request, const char *format, ...)
{
	char text[CONTROL_TEXT_MAX];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	return control_print(request->out, request->line->json, true, text);
}

int control_show(struct control_request *request, const struct view *view)
{
	const struct control_line *line = request->line;

	request->answer = answer_new(view, request->source, line->json ? NULL : &line->style);
	return request->answer != NULL ? 0 : -1;
}

/* ------------------------------------------------------------------ handlers */

int verb_status(struct control_request *request)
{
	return control_show(request, &view_status);
}

int verb_frontends(struct control_request *request)
{
	return control_show(request, &view_frontends);
}

int verb_backends(struct control_request *request)
{
	return control_show(request, &view_backends);
}

int verb_servers(struct control_request *request)
{
	return control_show(request, &view_servers);
}

int verb_workers(struct control_request *request)
{
	return control_show(request, &view_workers);
}

int verb_sessions(struct control_request *request)
{
	return control_show(request, &view_sessions);
}

int verb_stats(struct control_request *request)
{
	return control_show(request, &view_stats);
}

int verb_history(struct control_request *request)
{
	return control_show(request, &view_history);
}

int verb_limits(struct control_request *request)
{
	return control_show(request, &view_limits);
}

/* The answer first: what follows may be the end of the loop, and then goes out before the socket is closed. */
int verb_stop(struct control_request *request)
{
	const uint32_t drain_ms = request->source->conf->global.drain_timeout_ms;
	const bool now = request->line->noptions > 0;
	char span[VIEW_UNIT_MAX];
	uint64_t relays = 0;
	int result;

	for (uint32_t i = 0; i < shm_master(request->source->shm)->slots; i++)
		relays += shm_slot(request->source->shm, i)->active;
	if (now || relays == 0)
		result = control_say(request, "stopping now");
	else if (drain_ms == CONF_FOREVER)
		result = control_say(
			request, "stopping: %llu relays may finish", (unsigned long long)relays);
	else
		result = control_say(request, "stopping: %llu relays have %s to finish",
			(unsigned long long)relays, view_format_ms(drain_ms, span));
	request->actions->stop(now, request->actions->arg);
	return result;
}

static const struct view_column help_columns[] = {
	{ "command", "COMMAND", VIEW_TEXT },
	{ "arguments", "ARGUMENTS", VIEW_TEXT },
	{ "role", "FOR", VIEW_TEXT },
	{ "help", "WHAT IT DOES", VIEW_TEXT },
};

static enum view_step help_next(
	const struct view_source *source, struct view_cursor *cursor, struct view_row *row_r)
{
	const struct control_verb *verb;

	(void)source;
	if (cursor->outer == NELEMS(control_verbs))
		return VIEW_END;
	verb = &control_verbs[cursor->outer++];
	view_text(row_r, verb->words);
	view_text(row_r, verb->arguments[0] != '\0' ? verb->arguments : NULL);
	view_text(row_r, control_role_name(verb->role));
	view_text(row_r, verb->help);
	return VIEW_ROW;
}

static const struct view view_help = {
	.columns = help_columns,
	.ncolumns = NELEMS(help_columns),
	.next = help_next,
};

int verb_help(struct control_request *request)
{
	return control_show(request, &view_help);
}

/* ------------------------------------------------------------------ finding */

/* Whether text is `words` or begins with it and a blank. */
static bool control_word_at(const char *text, const char *word, size_t *len_r)
{
	*len_r = strlen(word);
	return strncmp(text, word, *len_r) == 0 && (text[*len_r] == ' ' || text[*len_r] == '\0');
}

/* How many words of the line the verb's words are; 0: it is another one. */
static size_t control_verb_match(const struct control_verb *verb, const struct control_line *line)
{
	const char *rest = verb->words;
	size_t len;

	for (size_t i = 0; i < line->nwords; i++) {
		if (!control_word_at(rest, line->words[i], &len))
			return 0;
		if (rest[len] == '\0')
			return i + 1;
		rest += len + 1;
	}
	return 0;
}

static const struct control_verb *control_verb_longest(
	const struct control_line *line, size_t *words_r)
{
	const struct control_verb *found = NULL;

	*words_r = 0;
	for (size_t i = 0; i < NELEMS(control_verbs); i++) {
		size_t words = control_verb_match(&control_verbs[i], line);

		if (words > *words_r) {
			*words_r = words;
			found = &control_verbs[i];
		}
	}
	return found;
}

const struct control_verb *control_verb_find(const struct control_line *line)
{
	size_t words;

	return control_verb_longest(line, &words);
}

/* "show" alone: what could follow. */
static int control_verb_unknown(struct control_request *request)
{
	const char *first = request->line->words[0];
	char text[CONTROL_TEXT_MAX] = "";
	char escaped[128];
	size_t len;

	for (size_t i = 0; i < NELEMS(control_verbs); i++) {
		if (!control_word_at(control_verbs[i].words, first, &len))
			continue;
		snprintf(text + strlen(text), sizeof(text) - strlen(text), "%s%s",
			text[0] == '\0' ? "" : " | ", control_verbs[i].words);
	}
	if (text[0] != '\0')
		return control_fail(request, "usage: %s", text);
	escape_json(first, strlen(first), escaped, sizeof(escaped));
	return control_fail(request, "usage: there is no command '%s'; `help` lists them", escaped);
}

static bool control_takes_option(const struct control_verb *verb, const char *option)
{
	const char *rest = verb->arguments;
	size_t len;

	while (*rest != '\0') {
		if (control_word_at(rest, option, &len))
			return true;
		rest += strcspn(rest, " ");
		rest += strspn(rest, " ");
	}
	return false;
}

/* How many words may follow the command's own. */
static size_t control_words_most(const struct control_verb *verb)
{
	size_t count = 0;

	for (const char *at = verb->arguments; *at != '\0'; at += strspn(at, " ")) {
		if (strcmp(at, "...") == 0)
			return CONTROL_WORDS_MAX;
		if (*at >= 'A' && *at <= 'Z')
			count++;
		at += strcspn(at, " ");
	}
	return count;
}

static int control_refuse(struct control_request *request, const struct control_verb *verb)
{
	const struct conf_control *conf = &request->source->conf->global.control;
	static struct log_rate rate;

	if (log_rate_ok(&rate))
		log_warnx("control: `%s` refused to uid %u (pid %d)%s", verb->words,
			(unsigned)request->peer->uid, (int)request->peer->pid,
			log_rate_note(&rate));
	return control_fail(request,
		"refused: you are uid %u; `%s` is for root and the user of the daemon%s%s",
		(unsigned)request->peer->uid, verb->words,
		verb->role == ROLE_READER && conf->group[0] != '\0' ? ", and for members of group "
								    : "",
		verb->role == ROLE_READER ? conf->group : "");
}

/* Who changes what: in the log, and with all its words as an event. */
static void control_tell(const struct control_request *request, const struct control_verb *verb)
{
	const struct event_what what = { EVENT_OPERATOR, EVENT_INFO, "" };
	const struct control_line *line = request->line;
	char text[EVENT_TEXT_MAX] = "";
	size_t len = 0;

	log_info("control: `%s` by uid %u (pid %d)", verb->words, (unsigned)request->peer->uid,
		(int)request->peer->pid);
	if (verb->handler == verb_diff)
		return; /* it changes nothing */
	for (size_t i = 0; i < line->nwords && len < sizeof(text); i++)
		len += (size_t)snprintf(
			text + len, sizeof(text) - len, "%s%s", i > 0 ? " " : "", line->words[i]);
	for (size_t i = 0; i < line->noptions && len < sizeof(text); i++)
		len += (size_t)snprintf(text + len, sizeof(text) - len, " %s", line->options[i]);
	events_add(request->source->shm, &what, "%s (uid %u)", text, (unsigned)request->peer->uid);
}

int control_verb_run(struct control_request *request)
{
	const struct control_line *line = request->line;
	size_t words;
	const struct control_verb *verb = control_verb_longest(line, &words);

	/* A stranger is not told what there is. */
	if (request->peer->role == ROLE_STRANGER)
		verb = verb != NULL ? verb : &control_verbs[0];
	if (verb == NULL)
		return control_verb_unknown(request);
	if (request->peer->role < verb->role)
		return control_refuse(request, verb);
	for (size_t i = 0; i < line->noptions; i++)
		if (!control_takes_option(verb, line->options[i]))
			words = 0;
	if (words > 0 && words < line->nwords && line->nwords - words <= control_words_most(verb)) {
		request->arguments = &line->words[words];
		request->narguments = line->nwords - words;
		request->argument = request->arguments[0];
		words = line->nwords;
	}
	if (words != line->nwords)
		return control_fail(request, "usage: %s%s%s%s", verb->words,
			verb->arguments[0] != '\0' ? " [" : "", verb->arguments,
			verb->arguments[0] != '\0' ? "]" : "");
	if (verb->role == ROLE_OPERATOR)
		control_tell(request, verb);
	return verb->handler(request);
}
