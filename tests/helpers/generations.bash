# shellcheck shell=bash
# For the suites in which processes come, go and die under live relays: who is who, reloads, and what must be true
# afterwards. Loaded after common and streams.

# ---------------------------------------------------------------- who is who

# The living processes of this test by role (master, worker, worker-2, keeper, checker), whoever's children they
# are, the oldest first.
pids_of()
{
	local pid comm

	for pid in $(pgrep "^proxyd-$1"); do
		read -r comm 2>/dev/null <"/proc/$pid/comm" || continue
		# shellcheck disable=SC2053 # [a-z]* is any role
		[[ $comm == proxyd-$1 || $comm == proxyd-$1-* ]] || continue
		[ "/proc/$pid/cwd" -ef "$BATS_TEST_TMPDIR" ] && alive "$pid" && echo "$pid"
	done
	return 0
}

keeper_pid()
{
	pids_of keeper | tail -n 1
}

a_pid_of()
{
	pids_of "$1" | shuf -n 1
}

# is_another ROLE OLD: one of the role lives, and OLD does not.
is_another()
{
	local pid

	pid=$(pids_of "$1" | tail -n 1)
	[ -n "$pid" ] && ! alive "$2"
}

# Before these suites may run at all.
needs_keeper()
{
	wait_until '[ -n "$(keeper_pid)" ]' 3
}

# The master that answers is the one that the test ends, whoever started it.
follow_master()
{
	local pid

	pid=$(ctl --json status | jq .pid) || return 1
	PROXYD_PID=$pid
	grep -qx "$pid" pids || echo "$pid" >>pids
}

# Ends the daemon whoever's child it is, and fails unless all of it is gone in time.
end_proxyd()
{
	kill -TERM "$PROXYD_PID"
	wait_until '[ -z "$(pids_of "[a-z]*")" ]' 10
}

# ---------------------------------------------------------------- configurations

# Two frontends before two servers that the streams' origin is, and an http one that answers with NUMBER, so that it
# is seen which configuration serves. GLOBAL, FRONTENDS (lines) and SERVERS (", name: address") add to it.
configuration()
{
	cat <<-END
	global: {workers: $1, drain_timeout: ${DRAIN:-30s}${GLOBAL:+, $GLOBAL}}
	defaults: {timeouts: {client: 1h, client_fin: 1h, server: 1h, server_fin: 1h}}
	frontends:
	  front: {bind: "$FRONT", backend: back}
	  second: {bind: "$SECOND", backend: changing}
	  probe: {bind: "$PROBE", service: http, message: "number $2"}
	${FRONTENDS:-}
	backends:
	  back: {servers: {a: "${BACK%,*}", b: "${BACK#*,}"}}
	  changing: {servers: {a: "${BACK%,*}"${SERVERS:-}}}
	END
}

# configure WORKERS NUMBER: the file, replaced at once.
configure()
{
	configuration "$@" >next.yaml && mv next.yaml proxyd.yaml
}

# The number of the configuration that answers.
serving_number()
{
	client -t 3 "$PROBE" ask $'GET / HTTP/1.0\r\n\r' | tr -d '\r' | sed -n 's/.*number \([0-9]*\).*/\1/p'
}

# generations_start WORKERS: the daemon with configuration 1 (the streams' origin is not there yet).
generations_start()
{
	local ports

	read -ra ports <<<"$(free_port 6)"
	FRONT=127.0.0.1:${ports[0]}
	SECOND=127.0.0.1:${ports[1]}
	PROBE=127.0.0.1:${ports[2]}
	BACK=127.0.0.1:${ports[3]},127.0.0.1:${ports[4]}
	SPARE=127.0.0.1:${ports[5]}
	start_proxyd < <(configuration "$1" 1)
	wait_until '[ "$(serving_number)" = 1 ]' 5
	needs_keeper
}

# ---------------------------------------------------------------- reloads

generation()
{
	ctl --json status | jq .generation
}

# One generation, of so many workers, and nobody is left of another.
one_generation()
{
	shown show generations "length == 1 and .[0].state == \"serving\" and .[0].workers == $1" &&
		[ "$(pids_of worker | wc -l)" -eq "$1" ]
}

moved()
{
	ctl --json status | jq .moves.moved
}

