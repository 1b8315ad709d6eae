#!/usr/bin/env bats
# alone: counts what a worker does, and other programs' pages and sockets would be in the figures.
# What a relay costs, as numbers that are the same on every machine: system calls, allocations, bytes. A bound says
# what today's worker does; a change that makes it dearer fails here, long before a bench tells (tests/bench).
# A change that makes it cheaper is welcome to lower them.

load helpers/common

# Everything is on that is on in the bench: a line per relay in a file, timeouts, statistics.
setup()
{
	common_setup
	[ -z "$SAN" ] || skip "sanitizers have system calls, malloc and memory of their own"
	front=$(free_port)
	back=$(free_port)
	spawn origin "$BUILD/tests/bench/origin" "127.0.0.1:$back"
	wait_until 'grep -q ready origin.out' 5
	origin=$SPAWNED_PID
	ahead=()
}

start_guarded()
{
	start_proxyd <<-END
	global:
	  workers: 1
	  heartbeat_timeout: 30s
	  access_log: {to: "$PWD/access.log", format: text}
	frontends:
	  front: {bind: "127.0.0.1:$front", backend: back}
	backends:
	  back: {servers: {a: "127.0.0.1:$back"}, timeouts: {connect: 5s, server: 1m}}
	END
}

# Requests through proxyd, one after the other unless -c says otherwise; fails unless all were answered rightly.
requests()
{
	"${ahead[@]}" "$BUILD/tests/bench/load" -w 0 "$@" "127.0.0.1:$front" >load.json || return 1
	assert_eq "$(jq .failures load.json)" 0 "$(cat load.json)"
}

# assert_calls MOST COUNT OPTION...: the worker makes at most so many system calls for each of COUNT requests. In
# hundredths, for a few calls are the clock's.
assert_calls()
{
	local most=$1 count=$2 calls
	shift 2

	spawn strace strace -c -U name,calls -o strace.txt -p "$(worker_pids)"
	wait_until 'grep -q attached strace.err || ! alive "$SPAWNED_PID"' 5
	grep -q 'rocess .* attached' strace.err || skip "may not trace a process here: $(head -n 1 strace.err)"
	requests -N "$count" "$@" || return 1
	kill -INT "$SPAWNED_PID"
	wait_until '! alive "$SPAWNED_PID"' 5
	calls=$(awk '$1 == "total" { print $2 }' strace.txt)
	echo "$calls system calls for $count"
	assert_between $((calls * 100 / count)) 100 "$most" "hundredths of a system call each" ||
		{ cat strace.txt >&2 && return 1; }
}

# hold_idle COUNT: idle relays, older than a second: what is done for such relays counts.
hold_idle()
{
	mkfifo hold
	# shellcheck disable=SC2016 # the inner shell's
	spawn held bash -c 'exec "$0" -k idle -c "$1" "$2" <hold' "$BUILD/tests/bench/load" "$1" "127.0.0.1:$front"
	exec 7>hold
	wait_until 'grep -q ready held.out' 20
	sleep 1.5
}

# Each must still answer.
let_idle_go()
{
	exec 7>&-
	wait_until 'grep -q failures held.out' 10
	assert_eq "$(tail -n 1 held.out | jq .failures)" 0
}

# What belongs to a turn of the loop and not to a request (poll, epoll_wait, write) is a small part when there are many.

@test "guard: system calls of a request on a kept connection" {
	start_guarded
	requests -c 1 -N 100
	assert_calls 815 1000 -c 1 -q 64 -a 64
}

@test "guard: system calls of a request, 64 kept connections" {
	start_guarded
	requests -c 64 -N 100
	# 64 connections are made as well, which is 0.2.
	assert_calls 500 6400 -c 64 -q 64 -a 64
}

@test "guard: system calls of a new connection with one request" {
	start_guarded
	requests -c 1 -N 100 -n
	# 23, and a turn of the loop more where the machine is busy: poll and epoll_wait.
	assert_calls 2600 500 -c 1 -n -q 128 -a 1024
}

@test "guard: system calls of a new connection, 100 clients at a time" {
	start_guarded
	requests -c 100 -N 500 -n
	# One and the same turn has several of them, but how many is the machine's.
	assert_calls 1900 4000 -c 100 -n -q 128 -a 1024
}

