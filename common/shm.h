/* The shared memory: one memfd, made by the master, sealed against shrinking and growing, that outlives
 * every other process. What lies in it and who may write it:
 *
 *   header    magic, version, sizes                      the master, once
 *   master    names, generation, history, events         the master
 *   checker   health of every server, addresses         the checker
 *   keeper    heartbeat, what it keeps                   the keeper
 *   shared    active relays, cursors, ejections, connect everyone, atomics only
 *             times of every server
 *   slot[n]   one per worker: heartbeat, counters,       that worker; the master once it is reaped
 *             histograms, relay records
 *   carry[n]  what that worker carries: clients' bytes   that worker; master and workers read it, for others
 *                                                        it is not there
 *
 * No locks: single writers, relaxed atomics, a sequence number where several fields must agree. Readers
 * bound-check every index they find here: a worker that was taken over must not crash another process.
 * It is sparse: pages that nobody touched (not even read) cost nothing, so the limits below are generous.
 */
#ifndef PROXYD_COMMON_SHM_H
#define PROXYD_COMMON_SHM_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/carry.h"
#include "common/events.h"
#include "common/histogram.h"
#include "common/history.h"
#include "common/journal.h"
#include "common/must.h"
#include "common/record.h"
#include "common/shm_limits.h"
#include "common/sources.h"

/* Of everything that lies in it; a test builds a second binary with another one. */
#ifndef SHM_VERSION
#define SHM_VERSION 6
#endif

enum shm_role { SHM_MASTER, SHM_WORKER, SHM_CHECKER, SHM_KEEPER, SHM_READER };

/* ------------------------------------------------------------------ master's pages */

/* What has a place of its own here. Places are dense, from 0, and never given to another name. */
enum shm_kind { SHM_FRONTEND, SHM_BACKEND, SHM_SERVER, SHM_KINDS };

#define SHM_INDEX_SIZE (2 * SHM_SERVERS_MAX) /* a power of two, over the most objects of a kind */

struct shm_names {
	_Atomic uint32_t count;
	uint32_t index
		[SHM_INDEX_SIZE]; /* open addressing by the name's hash: place + 1, 0 is free */
	char names[SHM_SERVERS_MAX][SHM_NAME_MAX];
	_Atomic uint32_t generation[SHM_SERVERS_MAX]; /* the last one whose configuration has it */
};

enum admin_state {
	ADMIN_READY,
	ADMIN_DRAIN, /* keeps what it has, gets nothing new */
	ADMIN_MAINT, /* the same, and is not checked */
};

enum shm_server_flags {
	SHM_SERVER_BACKUP = 1 << 0,
	SHM_SERVER_DYNAMIC = 1 << 1,    /* it is there while shm_address has an address of it */
	SHM_SERVER_NO_ADDRESS = 1 << 2, /* its name does not resolve */
	SHM_SERVER_CHECKED = 1 << 3,    /* there is an active check */
};

/* What the operator wants of a server: from the configuration at first, then changed while it runs. */
struct shm_admin {
	_Atomic uint32_t state;   /* enum admin_state */
	_Atomic uint32_t weight;  /* 0 to 256 */
	_Atomic uint32_t maxconn; /* 0: no limit */
	_Atomic uint32_t flags;   /* enum shm_server_flags, of the configuration */

	/* what the configuration said last: only where that changes does a reload change the above */
	uint32_t file_state;
	uint32_t file_weight;
	uint32_t file_maxconn;
	uint32_t in_file; /* 0: it was never in one */
};

/* How a reload ended. */
enum shm_reload { SHM_RELOAD_DONE, SHM_RELOAD_UNCHANGED, SHM_RELOAD_REFUSED, SHM_RELOADS };

/* Which servers a backend ever had: a list through all of them, place + 1 each, 0 is its end. Servers that left the
 * configuration stay in it, so that sums over it never go back. */
struct shm_belongings {
	_Atomic uint32_t first[SHM_BACKENDS_MAX];
	_Atomic uint32_t next[SHM_SERVERS_MAX];
	uint32_t owner[SHM_SERVERS_MAX]; /* its backend's place + 1 */
};

/* The configuration before the one that serves, see master/change/way_back.h. Not touched beyond its length. */
#define SHM_WAY_BACK_BYTES (8U << 20)

struct shm_way_back {
	_Atomic uint64_t until_ms;
	_Atomic uint32_t bytes;
	uint32_t unused;
	char text[SHM_WAY_BACK_BYTES];
};

/* Servers that were added and deleted since the file was written, see conf/edit.h. */
#define SHM_EDITS_MAX  256
#define SHM_EDIT_BYTES 512

struct shm_edits {
	_Atomic uint32_t count;
	uint32_t unused;
	char lines[SHM_EDITS_MAX][SHM_EDIT_BYTES];
};

