/* A next master: started by the one that lives (upgrade), or because that one died. It prepares its own workers while
 * everything else goes on, and is master from YOURS on. */
#ifndef UPGRADES
#define UPGRADES 0
#endif
byte upgrades_left = UPGRADES;

#define ASKED     1 /* HELLO */
#define PREPARES  2
#define TOOK      3 /* TAKE */

inline next_starts()
{
	next_alive = 1;
	next_line = LINES - nexts_left;
	nexts_left--
}

/* All that it knows: who its own are, whom the keeper named, and nothing of who accepts from what. */
inline takes_over()
{
	next_alive = 0;
	next_phase = 0;
	master_alive = 1;
	line = next_line;
	frozen = 0;
	phase = MOVING;
	failed = 0;
	hups = 0;
	settling = 0;
	for (n : 0 .. SLOTS - 1) {
		told_route[n] = 0;
		asked[n] = 0;
		to_settle[n] = 0;
		if
		:: class[n] == NEXTS_OWN ->
			class[n] = CURRENT;
			tell_keeper(CHILD, n, 0)
		:: class[n] != NEXTS_OWN && (next_knows & BIT(n)) ->
			class[n] = OLD;
			state[n] = SERVING
		:: else ->
			class[n] = OLD;
			state[n] = FREE
		fi
	}
	n = 0;
#if LISTENERS
	for (n : 0 .. LISTENERS - 1) {
		may_accept[n] = next_knows;
		releasing[n] = 0
	}
	n = 0;
#endif
	next_knows = 0
}

proctype next_at(byte who)
{
end:
	do
	/* one of its own dies: before TAKE it gives up, after that it is a dead worker like any other */
	:: atomic { next_alive && class[who] == NEXTS_OWN && !alive[who] && next_phase == PREPARES -> next_ends() }
	:: atomic { next_alive && class[who] == NEXTS_OWN && nempty(w2m[who]) ->
		w2m[who]?READY, _;
		state[who] = SERVING
		}
	od
}

proctype next()
{
end:
	do
	:: atomic { upgrades_left > 0 && master_alive && keeper_alive && !next_alive && phase == NO_RELOAD && !settling &&
			!frozen && nexts_left > 0 ->
		upgrades_left--;
		frozen = 1;
		children_changed = 0;
		tell_keeper(EXPECT, 0, 0);
		next_starts()
		}
	:: atomic { !master_alive && !next_alive && keeper_alive && nexts_left > 0 -> next_starts() }
	:: atomic { next_alive && keeper_alive && next_phase == 0 ->
		next_phase = ASKED;
		SEND3(m2k[next_line], HELLO, 0, 0)
		}
	:: atomic { next_alive && next_phase == ASKED && nempty(k2m[next_line]) && free_slots >= WORKERS ->
		k2m[next_line]?LIST, next_knows;
		next_phase = PREPARES;
		spawn(NEXTS_OWN, WORKERS)
		}
	:: atomic { next_alive && keeper_alive && next_phase == PREPARES &&
			count(NEXTS_OWN, SERVING, SERVING) == WORKERS ->
		next_phase = TOOK;
		SEND3(m2k[next_line], TAKE, 0, 0)
		}
	:: atomic { next_alive && next_phase == TOOK && nempty(k2m[next_line]) ->
		if
		:: k2m[next_line]?YOURS, _ ->
			takes_over();
			listeners_due()
		:: k2m[next_line]?NO, _ -> next_ends()
		fi
		}
	/* The keeper is dead. As long as the other master lives, that one is the master; else nobody else can be, and what
	 * the keeper told is still so. */
#ifdef BREAK_NEXT_GIVES_UP
	:: atomic { next_alive && !keeper_alive && empty(k2m[next_line]) -> next_ends() }
#else
	:: atomic { next_alive && !keeper_alive && empty(k2m[next_line]) && next_phase < PREPARES -> next_ends() }
	:: atomic { next_alive && !keeper_alive && empty(k2m[next_line]) && next_phase == PREPARES && master_alive ->
		next_ends()
		}
#endif
	:: atomic { next_alive && !keeper_alive && empty(k2m[next_line]) && !master_alive &&
			(next_phase == TOOK || (next_phase == PREPARES && count(NEXTS_OWN, SERVING, SERVING) == WORKERS)) ->
		takes_over();
		listeners_due()
		}
	od
}
