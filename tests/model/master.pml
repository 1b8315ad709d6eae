/* The master: generations, dead workers, a dead keeper, and who accepts from which listener. After a takeover
 * the same process is the next one (next.pml), which knows only what the keeper told it. */

/* A worker as the master knows it. */
#define STARTING 1
#define SERVING  2
#define LEFT_TO  3 /* told to leave */
#define REAPED   4 /* dead; the keeper gives what it had */
byte state[SLOTS]; /* FREE: a slot of nobody */

/* Of which generation. */
#define OLD     0
#define CURRENT 1
#define COMING  2
#define NEXTS_OWN 3 /* not this master's: the next one's, before it took over */
byte class[SLOTS];

#define NO_RELOAD 0
#define PREPARING 1
#define MOVING    2
byte phase;
bit failed;              /* one of the coming ones died */
byte hups;               /* remembered */
byte told_route[SLOTS];
bit asked[SLOTS];        /* to switch to the new keeper, and did not answer yet */
bit settling;            /* a new keeper was started, not everybody has answered */
bit to_settle[SLOTS];
byte line;               /* to the keeper */
#if NEXTS
bit frozen;              /* a next master was started by this one: no reload, no new children until it ends */
byte next_phase;
byte next_knows;         /* bits: the children that the keeper told it of */
#endif

#if LISTENERS
byte may_accept[LISTENERS]; /* bits: who has it, or may have it */
byte releasing[LISTENERS];  /* bits: who was told to give it back */
bit listeners_changed;      /* somebody came, went or gave one back: look who is to have them */
#define listeners_due() listeners_changed = 1
#else
#define listeners_due() skip
#endif

#if NEXTS
bit children_changed; /* since EXPECT */

/* What was for the master is lost, but for what the workers sent: the keeper has that end as well. */
inline master_ends()
{
	master_alive = 0;
	drop2(k2m[line])
}

/* Its own workers end with it: the keeper does not know them. */
inline next_ends()
{
	next_alive = 0;
	drop2(k2m[next_line]);
	next_phase = 0;
	next_knows = 0;
	for (n : 0 .. SLOTS - 1) {
		if
		:: class[n] == NEXTS_OWN ->
			if
			:: alive[n] -> worker_ends(n)
			:: else
			fi;
			state[n] = FREE;
			class[n] = OLD;
			drop2(w2m[n]);
			drop3(w2k[n])
		:: else
		fi
	}
	n = 0
}
#endif

inline tell_keeper(kind, arg, arg2)
{
#if NEXTS
	children_changed = children_changed || kind == CHILD || kind == GONE;
#endif
	if
	:: keeper_alive -> SEND3(m2k[line], kind, arg, arg2)
	:: else
	fi
}

inline tell_worker(whom, kind, arg)
{
	if
	:: alive[whom] -> SEND2(m2w[whom], kind, arg)
	:: else
	fi
}

/* Who can take the relays of others. */
inline find_targets(mask)
{
	mask = 0;
	for (i : 0 .. SLOTS - 1) {
		if
		:: state[i] == SERVING && class[i] == CURRENT -> mask = mask | BIT(i)
		:: else
		fi
	}
	i = 0
}

/* Every worker that leaves or is dead has a route to those who serve now. */
inline tell_routes(mask)
{
	find_targets(mask);
	for (n : 0 .. SLOTS - 1) {
		if
		:: (state[n] == LEFT_TO || state[n] == REAPED) && told_route[n] != (mask & ~BIT(n)) ->
			told_route[n] = mask & ~BIT(n);
			tell_keeper(ROUTE, n, told_route[n])
		:: else
		fi
	}
	n = 0;
	mask = 0
}

inline forget_slot(who)
{
	state[who] = FREE;
	class[who] = OLD;
	told_route[who] = 0;
	asked[who] = 0;
	to_settle[who] = 0;
	drop2(w2m[who]);
	drop3(w2k[who])
}

inline spawn(sort, how_many)
{
	m = how_many;
	for (n : 0 .. SLOTS - 1) {
		if
		:: m > 0 && state[n] == FREE && !alive[n] ->
			worker_starts(n);
			state[n] = STARTING;
			class[n] = sort;
			if
			:: sort != NEXTS_OWN -> tell_keeper(CHILD, n, 0)
			:: else
			fi;
			m--
		:: else
		fi
	}
	n = 0;
	assert(m == 0)
}

#define counts(who, kind, least, most) (class[who] == kind && state[who] >= least && state[who] <= most)
#if SLOTS > 4
#define counts_4(kind, least, most) counts(4, kind, least, most)
#define is_free_4 (state[4] == FREE && !alive[4])
#else
#define counts_4(kind, least, most) 0
#define is_free_4 0
#endif
#define count(kind, least, most) \
	(counts(0, kind, least, most) + counts(1, kind, least, most) + counts(2, kind, least, most) + \
		counts(3, kind, least, most) + counts_4(kind, least, most))
