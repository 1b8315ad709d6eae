/* The http check's parser: whatever comes, split by the first byte, gives the same verdict as in one piece,
 * within its bound. */
#include <stddef.h>
#include <stdint.h>

#include "worker/checker/http_answer.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static enum http_answer_verdict feed(
	struct http_answer *answer, const uint8_t *bytes, size_t len, size_t piece)
{
	enum http_answer_verdict verdict = HTTP_ANSWER_MORE;

	http_answer_begin(answer);
	for (size_t fed = 0; fed < len && verdict == HTTP_ANSWER_MORE; fed += piece)
		verdict = http_answer_feed(
			answer, bytes + fed, len - fed < piece ? len - fed : piece);
	return verdict;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct http_answer whole;
	struct http_answer split;
	enum http_answer_verdict verdict;

	if (size < 2)
		return 0;
	verdict = feed(&whole, data + 1, size - 1, size - 1);
	MUST(feed(&split, data + 1, size - 1, (size_t)data[0] % 32 + 1) == verdict);
	MUST(whole.bytes == split.bytes && whole.bytes <= HTTP_ANSWER_MAX_BYTES);
	if (verdict == HTTP_ANSWER_STATUS)
		MUST(whole.status == split.status && whole.status >= 101 && whole.status <= 999);
	return 0;
}
