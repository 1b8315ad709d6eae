/* A configuration and the logs that it asks for, held by everybody who reads it: its generation, an answer that is on
 * its way to a client. Gone with the last of them.
 */
#ifndef PROXYD_MASTER_CONFIG_H
#define PROXYD_MASTER_CONFIG_H

#include <stdbool.h>
#include <stddef.h>

#include "common/must.h"

struct conf;
struct sink;

struct config {
	struct conf *conf;       /* owned */
	struct sink *log;        /* owned; NULL before config_open_logs */
	struct sink *access_log; /* owned; NULL when off */
	unsigned holders;
};

/* Takes conf over. Held once, by the caller. Exits when there is no memory. */
struct config *config_new(struct conf *conf);
struct config *config_hold(struct config *config);
void config_release(struct config *config); /* NULL is fine */

/* Open what the configuration wants to log to. Returns -1, why then says what cannot be opened. */
MUST_USE int config_open_logs(struct config *config, char *why, size_t why_bytes);

/* Open its files again, each that can be; *files_r: whether there is any. Returns -1, why then says what cannot be opened
 * and goes on as it was. */
MUST_USE int config_reopen_logs(struct config *config, bool *files_r, char *why, size_t why_bytes);

#endif
