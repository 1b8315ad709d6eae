/* A relay worker: one handler for each message, as the real one has, cut where its death would be seen. */

/* Another record of a relay that has moved on since ours: it went from us to there, or further. */
inline look_for_later(me, r, found)
{
	found = 0;
	for (i : 0 .. SLOTS - 1) {
		if
#ifdef BREAK_SETTLE_BY_FLAG
		:: i != me && record[at(i, r)] == OWNED -> found = 1
#else
		:: i != me && record[at(i, r)] != FREE && moves[at(i, r)] > moves[at(me, r)] -> found = 1
#endif
		:: else
		fi
	}
	i = 0
}

inline frees_record(me, r)
{
	record[at(me, r)] = FREE;
	moves[at(me, r)] = 0;
	kept[at(me, r)] = 0;
	has[at(me, r)] = NONE
}

/* A relay of its own again. It may have ended elsewhere meanwhile: then both its sockets say so, and it ends. */
inline takes_back(me, r)
{
	if
	:: over[r] -> frees_record(me, r)
	:: else ->
		assert(last[r] == me);
		record[at(me, r)] = OWNED;
		starts_reading(me, r)
	fi
}

inline settles(me)
{
	for (n : 0 .. RELAYS - 1) {
		if
		:: has[at(me, n)] == HOLDS ->
			look_for_later(me, n, m);
			if
			:: m -> frees_record(me, n)
			:: else -> takes_back(me, n)
			fi
		:: else
		fi
#ifdef BREAK_UNKEPT_AT_SETTLE
		;
		kept[at(me, n)] = 0
#endif
	}
	n = 0;
	m = 0;
	settled[me] = 1
}

inline reads_keeper(me)
{
	if
	:: k2w[me]?ADOPT, turn_from[me], turn_relay[me] ->
		assert(has[at(me, turn_relay[me])] == NONE);
		turn[me] = GOT_ADOPT
	:: k2w[me]?TAKEN, _, n ->
#if !defined(BREAK_CLOSE_EARLY) && !defined(BREAK_EAGER)
		assert(has[at(me, n)] == HOLDS);
#endif
		frees_record(me, n);
		n = 0
	:: k2w[me]?BACK, _, n ->
		assert(has[at(me, n)] == HOLDS);
		takes_back(me, n);
		n = 0
	fi
}

inline reads_master(me)
{
	if
	:: m2w[me]?GET, n ->
		for (i : 0 .. SLOTS - 1) {
			assert((accepts[i] & BIT(n)) == 0);
		}
		i = 0;
		accepts[me] = accepts[me] | BIT(n)
	:: m2w[me]?RELEASE, n ->
		accepts[me] = accepts[me] & ~BIT(n);
		SEND2(w2m[me], RELEASED, n)
	:: m2w[me]?LEAVE, _ -> leaving[me] = 1
	:: m2w[me]?SHED, _ -> shed[me]++
	:: m2w[me]?KEEPER, _ ->
		switching[me] = 1;
		settled[me] = 0
#ifdef BREAK_NO_SETTLE
	:: m2w[me]?SETTLE, _ -> settled[me] = 1
#else
	:: m2w[me]?SETTLE, _ -> settles(me)
#endif
	fi;
	n = 0
}

inline adopts_record(me, from, r)
{
	assert(record[at(from, r)] != FREE);
	/* with LET_GO in the old record there is no arithmetic: nobody else may have read since */
	assert(over[r] || record[at(from, r)] != LET || last[r] == from);
	record[at(me, r)] = OWNED;
	moves[at(me, r)] = moves[at(from, r)] + 1
}