struct shm_master {
	_Atomic uint32_t generation;
	_Atomic uint32_t slots; /* the highest one ever used + 1: what readers have to look at */
	_Atomic uint64_t started_ms;
	_Atomic uint64_t reloads[SHM_RELOADS];
	_Atomic uint64_t
		lost[SHM_FRONTENDS_MAX]; /* relays that died with their worker, see sums.h */
	_Atomic uint32_t log_level;      /* enum log_level, in force */
	uint32_t log_file_level; /* what the configuration said last: where that changes it wins */
	uint32_t log_known;      /* 0: nobody said anything yet */
	uint32_t unused;
	_Atomic uint64_t heartbeat_ms; /* of the master: at least once a second */
	_Atomic uint32_t pid;
	_Atomic uint32_t stopping; /* 1: the daemon was asked to end */
	struct shm_events events;
	_Atomic uint32_t frontend_backend[SHM_FRONTENDS_MAX]; /* place; SHM_NONE: a service */
	_Atomic uint32_t
		server_seen[SHM_SERVERS_MAX]; /* its state as it was told last, as an event */
	_Atomic uint32_t backend_seen[SHM_BACKENDS_MAX]; /* the same; 0: nothing was */
	struct shm_names names[SHM_KINDS];
	struct shm_admin admin[SHM_SERVERS_MAX];
	struct shm_edits edits;
	struct shm_edits edits_before; /* that go with way_back */
	struct shm_belongings belongings;
	struct shm_way_back way_back;
	struct shm_histories histories;
};

/* ------------------------------------------------------------------ checker's pages */

/* Why a check was good or bad, see check_results.def. */
enum check_result {
#define CHECK_RESULT(name, text) name,
#include "common/check_results.def"
#undef CHECK_RESULT
	CHECK_RESULTS,
};

enum health {
	HEALTH_NOCHECK, /* no active check: taken for up */
	HEALTH_UP,
	HEALTH_DOWN,
};

struct shm_health {
	_Atomic uint32_t health; /* enum health */
	_Atomic uint32_t streak; /* checks in a row that spoke against `health` */
	_Atomic uint32_t result; /* enum check_result of the last check */
	_Atomic uint32_t detail; /* what belongs to it: an errno, an HTTP status */
	_Atomic uint32_t checks; /* done so far */
	_Atomic uint32_t unused;
	_Atomic uint64_t last_check_ms;
	_Atomic uint64_t last_change_ms;
};

/* Where a server is now whose name is looked up again and again; see common/instances.h. The master writes
 * it before there is a checker. */
struct shm_address {
	_Atomic uint32_t sequence; /* odd while it is being changed */
	_Atomic uint32_t family;   /* AF_INET, AF_INET6; 0: it has no address */
	_Atomic uint32_t port;
	_Atomic uint32_t weight; /* of an SRV record, 1 to 256; 0: none */
	_Atomic uint32_t backup;
	_Atomic uint32_t unused;
	_Atomic uint64_t host[2]; /* bytes in the network's order */
};

struct shm_checker {
	_Atomic uint64_t heartbeat_ms;
	struct shm_health servers[SHM_SERVERS_MAX];
	struct shm_address addresses[SHM_SERVERS_MAX];
};

/* ------------------------------------------------------------------ keeper's pages */

struct shm_keeper {
	_Atomic uint64_t heartbeat_ms;
	_Atomic uint64_t kept;    /* relays it has now */
	_Atomic uint64_t refused; /* deposits that it had no room for, ever */
	_Atomic uint64_t moved;   /* relays that changed their owner, ever */
	_Atomic uint64_t lost; /* that nobody could take, or that could not be proven right, ever */
	_Atomic uint64_t unused[3];
};

/* ------------------------------------------------------------------ everyone's atomics */

struct shm_shared_server {
	_Atomic uint32_t active;    /* relays and connects to it now, all workers and generations */
	_Atomic uint32_t last_addr; /* which of its addresses worked last */
	_Atomic uint32_t
		fails; /* failed connects, and resets before an answer, since fails_since_ms */
	_Atomic uint32_t ejections; /* in a row: each is longer than the one before */
	_Atomic uint64_t fails_since_ms;
	_Atomic uint64_t
		ejected_until_ms; /* passive health: not chosen before then while others work */
	_Atomic uint64_t latency_at_ms; /* when latency_us was last changed */
	_Atomic uint32_t
		latency_us; /* of connects: peak of a moving average that decays with time */
	_Atomic uint32_t unused;
	_Atomic uint64_t connected_ms; /* when a connect last worked, within 100 ms; 0: never */
	_Atomic uint64_t failed_ms;    /* when it last failed, or a reset came before an answer */
};

