/* The loop of top: asks in rounds, hears keys, draws.
 */
#include "master/proxyctl/top.h"

#include <errno.h>
#include <ncurses.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "common/clock.h"
#include "master/proxyctl/terminal.h"
#include "master/proxyctl/top_impl.h"

#define TOP_AGAIN_MS 1000 /* at the latest, when nobody answered */

static volatile sig_atomic_t top_stopped;

static void on_signal_stop(int signo)
{
	top_stopped = signo;
}

void top_say(struct top *top, const char *format, ...)
{
	char text[sizeof(top->message)];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	text[strcspn(text, "\n")] = '\0';
	top->message[0] = '\0';
	top_text_add(top->message, sizeof(top->message), text);
	top->message_ms = clock_now_ms() + TOP_MESSAGE_MS;
}

const struct top_list *top_list(const struct top *top, enum top_pane pane)
{
	static const struct top_list none;

	return top->model != NULL ? &top->model->lists[pane] : &none;
}

void top_arrange(struct top *top)
{
	for (size_t i = 0; i < PANES; i++)
		if (top_rows_arrange(&top->rows[i], top_list(top, i)) < 0)
			top_say(top, "no memory for so many rows");
}

/* ------------------------------------------------------------------ data */

static void top_round_failed(struct top *top)
{
	const uint32_t again_ms = top->interval_ms < TOP_AGAIN_MS ? top->interval_ms : TOP_AGAIN_MS;

	top_model_free(top->coming);
	top->coming = NULL;
	talk_end(&top->talk);
	if (top->absent_ms == 0)
		top->absent_ms = clock_now_ms();
	top->round_ms = clock_now_ms() + again_ms;
}

static void top_round_done(struct top *top)
{
	top_model_finish(top->coming);
	top_model_free(top->model);
	top->model = top->coming;
	top->coming = NULL;
	top->absent_ms = 0;
	talk_end(&top->talk);
	top_arrange(top);
}

/* Returns false when it is no answer to be had. A daemon that has no stats has the rest. */
static bool top_take(struct top *top)
{
	const struct talk *talk = &top->talk;

	if (top_model_take(top->coming, top->question, talk->text, talk->len) == 0 ||
		top->question == QUESTION_STATS)
		return true;
	ctl_why(&top->why, CTL_FAILED, "not understood: %.*s", 200, talk->text);
	return false;
}

/* Ask on, and take in what was answered. */
static void top_go_on(struct top *top)
{
	while (top->coming != NULL) {
		switch (talk_step(&top->talk, &top->why)) {
		case TALK_BUSY:
			return;
		case TALK_FAILED:
			top_round_failed(top);
			return;
		case TALK_DONE:
			if (!top_take(top)) {
				top_round_failed(top);
				return;
			}
			top->question++;
			break;
		case TALK_IDLE:
			break;
		}
		if (top->question == QUESTIONS)
			top_round_done(top);
		else
			(void)talk_start(
				&top->talk, top->client, top_question(top->question), &top->why);
	}
}

static void top_begin_round(struct top *top)
{
	top->round_ms = clock_now_ms() + top->interval_ms;
	top->coming = top_model_new();
	top->question = QUESTION_STATUS;
	if (top->coming == NULL)
		return;
	talk_end(&top->talk);
	top_go_on(top);
}

/* ------------------------------------------------------------------ orders */

void top_give_order(struct top *top)
{
	struct ctl_why why = { "" };

	if (talk_start(&top->act, top->client, top->order, &why) == TALK_FAILED)
		top_say(top, "%s", why.text);
}

static void top_hear_order(struct top *top)
{
	struct ctl_why why = { "" };

	switch (talk_step(&top->act, &why)) {
	case TALK_IDLE:
	case TALK_BUSY:
		return;
	case TALK_FAILED:
		top_say(top, "%s", why.text);
		break;
	case TALK_DONE:
		top_say(top, "%s", top->act.text);
		/* What it did is to be seen. */
		if (!top->paused)
			top->round_ms = 0;
		break;
	}
	talk_end(&top->act);
}