@test "guard: system calls of an idle relay that moves" {
	local n=2000 old calls
	ulimit -n "$(ulimit -Hn)"
	[ "$(ulimit -n)" -ge 5000 ] || skip "needs 5000 open files"
	start_guarded
	hold_idle "$n"
	old=$(worker_pids)
	spawn strace strace -f -c -U name,calls -o strace.txt -p "$PROXYD_PID" -p "$(role_pids keeper)" -p "$old"
	wait_until '[ "$(grep -c attached strace.err)" -ge 3 ] || ! alive "$SPAWNED_PID"' 5
	alive "$SPAWNED_PID" || skip "may not trace processes here: $(head -n 1 strace.err)"
	sed -i 's/server: 1m/server: 2m/' proxyd.yaml
	kill -HUP "$PROXYD_PID"
	wait_until '! alive "$old"' 20
	kill -INT "$SPAWNED_PID"
	wait_until '! alive "$SPAWNED_PID"' 5
	calls=$(awk '$1 == "total" { print $2 }' strace.txt)
	assert_eq "$("$BUILD/proxyctl" -s control.sock --json status | jq .moves.moved)" "$n"
	# Its two sockets out of a loop, into another, and closed by who had it are 6; the rest is a worker's start and end.
	assert_between $((calls * 100 / n)) 600 750 "hundredths of a system call each" ||
		{ cat strace.txt >&2 && return 1; }
	let_idle_go
}

# One processor for worker, client and origin, who take it from the worker as soon as there is something for them: what
# comes in one turn and what in the next does not depend on what else the machine does.
in_one_order()
{
	local core

	core=$(taskset -cp $$ | sed 's/.*: \([0-9]*\).*/\1/')
	chrt --fifo --pid 2 "$origin" || skip "may not set how processes are scheduled here"
	taskset -cp "$core" "$origin" >/dev/null
	taskset -cp "$core" "$1" >/dev/null
	ahead=(chrt --fifo 1 taskset -c "$core")
}

# assert_instructions KNOWN COUNT OPTION...: a worker under callgrind takes as many instructions for each of COUNT
# requests as is known, give or take 5 %; of its own code and the libraries', not the kernel's. Cheaper by more than
# that is news too: then KNOWN is out of date, and hides what becomes dearer next.
assert_instructions()
{
	local known=$1 count=$2 worker
	shift 2

	if ! readelf -p .comment "$PROXYD" | grep -q 'GCC: (Debian 12' || [ "$(uname -m)" != x86_64 ]; then
		skip "known for Debian 12's gcc and libraries on x86-64"
	fi
	PROXYD_WRAP="env LD_PRELOAD=$HELPERS/pidfd.so valgrind --quiet --tool=callgrind --trace-children=yes
		--log-file=valgrind.%p --callgrind-out-file=callgrind.%p" start_guarded
	worker=$(ctl --json show workers | jq '.[0].pid')
	in_one_order "$worker"
	requests -c 1 -N 200 "$@"
	callgrind_control -z "$worker"
	requests -c 1 -N "$count" "$@"
	callgrind_control -d "$worker"
	wait_until "grep -q ^totals: callgrind.$worker.1" 10
	assert_between $(($(awk '/^totals:/ { print $2 }' "callgrind.$worker.1") / count)) $((known * 95 / 100)) \
		$((known * 105 / 100)) "instructions"
}

@test "guard: instructions of a request on a kept connection" {
	assert_instructions 3118 1000 -q 64 -a 64
}

@test "guard: instructions of a new connection with one request" {
	assert_instructions 9380 500 -n -q 128 -a 1024
}

@test "guard: no malloc and no free, by request, by new connection, and by relays that are older than a second" {
	local before
	mkdir counts
	export MALLOC_COUNT_DIR=$PWD/counts
	PROXYD_WRAP="env LD_PRELOAD=$HELPERS/malloc_count.so" start_guarded
	unset MALLOC_COUNT_DIR
	counted()
	{
		od -An -tu8 "counts/$(worker_pids).count"
	}
	mixed()
	{
		requests -c 100 -N 2000
		requests -c 50 -N 500 -n
		requests -c 20 -r 200 -t 1.5
	}
	# libevent remembers something of every fd number that was ever used.
	requests -c 200 -N 1000
	mixed
	before=$(counted)
	mixed
	assert_eq "$(counted)" "$before" "allocations and frees"
}

@test "guard: memory of an idle relay, all processes and what they share" {
	local before after n=2000
	ulimit -n "$(ulimit -Hn)"
	[ "$(ulimit -n)" -ge 5000 ] || skip "needs 5000 open files"
	start_guarded
	pss()
	{
		local pid
		for pid in "$PROXYD_PID" $(descendants "$PROXYD_PID"); do
			cat "/proc/$pid/smaps_rollup"
		done | awk '/^Pss:/ { kb += $2 } END { print kb * 1024 }'
	}
	requests -c 50 -N 500
	# What the daemon does for the first time a second after the first requests is no relay's.
	sleep 1.5
	before=$(pss)
	hold_idle "$n"
	after=$(pss)
	let_idle_go
	assert_between $(((after - before) / n)) 300 640 "bytes for a relay"
}
