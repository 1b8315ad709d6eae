/* What `load`, `origin` and `bare` of the bench share: the form of a request, addresses, time, dying. All are one
 * thread on one epoll each, and do as little as can be done, for whatever they cost is subtracted from nothing.
 */
#ifndef PROXYD_TESTS_BENCH_BENCH_H
#define PROXYD_TESTS_BENCH_BENCH_H

#include <netinet/in.h>
#include <stdint.h>

#define BENCH_ADDRESSES 64
#define BENCH_FDS       65536
#define NS_PER_S        1000000000ULL
#define NS_PER_MS       1000000ULL

enum bench_form {
	FORM_ANSWER = 'a', /* answer_bytes, as they are */
	FORM_AES = 'e',    /* the same, encrypted for each answer with AES-128-CBC */
	FORM_SLEEP = 's',  /* the same, one millisecond later */
	FORM_SOURCE = 'g', /* bytes for as long as the connection lives */
	FORM_SINK = 'd',   /* all bytes are dropped */
};

/* The beginning of every request, in the machine's own byte order: both ends are on this machine. The answer
 * begins with the number, so that an answer to something else is seen.
 */
struct bench_ask {
	uint32_t form;      /* enum bench_form */
	uint32_t ask_bytes; /* with this header */
	uint32_t answer_bytes;
	uint32_t unused;
	uint64_t number;
};

#define BENCH_ANSWER_MIN sizeof(uint64_t)

struct bench_addresses {
	unsigned count;
	struct sockaddr_in at[BENCH_ADDRESSES];
};

/* Print "PROGRAM: " and the rest, with errno's text when it ends in ": ", and exit 2. */
void die(const char *format, ...) __attribute__((noreturn, format(printf, 1, 2)));

/* CLOCK_MONOTONIC in nanoseconds. */
uint64_t now_ns(void);

/* A.B.C.D:PORT or A.B.C.D:FIRST-LAST; dies on anything else. */
void bench_parse_addresses(const char *text, struct bench_addresses *addresses_r);

/* A number from least to most; dies on anything else, naming what it is. */
double bench_parse_number(const char *text, double least, double most, const char *what);

/* Take as many fds as the hard limit allows, and BENCH_FDS at most. Returns how many. */
unsigned bench_raise_fds(void);

/* A listener, without blocking; its connections send at once. Dies when there cannot be one. */
int bench_listen(const struct sockaddr_in *address);

/* The next connection, without blocking; -1: none waits. Dies on anything else. */
int bench_accept(int listen_fd);

/* epoll_wait in nanoseconds; UINT64_MAX waits for ever. Dies on what is not EINTR. */
struct epoll_event;
int bench_wait(int epoll_fd, struct epoll_event *events, int max, uint64_t timeout_ns);

#endif
