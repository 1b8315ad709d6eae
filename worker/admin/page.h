/* What the admin process itself shows: the dashboard, what it polls, and the metrics, all from shared memory.
 */
#ifndef PROXYD_WORKER_ADMIN_PAGE_H
#define PROXYD_WORKER_ADMIN_PAGE_H

struct admin;
struct dashboard;
struct evhttp_request;

/* The page, made of its parts once. Exits when there is no memory. */
struct dashboard *page_new(void);
void page_free(struct dashboard *page);
void page_show(struct admin *admin, struct evhttp_request *request);

/* What it polls: JSON. */
void page_state(struct admin *admin, struct evhttp_request *request);

/* For Prometheus. */
void page_metrics(struct admin *admin, struct evhttp_request *request);

#endif
