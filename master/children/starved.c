/* Reads /proc/PID/stat.
 */
#include "master/children/starved.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* One that computes without end gets more of its time than this even when others want the CPU as well. */
#define STARVED_MOST_PERCENT 20

/* Returns 'R', 'S', 'T', ...; 0 when there is no such process. */
static char starved_read(pid_t pid, uint64_t *cpu_ms_r)
{
	char path[32];
	char line[512] = "";
	char state = 0;
	unsigned long long user = 0;
	unsigned long long system = 0;
	const char *rest;
	FILE *file;

	snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	file = fopen(path, "re");
	if (file == NULL)
		return 0;
	rest = fgets(line, sizeof(line), file) != NULL ? strrchr(line, ')') : NULL;
	fclose(file);
	/* After the name: state, 10 numbers, then user and system time in ticks. */
	if (rest == NULL ||
		/* NOLINTNEXTLINE(cert-err34-c): the kernel's own numbers */
		sscanf(rest, ") %c %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %llu %llu", &state,
			&user, &system) != 3)
		return 0;
	*cpu_ms_r = (user + system) * 1000 / (unsigned long long)sysconf(_SC_CLK_TCK);
	return state;
}

void starved_sample(struct starved *starved, pid_t pid, uint64_t now_ms)
{
	if (starved->since_ms == 0 && starved_read(pid, &starved->cpu_ms) != 0)
		starved->since_ms = now_ms;
}

bool starved_is(const struct starved *starved, pid_t pid, uint64_t now_ms)
{
	uint64_t cpu_ms;

	if (starved->since_ms == 0 || starved_read(pid, &cpu_ms) != 'R')
		return false;
	return (cpu_ms - starved->cpu_ms) * 100 <
		(now_ms - starved->since_ms) * STARVED_MOST_PERCENT;
}
