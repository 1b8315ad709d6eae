/* The list, and its copy in shared memory.
 */
#include "master/change/edits.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/log.h"
#include "common/memory.h"
#include "common/shm.h"

_Static_assert(
	SHM_EDITS_MAX == CONF_EDITS_MAX && SHM_EDIT_BYTES == CONF_EDIT_BYTES, "the same list");

struct conf_edits *edits_new(void)
{
	return memory_or_exit(calloc(1, sizeof(struct conf_edits)), "edits");
}

/* Another master wrote it, perhaps of another build: no line is trusted to have an end. */
static struct conf_edits *edits_copy(const struct shm_edits *from)
{
	struct conf_edits *edits = edits_new();

	edits->count = from->count < CONF_EDITS_MAX ? from->count : CONF_EDITS_MAX;
	for (uint32_t i = 0; i < edits->count; i++)
		snprintf(edits->lines[i], CONF_EDIT_BYTES, "%.*s", CONF_EDIT_BYTES - 1,
			from->lines[i]);
	return edits;
}

struct conf_edits *edits_read(struct shm *shm)
{
	return edits_copy(&shm_master(shm)->edits);
}

struct conf_edits *edits_read_before(struct shm *shm)
{
	return edits_copy(&shm_master(shm)->edits_before);
}

/* Never half of one, for who comes when we are killed in between. */
static void edits_put(struct shm_edits *to, const struct conf_edits *edits)
{
	to->count = 0;
	record_order();
	for (uint32_t i = 0; i < edits->count; i++)
		memcpy(to->lines[i], edits->lines[i], CONF_EDIT_BYTES);
	record_order();
	to->count = edits->count;
}

void edits_write(struct shm *shm, const struct conf_edits *edits)
{
	edits_put(&shm_master(shm)->edits, edits);
}

void edits_keep_before(struct shm *shm)
{
	struct conf_edits *edits = edits_read(shm);

	edits_put(&shm_master(shm)->edits_before, edits);
	free(edits);
}

static void edits_drop(struct conf_edits *edits, uint32_t at)
{
	const uint32_t after = edits->count - at - 1;

	memmove(edits->lines[at], edits->lines[at + 1], after * sizeof(edits->lines[0]));
	memmove(&edits->results[at], &edits->results[at + 1], after * sizeof(edits->results[0]));
	edits->count--;
}

int edits_push(struct conf_edits *edits, const char *line)
{
	char name[CONF_EDIT_BYTES];

	conf_edit_name(line, name, sizeof(name));
	for (uint32_t i = edits->count; i > 0 && conf_edit_is(line, "del", name); i--) {
		if (conf_edit_is(edits->lines[i - 1], "add", name)) {
			edits_drop(edits, i - 1);
			return 0;
		}
	}
	if (edits->count == CONF_EDITS_MAX)
		return -1;
	edits->results[edits->count] = EDIT_DONE;
	snprintf(edits->lines[edits->count++], CONF_EDIT_BYTES, "%s", line);
	return 0;
}

static void edits_say(const char *line, enum conf_edit_result result)
{
	char name[CONF_EDIT_BYTES];
	const bool add = strncmp(line, "add", 3) == 0;

	conf_edit_name(line, name, sizeof(name));
	if (result == EDIT_OVERRULED && add)
		log_warnx("%s: the file has it now, and wins over `add server`", name);
	else if (result == EDIT_OVERRULED)
		log_warnx(
			"%s: the file says something new of it, and wins over `del server`: it is "
			"back",
			name);
	else if (add)
		log_warnx(
			"%s: its backend is gone from the file, and what was added with it", name);
	else
		log_info("%s: gone from the file, too", name);
}

void edits_settle(struct conf_edits *edits)
{
	uint32_t i = 0;

	while (i < edits->count) {
		if (edits->results[i] == EDIT_DONE) {
			i++;
			continue;
		}
		edits_say(edits->lines[i], edits->results[i]);
		edits_drop(edits, i);
	}
}
