/* border[n] is the length of the longest proper beginning of the first n wanted bytes that is also their
 * end: where to go on when n matched and the next byte does not.
 */
#include "worker/checker/expect.h"

#include <stdlib.h>

struct expect {
	const uint8_t *bytes; /* borrowed */
	size_t len;
	uint32_t border[]; /* [len + 1] */
};

static uint32_t expect_step(const struct expect *expect, uint32_t matched, uint8_t byte)
{
	while (matched > 0 && expect->bytes[matched] != byte)
		matched = expect->border[matched];
	return expect->bytes[matched] == byte ? matched + 1 : 0;
}

struct expect *expect_new(const uint8_t *bytes, size_t len)
{
	struct expect *expect = malloc(sizeof(*expect) + (len + 1) * sizeof(expect->border[0]));

	if (expect == NULL)
		return NULL;
	expect->bytes = bytes;
	expect->len = len;
	expect->border[0] = 0;
	if (len > 0)
		expect->border[1] = 0;
	for (size_t n = 2; n <= len; n++)
		expect->border[n] = expect_step(expect, expect->border[n - 1], bytes[n - 1]);
	return expect;
}

void expect_free(struct expect *expect)
{
	free(expect);
}

void expect_begin(struct expect_search *search)
{
	*search = (struct expect_search){ 0 };
}

enum expect_verdict expect_feed(
	const struct expect *expect, struct expect_search *search, const uint8_t *bytes, size_t len)
{
	if (expect->len == 0)
		return EXPECT_FOUND;
	for (size_t i = 0; i < len && search->bytes < EXPECT_MAX_BYTES; i++) {
		search->bytes++;
		search->matched = expect_step(expect, search->matched, bytes[i]);
		if (search->matched == expect->len)
			return EXPECT_FOUND;
	}
	return search->bytes < EXPECT_MAX_BYTES ? EXPECT_MORE : EXPECT_MISSING;
}
