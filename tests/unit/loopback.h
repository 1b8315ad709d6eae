/* TCP on this machine, for tests that need sockets and no server.
 */
#ifndef PROXYD_TESTS_UNIT_LOOPBACK_H
#define PROXYD_TESTS_UNIT_LOOPBACK_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

/* A bound socket. */
static inline int loopback_bind(struct sockaddr_in *addr_r)
{
	socklen_t len = sizeof(*addr_r);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	*addr_r = (struct sockaddr_in){ .sin_family = AF_INET,
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	assert_int_equal(bind(fd, (struct sockaddr *)addr_r, len), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)addr_r, &len), 0);
	return fd;
}

/* One that nobody has now. */
static inline uint16_t loopback_port(void)
{
	struct sockaddr_in addr;

	close(loopback_bind(&addr));
	return ntohs(addr.sin_port);
}

/* A connection; both ends are non-blocking. */
static inline void loopback_pair(int *near_r, int *far_r)
{
	struct sockaddr_in addr;
	int listener = loopback_bind(&addr);

	assert_int_equal(listen(listener, 1), 0);
	*far_r = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(connect(*far_r, (struct sockaddr *)&addr, sizeof(addr)), 0);
	assert_int_equal(fcntl(*far_r, F_SETFL, O_NONBLOCK), 0);
	*near_r = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
	assert_true(*near_r >= 0);
	close(listener);
}

#endif
