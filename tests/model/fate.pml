/* Who dies, and when; what the operator asks for; and what must hold whenever nothing is left to do.
 * KILL says who may die: bits of 1 a worker, 2 the keeper, 4 the master, 8 a next master before it took over. */
#ifndef KILL
#define KILL 0
#endif
#ifndef AT_ONCE
#define AT_ONCE 1 /* deaths before it is quiet again */
#endif

byte hups_left = HUPS;
byte sheds_left = SHEDS;

proctype operator()
{
end:
	do
	:: atomic { master_alive && hups_left > 0 -> hups_left--; hups++ }
#if SHEDS
	:: atomic { master_alive && keeper_alive && sheds_left > 0 && phase == NO_RELOAD && state[0] == SERVING &&
			state[1] == SERVING && class[0] == CURRENT && class[1] == CURRENT ->
		sheds_left--;
		told_route[0] = BIT(1);
		tell_keeper(ROUTE, 0, BIT(1));
		tell_worker(0, SHED, 0)
		}
#endif
	od
}

/* A relay that nobody but the dying worker has was younger than keep_after: the one loss that is allowed. */
inline kill_worker(who)
{
	for (n : 0 .. RELAYS - 1) {
		m = 0;
		for (i : 0 .. SLOTS - 1) {
			if
			:: entry[at(i, n)] != NONE || (i != who && has[at(i, n)] != NONE) -> m = 1
			:: else
			fi
		}
		if
		:: has[at(who, n)] == READS && m == 0 && keeper_alive && !kept[at(who, n)] -> over[n] = 1
		:: else
		fi
	}
	i = 0;
	n = 0;
	m = 0;
	worker_ends(who)
}

inline kill_keeper()
{
	keeper_alive = 0;
	drains = NOBODY;
	keeper_line = 0;
	for (i : 0 .. CELLS - 1) {
		keeper_clears(i)
	}
	for (i : 0 .. SLOTS - 1) {
		drop3(w2k[i]);
		connected[i] = 0;
		known[i] = 0;
		dead[i] = LIVES;
		route[i] = 0
	}
	for (i : 0 .. LINES - 1) {
		drop3(m2k[i])
	}
	i = 0
#if NEXTS
	;
	expects = 0;
	stale = 0;
	takes = 0
#endif
}

/* Nothing moves any more. */
inline judge()
{
	d_step {
		assert(keeper_alive && master_alive);
#if NEXTS
		assert(!next_alive && !frozen);
#endif
		assert(phase == NO_RELOAD && hups == 0);
		for (i : 0 .. SLOTS - 1) {
			assert(alive[i] == (state[i] == SERVING && class[i] == CURRENT));
			assert(!alive[i] || (connected[i] && settled[i]))
		}
		assert(count(CURRENT, SERVING, SERVING) == WORKERS && count(OLD, STARTING, REAPED) == 0);
		for (n : 0 .. RELAYS - 1) {
			m = 0;
			for (i : 0 .. SLOTS - 1) {
				assert(has[at(i, n)] != HOLDS);
				assert(entry[at(i, n)] == (has[at(i, n)] == READS -> KEPT : NONE));
				assert(record[at(i, n)] == (has[at(i, n)] == READS -> OWNED : FREE));
				m = m + (has[at(i, n)] == READS)
			}
			assert(m == (over[n] -> 0 : 1))
		}
		for (n : 0 .. LISTENERS - 1) {
			m = 0;
			for (i : 0 .. SLOTS - 1) {
				m = m + ((accepts[i] & BIT(n)) != 0)
			}
			assert(m == 1)
		}
		i = 0;
		n = 0;
		m = 0
	}
}

byte deaths = DEATHS;
byte at_once = AT_ONCE;
#define may_kill(whom) ((KILL & whom) && deaths > 0 && at_once > 0)

/* LATE_KEEPER: it dies while a next master after a dead one prepares itself, or later. */
#ifdef LATE_KEEPER
#define may_kill_keeper (next_alive && next_phase >= PREPARES && !master_alive)
#else
#define may_kill_keeper 1
#endif

proctype fate_at(byte who)
{
end:
	do
	:: atomic { may_kill(1) && alive[who] ->
		kill_worker(who);
		deaths--;
		at_once--
		}
	od
}

proctype fate()
{
end:
	do
	:: atomic { may_kill(2) && keeper_alive && may_kill_keeper ->
		kill_keeper();
		deaths--;
		at_once--
		}
#if NEXTS
	:: atomic { may_kill(4) && master_alive && (nexts_left > 0 || next_alive) ->
		master_ends();
		deaths--;
		at_once--
		}
	:: atomic { may_kill(8) && next_alive ->
		next_ends();
		deaths--;
		at_once--
		}
#endif
	:: atomic {
		timeout ->
		judge();
		if
		:: deaths > 0 && at_once < AT_ONCE -> at_once = AT_ONCE
		:: else -> break
		fi
		}
	od
}

init {
	atomic {
		for (n : 0 .. WORKERS - 1) {
			alive[n] = 1;
			connected[n] = 1;
			settled[n] = 1;
			state[n] = SERVING;
			class[n] = CURRENT;
			known[n] = 1
		}
		for (n : 0 .. LISTENERS - 1) {
#if LISTENERS
			accepts[n % WORKERS] = accepts[n % WORKERS] | BIT(n);
			may_accept[n] = BIT(n % WORKERS)
#else
			skip
#endif
		}
		for (n : 0 .. RELAYS - 1) {
			has[at(n % WORKERS, n)] = READS;
			record[at(n % WORKERS, n)] = OWNED;
			last[n] = n % WORKERS;
			if
#ifdef ENDS
			:: may_end[n] = 1
#endif
			:: may_end[n] = 0
			fi
		}
		n = 0;
		for (m : 0 .. SLOTS - 1) {
			run worker(m);
			run keeper_at(m);
			run master_at(m);
#if NEXTS
			run next_at(m);
#endif
			run fate_at(m)
		}
		m = 0;
		run keeper();
		run master();
#if LISTENERS
		run master_listeners();
#endif
		run operator();
#if NEXTS
		run next();
#endif
		run fate()
	}
}
