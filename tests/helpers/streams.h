/* The parts of `streams`, the program that is load and judge at once (see streams.c): the memory that its two
 * processes share, one end of a relay, and what each process does with its ends.
 *
 * Every relay has two streams of bytes that depend on its number and round alone (util.h), so that each end knows
 * every byte that it must get. What was sent in all stands in the shared memory before the sender's FIN, so that the
 * receiver of a FIN knows whether it is all.
 */
#ifndef PROXYD_TESTS_HELPERS_STREAMS_H
#define PROXYD_TESTS_HELPERS_STREAMS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tests/helpers/streams_timer.h"
#include "tests/helpers/util.h"

#define STREAMS_ADDRS_MAX      8
#define STREAMS_INCIDENTS_MAX  64
#define STREAMS_MAGIC          0x534d5254U
#define STREAMS_HELLO_BYTES    16 /* the beginning of a client's stream: magic, number, round, kind */
#define STREAMS_GREETING_BYTES 64 /* the origin's answer to it; then the relay is established */
#define STREAMS_BUFFER_BYTES   (256U << 10)

enum stream_kind {
	STREAM_IDLE,
	STREAM_CHAT,
	STREAM_HALF_CLIENT, /* the client's FIN came early, the server goes on */
	STREAM_HALF_SERVER,
	STREAM_STUCK_UP, /* the origin does not read until the end */
	STREAM_STUCK_DOWN,
	STREAM_STUCK_BOTH,
	STREAM_BULK,
	STREAM_CHURN, /* chats for a few seconds, ends, and a next one begins in its place */
	STREAM_KINDS
};

/* How a relay ended that should not have. */
enum stream_fate {
	FATE_NONE,
	FATE_REFUSED,
	FATE_RESET,
	FATE_EARLY_EOF, /* an end that nobody sent */
	FATE_SHORT,     /* the end came, but not all that was sent before it */
	FATE_TIMEOUT,
	FATE_WRONG, /* a byte that was not the one sent, or not in its place */
	FATES
};

enum stream_side { SIDE_CLIENT, SIDE_ORIGIN, SIDES };

/* What one end does wrong on purpose at relay 0, to see that it is found. */
enum stream_fault { FAULT_NONE, FAULT_FLIP, FAULT_SKIP, FAULT_DOUBLE, FAULT_FIN, FAULT_RESET };

struct streams_options {
	uint64_t count[STREAM_KINDS];
	uint64_t relays; /* their sum */
	uint64_t open_rate;
	uint64_t ping_ms;
	uint64_t chat_ms;
	uint64_t piece_ms; /* half-closed: a piece of piece_bytes this often */
	uint64_t piece_bytes;
	uint64_t stuck_bytes;
	uint64_t
		bulk_rate; /* bytes a second of all bulk relays and both directions; 0: as fast as it goes */
	uint64_t bulk_burst_bytes;
	uint64_t life_ms; /* the longest of a churning relay */
	uint64_t keep_after_ms;
	uint64_t patience_ms;
	uint64_t seconds; /* 0: until told */
	enum stream_side fault_side;
	enum stream_fault fault;
	uint64_t fault_at;
	size_t nfronts;
	struct peer_addr fronts[STREAMS_ADDRS_MAX];
	size_t norigins;
	struct peer_addr origins[STREAMS_ADDRS_MAX];
};

/* The place of a relay, which a churning one leaves to the next round. */
struct streams_slot {
	enum stream_kind kind;
	_Atomic uint32_t round;    /* written by the client's side */
	_Atomic uint64_t since_us; /* when the origin got its hello; 0: not yet */
	_Atomic uint8_t fate;      /* the first thing that went wrong with it */
	struct {
		_Atomic uint64_t sent;
		_Atomic uint64_t received;
		_Atomic bool fin;  /* sent is final, and a FIN follows it */
		_Atomic bool done; /* this end is closed */
	} side[SIDES];
};

struct streams_incident {
	uint32_t number;
	uint32_t round;
	enum stream_side side;
	enum stream_fate fate;
	uint64_t at_us; /* of the monotonic clock */
	uint64_t age_us;
	uint64_t sent;
	uint64_t received;
};

/* Written by one process alone. */
struct streams_tally {
	_Atomic uint64_t wrong_bytes;
	_Atomic uint64_t missing_bytes; /* left out, the stream goes on behind them */
	_Atomic uint64_t doubled_bytes;
	_Atomic uint64_t short_bytes; /* of FATE_SHORT */
	_Atomic uint64_t sent;
	_Atomic uint64_t received;
	_Atomic uint64_t strangers; /* origin: a hello that nobody said, or twice */
	_Atomic uint64_t newcomers; /* origin: requests of `client rate` answered */
};

struct streams_shared {
	_Atomic bool listening;
	_Atomic bool finishing;
	_Atomic bool over;
	struct streams_tally tally[SIDES];
	_Atomic uint64_t broken[STREAM_KINDS][FATES];
	_Atomic uint64_t broken_old; /* at least keep_after old */
	_Atomic uint32_t nincidents;
	struct streams_incident incidents[STREAMS_INCIDENTS_MAX];
	struct streams_slot slots[];
};

