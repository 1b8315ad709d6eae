/* What the master hands to a child process that it forks, and all that a child inherits.
 *
 * Fds: every fd of the master is closed in the child but stdin, stdout and stderr and those named
 * here. Memory: the configuration (const from then on) and the shared memory, restricted to what the
 * role may write (shm_restrict). Signals: unblocked and at their defaults, but for those that
 * child_ignore_signals names.
 */
#ifndef PROXYD_COMMON_CHILD_H
#define PROXYD_COMMON_CHILD_H

#include <stdint.h>

#include "common/log.h"

struct conf;
struct event_base;
struct shm;
struct sink;

enum child_role {
	CHILD_WORKER,
	CHILD_CHECKER,
	CHILD_KEEPER,
	CHILD_ADMIN,
};

struct child {
	enum child_role role;
	uint32_t slot;           /* of the worker in shared memory; 0 for the others */
	uint32_t number;         /* of the worker in its generation; what people call it by */
	uint32_t generation;     /* of the configuration it serves; from 1 */
	int channel_fd;          /* owned by the child; SOCK_SEQPACKET to the master */
	int keeper_fd;           /* worker: owned, its line to the keeper; -1: none is there now */
	int takeover_fd;         /* keeper: owned, where a next master connects; -1: nowhere */
	const struct conf *conf; /* borrowed, lives as long as the process */
	struct shm *shm;         /* borrowed, mapped by the master before the fork */
	struct sink *access_log; /* borrowed; NULL when access_log.to is off */
};

/* A terminal's Ctrl-C and a signal to the whole process group reach the children too; what they mean is the
 * master's to say. Ignores INT, QUIT, HUP, USR1, USR2 and PIPE; TERM stays. */
void child_ignore_signals(void);

/* M2C_LOG: this process logs as it says from now on. access_r and format_r (its access log, NULL when there is none, and
 * how that reads) may be NULL in a process that has none. What M2C_LOG is answered with: its round. */
struct message;
uint32_t child_log(struct message *message, struct sink **access_r, enum log_format *format_r);

/* The loop of a child: one thread, no locks. Exits when there is none to be had. */
struct event_base *child_event_base(void);

/* What main does after the fork: runs until told to stop, returns the exit code. They live in worker/,
 * which master/ may not include. The log is open; privileges are already dropped. */
int worker_main(const struct child *child);
int keeper_main(const struct child *child); /* this one lives in master/ */
int checker_main(const struct child *child);
int admin_main(const struct child *child);

/* Exit codes of the whole program. */
enum exit_code {
	EXIT_CODE_OK = 0,
	EXIT_CODE_FAILED = 1, /* could not start or run */
	EXIT_CODE_USAGE = 2,  /* bad command line or configuration */
	EXIT_CODE_AGAIN =
		75, /* a next master: what it was to take over changed meanwhile (EX_TEMPFAIL) */
};

#endif