# replaced OLD_PIDS WORKERS SINCE_MS MOVED_BEFORE WHAT: waits until the old workers are gone, says how long it took and
# how many relays a second that was, and fails when it was more than a second.
replaced()
{
	local took count

	# shellcheck disable=SC2086 # pids
	wait_until "none_alive $(tr '\n' ' ' <<<"$1")" 15
	took=$(($(now_ms) - $3))
	wait_until "one_generation $2" 5
	count=$(($(moved) - $4))
	figure "$5: old workers gone after $took ms, $count relays moved, $((count * 1000 / (took + 1))) a second"
	assert_between "$took" 0 $((1000 * SLOW)) "ms until the old workers were gone"
}

# Workers that hold relays are as many as there are relays, nothing is counted twice or left over.
nothing_left()
{
	wait_until 'shown show sessions "map(select(.frontend == \"front\")) | length == 0"' 5
	wait_until 'shown show servers "map(.active) | add == 0" && shown show workers "map(.active) | add == 0"' 5
	wait_until 'shown status ".connections.active == 0" && shown show frontends "map(.active) | add == 0"' 5
}

# The sums of every view agree on how many relays there are: those of the streams, told by their own count.
counts_agree()
{
	local n=$1

	wait_until "shown show servers 'map(select(.backend == \"back\") | .active) | add == $n' &&
		shown show frontends 'map(select(.name == \"front\") | .active) | add == $n' &&
		shown show sessions 'map(select(.frontend == \"front\") | .id) | length == $n and (unique | length) == $n'" 5 || {
		ctl show servers >&2
		ctl show frontends >&2
		ctl show workers >&2
		return 1
	}
}

# ---------------------------------------------------------------- what must not grow

# Open files and private memory (kB) of the master, the keeper and all workers: "ROLE FDS KB" a line. Not those that are the
# log: whoever was told of it since it was started has one more.
footprint()
{
	local role pid fds kb

	for role in master keeper worker; do
		fds=0 kb=0
		for pid in $(pids_of "$role"); do
			fds=$((fds + $(find "/proc/$pid/fd" -mindepth 1 -printf '%l\n' 2>/dev/null |
				grep -cvxF "$(readlink "/proc/$pid/fd/2")")))
			kb=$((kb + $(awk '/^RssAnon/ { print $2 }' "/proc/$pid/status")))
		done
		echo "$role $fds $kb"
	done
}

# footprint_at_rest FILE: once the files stand still; what is on its way from one process to another counts twice.
footprint_at_rest()
{
	local i

	footprint >"$1"
	for i in {1..20}; do
		sleep 0.1
		footprint >"$1.next"
		! cmp -s <(cut -d' ' -f1,2 "$1") <(cut -d' ' -f1,2 "$1.next") || return 0
		mv "$1.next" "$1"
	done
}

# footprint_as FILE: what it is now against what it was: the same fds, and at most a megabyte more each (not judged
# under sanitizers, which keep what was freed).
footprint_as()
{
	local role fds kb was_fds was_kb verdict=0

	while read -r role was_fds was_kb <&7 && read -r _ fds kb; do
		figure "$role: $was_fds open files then, $fds now; $was_kb kB then, $kb now"
		[ "$fds" -eq "$was_fds" ] || verdict=1
		[ -n "${SAN:-}" ] || [ "$kb" -le $((was_kb + 1024)) ] || verdict=1
	done 7<"$1" < <(footprint)
	[ "$verdict" -eq 0 ] || { echo "the daemon has grown" >&2 && return 1; }
}

# What a few relays cost is not growth: they are there before and after. The first reloads and deaths are not counted,
# for the heap of the master grows to its size with them.

# growth_of_reloads RELOADS
growth_of_reloads()
{
	local i

	generations_start 2
	streams_start --idle 50 --chat 50
	for ((i = 2; i < $1 + 12; i++)); do
		configure 2 "$i"
		ctl reload >/dev/null
		wait_until 'one_generation 2' 10
		[ "$i" -ne 11 ] || { wait_until keeper_is_filled 5 && footprint_at_rest before.footprint; }
	done
	assert_eq "$(serving_number)" $((i - 1))
	wait_until 'footprint_as before.footprint 2>/dev/null 3>/dev/null' 5 || footprint_as before.footprint
	footprint_as before.footprint
	streams_finish
	nothing_left
}

