/* Reads the command line with getopt_long_only, so that the predecessors' `-listen=:8002` works like
 * `--listen :8002`. Abbreviated names are refused: what is new tomorrow must not change what they mean.
 */
#include "master/options.h"

#include <ctype.h>
#include <event2/event.h>
#include <getopt.h>
#include <openssl/crypto.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <yaml.h>

enum options_long {
	OPTION_LISTEN = 256,
	OPTION_FORWARD,
	OPTION_PROTOCOL,
	OPTION_BALANCE,
	OPTION_DEMO,
	OPTION_LOGLEVEL,
	OPTION_LOGFORMAT,
	OPTION_PIDFILE,
	OPTION_CONTROL,
	OPTION_ADMIN,
	OPTION_PPROF,
};

/* What the predecessor's users looked at, and where. */
#define OPTIONS_PPROF_ADMIN "127.0.0.1:6060"

/* The letters stand here too for the sake of `-f=8080`, which the predecessors take. */
static const struct option options_table[] = {
	{ "config", required_argument, NULL, 'c' },
	{ "c", required_argument, NULL, 'c' },
	{ "f", required_argument, NULL, 'f' },
	{ "p", required_argument, NULL, 'p' },
	{ "listen", required_argument, NULL, OPTION_LISTEN },
	{ "forward", required_argument, NULL, OPTION_FORWARD },
	{ "protocol", required_argument, NULL, OPTION_PROTOCOL },
	{ "balance", required_argument, NULL, OPTION_BALANCE },
	{ "demo", no_argument, NULL, OPTION_DEMO },
	{ "workers", required_argument, NULL, 'w' },
	{ "w", required_argument, NULL, 'w' },
	{ "loglevel", required_argument, NULL, OPTION_LOGLEVEL },
	{ "logformat", required_argument, NULL, OPTION_LOGFORMAT },
	{ "control", required_argument, NULL, OPTION_CONTROL },
	{ "admin", required_argument, NULL, OPTION_ADMIN },
	{ "pprof", optional_argument, NULL, OPTION_PPROF },
	{ "pidfile", required_argument, NULL, OPTION_PIDFILE },
	{ "daemon", no_argument, NULL, 'D' },
	{ "version", no_argument, NULL, 'V' },
	{ "help", no_argument, NULL, 'h' },
	{ NULL, 0, NULL, 0 },
};

/* '+': stops at what is no option, which is an error here anyway; so argv[optind] is always the next. */
static const char options_letters[] = "+:c:tTf:p:w:DVh";

static const char options_help_text[] =
	"proxyd, a TCP proxy and load balancer\n"
	"\n"
	"  proxyd [-c FILE]                          run with a configuration, in the foreground\n"
	"  proxyd -t [-c FILE]                       check the configuration: exit 0, or 2 with every error\n"
	"  proxyd -T [-c FILE]                       the same, then print it normalised\n"
	"  proxyd -f PORT -p PORT [-p PORT]...       listen on PORT, round robin over localhost:PORT...\n"
	"  proxyd --listen ADDR --forward ADDR...    the same with addresses [--protocol tcp] [--balance NAME]\n"
	"  proxyd --demo                             built-in servers behind built-in frontends\n"
	"\n"
	"  -c, --config FILE       configuration; - is standard input (" OPTIONS_CONFIG_DEFAULT
	")\n"
	"  -w, --workers N|auto    over global.workers\n"
	"      --loglevel LEVEL    debug, info, warn, error, or 0 to 7 (0 debug, 3 error, 7 nothing)\n"
	"      --logformat FORMAT  text or json\n"
	"      --control PATH      over global.control.path\n"
	"      --admin ADDR        over global.admin.bind; -pprof is --admin " OPTIONS_PPROF_ADMIN
	"\n"
	"      --pidfile FILE      over global.pidfile\n"
	"  -D, --daemon            go to the background once it serves\n"
	"  -V, --version           versions of proxyd and of its libraries\n"
	"  -h, --help              this\n"
	"\n"
	"  An address is HOST:PORT, :PORT, [IPV6]:PORT, HOST:FIRST-LAST or unix:/PATH.\n"
	"  Long options may have one dash, and `=`: -listen=:8002 is --listen :8002.\n";

