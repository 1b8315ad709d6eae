/* One relay on its way in, between what came (adopt.c) and what can be said of it (adopt_judge.c). Nobody else includes it.
 */
#ifndef PROXYD_WORKER_RELAY_ADOPT_H
#define PROXYD_WORKER_RELAY_ADOPT_H

#include <stdbool.h>
#include <stdint.h>

#include "common/ledger.h"
#include "common/messages.h"
#include "common/must.h"
#include "common/record.h"

struct conf_frontend;
struct placed_server;
struct relays;

enum { PIPE_READ, PIPE_WRITE };

/* One direction. */
struct adopt_flow {
	int pipe[2];         /* borrowed from the message; -1: none came */
	uint64_t pipe_bytes; /* lying in it */
	struct ledger_found found;
};

struct adoption {
	struct relays *relays;
	const struct msg_adopt *which;
	int *fds; /* of this element, in the message: what is left there >= 0 is closed after it */
	int client_fd; /* -1: none came; the same */
	int server_fd;
	bool let_go;                /* nothing is to be found out */
	struct relay_record record; /* a copy */
	uint64_t counted_in;        /* of its bytes, by who had it before */
	uint64_t counted_out;
	const struct conf_frontend *frontend;
	const struct placed_server *server; /* NULL for a service */
	struct ledger_side client_side;
	struct ledger_side server_side;
	struct adopt_flow up;
	struct adopt_flow down;
};

/* Copies the record and looks whether it can be true. Returns NULL, or why not (static). */
MUST_USE const char *adopt_judge(struct adoption *adoption);

/* Finds what this configuration has in its place. Returns NULL, or what it does not have. */
MUST_USE const char *adopt_place(struct adoption *adoption);

/* Asks the kernel, and of one whose worker died does the sums: what is to be dropped, and the copy of the record is
 * what it should be. Changes nothing yet. Returns NULL, or why it cannot be proven right. */
MUST_USE const char *adopt_prove(struct adoption *adoption);

#endif
