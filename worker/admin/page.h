/* What the admin process itself shows: the dashboard, what it polls, and the metrics, all from shared memory.
 */
#ifndef PROXYD_WORKER_ADMIN_PAGE_H
#define PROXYD_WORKER_ADMIN_PAGE_H

struct admin;
struct dashboard;
struct evhttp_request;

/* For Prometheus. */
void page_metrics(struct admin *admin, struct evhttp_request *request);

#endif