void options_help(FILE *to)
{
	fputs(options_help_text, to);
}

void options_version(FILE *to)
{
	fprintf(to, "proxyd %s (libevent %s, libyaml %s, %s)\n", PROXYD_VERSION,
		event_get_version(), yaml_get_version_string(), OpenSSL_version(OPENSSL_VERSION));
}

static int options_wrong(const char *format, ...) PRINTF_LIKE(1, 2);

static int options_wrong(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	fputs("proxyd: ", stderr);
	vfprintf(stderr, format, args);
	fputs("; see `proxyd --help`\n", stderr);
	va_end(args);
	return -1;
}

static bool options_abbreviated(const char *word, const char *name)
{
	word += strspn(word, "-");
	return strcspn(word, "=") != strlen(name);
}

static char *options_print(const char *host, const char *port)
{
	char *text;

	if (asprintf(&text, "%s:%s", host, port) < 0)
		abort();
	return text;
}

static bool options_is_port(const char *text)
{
	size_t digits = strspn(text, "0123456789");
	unsigned long port = digits > 0 && digits <= 5 ? strtoul(text, NULL, 10) : 0;

	return text[digits] == '\0' && port >= 1 && port <= 65535;
}

static void options_add_forward(struct options *options, const char *address)
{
	options->forward =
		reallocarray(options->forward, options->nforward + 1, sizeof(options->forward[0]));
	if (options->forward == NULL)
		abort();
	options->forward[options->nforward++] = address;
}

/* What remains to be looked at together, once all is read. */
struct options_seen {
	bool config;
	bool letters; /* -f or -p */
	bool words;   /* --listen or --forward */
	bool demo;
	bool check;
	unsigned listens; /* -f and --listen */
	const char *protocol;
};

/* -f, -p, --listen, --forward. */
static int options_take_address(struct options *options, struct options_seen *seen, int option)
{
	if (option == 'f' || option == 'p') {
		seen->letters = true;
		if (!options_is_port(optarg))
			return options_wrong(
				"-%c %s: a port is a number from 1 to 65535", option, optarg);
	} else {
		seen->words = true;
	}
	if (option == 'p' || option == OPTION_FORWARD) {
		options_add_forward(
			options, option == 'p' ? options_print("localhost", optarg) : optarg);
		return 0;
	}
	if (seen->listens++ > 0)
		return 0;
	options->listen = option == 'f' ? options_print("", optarg) : optarg;
	return 0;
}

/* A switch, as the predecessor has it: -pprof, -pprof=false. */
static int options_take_pprof(struct options *options)
{
	if (optarg == NULL || strcmp(optarg, "true") == 0 || strcmp(optarg, "1") == 0)
		options->overrides.admin = OPTIONS_PPROF_ADMIN;
	else if (strcmp(optarg, "false") != 0 && strcmp(optarg, "0") != 0)
		return options_wrong(
			"-pprof=%s: it is true or false; --admin takes an address", optarg);
	return 0;
}

static int options_take(struct options *options, struct options_seen *seen, int option)
{
	switch (option) {
	case 'c':
		if (seen->config)
			return options_wrong("--config is given twice");
		seen->config = true;
		options->config = optarg;
		return 0;
	case 't':
		seen->check = true;
		if (options->action == ACTION_RUN)
			options->action = ACTION_CHECK;
		return 0;
	case 'T':
		seen->check = true;
		options->action = ACTION_DUMP;
		return 0;
	case 'f':
	case 'p':
	case OPTION_LISTEN:
	case OPTION_FORWARD:
		return options_take_address(options, seen, option);
	case OPTION_PROTOCOL:
		seen->protocol = optarg;
		return 0;
	case OPTION_BALANCE:
		options->balance = optarg;
		return 0;
	case OPTION_DEMO:
		seen->demo = true;
		return 0;
	case 'w':
		options->overrides.workers = optarg;
		return 0;
	case OPTION_LOGLEVEL:
		options->overrides.loglevel = optarg;
		return 0;
	case OPTION_LOGFORMAT:
		options->overrides.logformat = optarg;
		return 0;
	case OPTION_CONTROL:
		options->overrides.control = optarg;
		return 0;
	case OPTION_ADMIN:
		options->overrides.admin = optarg;
		return 0;
	case OPTION_PPROF:
		return options_take_pprof(options);
	case OPTION_PIDFILE:
		options->overrides.pidfile = optarg;
		return 0;
	case 'D':
		options->daemon = true;
		return 0;
	}
	MUST(!"an option of the table is missing here");
	return -1;
}