#define free_slots \
	((state[0] == FREE && !alive[0]) + (state[1] == FREE && !alive[1]) + (state[2] == FREE && !alive[2]) + \
		(state[3] == FREE && !alive[3]) + is_free_4)
#if NEXTS
#define is_frozen frozen
#else
#define is_frozen 0
#endif
inline master_reads(who, l)
{
	if
	:: w2m[who]?READY, _ ->
		if
		:: state[who] == STARTING ->
			state[who] = SERVING;
			tell_routes(m)
		:: else
		fi
	:: w2m[who]?SWITCHED, _ -> asked[who] = 0
#if LISTENERS
	:: w2m[who]?RELEASED, l ->
		may_accept[l] = may_accept[l] & ~BIT(who);
		releasing[l] = releasing[l] & ~BIT(who)
#endif
	fi;
	l = 0
}

/* The process is gone. Its relays go to others, its listeners too. */
inline reaps(who)
{
	drop2(w2m[who]);
	if
	:: state[who] != LEFT_TO && class[who] == COMING -> failed = 1
	:: else
	fi;
	state[who] = REAPED;
	asked[who] = 0;
	to_settle[who] = 0;
#if LISTENERS
	for (i : 0 .. LISTENERS - 1) {
		may_accept[i] = may_accept[i] & ~BIT(who);
		releasing[i] = releasing[i] & ~BIT(who)
	}
	i = 0;
#endif
	tell_routes(m);
	if
	:: !settling -> tell_keeper(GIVE, who, 0)
	:: else /* when all have switched */
	fi
}

/* What it had is given: the slot is free, its records are wiped. */
inline frees_slot(who)
{
	for (i : 0 .. RELAYS - 1) {
		record[at(who, i)] = FREE;
		moves[at(who, i)] = 0
	}
	i = 0;
	tell_keeper(GONE, who, 0);
	forget_slot(who)
}

inline commits()
{
	for (n : 0 .. SLOTS - 1) {
		if
		:: class[n] == CURRENT -> class[n] = OLD
		:: class[n] == COMING -> class[n] = CURRENT
		:: else
		fi
	}
	n = 0;
	phase = MOVING;
	tell_routes(m)
}

inline undoes()
{
	for (n : 0 .. SLOTS - 1) {
		if
		:: class[n] == COMING ->
			class[n] = OLD;
			if
			:: alive[n] -> worker_ends(n)
			:: else
			fi
		:: else
		fi
	}
	n = 0;
	phase = NO_RELOAD;
	failed = 0
}

/* Another keeper, which knows nothing. */
inline replaces_keeper()
{
	keeper_alive = 1;
#if NEXTS
	keeper_line = line;
#endif
	for (n : 0 .. SLOTS - 1) {
		told_route[n] = 0;
		if
		:: state[n] != FREE && class[n] != NEXTS_OWN ->
			SEND3(m2k[line], CHILD, n, 0);
			if
			:: alive[n] ->
				SEND2(m2w[n], KEEPER, 0);
				asked[n] = 1;
				to_settle[n] = 1
			:: else
			fi
		:: else
		fi
	}
	n = 0;
	settling = 1;
	tell_routes(m)
}

inline all_settle()
{
	settling = 0;
	for (n : 0 .. SLOTS - 1) {
		if
		:: to_settle[n] && !asked[n] ->
			tell_worker(n, SETTLE, 0);
			to_settle[n] = 0
		:: else
		fi;
#ifdef BREAK_SETTLE_ONE_BY_ONE
		settling = settling || asked[n];
#endif
		if
		:: state[n] == REAPED -> tell_keeper(GIVE, n, 0)
		:: else
		fi
	}
	n = 0
}

#if NEXTS
/* The one that was to take over does not know whether it may: it does not outlive its keeper. */
#define KEEPER_GONE if :: frozen -> next_ends() :: else fi
#else
#define KEEPER_GONE skip
#endif

inline master_reads_keeper(who)
{
	if
	:: k2m[line]?GIVEN, who ->
		/* one that a dead master had asked for may come before this one knows that the worker is dead */
		if
#ifdef BREAK_GIVEN_UNASKED
		:: state[who] != FREE -> frees_slot(who)
#else
		:: state[who] == REAPED -> frees_slot(who)
#endif
		:: else
		fi
#if NEXTS
	:: k2m[line]?LEFT, _ ->
		/* a child that the keeper was not told of when the next one asked: that one does not know it */
		if
#ifndef BREAK_LEFT_STALE
		:: children_changed ->
			if
			:: next_alive -> next_ends()
			:: else
			fi
		:: else -> master_ends()
#else
		:: 1 -> master_ends()
#endif
		fi
#endif
	fi;
	who = 0
}

#if SLOTS > 4
#define nobody_asked (!asked[0] && !asked[1] && !asked[2] && !asked[3] && !asked[4])
#else
#define nobody_asked (!asked[0] && !asked[1] && !asked[2] && !asked[3])
#endif
#ifdef BREAK_SETTLE_ONE_BY_ONE
#define may_settle(who) (to_settle[who] && !asked[who])
#if SLOTS > 4
#define can_settle (nobody_asked || may_settle(0) || may_settle(1) || may_settle(2) || may_settle(3) || may_settle(4))
#else
#define can_settle (nobody_asked || may_settle(0) || may_settle(1) || may_settle(2) || may_settle(3))
#endif
#else
#define can_settle nobody_asked
#endif