/* ------------------------------------------------------------------ the loop */

static int top_timeout_ms(const struct top *top)
{
	const uint64_t now_ms = clock_now_ms();
	uint64_t until_ms = now_ms + TOP_AGAIN_MS; /* the clock on the screen goes on */

	if (top->coming == NULL && !top->paused && top->round_ms < until_ms)
		until_ms = top->round_ms;
	return until_ms > now_ms ? (int)(until_ms - now_ms) : 0;
}

/* Until something happens: a key, an answer, a signal, the time of the next round. */
static void top_wait(struct top *top)
{
	struct pollfd fds[] = {
		{ .fd = STDIN_FILENO, .events = POLLIN },
		{ .fd = top->talk.fd, .events = top->talk.events },
		{ .fd = top->act.fd, .events = top->act.events },
	};

	if (poll(fds, NELEMS(fds), top_timeout_ms(top)) > 0 &&
		(fds[0].revents & (POLLHUP | POLLERR | POLLNVAL)) != 0)
		top->over = true;
}

static void top_loop(struct top *top)
{
	int key;

	while (!top->over && !top_stopped) {
		if (top->coming == NULL && !top->paused && clock_now_ms() >= top->round_ms)
			top_begin_round(top);
		top_draw(top);
		top_wait(top);
		while ((key = getch()) != ERR && !top->over)
			top_key(top, key);
		top_go_on(top);
		top_hear_order(top);
	}
}

static void top_take_signals(void)
{
	static const int stopping[] = { SIGINT, SIGTERM, SIGHUP, SIGQUIT };
	struct sigaction action = { .sa_handler = on_signal_stop };

	sigemptyset(&action.sa_mask);
	for (size_t i = 0; i < NELEMS(stopping); i++)
		sigaction(stopping[i], &action, NULL);
}

static void top_prepare_screen(bool color)
{
	cbreak();
	noecho();
	nonl();
	keypad(stdscr, TRUE);
	nodelay(stdscr, TRUE);
	curs_set(0);
	set_escdelay(50);
	if (!color || !has_colors() || start_color() == ERR)
		return;
	use_default_colors();
	init_pair(COLOR_RED, COLOR_RED, -1);
	init_pair(COLOR_GREEN, COLOR_GREEN, -1);
	init_pair(COLOR_YELLOW, COLOR_YELLOW, -1);
	init_pair(COLOR_CYAN, COLOR_CYAN, -1);
}

enum ctl_exit top_run(
	struct client *client, const struct ctl_options *options, struct ctl_why *why_r)
{
	static struct top top;
	SCREEN *screen;
	enum ctl_exit code;

	if (!terminal_is() || isatty(STDIN_FILENO) != 1)
		return ctl_why(why_r, CTL_USAGE,
			"top is for a terminal; `show stats --watch 2` goes without");
	code = client_open(client, why_r);
	client_close(client);
	if (code != CTL_DONE)
		return code;
	top_take_signals();
	screen = newterm(NULL, stdout, stdin);
	if (screen == NULL)
		return ctl_why(why_r, CTL_FAILED, "the terminal ($TERM) is not known");
	top_prepare_screen(terminal_colors(options->color));
	top.client = client;
	top.interval_ms = options->watch_ms > 0 ? options->watch_ms : TOP_INTERVAL_MS;
	top.pane = PANE_SERVERS;
	talk_init(&top.talk);
	talk_init(&top.act);
	for (size_t i = 0; i < PANES; i++)
		top_rows_init(&top.rows[i], i);
	top_loop(&top);
	endwin();
	delscreen(screen);
	for (size_t i = 0; i < PANES; i++)
		top_rows_deinit(&top.rows[i]);
	talk_deinit(&top.talk);
	talk_deinit(&top.act);
	top_model_free(top.model);
	top_model_free(top.coming);
	return CTL_DONE;
}
