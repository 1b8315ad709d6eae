/* schedstat has nanoseconds where stat has ticks, but only of one thread: a process is the sum of its tasks. The
 * kernel's work on behalf of a task (system calls, and softirqs that run on top of it) is in it.
 */
#include "tests/bench/cpu.h"

#include "tests/bench/bench.h"

#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

void cpu_parse_pids(const char *text, struct cpu_pids *pids_r)
{
	char *end;

	*pids_r = (struct cpu_pids){ 0 };
	while (*text) {
		long pid = strtol(text, &end, 10);

		if (end == text || pid < 1 || (*end && *end != ',') || pids_r->count == CPU_PIDS)
			die("%s is not PID,PID,...", text);
		pids_r->pids[pids_r->count++] = (pid_t)pid;
		text = *end ? end + 1 : end;
	}
}

static uint64_t task_ns(const char *path)
{
	uint64_t ns = 0;
	FILE *file = fopen(path, "re");

	if (!file)
		return 0;
	if (fscanf(file, "%" SCNu64, &ns) != 1) /* NOLINT(cert-err34-c) */
		ns = 0;
	fclose(file);
	return ns;
}

/* Returns false when the process has ended. */
static bool process_ns(pid_t pid, uint64_t *ns)
{
	char path[300];
	const struct dirent *entry;
	DIR *dir;

	snprintf(path, sizeof(path), "/proc/%d/task", (int)pid);
	dir = opendir(path);
	if (!dir)
		return false;
	while ((entry = readdir(dir))) {
		if (entry->d_name[0] == '.')
			continue;
		snprintf(path, sizeof(path), "/proc/%d/task/%.20s/schedstat", (int)pid,
			entry->d_name);
		*ns += task_ns(path);
	}
	closedir(dir);
	return true;
}

static bool pids_ns(const struct cpu_pids *pids, uint64_t *ns)
{
	bool whole = true;

	for (unsigned i = 0; i < pids->count; i++)
		whole = process_ns(pids->pids[i], ns) && whole;
	return whole;
}

/* Everything but idle and iowait; what a hypervisor took counts as busy, for it disturbs as much. */
static uint64_t machine_ns(void)
{
	uint64_t at[8] = { 0 }, ticks = 0;
	FILE *file = fopen("/proc/stat", "re");

	if (!file)
		die("/proc/stat: ");
	if (fscanf(file, /* NOLINT(cert-err34-c) */
		    "cpu %" SCNu64 " %" SCNu64 " %" SCNu64 " %" SCNu64 " %" SCNu64 " %" SCNu64
		    " %" SCNu64 " %" SCNu64,
		    &at[0], &at[1], &at[2], &at[3], &at[4], &at[5], &at[6], &at[7]) != 8)
		die("/proc/stat has not the fields that it should");
	fclose(file);
	for (unsigned i = 0; i < 8; i++)
		ticks += i == 3 || i == 4 ? 0 : at[i];
	return ticks * (NS_PER_S / (uint64_t)sysconf(_SC_CLK_TCK));
}

void cpu_read(
	const struct cpu_pids *proxy, const struct cpu_pids *origin, struct cpu_reading *reading_r)
{
	struct timespec own;

	*reading_r = (struct cpu_reading){ .busy_ns = machine_ns() };
	reading_r->whole = pids_ns(proxy, &reading_r->proxy_ns);
	reading_r->whole = pids_ns(origin, &reading_r->origin_ns) && reading_r->whole;
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &own);
	reading_r->load_ns = (uint64_t)own.tv_sec * NS_PER_S + (uint64_t)own.tv_nsec;
}
