/* On a terminal that can, every round takes the place of the one before, on a screen of its own; elsewhere the rounds
 * follow each other, and as JSON each is one line.
 */
#include "master/proxyctl/watch.h"

#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#include "common/clock.h"
#include "master/proxyctl/terminal.h"

#define SCREEN_ENTER "\033[?1049h\033[?25l"
#define SCREEN_LEAVE "\033[?25h\033[?1049l"
#define SCREEN_HOME  "\033[H"
#define LINE_REST    "\033[K" /* clears what was there before */
#define SCREEN_REST  "\033[J"

static volatile sig_atomic_t watch_stopped;
static volatile sig_atomic_t watch_resized;

struct watch_screen {
	bool on;    /* we have a screen of our own */
	bool typed; /* saved is what standard input was like */
	struct termios saved;
	sigset_t mask; /* as it was: all signals come in */
};

static void on_signal_stop(int signo)
{
	watch_stopped = signo;
}

static void on_signal_resized(int signo)
{
	watch_resized = signo;
}

/* They come in while we wait, and only then. */
static void watch_take_signals(struct watch_screen *screen)
{
	static const int stopping[] = { SIGINT, SIGTERM, SIGHUP, SIGQUIT };
	struct sigaction action = { .sa_handler = on_signal_stop };
	sigset_t blocked;

	sigemptyset(&blocked);
	sigemptyset(&action.sa_mask);
	for (size_t i = 0; i < NELEMS(stopping); i++) {
		sigaddset(&blocked, stopping[i]);
		sigaction(stopping[i], &action, NULL);
	}
	action.sa_handler = on_signal_resized;
	sigaddset(&blocked, SIGWINCH);
	sigaction(SIGWINCH, &action, NULL);
	sigprocmask(SIG_BLOCK, &blocked, &screen->mask);
}

static void watch_enter(struct watch_screen *screen, bool json)
{
	struct termios termios;

	watch_take_signals(screen);
	screen->on = !json && terminal_can_clear();
	if (!screen->on)
		return;
	fputs(SCREEN_ENTER, stdout);
	if (tcgetattr(STDIN_FILENO, &screen->saved) < 0)
		return;
	screen->typed = true;
	termios = screen->saved;
	termios.c_lflag &= ~(tcflag_t)(ICANON | ECHO);
	tcsetattr(STDIN_FILENO, TCSADRAIN, &termios);
}

static void watch_leave(const struct watch_screen *screen)
{
	if (!screen->on)
		return;
	fputs(SCREEN_LEAVE, stdout);
	fflush(stdout);
	if (screen->typed)
		tcsetattr(STDIN_FILENO, TCSADRAIN, &screen->saved);
}

/* Returns false when it is to end. */
static bool watch_sleep(const struct watch_screen *screen, uint32_t ms)
{
	const uint64_t until_ms = clock_now_ms() + ms;

	watch_resized = 0;
	while (!watch_stopped && !watch_resized) {
		struct pollfd typed = { .fd = screen->typed ? STDIN_FILENO : -1, .events = POLLIN };
		const uint64_t now_ms = clock_now_ms();
		const uint64_t left_ms = until_ms > now_ms ? until_ms - now_ms : 0;
		const struct timespec left = { .tv_sec = (time_t)(left_ms / 1000),
			.tv_nsec = (long)(left_ms % 1000) * 1000000L };
		char c;

		if (left_ms == 0)
			return true;
		if (ppoll(&typed, 1, &left, &screen->mask) > 0 &&
			(read(STDIN_FILENO, &c, 1) <= 0 || c == 'q'))
			return false;
	}
	return !watch_stopped;
}

/* ------------------------------------------------------------------ one round */

/* What it is and when: "Every 2s: show servers" and the time, which is dropped where there is no room. */
static void watch_print_head(
	const struct watch_screen *screen, const struct ctl_options *options, uint32_t columns)
{
	char text[256] = "";
	const time_t now = time(NULL);
	struct tm tm;
	char when[32] = "";
	size_t len;
	int pad;

	if (localtime_r(&now, &tm) != NULL)
		strftime(when, sizeof(when), "%F %T", &tm);
	snprintf(text, sizeof(text), "Every %gs:", options->watch_ms / 1000.0);
	for (size_t i = 0; i < options->nwords; i++) {
		len = strlen(text);
		snprintf(text + len, sizeof(text) - len, " %s", options->words[i]);
	}
	len = strlen(text);
	if (columns > 0 && len + strlen(when) + 2 > columns)
		when[0] = '\0';
	if (columns > 0 && len > columns)
		text[columns] = '\0';
	pad = columns > len + strlen(when) ? (int)(columns - len - strlen(when)) : 2;
	if (when[0] == '\0')
		printf("%s%s\n", text, screen->on ? LINE_REST : "");
	else
		printf("%s%*s%s\n%s", text, pad, "", when, screen->on ? LINE_REST : "");
}

