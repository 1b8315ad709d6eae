/* A generation as a list of workers; what happens to them is the supervisor's.
 */
#include "master/children/generation.h"

#include <stdlib.h>
#include <time.h>

#include "common/clock.h"
#include "common/log.h"
#include "master/children/process.h"
#include "master/config.h"

struct generation *generation_new(
	struct supervisor *supervisor, uint32_t number, struct config *config, uint32_t nworkers)
{
	struct generation *generation = calloc(1, sizeof(*generation));

	MUST(nworkers >= 1 && nworkers <= SHM_SLOTS);
	if (generation != NULL)
		generation->workers = calloc(nworkers, sizeof(*generation->workers));
	if (generation == NULL || generation->workers == NULL) {
		log_fatal("generation");
		exit(EXIT_CODE_FAILED);
	}
	generation->number = number;
	generation->config = config != NULL ? config_hold(config) : NULL;
	generation->nworkers = nworkers;
	generation_set_state(generation, GENERATION_PREPARING);
	for (uint32_t i = 0; i < nworkers; i++) {
		process_init(&generation->workers[i], supervisor, CHILD_WORKER, i);
		generation->workers[i].home = generation;
	}
	TAILQ_INSERT_TAIL(&supervisor->generations, generation, link);
	return generation;
}

void generation_set_state(struct generation *generation, enum generation_state state)
{
	generation->state = state;
	generation->since_ms = clock_now_ms();
	generation->since_wall_s = (uint64_t)time(NULL);
}

bool generation_is_empty(const struct generation *generation)
{
	for (uint32_t i = 0; i < generation->nworkers; i++) {
		if (generation->workers[i].state != PROCESS_GONE)
			return false;
	}
	return true;
}

bool generation_is_ready(const struct generation *generation)
{
	for (uint32_t i = 0; i < generation->nworkers; i++) {
		if (generation->workers[i].state != PROCESS_READY)
			return false;
	}
	return true;
}

uint32_t generation_alive(const struct generation *generation)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < generation->nworkers; i++)
		n += process_alive(&generation->workers[i]);
	return n;
}

void generation_free(struct supervisor *supervisor, struct generation *generation)
{
	MUST(generation_is_empty(generation));
	for (uint32_t i = 0; i < generation->nworkers; i++)
		process_deinit(&generation->workers[i]);
	TAILQ_REMOVE(&supervisor->generations, generation, link);
	config_release(generation->config);
	free(generation->workers);
	free(generation);
}

const char *generation_state_name(enum generation_state state)
{
	switch (state) {
	case GENERATION_PREPARING:
		return "preparing";
	case GENERATION_SERVING:
		return "serving";
	case GENERATION_LEAVING:
		break;
	}
	return "leaving";
}
