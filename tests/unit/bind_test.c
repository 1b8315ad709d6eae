/* Listening sockets: every option of a frontend's `tcp` is on the socket, and is inherited where it must be.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <arpa/inet.h>
#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <string.h>
#include <unistd.h>

#include "conf/conf.h"
#include "master/listen/bind.h"

static int bound(const struct conf_tcp *tcp, const char *host, bool v6only)
{
	const struct conf_frontend frontend = { .name = "front", .tcp = *tcp };
	struct sockaddr_any addr;
	const struct bind_ask ask = { &frontend, &addr, v6only, false, true };
	const char *what;
	int fd = -1;

	assert_int_equal(sockaddr_from_literal(host, 0, &addr), 0);
	if (bind_open(&ask, &fd, &what) < 0)
		fail_msg("%s: %s", what, strerror(errno));
	return fd;
}

static int option(int fd, int level, int name)
{
	int value = -1;
	socklen_t len = sizeof(value);

	assert_int_equal(getsockopt(fd, level, name, &value, &len), 0);
	return value;
}

/* One that connects to it, as accepted. */
static int accepted(int fd)
{
	struct sockaddr_storage addr;
	socklen_t len = sizeof(addr);
	int client;
	int server = -1;

	getsockname(fd, (struct sockaddr *)&addr, &len);
	client = socket(addr.ss_family, SOCK_STREAM, 0);
	assert_int_equal(connect(client, (struct sockaddr *)&addr, len), 0);
	assert_int_equal(send(client, "x", 1, 0), 1); /* for TCP_DEFER_ACCEPT */
	for (int i = 0; i < 1000 && server < 0; i++) {
		server = accept(fd, NULL, NULL);
		usleep(1000);
	}
	assert_true(server >= 0);
	close(client);
	return server;
}

static void test_a_plain_one_listens(void **state)
{
	const struct conf_tcp tcp = { .nodelay = true, .backlog = 128, .interface = "" };
	int fd = bound(&tcp, "127.0.0.1", false);
	int server = accepted(fd);

	(void)state;
	assert_int_equal(option(fd, SOL_SOCKET, SO_ACCEPTCONN), 1);
	assert_int_equal(option(fd, SOL_SOCKET, SO_REUSEPORT), 1);
	assert_true(fcntl(fd, F_GETFL) & O_NONBLOCK);
	assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
	assert_int_equal(option(server, IPPROTO_TCP, TCP_NODELAY), 1);
	assert_int_equal(option(server, SOL_SOCKET, SO_KEEPALIVE), 0);
	close(server);
	close(fd);
}

static void test_options_are_set_and_inherited(void **state)
{
	const struct conf_tcp tcp = {
		.backlog = 128,
		.fastopen = 16,
		.defer_accept_ms = 1000,
		.keepalive_ms = 90000,
		.user_timeout_ms = 7000,
		.interface = "",
	};
	int fd = bound(&tcp, "127.0.0.1", false);
	int server = accepted(fd);

	(void)state;
	assert_int_equal(option(fd, IPPROTO_TCP, TCP_FASTOPEN), 16);
	assert_true(option(fd, IPPROTO_TCP, TCP_DEFER_ACCEPT) >= 1);
	assert_int_equal(option(server, IPPROTO_TCP, TCP_NODELAY), 0);
	assert_int_equal(option(server, SOL_SOCKET, SO_KEEPALIVE), 1);
	assert_int_equal(option(server, IPPROTO_TCP, TCP_KEEPIDLE), 90);
	assert_int_equal(option(server, IPPROTO_TCP, TCP_USER_TIMEOUT), 7000);
	close(server);
	close(fd);
}

static void test_v6only(void **state)
{
	const struct conf_tcp tcp = { .backlog = 16, .interface = "" };

	(void)state;
	for (int v6only = 0; v6only < 2; v6only++) {
		int fd = bound(&tcp, "::", v6only == 1);

		assert_int_equal(option(fd, IPPROTO_IPV6, IPV6_V6ONLY), v6only);
		close(fd);
	}
}

static void test_mptcp_or_tcp_in_its_place(void **state)
{
	const struct conf_tcp tcp = { .backlog = 16, .mptcp = true, .interface = "" };
	int probe = socket(AF_INET, SOCK_STREAM, IPPROTO_MPTCP);
	int expected = probe >= 0 ? IPPROTO_MPTCP : IPPROTO_TCP;
	int fd = bound(&tcp, "127.0.0.1", false);

	(void)state;
	assert_int_equal(option(fd, SOL_SOCKET, SO_PROTOCOL), expected);
	if (probe >= 0)
		close(probe);
	close(fd);
}

static void test_interface_and_transparent(void **state)
{
	const struct conf_tcp tcp = { .backlog = 16, .interface = "lo", .transparent = true };
	char name[16] = "";
	socklen_t len = sizeof(name);
	int fd;

	(void)state;
	if (geteuid() != 0) {
		print_message("skipped: needs root\n");
		return;
	}
	fd = bound(&tcp, "127.0.0.1", false);
	assert_int_equal(getsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, name, &len), 0);
	assert_string_equal(name, "lo");
	assert_int_equal(option(fd, IPPROTO_IP, IP_TRANSPARENT), 1);
	close(fd);
}

/* A second daemon of the same user could join in silently, if the first socket allowed it before its bind. */
static void test_a_taken_address_is_found(void **state)
{
	const struct conf_tcp tcp = { .backlog = 16, .interface = "" };
	const struct conf_frontend frontend = { .name = "front", .tcp = tcp };
	struct sockaddr_storage taken;
	socklen_t len = sizeof(taken);
	struct sockaddr_any addr;
	struct bind_ask ask = { &frontend, &addr, false, false, true };
	const char *what;
	int fd = bound(&tcp, "127.0.0.1", false);
	int second = -1;

	(void)state;
	getsockname(fd, (struct sockaddr *)&taken, &len);
	sockaddr_from_kernel((struct sockaddr *)&taken, len, &addr);
	assert_int_equal(bind_open(&ask, &second, &what), -1);
	assert_int_equal(errno, EADDRINUSE);
	/* Its own further sockets do join. */
	ask.first = false;
	assert_int_equal(bind_open(&ask, &second, &what), 0);
	close(second);
	close(fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_plain_one_listens),
		cmocka_unit_test(test_options_are_set_and_inherited),
		cmocka_unit_test(test_v6only),
		cmocka_unit_test(test_mptcp_or_tcp_in_its_place),
		cmocka_unit_test(test_interface_and_transparent),
		cmocka_unit_test(test_a_taken_address_is_found),
	};

	return cmocka_run_group_tests_name("bind", tests, NULL, NULL);
}