static size_t watch_lines(const char *text)
{
	size_t n = 0;

	for (; (text = strchr(text, '\n')) != NULL; text++)
		n++;
	return n;
}

/* As many lines as there is room for; the last one says what is missing. */
static void watch_print_lines(const char *text, uint32_t room, struct terminal_filter *filter)
{
	size_t missing = watch_lines(text);

	missing = missing > room ? missing - room + 1 : 0;
	for (uint32_t i = 0; *text != '\0' && i < room - (missing > 0); i++) {
		const size_t len = strcspn(text, "\n");

		terminal_write(filter, text, len, stdout);
		printf(LINE_REST "%s", i + 1 < room ? "\n" : "");
		text += len + (text[len] == '\n');
	}
	if (missing > 0)
		printf("... and %zu lines more" LINE_REST, missing);
}

/* A document is one line, however many the daemon made of it. */
static void watch_print_json(const char *text)
{
	for (; *text != '\0'; text++)
		if (*text != '\n')
			putchar(*text);
	putchar('\n');
}

static void watch_print(
	const struct watch *watch, const struct watch_screen *screen, const char *text)
{
	const bool color = terminal_colors(watch->options->color);
	struct terminal_filter filter = { .color = color };
	uint32_t columns = 0, lines = 0;

	if (watch->options->json) {
		watch_print_json(text);
		return;
	}
	if (terminal_is() && !terminal_size(&columns, &lines)) {
		columns = 80;
		lines = 24;
	}
	if (!screen->on) {
		watch_print_head(screen, watch->options, columns);
		if (terminal_is())
			terminal_write(&filter, text, strlen(text), stdout);
		else
			fputs(text, stdout);
		putchar('\n');
		return;
	}
	fputs(SCREEN_HOME, stdout);
	watch_print_head(screen, watch->options, columns);
	fputs(LINE_REST "\n", stdout);
	watch_print_lines(text, lines > 4 ? lines - 2 : 2, &filter);
	fputs(SCREEN_REST, stdout);
}

/* The daemon is not there, perhaps for a moment. */
static void watch_print_absence(
	const struct watch *watch, const struct watch_screen *screen, const char *why)
{
	if (screen->on)
		watch_print(watch, screen, why);
	else
		fprintf(stderr, "proxyctl: %s\n", why);
}

/* Returns what ends it, CTL_DONE to go on. */
static enum ctl_exit watch_round(
	struct watch *watch, const struct watch_screen *screen, bool first, struct ctl_why *why_r)
{
	uint32_t columns = 0, lines = 0;
	enum ctl_exit code;
	char *text;
	size_t len;

	if (terminal_is())
		(void)terminal_size(&columns, &lines);
	code = client_ask(watch->client, watch->line(watch->options, columns), &text, &len, why_r);
	if (code == CTL_NOBODY && !first) {
		watch_print_absence(watch, screen, why_r->text);
		return CTL_DONE;
	}
	if (code != CTL_DONE)
		return code;
	code = client_verdict(text);
	if (code == CTL_DONE)
		watch_print(watch, screen, text);
	else
		ctl_why(why_r, code, "%.*s", (int)strcspn(text, "\n"),
			text[0] == 'e' ? text + strlen("error: ") : text);
	free(text);
	return code;
}

enum ctl_exit watch_run(struct watch *watch, struct ctl_why *why_r)
{
	struct watch_screen screen = { 0 };
	enum ctl_exit code = CTL_DONE;
	bool first = true;

	watch_enter(&screen, watch->options->json);
	watch->client->mask = &screen.mask;
	watch->client->stop = &watch_stopped;
	do {
		code = watch_round(watch, &screen, first, why_r);
		first = false;
		if (fflush(stdout) != 0 || ferror(stdout))
			break;
	} while (code == CTL_DONE && watch_sleep(&screen, watch->options->watch_ms));
	watch_leave(&screen);
	return watch_stopped ? CTL_DONE : code;
}
