/* Is a silent child out of its mind or merely out of CPU? On an overloaded machine a healthy worker may not run for a
 * second; to kill it for that would make everything worse. A stopped one, one that sleeps, and one that computes
 * without end are told apart from it by what the kernel says of them.
 */
#ifndef PROXYD_MASTER_CHILDREN_STARVED_H
#define PROXYD_MASTER_CHILDREN_STARVED_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/* What its CPU time was when its silence was first noticed. Zero before. */
struct starved {
	uint64_t since_ms; /* clock_now_ms of the sample; 0: none */
	uint64_t cpu_ms;
};

/* Look at it: at the latest when half of its time is over. */
void starved_sample(struct starved *starved, pid_t pid, uint64_t now_ms);

/* Whether, since the sample, it wanted to run all the time and hardly could. False without a sample. */
bool starved_is(const struct starved *starved, pid_t pid, uint64_t now_ms);

#endif