struct shm_shared_backend {
	_Atomic uint64_t cursor; /* round robin, and whose turn it is in a tie */
	_Atomic uint32_t
		epoch; /* goes up whenever one of its servers changes its state or weight */
	_Atomic uint32_t unused0;
	_Atomic uint64_t budget_ms;   /* retry budget: when its window began */
	_Atomic uint32_t budget_all;  /* connections in the window */
	_Atomic uint32_t budget_used; /* retries in the window */
	_Atomic uint32_t panic;       /* 1 while only ejected servers are left, which then serve */
	_Atomic uint32_t unused[7];
};

struct shm_shared_frontend {
	_Atomic uint32_t active; /* relays now, all workers and generations */
	_Atomic uint32_t second; /* the second that `opened` counts, for limits.rate */
	_Atomic uint32_t opened;
	_Atomic uint32_t unused;
};

struct shm_shared {
	_Atomic uint32_t active; /* relays in the whole daemon */
	_Atomic uint32_t unused;
	struct shm_shared_frontend frontends[SHM_FRONTENDS_MAX];
	struct shm_shared_backend backends[SHM_BACKENDS_MAX];
	struct shm_shared_server servers[SHM_SERVERS_MAX];
	struct sources sources;

	/* Time to connect, of those that worked. Untouched, and not to be touched, while its server had none. */
	struct histogram_shared connect[SHM_SERVERS_MAX];
};

/* ------------------------------------------------------------------ a worker's pages */

/* Why a connection was closed as soon as it was accepted, see refusals.def. */
enum refusal {
#define REFUSAL(name, key, text) name,
#include "common/refusals.def"
#undef REFUSAL
	REFUSALS,
};

/* Why a client never reached a server, see failures.def. */
enum failure {
#define FAILURE(name, key, text) name,
#include "common/failures.def"
#undef FAILURE
	FAILURES,
};

/* Why a connect to a server failed, see connect_failures.def. */
enum connect_failure {
#define CONNECT_FAILURE(name, key) name,
#include "common/connect_failures.def"
#undef CONNECT_FAILURE
	CONNECT_FAILURES,
};

/* Of all slots together: total = active + ended + failed + refused + lost, where lost = died + let_go - adopted. What
 * changes together does so through the journal; bytes are those that the records have, of relays that live or ended. */
struct shm_frontend_counters {
	_Atomic uint64_t total;  /* connections accepted */
	_Atomic uint64_t active; /* relays now */
	_Atomic uint64_t bytes_in;
	_Atomic uint64_t bytes_out;
	_Atomic uint64_t
		ended; /* relays that had reached a server, or a service: also in session[] */
	_Atomic uint64_t adopted; /* taken over from others */
	_Atomic uint64_t let_go;  /* given to others that live */
	_Atomic uint64_t died;    /* that a worker of this slot had when it died; the master's */
	_Atomic uint64_t refused[REFUSALS]; /* by reason, enum refusal */
	_Atomic uint64_t failed[FAILURES];  /* the same, enum failure */
	_Atomic uint64_t unused[5];
};

struct shm_server_counters {
	_Atomic uint64_t total;  /* connections made */
	_Atomic uint64_t active; /* this worker's share of shm_shared_server.active */
	_Atomic uint64_t bytes_in;
	_Atomic uint64_t bytes_out;
	_Atomic uint64_t failed[CONNECT_FAILURES]; /* connects, by reason, enum connect_failure */
};

struct shm_backend_counters {
	_Atomic uint64_t active; /* relays now */
	_Atomic uint64_t queued; /* clients of this worker that wait for a server */
	_Atomic uint64_t
		first_us; /* since when the first of them waits, clock_now_us; 0: none does */
	_Atomic uint64_t queue_full; /* clients sent away because maxqueue waited already */
	_Atomic uint64_t connects;   /* in connect[] */
	_Atomic uint64_t unused[3];
};

/* SLOT_DEAD: its worker is gone, its relays are not yet others'. */
enum slot_state { SLOT_FREE, SLOT_STARTING, SLOT_SERVING, SLOT_DRAINING, SLOT_DEAD };

