/* What the programs of the bench need and none is about. */
#include "tests/bench/bench.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>

void die(const char *format, ...)
{
	int saved = errno;
	size_t bytes = strlen(format);
	va_list args;

	fprintf(stderr, "%s: ", program_invocation_short_name);
	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
	fprintf(stderr, "%s\n", bytes > 1 && format[bytes - 2] == ':' ? strerror(saved) : "");
	exit(2);
}

uint64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * NS_PER_S + (uint64_t)now.tv_nsec;
}

void bench_parse_addresses(const char *text, struct bench_addresses *addresses_r)
{
	char host[INET_ADDRSTRLEN];
	unsigned first = 0, last = 0;
	struct in_addr in;
	int fields =
		sscanf(text, "%15[0-9.]:%5u-%5u", host, &first, &last); /* NOLINT(cert-err34-c) */

	if (fields == 2)
		last = first;
	if (fields < 2 || !inet_aton(host, &in) || first < 1 || last > 65535 || last < first ||
		last - first >= BENCH_ADDRESSES)
		die("%s is not A.B.C.D:PORT or A.B.C.D:FIRST-LAST", text);
	addresses_r->count = last - first + 1;
	for (unsigned i = 0; i < addresses_r->count; i++)
		addresses_r->at[i] = (struct sockaddr_in){ .sin_family = AF_INET,
			.sin_addr = in,
			.sin_port = htons((uint16_t)(first + i)) };
}

double bench_parse_number(const char *text, double least, double most, const char *what)
{
	char *end;
	double value = strtod(text, &end);

	if (end == text || *end || !(value >= least && value <= most))
		die("%s: %s is not a number from %.10g to %.10g", what, text, least, most);
	return value;
}

unsigned bench_raise_fds(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
		die("getrlimit: ");
	limit.rlim_cur = limit.rlim_max < BENCH_FDS ? limit.rlim_max : BENCH_FDS;
	if (setrlimit(RLIMIT_NOFILE, &limit) < 0)
		die("setrlimit: ");
	return (unsigned)limit.rlim_cur;
}

int bench_listen(const struct sockaddr_in *address)
{
	int on = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) < 0 ||
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)) < 0 ||
		bind(fd, (const struct sockaddr *)address, sizeof(*address)) < 0 ||
		listen(fd, SOMAXCONN) < 0)
		die("listen on port %u: ", ntohs(address->sin_port));
	return fd;
}

int bench_accept(int listen_fd)
{
	int fd = accept4(listen_fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

	if (fd < 0 && (errno == EAGAIN || errno == ECONNABORTED))
		return -1;
	if (fd < 0 || fd >= BENCH_FDS)
		die("accept4: ");
	return fd;
}

int bench_wait(int epoll_fd, struct epoll_event *events, int max, uint64_t timeout_ns)
{
	struct timespec timeout = { .tv_sec = (time_t)(timeout_ns / NS_PER_S),
		.tv_nsec = (long)(timeout_ns % NS_PER_S) };
	int n = epoll_pwait2(
		epoll_fd, events, max, timeout_ns == UINT64_MAX ? NULL : &timeout, NULL);

	if (n < 0 && errno != EINTR)
		die("epoll_pwait2: ");
	return n < 0 ? 0 : n;
}