# growth_of_deaths DEATHS: with a reload after every tenth, or delays would grow.
growth_of_deaths()
{
	local i number=1 pid

	expect_deaths
	generations_start 3
	streams_start --idle 50 --chat 50
	sleep 1.3
	for ((i = 1; i <= $1 + 10; i++)); do
		pid=$(a_pid_of worker)
		kill -KILL "$pid"
		wait_until "! alive $pid && one_generation 3 && keeper_is_filled" 35
		if [ $((i % 10)) -eq 0 ]; then
			configure 3 $((++number))
			ctl reload >/dev/null
			wait_until 'one_generation 3 && keeper_is_filled' 10
		fi
		[ "$i" -ne 10 ] || footprint_at_rest before.footprint
	done
	wait_until 'footprint_as before.footprint 2>/dev/null 3>/dev/null' 5 || footprint_as before.footprint
	footprint_as before.footprint
	streams_finish
	nothing_left
}

# ---------------------------------------------------------------- storms

# Some time at random, at most MS.
doze()
{
	sleep "$(awk -v r="$RANDOM" -v ms="$1" 'BEGIN { printf "%.3f", 0.01 + r / 32768 * ms / 1000 }')"
}

expect_deaths()
{
	expect_log '(worker|keeper|checker|master).*(was killed by signal|is silent|started again|has ended|died|is gone)'
	expect_log 'adopt|moved|orphan|not kept|relays (were )?(lost|kept)|old master'
	# Young relays go with their worker; servers see that.
	expect_log 'server (back|changing)/'
}

# A reload as the storm does them: the file is number I, every fifth a bad one, worker counts 4 3 2 1, a frontend that is there
# every second time and a server every third.
storm_reload()
{
	local i=$1 workers=$((4 - $1 % 4))

	if [ $((i % 5)) -eq 4 ]; then
		echo 'frontends: {front: {bind: nowhere}}' >next.yaml && mv next.yaml proxyd.yaml
	else
		FRONTENDS="" SERVERS=""
		[ $((i % 2)) -eq 0 ] || FRONTENDS="  guest: {bind: \"$SPARE\", service: echo}"
		[ $((i % 3)) -eq 0 ] || SERVERS=", b: \"${BACK#*,}\""
		configure "$workers" "$i"
		# shellcheck disable=SC2034 # conditions use them
		GOOD=$i WORKERS=$workers
	fi
	kill -HUP "$PROXYD_PID"
}

# reload_storm RELOADS SECONDS RELAYS: with 500 newcomers a second, none of which may fail.
reload_storm()
{
	local i begin late

	expect_log 'reload|proxyd.yaml:'
	generations_start 4
	# The first reloads touch what every later one uses again.
	for i in 1 2 3; do
		FRONTENDS="" SERVERS="" configure 4 $((1 + i % 2))
		ctl reload >/dev/null
		wait_until 'one_generation 4' 10
	done
	footprint_at_rest before.footprint
	streams_start "$(mix_of "$3")"
	newcomers_start $((400 / SLOW))
	newcomers_start $((100 / SLOW)) "$SECOND"
	streams_say mark >/dev/null
	begin=$(now_ms)
	for ((i = 2; i < 2 + $1; i++)); do
		storm_reload "$i"
		late=$((begin + (i - 1) * $2 * 1000 / $1 - $(now_ms)))
		[ "$late" -le 0 ] || sleep "$(printf '%d.%03d' $((late / 1000)) $((late % 1000)))"
	done
	figure "$1 reloads in $(($(now_ms) - begin)) ms; $(moved) relays moved"
	wait_until '[ "$(serving_number)" = "$GOOD" ]' 20
	wait_until 'one_generation "$WORKERS"' 20
	assert_pause "the storm" 50
	newcomers_stop
	streams_finish
	nothing_left
	# The same number of workers as at the start, for the comparison.
	FRONTENDS="" SERVERS="" configure 4 1
	kill -HUP "$PROXYD_PID"
	wait_until 'one_generation 4' 10
	wait_until 'footprint_as before.footprint 2>/dev/null 3>/dev/null' 5 || footprint_as before.footprint
}