/* Everything is done in one turn, but others may look, and it may die, between any two of these. */
inline goes_on(me)
{
	if
	:: turn[me] == STARTING_UP ->
		SEND2(w2m[me], READY, 0);
		turn[me] = IDLE
	:: turn[me] == LETTING_GO ->
		to_keeper(me, LET_GO, 0, turn_relay[me]);
		turn[me] = IDLE
	:: turn[me] == ENDING ->
		to_keeper(me, FORGET, 0, turn_relay[me]);
		turn[me] = IDLE
	:: turn[me] == GOT_ADOPT && no_rooms > 0 ->
		no_rooms--;
		to_keeper(me, NO_ROOM, turn_from[me], turn_relay[me]);
		turn[me] = IDLE
#ifdef BREAK_RUN_BEFORE_RECORD
	:: turn[me] == GOT_ADOPT && has[at(me, turn_relay[me])] == NONE ->
		starts_reading(me, turn_relay[me])
	:: turn[me] == GOT_ADOPT && has[at(me, turn_relay[me])] == READS ->
		adopts_record(me, turn_from[me], turn_relay[me]);
		turn[me] = RUNS
#else
	:: turn[me] == GOT_ADOPT ->
		adopts_record(me, turn_from[me], turn_relay[me]);
		turn[me] = MADE_RECORD
	:: turn[me] == MADE_RECORD ->
		starts_reading(me, turn_relay[me]);
		turn[me] = RUNS
#endif
	:: turn[me] == RUNS ->
		to_keeper(me, ADOPTED, turn_from[me], turn_relay[me]);
		kept[at(me, turn_relay[me])] = 1;
		turn[me] = IDLE
	fi;
	if
	:: turn[me] == IDLE ->
		turn_relay[me] = 0;
		turn_from[me] = 0
	:: else
	fi
}

#ifdef BREAK_EAGER
#define may_speak(me) 1
#else
#define may_speak(me) settled[me]
#endif

/* What it does of itself with a relay that it reads. */
inline turns(me, r)
{
	if
	:: may_speak(me) && !kept[at(me, r)] ->
		to_keeper(me, DEPOSIT, 0, r);
		kept[at(me, r)] = 1
	:: may_speak(me) && kept[at(me, r)] && (leaving[me] || shed[me] > 0) ->
		if
		:: shed[me] > 0 -> shed[me]--
		:: else
		fi;
#ifdef BREAK_CLOSE_EARLY
		has[at(me, r)] = NONE;
#else
		has[at(me, r)] = HOLDS;
#endif
		record[at(me, r)] = LET;
		turn[me] = LETTING_GO;
		turn_relay[me] = r
	:: may_end[r] || over[r] ->
		over[r] = 1;
		m = kept[at(me, r)];
		frees_record(me, r);
		if
		:: m ->
			turn[me] = ENDING;
			turn_relay[me] = r
		:: else
		fi;
		m = 0
	fi
}

#define turns_now(me, r) \
	(has[at(me, r)] == READS && ((may_speak(me) && (!kept[at(me, r)] || leaving[me] || shed[me] > 0)) || \
		may_end[r] || over[r]))

#if RELAYS == 1
#define is_empty(me) (has[me] == NONE)
#else
#define is_empty(me) (has[at(me, 0)] == NONE && has[at(me, 1)] == NONE)
#endif

proctype worker(byte me)
{
end:
	do
	:: atomic { alive[me] && turn[me] != IDLE -> goes_on(me) }
	:: atomic { alive[me] && turn[me] == IDLE && nempty(k2w[me]) -> reads_keeper(me) }
	:: atomic { alive[me] && turn[me] == IDLE && !switching[me] && nempty(m2w[me]) -> reads_master(me) }
	:: atomic { alive[me] && turn[me] == IDLE && !switching[me] && turns_now(me, 0) -> turns(me, 0) }
#if RELAYS > 1
	:: atomic { alive[me] && turn[me] == IDLE && !switching[me] && turns_now(me, 1) -> turns(me, 1) }
#endif
	:: atomic { alive[me] && turn[me] == IDLE && switching[me] && empty(k2w[me]) ->
		/* The old line is read to its end. From here on nothing is kept but what comes by the new one:
		 * not from SETTLE on, for others may be settled before, and give to this one. */
		switching[me] = 0;
		for (n : 0 .. RELAYS - 1) {
			kept[at(me, n)] = 0
		}
		n = 0;
		connected[me] = 1;
		SEND2(w2m[me], SWITCHED, 0)
		}
	:: atomic { alive[me] && turn[me] == IDLE && !switching[me] && leaving[me] && is_empty(me) ->
		worker_ends(me)
		}
	od
}
