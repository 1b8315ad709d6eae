/* SIGUSR1: the statistics as one JSON object on one line on stdout, whole or not at all. It is put together in portions
 * and never waits for stdout: where that takes nothing, the line is lost, and that is logged.
 */
#ifndef PROXYD_MASTER_VIEWS_REPORT_H
#define PROXYD_MASTER_VIEWS_REPORT_H

#include "common/must.h"

struct config;
struct event_base;
struct report;
struct shm;

/* base and shm are borrowed. Exits on no memory (start of a process). */
struct report *report_new(struct event_base *base, struct shm *shm);
void report_free(struct report *report); /* what is not out is lost; NULL is fine */

/* Of this configuration's objects, which is held until it is out. One that is asked for while another is on its way is
 * lost, and said so, unless that is still being put together: then it is the same. */
void report_ask(struct report *report, struct config *config);

#endif