/* Which of the ways to get a configuration was asked for: one, and whole. */
static int options_choose_source(struct options *options, const struct options_seen *seen)
{
	int sources = seen->config + seen->letters + seen->words + seen->demo;
	bool quick = seen->letters || seen->words;

	if (sources > 1)
		return options_wrong(
			"-c, -f with -p, --listen with --forward, and --demo exclude each other");
	if (seen->listens > 1)
		return options_wrong("one %s only; several frontends need a configuration file",
			seen->letters ? "-f" : "--listen");
	if ((seen->protocol != NULL || options->balance != NULL) && !quick)
		return options_wrong("--protocol and --balance go with --listen and --forward");
	if (seen->protocol != NULL && strcmp(seen->protocol, "tcp") != 0)
		return options_wrong("--protocol %s is not known; tcp is", seen->protocol);
	if (quick && options->listen == NULL)
		return options_wrong(
			seen->letters ? "-p needs -f PORT" : "--forward needs --listen ADDR");
	if (quick && options->nforward == 0) {
		options_wrong(seen->letters ? "-f needs at least one -p PORT"
					    : "--listen needs at least one --forward ADDR");
		options_help(stderr);
		return -1;
	}
	if (options->daemon && (seen->demo || seen->check))
		return options_wrong(
			"--daemon does not go with %s", seen->demo ? "--demo" : "-t and -T");
	options->source = quick ? SOURCE_QUICK
		: seen->demo    ? SOURCE_DEMO
		: seen->config  ? SOURCE_FILE
				: SOURCE_DEFAULT_FILE;
	if (options->source == SOURCE_DEFAULT_FILE)
		options->config = OPTIONS_CONFIG_DEFAULT;
	return 0;
}

/* One option from getopt: 0, or -1 when it is none that we know. */
static int options_check(int option, int at, char *const argv[], int index)
{
	const char *word = argv[at];

	if (option == ':')
		return options_wrong("%s needs a value", word);
	if (option == '?') {
		if (optopt > 0 && strchr(word, '=') != NULL)
			return options_wrong("%s: the option takes no value", word);
		if (optopt > 0 && optopt < 256)
			return options_wrong("unknown option -%c", optopt);
		return options_wrong("unknown option %s", word);
	}
	/* getopt takes -pprof for -p with the value prof; we do not. */
	if (index < 0 && optarg != NULL && optarg == word + 2 && isalpha((unsigned char)optarg[0]))
		return options_wrong("unknown option %s", word);
	if (index >= 0 && options_abbreviated(word, options_table[index].name))
		return options_wrong(
			"unknown option %s (is it --%s?)", word, options_table[index].name);
	return 0;
}

int options_parse(int argc, char *argv[], struct options *options_r)
{
	struct options_seen seen = { 0 };
	int option;

	*options_r = (struct options){ .action = ACTION_RUN };
	opterr = 0;
	for (;;) {
		int at = optind;
		int index = -1;

		option = getopt_long_only(argc, argv, options_letters, options_table, &index);
		if (option == -1)
			break;
		if (options_check(option, at, argv, index) < 0)
			return -1;
		if (option == 'h' || option == 'V') {
			options_r->action = option == 'h' ? ACTION_HELP : ACTION_VERSION;
			return 0;
		}
		if (options_take(options_r, &seen, option) < 0)
			return -1;
	}
	if (optind < argc)
		return options_wrong("unexpected argument %s", argv[optind]);
	return options_choose_source(options_r, &seen);
}
