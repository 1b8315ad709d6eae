/* One writer; the length is written last, so that a master that dies in between leaves none rather than half of one.
 */
#include "master/change/way_back.h"

#include <stdlib.h>
#include <string.h>

#include "common/shm.h"

void way_back_keep(struct shm *shm, const char *text)
{
	struct shm_way_back *back = &shm_master(shm)->way_back;
	const size_t bytes = text != NULL ? strlen(text) : 0;

	way_back_until(shm, 0);
	atomic_store_explicit(&back->bytes, 0, memory_order_release);
	if (bytes > sizeof(back->text))
		return;
	memcpy(back->text, text != NULL ? text : "", bytes);
	atomic_store_explicit(&back->bytes, (uint32_t)bytes, memory_order_release);
}

void way_back_until(struct shm *shm, uint64_t until_ms)
{
	atomic_store(&shm_master(shm)->way_back.until_ms, until_ms);
}

uint64_t way_back_get_until(struct shm *shm)
{
	return atomic_load(&shm_master(shm)->way_back.until_ms);
}

char *way_back_text(struct shm *shm)
{
	const struct shm_way_back *back = &shm_master(shm)->way_back;
	const uint32_t bytes = atomic_load_explicit(&back->bytes, memory_order_acquire);

	return bytes > 0 && bytes <= sizeof(back->text) ? strndup(back->text, bytes) : NULL;
}
