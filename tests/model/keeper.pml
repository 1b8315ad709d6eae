/* The keeper: a table by (slot, record), the routes, and, towards the masters, who is the master. */
#define KEPT   1
#define GOING  2 /* LET_GO */
#define GIVENTO 3

byte entry[CELLS];
byte to[CELLS];
byte refused[CELLS]; /* bits: who had no room for it */
bit known[SLOTS];
#define LIVES  0
#define DRAINED 1 /* dead, its line is read, its entries go */
#define TOLD   2
byte dead[SLOTS];
byte route[SLOTS];
byte drains = NOBODY; /* whose line is being read to its end */

#if NEXTS
#define list_is_stale stale = 1
#else
#define list_is_stale skip
#endif
byte keeper_line;     /* of m2k, k2m: the master's */
#if NEXTS
bit expects;
bit stale;            /* children have changed since LIST */
byte takes;           /* the line of the next master whose TAKE was read; the master was told */
#endif

inline to_worker(whom, kind, arg, rel)
{
	if
	:: alive[whom] ->
		assert(connected[whom]);
		SEND3(k2w[whom], kind, arg, rel)
	:: else
	fi
}

inline keeper_clears(cell)
{
	entry[cell] = NONE;
	to[cell] = 0;
	refused[cell] = 0
}

inline keeper_moves(cell, new)
{
	keeper_clears(cell);
	entry[new] = KEPT;
	to_worker(owner_of(cell), TAKEN, 0, relay_of(cell))
}

inline keeper_reads_worker(who, from, r)
{
	if
	:: w2k[who]?DEPOSIT, _, r -> entry[at(who, r)] = KEPT
	:: w2k[who]?FORGET, _, r -> keeper_clears(at(who, r))
	:: w2k[who]?LET_GO, _, r ->
		if
		:: entry[at(who, r)] == KEPT -> entry[at(who, r)] = GOING
		:: else
		fi
	:: w2k[who]?ADOPTED, from, r ->
		if
		:: entry[at(from, r)] == GIVENTO && to[at(from, r)] == who ->
			keeper_moves(at(from, r), at(who, r))
		:: else
		fi
	:: w2k[who]?NO_ROOM, from, r ->
		assert(entry[at(from, r)] == GIVENTO && to[at(from, r)] == who);
		entry[at(from, r)] = GOING;
		to[at(from, r)] = 0;
		refused[at(from, r)] = refused[at(from, r)] | BIT(who);
		if
		:: (route[from] & ~refused[at(from, r)]) == 0 && alive[from] && dead[from] == LIVES ->
			keeper_clears(at(from, r));
			entry[at(from, r)] = KEPT;
			to_worker(from, BACK, 0, r)
		:: (route[from] & ~refused[at(from, r)]) == 0 && !(alive[from] && dead[from] == LIVES) ->
			refused[at(from, r)] = 0 /* really: aborted and counted; here: until it has room */
		:: else
		fi
	fi;
	from = 0;
	r = 0
}

/* Its line has been read to its end: what is its own goes, what was on its way to it as its records say. */
inline keeper_gives(who, cell)
{
	for (cell : 0 .. CELLS - 1) {
		if
		:: owner_of(cell) == who && (entry[cell] == KEPT || entry[cell] == GOING) ->
			if
#ifndef BREAK_GIVE_ENDED
			:: record[cell] == FREE -> keeper_clears(cell) /* it had ended: close, no reset */
#endif
			:: else -> entry[cell] = GOING
			fi
		:: entry[cell] == GIVENTO && to[cell] == who ->
			if
#ifndef BREAK_NO_LOOK
			:: record[at(who, relay_of(cell))] != FREE ->
				entry[at(who, relay_of(cell))] = GOING;
				keeper_clears(cell);
				to_worker(owner_of(cell), TAKEN, 0, relay_of(cell))
#endif
			:: else ->
				entry[cell] = GOING;
				to[cell] = 0
			fi
		:: else
		fi
	}
	cell = 0;
	dead[who] = DRAINED
}

inline keeper_reads_master(a, b)
{
	if
	:: m2k[keeper_line]?CHILD, a, _ ->
		list_is_stale;
		known[a] = 1
	:: m2k[keeper_line]?GONE, a, _ ->
		list_is_stale;
		known[a] = 0;
		dead[a] = LIVES;
		route[a] = 0
	:: m2k[keeper_line]?ROUTE, a, b -> route[a] = b
	:: m2k[keeper_line]?GIVE, a, _ ->
#ifdef BREAK_NO_DRAIN
		keeper_gives(a, b)
#else
		drains = a
#endif
#if NEXTS
	:: m2k[keeper_line]?EXPECT, _, _ -> expects = 1
#endif
	fi;
	a = 0;
	b = 0
}