enum end_state {
	END_CLOSED,
	END_CONNECTING,
	END_HELLO, /* origin: who it is has not come yet */
	END_OPEN
};

struct streams_process;

/* One end of one relay. */
struct end {
	struct stream_timer timer; /* first: timers hand out themselves */
	struct streams_process *process;
	struct streams_slot *slot; /* NULL before the hello */
	struct end *next_dead;
	enum end_state state;
	int fd;          /* owned; -1 when closed */
	uint32_t events; /* that epoll looks for */
	uint32_t number;
	uint32_t round;
	uint64_t seed_out;
	uint64_t seed_in;
	uint64_t tx;
	uint64_t tx_goal; /* may send so far */
	uint64_t rx;
	uint64_t rx_stop; /* reads so far and no further */
	bool finishing;   /* a FIN follows when the goal is reached */
	bool fin_sent;
	bool fin_seen;
	bool established;  /* client: the greeting is there */
	unsigned lost;     /* how often the stream was not found again after a wrong byte */
	uint32_t exchange; /* the number of a talk's message and answer */
	uint64_t turn_at;  /* where the peer's message is complete, in rx */
	uint64_t asked_us; /* client: 0 when no answer is due */
	uint64_t ends_ms;  /* client: when a churning one has lived enough */
	uint32_t worst_us; /* client: the longest round trip of this window */
	char hello[STREAMS_HELLO_BYTES];
};

/* One of the two processes. The functions are those of its side. */
struct streams_process {
	enum stream_side side;
	const struct streams_options *options;
	struct streams_shared *shared;
	struct streams_tally *tally;
	int epoll_fd;
	struct stream_timers timers;
	struct end *dead;                     /* to be freed after the turn */
	void (*on_received)(struct end *end); /* rx has grown */
	void (*on_fin)(struct end *end);      /* the peer's, and it was right */
	void (*on_timer)(struct end *end);
	void (*on_closed)(struct end *end);      /* after the last of it */
	void (*on_first_event)(struct end *end); /* connecting, or the hello is due */
	char buffer[STREAMS_BUFFER_BYTES];
};

uint64_t now_us(void);

/* One turn of the loop: events, timers, then frees what died. */
void process_turn(struct streams_process *process, void (*on_other)(void *data), uint64_t ms);
void process_init(struct streams_process *process, enum stream_side side,
	const struct streams_options *options, struct streams_shared *shared);

/* An end for a connection; the events are looked for at once. */
void end_open(struct end *end, struct streams_process *process, int fd, enum end_state state);
/* It is this relay's from here on. */
void end_name(struct end *end, uint32_t number, uint32_t round);
/* Send what the goal allows, set what epoll looks for, close when both directions are at their end. */
void end_move(struct end *end);
void end_receive(struct end *end);
/* Some more bytes, then its FIN; reads again what it held back. */
void end_finish(struct end *end);
/* Counted once a relay, whichever end sees it first; closes this end. */
void end_break(struct end *end, enum stream_fate fate);
void end_blame(struct end *end, enum stream_fate fate);
void end_close(struct end *end);

/* The received bytes against the stream: advances rx. */
void check_bytes(struct end *end, const char *buf, size_t len);

/* Length of a talk's message (even numbers ask, odd ones answer). */
uint64_t talk_bytes(const struct end *end, uint32_t message);
bool kind_talks(enum stream_kind kind);
uint64_t mix(uint64_t a, uint64_t b);
/* ms and up to half of it more or less. */
uint64_t jittered(const struct end *end, uint64_t ms);
/* The next burst of a bulk relay, for both sides. Returns when the one after it is due. */
uint64_t bulk_goal(struct end *end);
uint64_t piece_goal(struct end *end);

/* A log-linear histogram, exact to 1/64. */
#define STREAMS_HIST_BUCKETS 2048
struct streams_hist {
	uint64_t n;
	uint64_t max;
	uint32_t buckets[STREAMS_HIST_BUCKETS];
};

/* What the client's process knows of the whole. */
struct streams_run {
	const struct streams_options *options;
	struct streams_shared *shared;
	struct end *ends;               /* owned, by number */
	uint64_t begin_us;              /* of the monotonic clock */
	uint64_t opened;                /* a churning place counts every time */
	uint64_t established;           /* now */
	uint64_t ok;                    /* came to their right end */
	uint64_t settled;               /* places that are done with */
	uint64_t hanging;               /* broken at one end, and the other one never heard of it */
	struct streams_hist rtt;        /* of all talk, in us */
	struct streams_hist window_rtt; /* since the last mark */
	uint64_t window_us;             /* its begin */
	unsigned windows;
};

/* One JSON line each on stdout: all that is known; or the window's round trips, after which a new one begins. */
void report_stats(const struct streams_run *run);
void report_window(struct streams_run *run);
void report_rtt(struct streams_run *run, struct end *end, uint64_t us);
/* Nothing broken that was old enough to be kept, and no byte wrong. */
bool report_good(const struct streams_run *run);

extern const char *const stream_kind_names[STREAM_KINDS];

/* The origin's process; does not return. */
__attribute__((noreturn)) void run_origin(
	const struct streams_options *options, struct streams_shared *shared);

/* The client's; returns the exit code. */
int run_client(const struct streams_options *options, struct streams_shared *shared);

#endif
