/* The demonstration: chooses free ports, writes its configuration as anybody would, and says what to try.
 */
#include "master/demo.h"

#include <netinet/in.h>
#include <stdbool.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define DEMO_WEB_PORT     8080
#define DEMO_SERVERS_PORT 8101
#define DEMO_ECHO_PORT    8007
#define DEMO_REVERSE_PORT 8008
#define DEMO_TRIES        1000

static const char demo_format[] =
	"frontends:\n"
	"  web: {bind: \"127.0.0.1:%u\", forward: [\"127.0.0.1:%u\", \"127.0.0.1:%u\", \"127.0.0.1:%u\"]}\n"
	"  one: {bind: \"127.0.0.1:%u\", service: http, message: \"Hello from server one, port %%p\\n\"}\n"
	"  two: {bind: \"127.0.0.1:%u\", service: http, message: \"Hello from server two, port %%p\\n\"}\n"
	"  three: {bind: \"127.0.0.1:%u\", service: http, message: \"Hello from server three, port %%p\\n\"}\n"
	"  echo: {bind: \"127.0.0.1:%u\", service: echo}\n"
	"  reverse: {bind: \"127.0.0.1:%u\", service: reverse}\n";

/* Can it be bound now? It may be taken a moment later; then the start says so. */
static bool demo_port_free(uint16_t port)
{
	const int one = 1;
	struct sockaddr_in addr = {
		.sin_family = AF_INET,
		.sin_port = htons(port),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK),
	};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	bool is_free;

	if (fd < 0)
		return false;
	/* Connections of the last demo in TIME_WAIT do not count. */
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	is_free = bind(fd, (const struct sockaddr *)&addr, sizeof(addr)) == 0 && listen(fd, 1) == 0;
	close(fd);
	return is_free;
}

/* port or the next free one that the demo itself does not use yet. */
static uint16_t demo_choose(const uint16_t *taken, size_t ntaken, uint16_t port)
{
	for (uint16_t i = 0; i < DEMO_TRIES; i++, port++) {
		bool used = false;

		for (size_t j = 0; j < ntaken; j++)
			used = used || taken[j] == port;
		if (!used && demo_port_free(port))
			return port;
	}
	return port;
}

static void demo_choose_ports(struct demo *demo)
{
	uint16_t taken[DEMO_SERVERS + 3] = { 0 };
	size_t n = 0;

	demo->web = taken[n] = demo_choose(taken, n, DEMO_WEB_PORT);
	n++;
	for (uint16_t i = 0; i < DEMO_SERVERS; i++, n++)
		demo->servers[i] = taken[n] =
			demo_choose(taken, n, (uint16_t)(DEMO_SERVERS_PORT + i));
	demo->echo = taken[n] = demo_choose(taken, n, DEMO_ECHO_PORT);
	n++;
	demo->reverse = demo_choose(taken, n, DEMO_REVERSE_PORT);
}

struct conf *demo_load(
	struct demo *demo_r, const struct conf_overrides *overrides, struct conf_errors *errors)
{
	char text[2048];
	const uint16_t *servers = demo_r->servers;
	int len;

	demo_choose_ports(demo_r);
	len = snprintf(text, sizeof(text), demo_format, demo_r->web, servers[0], servers[1],
		servers[2], servers[0], servers[1], servers[2], demo_r->echo, demo_r->reverse);
	MUST(len > 0 && (size_t)len < sizeof(text));
	return conf_load_text("demo", text, (size_t)len, overrides, errors);
}

void demo_explain(const struct demo *demo, FILE *to)
{
	fprintf(to,
		"\n"
		"proxyd demo: three web servers behind a round robin, an echo, a reverser.\n"
		"\n"
		"  web      127.0.0.1:%u  in turn to the servers\n"
		"  servers  127.0.0.1:%u, 127.0.0.1:%u, 127.0.0.1:%u\n"
		"  echo     127.0.0.1:%u\n"
		"  reverse  127.0.0.1:%u\n"
		"\n"
		"In another terminal try:\n"
		"\n"
		"  for i in 1 2 3 4 5 6; do curl -s http://127.0.0.1:%u/; done    # 1 2 3 1 2 3\n"
		"  echo stressed | nc -N 127.0.0.1 %u                           # desserts\n"
		"  echo 'hello' | socat - TCP:127.0.0.1:%u                       # comes back\n"
		"  ps -o pid,args --ppid %d\n"
		"  kill -9 $(pgrep -P %d -f 'worker 0')                # and curl again: nobody notices\n"
		"\n"
		"Ctrl-C ends it.\n"
		"\n",
		demo->web, demo->servers[0], demo->servers[1], demo->servers[2], demo->echo,
		demo->reverse, demo->web, demo->reverse, demo->echo, (int)getpid(), (int)getpid());
	fflush(to);
}
