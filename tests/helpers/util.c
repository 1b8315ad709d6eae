/* See util.h. */
#include "tests/helpers/util.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/sockios.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

void die(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
	fputc('\n', stderr);
	exit(2);
}

static void parse_path(const char *path, struct peer_addr *addr_r)
{
	struct sockaddr_un *un = (struct sockaddr_un *)&addr_r->addr;

	if (strlen(path) >= sizeof(un->sun_path))
		die("%s: too long for a Unix socket", path);
	un->sun_family = AF_UNIX;
	strcpy(un->sun_path, path);
	addr_r->len = sizeof(*un);
}

void peer_addr_parse(const char *text, struct peer_addr *addr_r)
{
	struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)&addr_r->addr;
	struct sockaddr_in *in = (struct sockaddr_in *)&addr_r->addr;
	char host[128];
	const char *colon;
	uint16_t port;

	memset(addr_r, 0, sizeof(*addr_r));
	if (strncmp(text, "unix:", 5) == 0) {
		parse_path(text + 5, addr_r);
		return;
	}
	colon = strrchr(text, ':');
	if (!colon || (size_t)(colon - text) >= sizeof(host))
		die("%s: not HOST:PORT", text);
	port = htons((uint16_t)strtoul(colon + 1, NULL, 10));
	snprintf(host, sizeof(host), "%.*s", (int)(colon - text), text);
	if (host[0] == '\0' || host[0] == '[') {
		host[strcspn(host, "]")] = '\0';
		in6->sin6_family = AF_INET6;
		in6->sin6_port = port;
		addr_r->len = sizeof(*in6);
		if (host[0] != '\0' && inet_pton(AF_INET6, host + 1, &in6->sin6_addr) != 1)
			die("%s: no IPv6 address", text);
		return;
	}
	in->sin_family = AF_INET;
	in->sin_port = port;
	addr_r->len = sizeof(*in);
	if (inet_pton(AF_INET, strcmp(host, "localhost") == 0 ? "127.0.0.1" : host,
		    &in->sin_addr) != 1)
		die("%s: no IPv4 address", text);
}

int peer_socket(const struct peer_addr *addr)
{
	int fd = socket(addr->addr.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	int on = 1;

	if (fd < 0)
		die("socket: %s", strerror(errno));
	if (addr->addr.ss_family != AF_UNIX)
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	return fd;
}

void set_nonblocking(int fd)
{
	if (fcntl(fd, F_SETFL, O_NONBLOCK) < 0)
		die("fcntl: %s", strerror(errno));
}

int peer_listen(const struct peer_addr *addr, int backlog)
{
	int fd = peer_socket(addr);
	int on = 1;

	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (bind(fd, (const struct sockaddr *)&addr->addr, addr->len) < 0 ||
		listen(fd, backlog) < 0)
		die("listen: %s", strerror(errno));
	return fd;
}

uint64_t parse_size(const char *text)
{
	char *end;
	uint64_t n = strtoull(text, &end, 10);

	for (const char *unit = "kmg"; *end != '\0' && *unit != '\0'; unit++) {
		n *= 1024;
		if (*unit == *end) {
			end++;
			break;
		}
	}
	if (end == text || *end != '\0')
		die("%s: not a size", text);
	return n;
}

uint64_t now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

void sleep_ms(uint64_t ms)
{
	struct timespec span = { .tv_sec = (time_t)(ms / 1000),
		.tv_nsec = (long)(ms % 1000) * 1000000 };

	while (nanosleep(&span, &span) < 0 && errno == EINTR)
		;
}

/* splitmix64 of the number of the eight bytes that an offset lies in. */
static uint64_t stream_word(uint64_t seed, uint64_t number)
{
	uint64_t z = (seed ^ number) * 0x9e3779b97f4a7c15U + 0x9e3779b97f4a7c15U;

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9U;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebU;
	return z ^ (z >> 31);
}

void stream_fill(uint64_t seed, uint64_t offset, char *buf, size_t len)
{
	while (len > 0) {
		uint64_t word = stream_word(seed, offset / 8);

		if (offset % 8 == 0 && len >= 8) {
			memcpy(buf, &word, 8);
			buf += 8;
			offset += 8;
			len -= 8;
			continue;
		}
		size_t from = offset % 8;
		size_t n = 8 - from < len ? 8 - from : len;

		memcpy(buf, (const char *)&word + from, n);
		buf += n;
		offset += n;
		len -= n;
	}
}

bool stream_matches(uint64_t seed, uint64_t offset, const char *buf, size_t len)
{
	char want[4096];

	while (len > 0) {
		size_t n = len < sizeof(want) ? len : sizeof(want);

		stream_fill(seed, offset, want, n);
		if (memcmp(want, buf, n) != 0)
			return false;
		buf += n;
		offset += n;
		len -= n;
	}
	return true;
}

bool send_all(int fd, const char *buf, size_t len)
{
	while (len > 0) {
		ssize_t n = send(fd, buf, len, MSG_NOSIGNAL);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return false;
		buf += n;
		len -= (size_t)n;
	}
	return true;
}

bool send_stream(int fd, uint64_t seed, uint64_t bytes)
{
	static __thread char buf[65536];
	uint64_t offset = 0;

	while (offset < bytes) {
		size_t n = bytes - offset < sizeof(buf) ? (size_t)(bytes - offset) : sizeof(buf);

		stream_fill(seed, offset, buf, n);
		if (!send_all(fd, buf, n))
			return false;
		offset += n;
	}
	return true;
}

void wait_acknowledged(int fd, uint64_t ms)
{
	uint64_t until = now_ms() + ms;
	int queued = 1;

	while (now_ms() < until && ioctl(fd, SIOCOUTQ, &queued) == 0 && queued > 0)
		sleep_ms(1);
}

void close_reset(int fd)
{
	struct linger at_once = { .l_onoff = 1, .l_linger = 0 };

	setsockopt(fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
	close(fd);
}
