/* What workers accepted, by their number: a slot of shared memory keeps its counters when it passes from one worker to
 * another, perhaps of another number.
 */
#include "master/children/process.h"

/* Those of the dead are shown with the one that serves. */
void supervisor_count_carry(struct supervisor *supervisor)
{
	struct process *worker = NULL;

	while ((worker = supervisor_next_worker(supervisor, worker)) != NULL) {
		uint64_t carried = 0;

		if (worker->slot == SHM_NONE || worker->state == PROCESS_ORPHAN)
			continue;
		if (worker->home == supervisor->serving)
			carried = supervisor->finished[worker->number];
		shm_slot(supervisor->env->shm, worker->slot)->carried =
			carried - supervisor->begun[worker->slot];
	}
}

void supervisor_count_begin(struct supervisor *supervisor, const struct process *worker)
{
	supervisor->begun[worker->slot] = shm_slot(supervisor->env->shm, worker->slot)->accepted;
	supervisor_count_carry(supervisor);
}

void supervisor_count_end(struct supervisor *supervisor, const struct process *worker)
{
	supervisor->finished[worker->number] +=
		shm_slot(supervisor->env->shm, worker->slot)->accepted -
		supervisor->begun[worker->slot];
	supervisor_count_carry(supervisor);
}
