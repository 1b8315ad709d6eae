/* A check and the set that it belongs to, shared by the files that bring it from one phase to the next:
 * check.c (when, and the end), connect.c (the addresses in turn), ask.c and tls.c (the kinds), set.c.
 */
#ifndef PROXYD_WORKER_CHECKER_IMPL_H
#define PROXYD_WORKER_CHECKER_IMPL_H

#include <event2/event.h>
#include <event2/event_struct.h>
#include <stdint.h>
#include <sys/queue.h>

#include "common/shm.h"
#include "conf/conf.h"
#include "worker/checker/check.h"
#include "worker/checker/expect.h"
#include "worker/checker/http_answer.h"

struct check;
struct ssl_ctx_st;
struct ssl_st;

enum check_phase {
	CHECK_RESTS,    /* until due_ms */
	CHECK_QUEUED,   /* due, but enough others are under way; on the set's queue */
	CHECK_ADMITTED, /* counted as under way, begins with the next turn of the loop */
	CHECK_CONNECTS, /* under way, to one address after the other */
	CHECK_ASKS,     /* connected: its kind goes on */
};

/* What is asked over the connection. Each of these may end the check with check_finish, as its last call;
 * or it says with check_await for what it waits. */
struct check_kind {
	void (*connected)(struct check *check);
	void (*ready)(struct check *check); /* after check_await; NULL: never waits */
	/* A kind that sends and reads (ask.c). question gives what is sent, the same bytes whenever it is
	 * called within a check; answer judges what came. */
	const void *(*question)(struct check *check, size_t *len_r);
	void (*answer)(struct check *check, const uint8_t *bytes, size_t len);
	/* Whether something came, only not what should; NULL: no. */
	bool (*unsatisfied)(const struct check *check);
	void (*end)(struct check *check); /* gives back what it took, if it did; NULL: nothing */
};

extern const struct check_kind check_tcp;
extern const struct check_kind check_http;
extern const struct check_kind check_send_expect;
extern const struct check_kind check_tls;

/* What the checks of one backend have in common. */
struct check_plan {
	const struct conf_backend *backend; /* borrowed */
	const struct check_kind *kind;      /* static; NULL: it is not checked */
	struct expect *expect;              /* owned; NULL unless send_expect */
};

struct check {
	struct check_set *set;            /* borrowed */
	const struct check_plan *plan;    /* borrowed, the set's */
	const struct conf_server *server; /* borrowed */
	enum check_phase phase;
	int fd;                       /* owned; -1 unless under way */
	uint64_t due_ms;              /* when it last began, or is to begin next */
	uint64_t deadline_ms;         /* of the check under way */
	uint32_t address;             /* the one being tried */
	uint32_t naddrs_left;         /* still to be tried, with that one */
	uint32_t sent;                /* of the question */
	struct sockaddr_any instance; /* where it is now, when it is an instance of a name */
	union {
		struct http_answer http;
		struct expect_search expect;
		struct ssl_st *ssl; /* owned */
	} talk;
	struct event timer; /* of the next check, or of the time that this phase has */
	struct event io;    /* of fd */
	STAILQ_ENTRY(check) link;
};

#define CHECK_BUF_BYTES 16384

struct check_set {
	struct event_base *base; /* borrowed */
	struct shm *shm;         /* borrowed */
	uint64_t random;
	uint32_t under_way;
	uint32_t under_way_max;
	STAILQ_HEAD(check_queue, check) queue;
	size_t nplans;
	struct check_plan *plans; /* owned */
	size_t nchecks;
	struct check *checks;   /* owned */
	size_t buf_bytes;       /* CHECK_BUF_BYTES, or more for the longest question */
	uint8_t *buf;           /* owned; what is sent or read, within one call */
	struct ssl_ctx_st *tls; /* owned; NULL when no check needs it */
};

/* check.c */

/* Until due_ms, which is moved to now when it has passed. */
void check_rest(struct check *check);
/* It is due now; one that is under way ends first, without a result. */
void check_again(struct check *check);
/* event_callback_fn of check->timer, whatever the phase. */
void on_check_timer(evutil_socket_t fd, short what, void *arg);

void check_timer_set(struct check *check, uint64_t ms);
void check_socket_close(struct check *check); /* if there is one */

/* The connection is there: the rest of the check's time belongs to its kind. */
void check_ask(struct check *check);

/* Until fd is ready for EV_READ or EV_WRITE; then kind->ready is called. */
void check_await(struct check *check, short what);

/* It is over. */
void check_finish(struct check *check, enum check_result result, uint32_t detail);

/* It is over, because the peer ended it (CHECKED_CLOSED and an errno) or time did (CHECKED_TIMEOUT). */
void check_finish_unanswered(struct check *check, enum check_result result, uint32_t detail);

/* We could not even try: that says nothing about the server. error is an errno. */
void check_give_up(struct check *check, int error);

/* connect.c */

void check_connect_start(struct check *check);
void check_connect_overdue(struct check *check); /* the time of this address is up */

/* The one being tried, as a socket address and as it stands in the configuration. */
const struct sockaddr_any *check_addr(const struct check *check);
const struct address *check_address(const struct check *check);

/* ask.c, tls.c */

/* How long the question of this server's check is: what the set's buffer must hold. */
size_t ask_question_bytes(const struct conf_backend *backend, const struct conf_server *server);

/* Returns NULL when there is no memory, or the library does not work. */
struct ssl_ctx_st *check_tls_new(void);
void check_tls_free(struct ssl_ctx_st *tls); /* NULL is fine */

#endif
