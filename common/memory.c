/* One way to end without memory.
 */
#include "common/memory.h"

#include <stdlib.h>

#include "common/child.h"
#include "common/log.h"

void *memory_or_exit(void *memory, const char *what)
{
	if (memory == NULL) {
		log_fatal("%s", what);
		exit(EXIT_CODE_FAILED);
	}
	return memory;
}
