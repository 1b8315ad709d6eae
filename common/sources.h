/* How many connections each source address has at a frontend, and how many it opened in this second: one truth for
 * all workers, in a table of fixed size in shared memory. An IPv6 source is its /64, an IPv4 one its address.
 *
 * Atomics only. An entry that has nothing open and was not touched for two seconds is anyone's. When a source finds
 * no place (tens of thousands at once), it is let in uncounted: the table protects from few that ask for much.
 */
#ifndef PROXYD_COMMON_SOURCES_H
#define PROXYD_COMMON_SOURCES_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/must.h"

#define SOURCES_SIZE 65536 /* entries, a power of two */

struct source_entry {
	_Atomic uint64_t key; /* hash of frontend and source; 0: never used */
	_Atomic uint32_t active;
	_Atomic uint32_t second; /* the second that `opened` counts */
	_Atomic uint32_t opened;
	_Atomic uint32_t unused;
};

struct sources {
	struct source_entry entries[SOURCES_SIZE];
};

struct source_ask {
	uint64_t key;     /* sources_key */
	uint32_t maxconn; /* 0: no limit */
	uint32_t rate;    /* a second; 0: no limit */
	uint64_t now_ms;
};

enum source_answer {
	SOURCE_COUNTED,   /* let in: sources_leave when it ends */
	SOURCE_UNCOUNTED, /* let in, no place in the table */
	SOURCE_MAXCONN,   /* has as many as it may */
	SOURCE_RATE,      /* opened as many in this second as it may */
};

/* host as in sockaddr_host_bytes. Never 0. */
uint64_t sources_key(uint32_t frontend, const void *host, size_t host_len);

MUST_USE enum source_answer sources_enter(struct sources *sources, const struct source_ask *ask);
void sources_leave(struct sources *sources, uint64_t key);

#endif
