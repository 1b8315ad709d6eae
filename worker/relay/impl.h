/* The inside of a relay, shared by the files that move it through its states: relay.c (birth, states, end),
 * relays.c (all of them), connect.c, queue.c, turn.c (relaying), serve.c (built-in services), timeout.c. Nobody
 * else includes it.
 */
#ifndef PROXYD_WORKER_RELAY_IMPL_H
#define PROXYD_WORKER_RELAY_IMPL_H

#include <stdbool.h>
#include <sys/queue.h>

#include "common/record.h"
#include "common/shm.h"
#include "conf/conf.h"
#include "worker/balance/balance.h"
#include "worker/protocol/service.h"
#include "worker/relay/pump.h"
#include "worker/relay/relay.h"
#include "worker/relay/stream.h"
#include "worker/relay/wheel.h"

#define RELAY_MAGIC 0x72656c61

struct relay {
	uint32_t magic;
	uint32_t index; /* of its record, and in the slab */
	struct stream client;
	struct stream server;
	struct pump up;   /* client to server */
	struct pump down; /* server to client */
	struct wheel_entry timer;
	TAILQ_ENTRY(relay) link; /* on the run queue, the list of the ended, or the free list */
	struct relays *relays;   /* borrowed */
	struct relay_record *record;
	const struct conf_frontend *frontend;
	const struct conf_backend *backend; /* NULL for a service */
	const struct conf_server *chosen;   /* NULL before one is chosen */
	const struct service *service;      /* NULL for a relay with a backend */
	TAILQ_ENTRY(relay) waiting;        /* in its backend's queue; later one of keep.h's lists */
	uint64_t queued_us;                /* since when it waits there */
	uint64_t source_key;               /* admit_client's; 0: not counted */
	uint64_t since_ms;                 /* of the connect, or of lingering */
	uint64_t begun_ms;                 /* when it began to relay; 0: long ago */
	uint64_t connect_us;               /* when the connect began */
	uint32_t tried[BALANCE_TRIED_MAX]; /* servers whose connect failed */
	uint16_t local_port;
	uint16_t server_port; /* of the address that is tried */
	uint8_t ntried;
	uint8_t addrs_tried; /* of the chosen server */
	bool queued;         /* on the run queue */
	uint8_t keeping;     /* enum keeping */
};

TAILQ_HEAD(relay_list, relay);

struct relays {
	const struct child *child;
	const struct conf *conf;
	struct shm *shm;
	struct shm_slot *slot;
	uint32_t slot_number;
	struct event_base *base;
	struct poller *poller; /* borrowed */
	struct wheel *wheel;
	struct pump_tools tools;
	char *answer; /* what a service answers with; SERVE_ANSWER_BYTES */
	struct balancer **balancers;
	struct queues *queues;
	struct keep *keep;
	struct places *places;
	struct down_watch *down_watch; /* NULL: no backend wants it */
	struct sink *access_log;       /* NULL when off */
	enum log_format access_format;
	uint64_t log_lost; /* of both logs, as it was counted */
	struct relay *slab;
	uint32_t slab_size;
	uint32_t slab_used; /* from there on never touched */
	uint32_t most;      /* relays that the fd limit allows */
	uint32_t active;
	uint16_t first_local_port; /* of those that the kernel gives to sockets that connect */
	void (*on_room)(void *arg);
	void *on_room_arg;
	struct relay_list free;
	struct relay_list run;
	uint32_t nrun;
	struct relay_list ended;
	uint64_t now_ms; /* clock_coarse_ms when the turn of this relay began */
};

/* The two places where state lives that others must be able to see. */
void relay_set_state(struct relay *relay, enum relay_state state);
static inline enum relay_state relay_state(const struct relay *relay)
{
	return (enum relay_state)relay->record->state;
}

/* One relay more or less at the chosen server. */
void relay_count_server(struct relay *relay, int delta);

/* Something moved: idle time starts anew. */
void relay_touch(struct relay *relay);

/* relays.c: memory for one, NULL when the slab is used up; on the run queue to go on in the next turn, and off it. */
struct relay *relay_take(struct relays *relays);
void relay_queue(struct relay *relay);
void relay_unqueue(struct relay *relay);

/* All but what relay_take set is as at the beginning. */
void relay_clear(struct relay *relay);

/* Its memory goes back; its record is nobody's. */
void relay_give(struct relay *relay);

/* What it counted for is given back: active here and there, its source. */
void relay_uncount(struct relay *relay);

/* The one end of every relay: both sides are closed, it is counted and logged. relay_finish is its second half, for
 * one whose worker died in between: the record says RELAY_CLOSING, why, and which sides end by a reset. */
void relay_close(struct relay *relay, enum close_reason why);
void relay_finish(struct relay *relay);

/* Ends by a reset of side: what is queued there is delivered first, for as long as its fin timeout. */
void relay_reset_to(struct relay *relay, struct stream *side, enum close_reason why);

/* Everything that can be done now, by state; the callbacks of both sockets and the run queue come here. */
void relay_run(struct relay *relay);

/* connect.c: choose a server and connect to it, or wait in the queue for one; on_server_event while
 * connecting. */
void relay_choose(struct relay *relay);

/* For whoever waits: the server it would get now, or BALANCE_NOBODY or BALANCE_FULL; and to take it, out of the
 * queue, unless it just became full (false). BALANCE_NOBODY ends the relay. */
MUST_USE int relay_pick(struct relay *relay);
MUST_USE bool relay_take_server(struct relay *relay, int server);

/* For passive health: it failed to connect, or was reset before it answered. */
void relay_server_failed(struct relay *relay, int error);
void relay_connect_event(struct relay *relay, uint32_t events);
void relay_connect_timeout(struct relay *relay);

/* turn.c, serve.c: what can be done now. */
void relay_turn(struct relay *relay);
void relay_serve(struct relay *relay);
void relay_linger(struct relay *relay);

/* Goes on with one that was adopted, in whatever state its worker left it. */
void relay_resume(struct relay *relay);

/* serve.c: what lies in a service's record when its worker died at any instant is brought in line with what the kernel
 * says was consumed and sent, ever. Returns NULL, or why that cannot be (static). And: not in the middle of an answer that
 * another configuration could give differently; the end, for the counts. */
MUST_USE const char *serve_restore(struct relay_record *record, uint64_t consumed, uint64_t sent);
bool serve_can_move(const struct relay *relay);
uint64_t serve_sent(const struct relay_record *record); /* with the answer under way */
enum conf_service serve_which(const struct relay_record *record);
void serve_begin(struct relay *relay);
void serve_end(struct relay *relay);

/* timeout.c: set the relay's timer for its state; look at it when it fires. */
void relay_timer_set(struct relay *relay);
void on_relay_timer(struct wheel_entry *entry, uint64_t now_ms);

void on_client_event(struct poller_watch *watch, uint32_t events);
void on_server_event(struct poller_watch *watch, uint32_t events);

/* "#ID frontend: " before the message. */
void relay_log_debug(const struct relay *relay, const char *format, ...) PRINTF_LIKE(2, 3);

const char *close_reason_text(enum close_reason why);
const char *close_reason_letters(enum close_reason why);

#endif