# death_storm DEATHS RELAYS [SIGNAL]: workers, one after the other at random instants, every tenth time two of the three at
# once, and every fifth in the middle of a move. (A reload also forgets how young they died: delays stay short.)
# New connections: what the dead had taken may break, none is refused.
death_storm()
{
	local i pids number=1 kept_ms=1300

	# One that was young when its worker was stopped grows old before that is noticed.
	[ "${3:-KILL}" != STOP ] || kept_ms=2900
	expect_deaths
	generations_start 3
	# A relay is kept when it is a second old; its deposit goes out with the turn after that.
	streams_start "$(mix_of "$2") --keep-after $kept_ms"
	newcomers_start $((300 / SLOW))
	newcomers_start $((100 / SLOW)) "$SECOND"
	sleep 1.5
	for ((i = 1; i <= $1; i++)); do
		if [ $((i % 5)) -eq 0 ]; then
			configure 3 $((++number))
			kill -HUP "$PROXYD_PID"
			doze 60
		fi
		mapfile -t pids < <(pids_of worker | shuf -n $((i % 10 == 9 ? 2 : 1)))
		kill -"${3:-KILL}" "${pids[@]}" 2>/dev/null || :
		doze $((200 * SLOW))
		wait_until 'one_generation 3' 35
		# The young are to grow old before the next one dies, or most would only be counted.
		[ $((i % 4)) -ne 0 ] || sleep 1.3
	done
	figure "$1 deaths by ${3:-KILL}; moves $(ctl --json status | jq -c .moves)"
	newcomers_stop but reset short
	counts_agree_loosely "$(streams_say stats | jq .established)"
	streams_finish
	nothing_left
}

# keeper_storm DEATHS RELAYS: each followed by a refill, then a worker's death that shows it.
keeper_storm()
{
	local i pid

	expect_deaths
	generations_start 3
	streams_start "$(mix_of "$2") --keep-after 1300"
	newcomers_start $((300 / SLOW))
	sleep 1.5
	for ((i = 1; i <= $1; i++)); do
		pid=$(keeper_pid)
		wait_until keeper_is_filled 10
		kill -KILL "$pid"
		wait_until "is_another keeper $pid" 5
		# Who grew old while it was filled came last.
		wait_until 'keeper_is_filled && sleep 0.5 && keeper_is_filled' 10
		kill -KILL "$(a_pid_of worker)"
		wait_until 'one_generation 3' 35
	done
	figure "$1 deaths of the keeper and as many of workers; moves $(ctl --json status | jq -c .moves)"
	newcomers_stop but reset short
	streams_finish
	nothing_left
}

# master_storm DEATHS RELAYS: kill -9, some time without a master, and a start by the same command.
master_storm()
{
	local i waited=0 begin

	expect_deaths
	generations_start 3
	streams_start "$(mix_of "$2")"
	newcomers_start $((500 / SLOW))
	for ((i = 1; i <= $1; i++)); do
		kill -KILL "$PROXYD_PID"
		doze 300
		begin=$(now_ms)
		start_proxyd <proxyd.yaml
		wait_until 'one_generation 3' 15
		waited=$((waited + $(now_ms) - begin))
	done
	figure "$1 deaths of the master; $((waited / $1)) ms from the start until there is one generation"
	newcomers_stop
	streams_finish
	nothing_left
}

# upgrade_storm REPLACEMENTS RELAYS
upgrade_storm()
{
	local i waited=0 begin

	expect_deaths
	generations_start 3
	streams_start "$(mix_of "$2")"
	newcomers_start $((500 / SLOW))
	for ((i = 1; i <= $1; i++)); do
		begin=$(now_ms)
		upgraded_by 'kill -USR2 "$PROXYD_PID"'
		waited=$((waited + $(now_ms) - begin))
	done
	figure "$1 replacements of the binary, $((waited / $1)) ms each until one generation and one keeper were left"
	newcomers_stop
	streams_finish
	nothing_left
}

# upgraded_by COMMAND: until there is one master, another one, with one keeper, another one, and one generation.
upgraded_by()
{
	local master=$PROXYD_PID keeper count

	keeper=$(keeper_pid)
	count=$(pids_of worker | wc -l)
	eval "$1"
	wait_until "! alive $master && follow_master && is_another keeper $keeper" 15
	wait_until "[ \$(pids_of master | wc -l) -eq 1 ] && [ \$(pids_of keeper | wc -l) -eq 1 ] && one_generation $count" 10
}

# The keeper holds every relay that is old enough (two fds each), and no worker has one that it did not pass on yet.
keeper_is_filled()
{
	local fds relays

	fds=$(find "/proc/$(keeper_pid)/fd" -mindepth 1 2>/dev/null | wc -l)
	relays=$(ctl --json show sessions 2>/dev/null |
		jq '[.[] | select(.state == "relaying" and .age_ms > 1300)] | if all(.kept == "yes") then length else 1e9 end')
	[ "$fds" -ge $((2 * ${relays:-1000000000})) ]
}

# Churning relays come and go while it is counted: within a tenth.
counts_agree_loosely()
{
	wait_until "shown show servers 'map(select(.backend == \"back\") | .active) | add | . >= $1 * 0.9 and . <= $1 * 1.1'" 5 ||
		{ ctl show servers >&2 && return 1; }
}
