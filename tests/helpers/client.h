/* What client.c and client_many.c have in common. */
#ifndef PROXYD_TESTS_HELPERS_CLIENT_H
#define PROXYD_TESTS_HELPERS_CLIENT_H

#include <stdbool.h>
#include <stdint.h>

struct peer_addr;

/* The program's exit codes. */
enum outcome {
	OUTCOME_OK = 0,
	OUTCOME_REFUSED = 3,
	OUTCOME_RESET = 4,
	OUTCOME_TIMEOUT = 5,
	OUTCOME_SHORT = 6,
	OUTCOME_WRONG = 7,
};

/* Start `rate` requests a second for so many seconds or until TERM, against origins `answer`. Prints one JSON
 * line: how many came to which end, the 99th percentile in us, the slowest in ms, how often each answer came,
 * and of the first failures when they began and ended. Exits 0 whatever the ends. */
int many_rate(const struct peer_addr *addr, uint64_t rate, uint64_t seconds, uint64_t timeout_s);

/* Open n connections, say "connected N" on stdout, keep them for so many seconds or until TERM, then send a
 * line on each that is still open and wait up to 2 s for answers. dripping: each sends a byte a second meanwhile.
 * Prints one JSON line. */
int many_hold(const struct peer_addr *addr, uint64_t n, uint64_t seconds, bool dripping);

#endif
