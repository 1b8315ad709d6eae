/* A next master's way to what an earlier one left: takeover.sock, where the keeper answers.
 *
 *   next master                          keeper                             master (when one lives)
 *     connect, M2K_HELLO       ────────►   it lives, and did not say M2K_EXPECT: K2M_NO
 *                              ◄────────   K2M_HELLO, K2M_SHM, K2M_SOCKET, K2M_LISTENER*, K2M_CHILD*, K2M_END
 *     starts its workers; all that it was given it only reads
 *     M2K_TAKE                 ────────►   K2M_TAKEN                ────────►  exits 0, touches nothing
 *                              ◄────────   K2M_YOURS, when that line has ended
 *     from then on this is its line to its keeper
 *
 * When it ends before M2K_TAKE, nothing has changed.
 */
#ifndef PROXYD_MASTER_CHANGE_TAKEOVER_H
#define PROXYD_MASTER_CHANGE_TAKEOVER_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "common/messages.h"
#include "common/must.h"
#include "common/sockaddr.h"

struct channel;
struct shm;

/* Of all that is in messages.def; a test builds a second binary with another one. */
#ifndef TAKEOVER_VERSION
#define TAKEOVER_VERSION 2
#endif

/* How long a start waits for the keeper to tell all, and for it to say K2M_YOURS: it gives the old master
 * KEEPER_LEAVE_MS to leave, and as long after it killed it. */
#define TAKEOVER_CONNECT_MS 5000
#define TAKEOVER_TAKE_MS    6000
#define KEEPER_LEAVE_MS     2000

struct takeover_listener {
	struct msg_kept_listener what;
	int fd; /* owned; a listening stream socket, bound to addr */
	struct sockaddr_any addr;
};

struct takeover_child {
	struct msg_child what;
	int channel_fd; /* owned; the master's end */
	int pidfd;      /* owned */
};

enum takeover_result {
	TAKEOVER_NONE,    /* nobody is there: a first start */
	TAKEOVER_READY,   /* a keeper without a master, or one that expects us */
	TAKEOVER_REFUSED, /* a master lives: its pid is in takeover.master_pid when it is known */
	TAKEOVER_FAILED,  /* something is there and does not answer as it should */
};

struct takeover {
	int fd;          /* owned; the line to the keeper; -1 */
	bool foreign;    /* it is of another version: no shm, and its children only know SIGTERM */
	struct shm *shm; /* owned; NULL when foreign */
	int socket_fd;   /* owned; takeover.sock, listening */
	pid_t keeper_pid;
	int keeper_pidfd;                    /* owned; -1: it is dead since it has told all */
	pid_t master_pid;                    /* with TAKEOVER_REFUSED; 0 when it is not known */
	char why[160];                       /* with TAKEOVER_REFUSED and TAKEOVER_FAILED */
	struct takeover_listener *listeners; /* owned array */
	size_t nlisteners;
	struct takeover_child *children; /* owned array */
	size_t nchildren;
};

/* Asks at this path for all that is left, up to K2M_END. Waits for TAKEOVER_CONNECT_MS at most. With TAKEOVER_READY all of
 * it is the caller's, who sets what it takes out to -1 or NULL; takeover_free closes the rest, always. */
MUST_USE enum takeover_result takeover_connect(const char *path, struct takeover *takeover_r);
void takeover_free(struct takeover *takeover); /* idempotent */

/* On the channel that was made of takeover.fd: CHANNEL_MASTER, in the loop, where K2M_YOURS comes within
 * TAKEOVER_TAKE_MS; K2M_NO, or its end, instead: it is not ours. */
void takeover_take(struct channel *keeper);

#endif
