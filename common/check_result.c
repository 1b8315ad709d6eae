/* Words for the results of checks.
 */
#include "common/check_result.h"

#include <stdio.h>
#include <string.h>

#include "common/shm.h"

static const char *const result_texts[CHECK_RESULTS] = {
#define CHECK_RESULT(name, text) text,
#include "common/check_results.def"
#undef CHECK_RESULT
};

const char *check_result_describe(uint32_t result, uint32_t detail, char *buf, size_t buf_bytes)
{
	if (result >= CHECK_RESULTS)
		snprintf(buf, buf_bytes, "unknown");
	else if (result == CHECKED_STATUS)
		snprintf(buf, buf_bytes, "%s %u", result_texts[result], detail);
	else if ((result == CHECKED_NO_CONNECT || result == CHECKED_CLOSED) && detail != 0)
		snprintf(buf, buf_bytes, "%s: %s", result_texts[result], strerror((int)detail));
	else
		snprintf(buf, buf_bytes, "%s", result_texts[result]);
	return buf;
}