inline keeper_offers(cell, who)
{
	entry[cell] = GIVENTO;
	to[cell] = who;
	to_worker(who, ADOPT, owner_of(cell), relay_of(cell))
}

#define can_take(cell, who) \
	(entry[cell] == GOING && (route[owner_of(cell)] & ~refused[cell] & BIT(who)) && \
		known[who] && dead[who] == LIVES && (connected[who] || !alive[who]))

#define waits(cell, who) (entry[cell] == GIVENTO && to[cell] == who)
#if SLOTS > 4
#define waits_4(who, r) waits(at(4, r), who)
#else
#define waits_4(who, r) 0
#endif
#define none_left1(who, r) \
	(entry[at(who, r)] == NONE && !waits(at(0, r), who) && !waits(at(1, r), who) && \
		!waits(at(2, r), who) && !waits(at(3, r), who) && !waits_4(who, r))
#if RELAYS == 1
#define none_left(who) none_left1(who, 0)
#else
#define none_left(who) (none_left1(who, 0) && none_left1(who, 1))
#endif

#if NEXTS
#if SLOTS > 4
#define known_4 known[4]
#else
#define known_4 0
#endif

/* What a next master says on line x. HELLO: all that the master has sent is read first, so that the list holds every
 * child, and EXPECT is not overtaken. */
inline keeper_reads_next(x)
{
	if
	:: m2k[x]?HELLO, _, _ ->
		if
		:: !next_alive || x != next_line || (master_alive && !expects) -> skip
		:: else ->
			stale = 0;
			SEND2(k2m[x], LIST, known[0] + 2 * known[1] + 4 * known[2] + 8 * known[3] + 16 * known_4)
		fi
	:: m2k[x]?TAKE, _, _ ->
		if
		:: !next_alive || x != next_line -> skip /* its end stands behind it on the line */
		:: next_alive && x == next_line && stale -> SEND2(k2m[x], NO, 0)
		:: else ->
			takes = x;
			expects = 0;
			if
			:: master_alive -> SEND2(k2m[keeper_line], LEFT, 0)
			:: else
			fi
		fi
	fi
}

#define KEEPER_NEXT(x) \
	:: atomic { keeper_alive && drains == NOBODY && takes == 0 && keeper_line != x && nempty(m2k[x]) && \
			empty(m2k[keeper_line]) -> \
		keeper_reads_next(x) }
#endif

#define KEEPER_OFFERS(cell) \
	:: atomic { keeper_alive && drains == NOBODY && can_take(cell, who) -> keeper_offers(cell, who) }

/* The keeper's side of one worker's line. Still the one keeper: each step is whole. */
proctype keeper_at(byte who)
{
	byte kx, ky;
end:
	do
	:: atomic { keeper_alive && known[who] && nempty(w2k[who]) && (drains == NOBODY || drains == who) ->
		keeper_reads_worker(who, kx, ky)
		}
	:: atomic { keeper_alive && drains == who && empty(w2k[who]) ->
		keeper_gives(who, kx);
		drains = NOBODY
		}
	:: atomic { keeper_alive && drains == NOBODY && dead[who] == DRAINED && none_left(who) ->
		dead[who] = TOLD;
		SEND2(k2m[keeper_line], GIVEN, who)
		}
	KEEPER_OFFERS(0)
	KEEPER_OFFERS(1)
	KEEPER_OFFERS(2)
	KEEPER_OFFERS(3)
#if CELLS > 4
	KEEPER_OFFERS(4)
#endif
#if CELLS > 5
	KEEPER_OFFERS(5)
	KEEPER_OFFERS(6)
	KEEPER_OFFERS(7)
#endif
#if CELLS > 8
	KEEPER_OFFERS(8)
	KEEPER_OFFERS(9)
#endif
	od
}

/* The rest of it. */
proctype keeper()
{
	byte kx, ky;
end:
	do
	:: atomic { keeper_alive && drains == NOBODY && nempty(m2k[keeper_line]) -> keeper_reads_master(kx, ky) }
#if NEXTS
	KEEPER_NEXT(1)
#if NEXTS > 1
	KEEPER_NEXT(2)
#endif
	/* the next one's line has ended: the master stays */
	:: atomic { keeper_alive && takes != 0 && master_alive && (!next_alive || next_line != takes) -> takes = 0 }
	/* the master's line has ended and is read: the next one's is the master's now */
	:: atomic { keeper_alive && drains == NOBODY && takes != 0 && !master_alive && empty(m2k[keeper_line]) ->
		keeper_line = takes;
		takes = 0;
		SEND2(k2m[keeper_line], YOURS, 0)
		}
#endif
	od
}
