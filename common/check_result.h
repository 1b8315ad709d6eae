/* What a check came to, in words: the same in the log and in every view. The results themselves are in
 * check_results.def, enum check_result is common/shm.h's.
 */
#ifndef PROXYD_COMMON_CHECK_RESULT_H
#define PROXYD_COMMON_CHECK_RESULT_H

#include <stddef.h>
#include <stdint.h>

/* "ok", "cannot connect: Connection refused", "status 503". What no check has written is "unknown": the numbers
 * come from shared memory. Returns buf. */
const char *check_result_describe(uint32_t result, uint32_t detail, char *buf, size_t buf_bytes);

#endif
