/* The protocol by which relays and listening sockets change hands, for Spin. README.md says what is modelled
 * and what is not; ./run has the variants. One file a process; this one has what they share: shared memory, the
 * lines between them, who is alive.
 *
 * A step is what one process does between two points at which its death, or another's step, makes a difference.
 * Every step asks whether its process is alive, so that fate.pml can end any of them between any two steps.
 */
#ifndef SLOTS
#define SLOTS 4
#endif
#ifndef WORKERS
#define WORKERS 2 /* of a generation */
#endif
#ifndef RELAYS
#define RELAYS 1
#endif
#ifndef LISTENERS
#define LISTENERS 0
#endif
#ifndef HUPS
#define HUPS 0
#endif
#ifndef SHEDS
#define SHEDS 0
#endif
#ifndef DEATHS
#define DEATHS 0
#endif
#ifndef NEXTS
#define NEXTS 0 /* masters that come after the first */
#endif
#ifndef NO_ROOMS
#define NO_ROOMS 0 /* how often an adopter may say that it has no room */
#endif

#ifndef MASTER_QUEUE
#define MASTER_QUEUE 16
#endif

#define LINES (NEXTS + 1)
#define NOBODY 255
#define BIT(i) (1 << (i))

mtype = {
	/* worker to master */ READY, RELEASED, SWITCHED,
	/* master to worker */ GET, RELEASE, LEAVE, SHED, KEEPER, SETTLE,
	/* worker to keeper */ DEPOSIT, FORGET, LET_GO, ADOPTED, NO_ROOM,
	/* keeper to worker */ ADOPT, TAKEN, BACK,
	/* master to keeper */ CHILD, GONE, ROUTE, GIVE, EXPECT, HELLO, TAKE,
	/* keeper to master */ GIVEN, LIST, LEFT, YOURS, NO
};

/* The lines. What a process sends and how far apart: each is a queue, between two of them there is no order. */
chan w2m[SLOTS] = [6] of { mtype, byte };
chan m2w[SLOTS] = [8] of { mtype, byte };
chan w2k[SLOTS] = [6] of { mtype, byte, byte };
chan k2w[SLOTS] = [4] of { mtype, byte, byte };
chan m2k[LINES] = [MASTER_QUEUE] of { mtype, byte, byte };
chan k2m[LINES] = [6] of { mtype, byte };

#define SEND2(line, type, a)    assert(nfull(line)); line!type, a
#define SEND3(line, type, a, b) assert(nfull(line)); line!type, a, b

/* Relays, numbered alike everywhere: the id. at(slot, relay) is the record, and the keeper's entry. */
#define at(slot, relay) ((slot) * RELAYS + (relay))
#define CELLS (SLOTS * RELAYS)
#define owner_of(cell) ((cell) / RELAYS)
#define relay_of(cell) ((cell) % RELAYS)

/* Shared memory: outlives every process. */
#define FREE    0
#define OWNED   1
#define LET     2 /* RECORD_LET_GO */
byte record[CELLS];
byte moves[CELLS];

/* What a worker does with a relay's sockets. */
#define NONE    0
#define READS   1 /* in its loop */
#define HOLDS   2 /* untouched, let go, not yet TAKEN */
byte has[CELLS];
bit kept[CELLS]; /* the worker believes that the keeper has it */

/* The world's view of a relay, for the assertions. */
bit over[RELAYS];     /* it has ended, or was young when its worker died */
bit may_end[RELAYS];  /* fate: it ends at some time */
byte last[RELAYS];    /* who read it last */

/* Workers. */
bit alive[SLOTS];
bit connected[SLOTS]; /* its line goes to the keeper that is alive */
bit settled[SLOTS];   /* it may speak on that line */
bit switching[SLOTS];
bit leaving[SLOTS];
byte shed[SLOTS];
byte accepts[SLOTS];  /* bits: listeners */
/* Where its turn is, when others could see the middle of it. */
#define IDLE 0
#define STARTING_UP 1
#define LETTING_GO 2
#define ENDING 3
#define GOT_ADOPT 4
#define MADE_RECORD 5
#define RUNS 6
byte turn[SLOTS];
byte turn_relay[SLOTS];
byte turn_from[SLOTS];
byte no_rooms = NO_ROOMS;

bit master_alive = 1;
bit keeper_alive = 1;
#if NEXTS
bit next_alive;
byte next_line;       /* of m2k, k2m: of the next master, or of the last one there was */
byte nexts_left = NEXTS;
#endif

byte i, n, m; /* d_steps' own */

/* Nobody reads what another one reads; and what was let go was not touched by anybody since. */
inline starts_reading(self, rel)
{
	d_step {
		for (i : 0 .. SLOTS - 1) {
			assert(i == self || !alive[i] || has[at(i, rel)] != READS);
		}
		i = 0;
		has[at(self, rel)] = READS;
		last[rel] = self;
	}
}

/* A line whose reader is gone swallows what is sent. */
inline to_keeper(self, kind, arg, rel)
{
	if
	:: connected[self] -> SEND3(w2k[self], kind, arg, rel)
	:: else
	fi
}

inline drop2(line)
{
	do
	:: nempty(line) -> line?_, _
	:: empty(line) -> break
	od
}

inline drop3(line)
{
	do
	:: nempty(line) -> line?_, _, _
	:: empty(line) -> break
	od
}

/* A worker's process ends: what it had not read is lost, what it sent is not, its records stay. */
inline worker_ends(me)
{
	alive[me] = 0;
	drop3(k2w[me]);
	drop2(m2w[me]);
	for (i : 0 .. RELAYS - 1) {
		has[at(me, i)] = NONE;
		kept[at(me, i)] = 0;
	}
	i = 0;
	connected[me] = 0;
	settled[me] = 0;
	switching[me] = 0;
	leaving[me] = 0;
	shed[me] = 0;
	accepts[me] = 0;
	turn[me] = IDLE;
	turn_relay[me] = 0;
	turn_from[me] = 0
}

inline worker_starts(me)
{
	assert(!alive[me]);
	drop2(w2m[me]);
	drop3(w2k[me]);
	alive[me] = 1;
	connected[me] = keeper_alive;
	settled[me] = 1;
	turn[me] = STARTING_UP
}

#include "worker.pml"
#include "keeper.pml"
#include "master.pml"
#if NEXTS
#include "next.pml"
#endif
#include "fate.pml"
