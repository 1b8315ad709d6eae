/* The search for expected bytes: the first byte says how many of the following are wanted and the second how
 * the rest is split; memmem says what must come out. */
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "worker/checker/expect.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	enum expect_verdict verdict = EXPECT_MORE;
	struct expect_search search;
	struct expect *expect;
	const uint8_t *bytes;
	size_t wanted;
	size_t piece;
	size_t len;

	if (size < 3 || data[0] == 0 || size - 2 < data[0])
		return 0;
	wanted = data[0];
	piece = (size_t)data[1] + 1;
	bytes = data + 2 + wanted;
	len = size - 2 - wanted;
	if (len >= EXPECT_MAX_BYTES)
		return 0;
	expect = expect_new(data + 2, wanted);
	MUST(expect != NULL);
	expect_begin(&search);
	for (size_t fed = 0; fed < len && verdict == EXPECT_MORE; fed += piece)
		verdict = expect_feed(
			expect, &search, bytes + fed, len - fed < piece ? len - fed : piece);
	MUST(verdict ==
		(memmem(bytes, len, data + 2, wanted) != NULL ? EXPECT_FOUND : EXPECT_MORE));
	expect_free(expect);
	return 0;
}
