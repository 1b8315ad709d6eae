/* The record of a relay: all there is to know of it, in shared memory, written by the one worker that
 * owns it. `show sessions` reads it, also of a worker that hangs; after a crash an adopter goes on from it.
 *
 * Its ledger ties the bytes to the kernel's own counts, so that at any instant
 *
 *     consumed = tcpi_bytes_received - (1 if a FIN came) - SIOCINQ               of the side read from
 *     queued   = tcpi_bytes_acked + SIOCOUTQ - (1 for our SYN, when we connected)
 *                - (1 if our FIN went)                                          of the side written to
 *
 *     forwarded by reading = consumed - rx_base          of one side
 *     forwarded by writing = queued - tx_base            of the other
 *
 * differ by exactly what was sent and not yet dropped, or taken and not yet sent (common/carry.h), less what lies
 * in the direction's pipe. rx_base counts bytes that were read and not passed on (a PROXY header that came in),
 * tx_base those sent that nobody had sent to us (a PROXY header that goes out). Both are set before the first byte
 * is relayed.
 */
#ifndef PROXYD_COMMON_RECORD_H
#define PROXYD_COMMON_RECORD_H

#include <stdatomic.h>
#include <stdint.h>

/* The states of a relay, in the order of its life. */
enum relay_state {
#define RELAY_STATE(name, text) name,
#include "common/relay_states.def"
#undef RELAY_STATE
	RELAY_STATES,
};

/* One direction's half of the ledger and of the half-close. */
enum record_flow {
	FLOW_OPEN,
	FLOW_DONE, /* the FIN was passed on */
};

struct record_side {
	uint64_t rx_base; /* consumed from this side's socket without being relayed */
	uint64_t tx_base; /* sent to this side's socket without having been relayed */
};

enum record_flags {
	RECORD_SOURCE_COUNTED =
		1 << 0,       /* the client's address is counted in the table of sources */
	RECORD_KEPT = 1 << 1, /* the keeper has its sockets */
	RECORD_LET_GO =
		1 << 2, /* untouched by its owner since, between two turns: every byte that was sent
				 * was also dropped; an adopter has the relay, or will */
	/* With RECORD_LET_GO: TCP, and no MPTCP. Without it the adopter asks the kernel. */
	RECORD_CLIENT_PLAIN = 1 << 3,
	RECORD_SERVER_PLAIN = 1 << 4,
};

enum record_sides { RECORD_CLIENT = 1 << 0, RECORD_SERVER = 1 << 1 };

#define RECORD_PROTOCOL_BYTES 64
#define RECORD_NEVER          UINT32_MAX

struct relay_record {
	/* hot: touched by every turn of the pump */
	_Atomic uint32_t sequence; /* odd while several fields change together */
	uint8_t state;             /* enum relay_state */
	uint8_t up_flow;           /* client to server, enum record_flow */
	uint8_t down_flow;         /* server to client */
	uint8_t flags;             /* enum record_flags */
	uint64_t id;               /* 0: the record is free */
	uint64_t moved_ms;
	uint64_t
		bytes_in; /* from the client, passed on to the server; as much is in the counters */
	uint64_t bytes_out; /* from the server, passed on to the client; the same */
	uint32_t frontend;  /* place in shared memory */
	uint32_t server;    /* place in shared memory, SHM_NONE before one is chosen */
	uint32_t backend;   /* the same */
	uint32_t address;   /* which of the server's addresses */
	uint16_t up_pipe;   /* number + 1 of the owner's pipe in which bytes may lie; 0: in none */
	uint16_t down_pipe; /* the same */
	uint8_t why; /* RELAY_CLOSING, RELAY_LINGERING: enum close_reason, so that another can finish it */
	/* Which sides, enum record_sides: */
	uint8_t resets; /* were reset by their peer, which the kernel says only once */
	uint8_t aborts; /* RELAY_CLOSING, RELAY_LINGERING: end by a reset; written before the state */
	uint8_t unused0;

	/* the ledger */
	struct record_side client;
	union {
		struct record_side server_side;
		struct {
			uint64_t in;
			uint64_t out;
		} counted; /* of a service: bytes that its frontend's counters have */
	};
	uint32_t up_pipe_bytes; /* read from the client's socket, lying in the pipe */
	uint32_t down_pipe_bytes;
	uint32_t generation;
	uint16_t retries;
	uint16_t client_port;
	uint64_t accepted_wall_ms; /* for people */
	uint32_t moves;            /* how often it changed its owner */
	uint32_t unused1;

	/* who, and when */
	uint8_t client_family; /* AF_INET, AF_INET6, AF_UNIX */
	uint8_t client_addr[16];
	uint8_t unused[7];
	uint64_t accepted_ms;
	uint32_t wait_ms;    /* until a server was chosen; RECORD_NEVER before */
	uint32_t connect_ms; /* until it answered; RECORD_NEVER before */
	uint32_t client_timeout_ms;
	uint32_t server_timeout_ms;
	uint64_t ended; /* 1: how it ended is in its frontend's counters */
	uint64_t unused2;

	uint8_t protocol
		[RECORD_PROTOCOL_BYTES]; /* a protocol's parser state, see its save and restore */
};

/* What was written before it is there before what is written after it, for whoever comes when this process was killed in
 * between. The compiler alone could change the order. */
static inline void record_order(void)
{
	atomic_signal_fence(memory_order_seq_cst);
}

/* Around a change of several fields that a reader must see together. Only the owner calls these. */
static inline void record_change_begin(struct relay_record *record)
{
	atomic_store_explicit(&record->sequence, record->sequence + 1, memory_order_relaxed);
	atomic_thread_fence(memory_order_release);
}

static inline void record_change_end(struct relay_record *record)
{
	atomic_store_explicit(&record->sequence, record->sequence + 1, memory_order_release);
}

_Static_assert(sizeof(struct relay_record) == 256, "a relay record is four cache lines");

#endif