#if LISTENERS
/* Listener l belongs to the worker that serves now and stands at place l among them; without one it stays. */
inline find_home(l, who)
{
	find_targets(m);
	who = NOBODY;
	n = 0;
	for (i : 0 .. SLOTS - 1) {
		if
		:: (m & BIT(i)) && (who == NOBODY || n == l) ->
			who = i;
			n++
		:: (m & BIT(i)) && !(who == NOBODY || n == l) -> n++
		:: else
		fi
	}
	i = 0;
	n = 0;
	m = 0
}

/* At most one message of the handover of one listener; home and who are the caller's scratch. */
inline hands_over(l, home)
{
	find_home(l, home);
	if
	:: home != NOBODY && may_accept[l] != BIT(home) ->
		for (n : 0 .. SLOTS - 1) {
			if
			:: (may_accept[l] & BIT(n)) && !(releasing[l] & BIT(n)) && alive[n] ->
				releasing[l] = releasing[l] | BIT(n);
				tell_worker(n, RELEASE, l)
			:: else
			fi
		}
		n = 0;
		if
#ifdef BREAK_GIVE_EARLY
		:: 1 ->
#else
		:: may_accept[l] == 0 ->
#endif
			may_accept[l] = BIT(home);
			tell_worker(home, GET, l)
		:: else
		fi
	:: else
	fi;
	home = 0
}

#define has_listener(who) has_listener_(who)
#if LISTENERS > 1
#define has_listener_(who) ((may_accept[0] & BIT(who)) || (may_accept[1] & BIT(who)))
#else
#define has_listener_(who) (may_accept[0] & BIT(who))
#endif
#else
#define has_listener(who) 0
#endif


/* Who is to have which listener is settled in the same turn, before the next message. */
#if LISTENERS
#define master_turn (master_alive && !listeners_changed)
#else
#define master_turn master_alive
#endif

/* The master's side of one worker. Still the one master: each step is whole. */
proctype master_at(byte who)
{
	byte mx;
end:
	do
	:: atomic { master_turn && class[who] != NEXTS_OWN && state[who] != FREE && alive[who] && nempty(w2m[who]) ->
		master_reads(who, mx);
		listeners_due()
		}
	:: atomic { master_turn && class[who] != NEXTS_OWN && !alive[who] &&
			state[who] >= STARTING && state[who] <= LEFT_TO ->
		reaps(who);
		listeners_due()
		}
	:: atomic { master_turn && class[who] == OLD && state[who] >= STARTING && state[who] <= SERVING && alive[who] &&
			phase == MOVING && !has_listener(who) ->
		state[who] = LEFT_TO;
		tell_routes(m);
		tell_worker(who, LEAVE, 0)
		}
	od
}

#if LISTENERS
proctype master_listeners()
{
	byte mx, home;
end:
	do
	:: atomic { master_alive && listeners_changed ->
		listeners_changed = 0;
		for (mx : 0 .. LISTENERS - 1) {
			hands_over(mx, home)
		}
		mx = 0
		}
	od
}
#endif

/* The rest of it. The first generation is there already. */
proctype master()
{
	byte mx;
end:
	do
	/* a successor for one that died */
	:: atomic { master_turn && keeper_alive && free_slots > 0 &&
			count(CURRENT, STARTING, SERVING) < WORKERS ->
		spawn(CURRENT, 1)
		}
	/* reload */
	:: atomic { master_turn && keeper_alive && !is_frozen && phase == NO_RELOAD && hups > 0 &&
			free_slots >= WORKERS && count(CURRENT, SERVING, SERVING) > 0 ->
		hups--;
		phase = PREPARING;
		spawn(COMING, WORKERS)
		}
	:: atomic { master_turn && phase == PREPARING && !failed && count(COMING, SERVING, SERVING) == WORKERS ->
		commits();
		listeners_due()
		}
	:: atomic { master_turn && phase == PREPARING && failed -> undoes() }
	:: atomic { master_turn && phase == MOVING && count(OLD, STARTING, REAPED) == 0 -> phase = NO_RELOAD }
#if NEXTS
	:: atomic { master_turn && frozen && !next_alive -> frozen = 0 }
#endif
	/* the keeper */
	:: atomic { master_turn && keeper_alive && keeper_line == line && nempty(k2m[line]) ->
		master_reads_keeper(mx)
		}
	:: atomic { master_turn && !keeper_alive && nempty(k2m[line]) -> master_reads_keeper(mx) }
	:: atomic { master_turn && !keeper_alive && empty(k2m[line]) -> KEEPER_GONE; replaces_keeper() }
	:: atomic { master_turn && keeper_alive && settling && can_settle -> all_settle() }
	od
}
