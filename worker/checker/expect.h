/* Search for certain bytes in what arrives, split anywhere. Nothing of what came is kept: how much of the
 * wanted bytes stands at its end is all that has to be known (Knuth, Morris, Pratt).
 */
#ifndef PROXYD_WORKER_CHECKER_EXPECT_H
#define PROXYD_WORKER_CHECKER_EXPECT_H

#include <stddef.h>
#include <stdint.h>

#include "common/must.h"

/* What is not found in that many bytes is missing. */
#define EXPECT_MAX_BYTES 65536

enum expect_verdict { EXPECT_MORE, EXPECT_FOUND, EXPECT_MISSING };

/* What is looked for; one serves any number of searches. */
struct expect;

struct expect_search {
	uint32_t matched; /* of the wanted bytes, by the last ones that came */
	uint32_t bytes;   /* seen */
};

/* bytes are borrowed; none are found at once. Returns NULL when there is no memory. */
struct expect *expect_new(const uint8_t *bytes, size_t len);
void expect_free(struct expect *expect); /* NULL is fine */

void expect_begin(struct expect_search *search);

/* The next bytes. Not to be called again after another verdict than EXPECT_MORE. */
MUST_USE enum expect_verdict expect_feed(const struct expect *expect, struct expect_search *search,
	const uint8_t *bytes, size_t len);

#endif
