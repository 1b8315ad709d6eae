/* The process title, through libbsd, and the kernel's comm.
 */
#include "common/title.h"

#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

/* Where the arguments lay when the process began: first byte, and the 0 that ends the last one. */
static char *title_first;
static char *title_last;

void title_init(int argc, char *argv[], char *envp[])
{
	if (argc > 0) {
		title_first = argv[0];
		title_last = argv[argc - 1] + strlen(argv[argc - 1]);
	}
	setproctitle_init(argc, argv, envp);
}

void title_set(const char *role)
{
	char comm[16]; /* the kernel's size */

	/* "-": no name of the program in front, which could be that of a link or of a new binary. */
	setproctitle("-proxyd: %s", role);
	/* The kernel shows a title up to its 0, and not the whole space of the arguments, when that space
	 * no longer ends in a 0. libbsd sees to that only where there are no arguments. */
	if (title_first != NULL && title_first + strlen("proxyd: ") + strlen(role) < title_last)
		*title_last = '.';
	snprintf(comm, sizeof(comm), "proxyd-%s", role);
	for (char *c = comm; *c != '\0'; c++) {
		if (*c == ' ')
			*c = '-';
	}
	prctl(PR_SET_NAME, comm);
}