struct shm_slot {
	_Atomic uint64_t
		heartbeat_ms; /* clock_now_ms of the last turn of its loop, at least 4 a timeout */
	_Atomic uint32_t state; /* enum slot_state */
	_Atomic uint32_t pid;
	_Atomic uint32_t generation;
	_Atomic uint32_t restarts; /* written by the master, between two workers */
	_Atomic uint64_t next_id;  /* of relays; goes on after a worker's death */
	_Atomic uint64_t accepted;
	_Atomic uint64_t active;   /* relays now */
	_Atomic uint32_t records;  /* highest record in use + 1 */
	_Atomic uint32_t number;   /* which worker of its generation; written by the master */
	_Atomic uint64_t sequence; /* odd while an `active` and its shared twin are being changed */
	_Atomic uint64_t adopted;  /* relays taken over from others, ever */
	_Atomic uint64_t unproven; /* that could not be, see common/ledger.h, ever */
	_Atomic uint64_t let_go;   /* given to others, ever */
	_Atomic uint64_t carried; /* accepted by those of its number before; the master writes it */
	_Atomic uint64_t
		log_lost; /* lines of the log and the access log that could not be written, ever */
	_Atomic uint64_t killed; /* relays closed by the operator, ever */
	_Atomic uint64_t room;   /* relays that its limit of file descriptors allows */
	struct journal journal;
	struct shm_frontend_counters frontends[SHM_FRONTENDS_MAX];
	struct shm_server_counters servers[SHM_SERVERS_MAX];
	struct shm_backend_counters backends[SHM_BACKENDS_MAX];

	/* Untouched, and not to be touched, while the counter beside says 0. */
	struct histogram connect[SHM_BACKENDS_MAX];  /* time to connect; connects */
	struct histogram session[SHM_FRONTENDS_MAX]; /* from accepted to ended; ended */
};

/* ------------------------------------------------------------------ the mapping */

struct shm;

/* Make and map it, all parts writable. records is how many relays one worker can have. Returns NULL,
 * *error_r in static storage. */
MUST_USE struct shm *shm_create(uint32_t records, const char **error_r);

/* Map what shm_create made in another process, all parts writable; takes fd over, also on failure. NULL when fd is no such
 * memory or of another version or size; *error_r is static. Nothing in it is believed but what was checked. */
MUST_USE struct shm *shm_attach(int fd, const char **error_r);

int shm_fd(const struct shm *shm); /* borrowed */

/* After the fork, once: only what the role writes stays writable, and what workers carry stays only in workers. slot
 * matters for SHM_WORKER alone. */
MUST_USE int shm_restrict(struct shm *shm, enum shm_role role, uint32_t slot);
void shm_free(struct shm *shm); /* unmaps and closes; the memory lives on in the other processes */

struct shm_master *shm_master(struct shm *shm);
struct shm_checker *shm_checker(struct shm *shm);
struct shm_keeper *shm_keeper(struct shm *shm);
struct shm_shared *shm_shared(struct shm *shm);
struct shm_slot *shm_slot(struct shm *shm, uint32_t slot);
struct relay_record *shm_record(struct shm *shm, uint32_t slot, uint32_t record);
struct carry *shm_carry(struct shm *shm, uint32_t slot); /* master and workers */
uint32_t shm_records(const struct shm *shm);             /* per slot */

/* The place of an object by its stable name, made when it is new: the same name finds the same counters
 * in every generation. SHM_NONE when all are taken. Master only. */
uint32_t shm_place(struct shm *shm, enum shm_kind kind, const char *name);
uint32_t shm_placed(struct shm *shm, enum shm_kind kind); /* how many there are */
const char *shm_name(struct shm *shm, enum shm_kind kind, uint32_t place);

/* Master: this server, which has a place, is one of that backend. */
void shm_belongs(struct shm *shm, uint32_t backend, uint32_t server);

/* The first server that a backend ever had, and the next one; SHM_NONE after the last. */
uint32_t shm_first_server(struct shm *shm, uint32_t backend);
uint32_t shm_next_server(struct shm *shm, uint32_t server);

/* Master: this generation's configuration has it. And whether the current one's does. */
void shm_place_stays(struct shm *shm, enum shm_kind kind, uint32_t place, uint32_t generation);
bool shm_place_is_current(struct shm *shm, enum shm_kind kind, uint32_t place);

/* One of its servers changed its state, weight or address, and that is written already: whoever balances looks again. */
void shm_backend_changed(struct shm *shm, uint32_t place);

/* The master is about to use this slot: readers look at it from now on. */
void shm_slot_use(struct shm *shm, uint32_t slot);

/* Master, its worker is reaped: what it was about to write (common/journal.h) is written. */
void shm_slot_redo(struct shm *shm, uint32_t slot);

/* Nobody owns a relay in this slot any more: all its records are zero again, and cost no memory. */
void shm_records_clear(struct shm *shm, uint32_t slot);

/* Master: the lowest slot that nobody uses, from now on STARTING, and looked at by readers. SHM_NONE when all are in
 * use. It is free again after shm_slot_reap. */
uint32_t shm_slot_take(struct shm *shm);

/* Add to a counter that this process alone writes. */
static inline void shm_count(_Atomic uint64_t *counter, uint64_t n)
{
	uint64_t now = atomic_load_explicit(counter, memory_order_relaxed);

	atomic_store_explicit(counter, now + n, memory_order_relaxed);
}

#endif
