/* What origin and client share: addresses, a stream of bytes that can be checked at any offset, and the
 * ways in which a connection ends. Errors of the machine end the program with a line on stderr.
 */
#ifndef PROXYD_TESTS_HELPERS_UTIL_H
#define PROXYD_TESTS_HELPERS_UTIL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

__attribute__((noreturn, format(printf, 1, 2))) void die(const char *format, ...);

/* "HOST:PORT" (literals and localhost), "[V6]:PORT", ":PORT" (IPv6 any, which takes IPv4 too), "unix:PATH". */
struct peer_addr {
	struct sockaddr_storage addr;
	socklen_t len;
};

void peer_addr_parse(const char *text, struct peer_addr *addr_r);
int peer_listen(const struct peer_addr *addr, int backlog);
int peer_socket(const struct peer_addr *addr); /* blocking; TCP_NODELAY */
void set_nonblocking(int fd);

/* Decimal, with k, m or g for powers of 1024. */
uint64_t parse_size(const char *text);
uint64_t now_ms(void);
void sleep_ms(uint64_t ms);

/* The byte of a seed's stream at an offset depends on both alone. */
void stream_fill(uint64_t seed, uint64_t offset, char *buf, size_t len);
bool stream_matches(uint64_t seed, uint64_t offset, const char *buf, size_t len);

/* Everything in buf, blocking; false on an error. */
bool send_all(int fd, const char *buf, size_t len);
bool send_stream(int fd, uint64_t seed, uint64_t bytes);

/* Until the peer acknowledged all that was sent, at most for ms. */
void wait_acknowledged(int fd, uint64_t ms);

/* Close so that the peer gets a reset (TCP) at once. */
void close_reset(int fd);

#endif
