/* The program itself: how it was started, to start it, or another binary, the same way once more.
 */
#ifndef PROXYD_MASTER_CHANGE_PROGRAM_H
#define PROXYD_MASTER_CHANGE_PROGRAM_H

#include <stdbool.h>
#include <sys/types.h>

#include "common/must.h"

/* First of all in main: remembers arguments, directory and binary, and finds out whether another master started us to
 * take over from it. Then stderr is its pipe, until program_begins. */
void program_init(int argc, char *argv[]);

/* Whether we are to take over from the process that started us. */
bool program_is_next(void);

/* A pidfd of that process (the caller's to close): it ends when it does. -1: it has ended already, or nobody started us
 * so. */
int program_open_parent(void);

/* Everything is read, what is said now goes to the log: stderr is what it was, and errors go to the pipe as well. */
void program_begins(void);

/* Nobody waits at the pipe any more. */
void program_serves(void);

/* The binary that program_exec takes by itself, as a path that was found at the start: a file that was replaced since is
 * the new one. */
const char *program_binary(void);

/* In a forked child, never returns: binary (NULL: program_binary) with our arguments, environment and directory, for it to
 * take over from master. It begins when a byte comes from go_fd; what it says meanwhile goes to report_fd. */
__attribute__((noreturn)) void program_exec(
	const char *binary, pid_t master, int go_fd, int report_fd);

#endif
