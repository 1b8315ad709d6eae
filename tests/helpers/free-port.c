/* Prints ports that nobody listens on, one a line, in a row where several are asked for:
 *
 *   free-port [COUNT]
 *
 * They lie below the range that the kernel takes for outgoing connections, and a file counts them up for
 * every test run on the machine, so that two tests side by side are never given the same one.
 */
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <unistd.h>

#define PORT_FIRST 10240

static unsigned port_end(void)
{
	unsigned end = 32768;
	FILE *file = fopen("/proc/sys/net/ipv4/ip_local_port_range", "r");

	if (file) {
		if (fscanf(file, "%u", &end) != 1) /* NOLINT(cert-err34-c) */
			end = 32768;
		fclose(file);
	}
	return end > PORT_FIRST + 5000 ? end : 65000;
}

/* Both families at once, as proxyd binds ":PORT". */
static bool is_free(unsigned port)
{
	struct sockaddr_in6 addr6 = { .sin6_family = AF_INET6, .sin6_port = htons((uint16_t)port) };
	struct sockaddr_in addr4 = { .sin_family = AF_INET, .sin_port = htons((uint16_t)port) };
	int fd4 = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	int fd6 = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
	int on = 1;
	bool good;

	setsockopt(fd4, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	setsockopt(fd6, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	setsockopt(fd6, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on));
	good = fd4 >= 0 && bind(fd4, (struct sockaddr *)&addr4, sizeof(addr4)) == 0 &&
		listen(fd4, 1) == 0;
	if (good && fd6 >= 0)
		good = bind(fd6, (struct sockaddr *)&addr6, sizeof(addr6)) == 0 &&
			listen(fd6, 1) == 0;
	if (fd4 >= 0)
		close(fd4);
	if (fd6 >= 0)
		close(fd6);
	return good;
}

/* The first of `count` free ports in a row, looking from `next` on; 0 when there are none. */
static unsigned find_row(unsigned next, unsigned count)
{
	unsigned end = port_end();
	unsigned row = 0;

	for (unsigned looked = 0; looked < 2 * (end - PORT_FIRST); looked++, next++) {
		if (next < PORT_FIRST || next >= end) {
			next = PORT_FIRST;
			row = 0;
		}
		row = is_free(next) ? row + 1 : 0;
		if (row == count)
			return next - count + 1;
	}
	return 0;
}

int main(int argc, char **argv)
{
	unsigned count = argc > 1 ? (unsigned)strtoul(argv[1], NULL, 10) : 1;
	unsigned next = 0;
	unsigned first;
	char path[64];
	char text[16] = "";
	int fd;

	snprintf(path, sizeof(path), "/tmp/proxyd-test-ports-%u", (unsigned)getuid());
	fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0 || flock(fd, LOCK_EX) < 0) {
		perror(path);
		return 1;
	}
	if (read(fd, text, sizeof(text) - 1) > 0)
		next = (unsigned)strtoul(text, NULL, 10);
	first = count > 0 ? find_row(next, count) : 0;
	if (first == 0) {
		fprintf(stderr, "free-port: no %u free ports in a row\n", count);
		return 1;
	}
	snprintf(text, sizeof(text), "%-10u\n", first + count);
	if (pwrite(fd, text, strlen(text), 0) < 0) {
		perror(path);
		return 1;
	}
	for (unsigned i = 0; i < count; i++)
		printf("%u\n", first + i);
	return 0;
}
