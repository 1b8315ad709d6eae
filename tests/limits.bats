#!/usr/bin/env bats
# alone: measures CPU, memory and time.
# What must stay small whatever happens: CPU, memory, log lines, lost connections.

load helpers/common

setup()
{
	common_setup
	front=$(free_port)
	back=$(free_port)
}

# start_limited [WORKERS [MORE]]: proxyd in front of $back; MORE are lines of global
start_limited()
{
	start_proxyd <<-END
	global: {workers: ${1:-2}${2:+, $2}}
	frontends:
	  front: {bind: "127.0.0.1:$front", forward: ["127.0.0.1:$back"]}
	END
	wait_workers "${1:-2}"
}

wait_workers()
{
	wait_until "[ \$(worker_pids | wc -l) -eq $1 ]" 5
}

# percent_over SECONDS: of one CPU, that proxyd used in that time
percent_over()
{
	local before after start
	start=$(now_ms)
	before=$(cpu_ms "$PROXYD_PID")
	sleep "$1"
	after=$(cpu_ms "$PROXYD_PID")
	# In tenths of a percent.
	echo $(((after - before) * 1000 / ($(now_ms) - start)))
}

# Until the buffers on the way are full and nothing moves any more.
settled()
{
	wait_until '[ "$(percent_over 0.3)" -lt 10 ]' 10
}

@test "limits: idle, proxyd uses next to no CPU" {
	start_limited
	assert_between "$(percent_over 2)" 0 10 "tenths of a percent of CPU"
}

@test "limits: a client that does not read for 5 s while 20 MB wait costs under 2 % CPU and 1 MiB" {
	local before
	origin origin "127.0.0.1:$back" source 20m
	start_limited
	# The scratch buffers are touched once.
	client "127.0.0.1:$front" fetch 20m
	before=$(rss_kb "$PROXYD_PID")
	spawn slow "$HELPERS/client" -t 20 "127.0.0.1:$front" fetch 20m 7
	wait_until '[ "$(origin_count origin)" -eq 2 ]' 2
	settled
	assert_between "$(percent_over 5)" 0 20 "tenths of a percent of CPU"
	[ -n "$SAN" ] || assert_between $(($(rss_kb "$PROXYD_PID") - before)) -100000 1023 "KiB more"
	wait "$SPAWNED_PID"
}

@test "limits: 100 clients that do not read cost no CPU either" {
	origin origin "127.0.0.1:$back" source 10m
	start_limited
	spawn held "$HELPERS/client" "127.0.0.1:$front" hold 100 10
	wait_until '[ "$(origin_count origin)" -eq 100 ]' 5
	settled
	assert_between "$(percent_over 2)" 0 20 "tenths of a percent of CPU"
}

@test "limits: a relay whose both sides half-closed or stalled never spins" {
	origin origin "127.0.0.1:$back" fin-first
	start_limited
	spawn held "$HELPERS/client" "127.0.0.1:$front" hold 50 10
	wait_until '[ "$(origin_count origin)" -eq 50 ]' 5
	settled
	assert_between "$(percent_over 2)" 0 20 "tenths of a percent of CPU"
}

# ---------------------------------------------------------------- file descriptors

@test "limits: with 64 fds and 200 clients: little CPU, few log lines, served again at once after" {
	local lines
	expect_log 'cannot accept|new clients wait|cannot connect|file descriptors|no room to keep'
	origin origin "127.0.0.1:$back" echo
	PROXYD_WRAP="prlimit --nofile=64:64" start_limited 2
	spawn held "$HELPERS/client" "127.0.0.1:$front" hold 200 20
	held=$SPAWNED_PID
	wait_until 'grep -q "connected 200" held.out' 3
	# As many as fit are relayed.
	wait_until '[ "$(origin_count origin)" -ge 10 ]' 3
	lines=$(wc -l <proxyd.log)
	assert_between "$(percent_over 5)" 0 20 "tenths of a percent of CPU"
	# One a second and worker.
	assert_between $(($(wc -l <proxyd.log) - lines)) 0 16 "log lines in 5 s"
	kill -KILL "$held"
	wait_until 'client -t 1 "127.0.0.1:$front" echo 10000 2>/dev/null' 1
}

@test "limits: with 64 fds every client is served in its turn, none is refused" {
	expect_log 'cannot accept|new clients wait|cannot connect|file descriptors|no room to keep'
	origin origin "127.0.0.1:$back" -d 20 answer here
	PROXYD_WRAP="prlimit --nofile=64:64" start_limited 2
	run -0 client -t 30 "127.0.0.1:$front" rate $((1000 / SLOW)) 2
	echo "$output"
	assert_eq "$(jq -c '.started == .ok' <<<"$output")" true
}

@test "limits: no fd is left over after 2000 connections of every kind" {
	local before
	fds_of()
	{
		local pid
		for pid in $(worker_pids); do
			ls "/proc/$pid/fd"
		done | wc -l
	}
	origin origin "127.0.0.1:$back" answer here
	start_limited
	client "127.0.0.1:$front" rate 200 1
	before=$(fds_of)
	client "127.0.0.1:$front" rate $((600 / SLOW)) 3
	for _ in {1..20}; do
		client "127.0.0.1:$front" reset 10
		client "127.0.0.1:$front" connect
	done
	# Pipes are pooled, and there were none yet.
	wait_until '[ "$(fds_of)" -le "$before" ]' 3
}

# ---------------------------------------------------------------- malloc

@test "limits: no malloc and no free per relay after warm-up" {
	local before after
	[ -z "$SAN" ] || skip "sanitizers bring their own malloc"
	origin origin "127.0.0.1:$back" answer here
	mkdir counts
	export MALLOC_COUNT_DIR=$PWD/counts
	PROXYD_WRAP="env LD_PRELOAD=$HELPERS/malloc_count.so" start_limited 2
	unset MALLOC_COUNT_DIR
	counted()
	{
		local pid
		for pid in $(worker_pids); do
			od -An -tu8 "counts/$pid.count"
		done | awk '{ n += $1 + $2 } END { print n }'
	}
	# libevent's tables grow with the highest fd and with the events of one turn.
	client "127.0.0.1:$front" hold 600 0
	client "127.0.0.1:$front" rate 1000 1
	before=$(counted)
	run -0 client "127.0.0.1:$front" rate 1000 2
	assert_eq "$(jq .ok <<<"$output")" 2000
	after=$(counted)
	[ "$before" -gt 0 ]
	# On a busy machine a turn may have more events than any before.
	assert_between $((after - before)) 0 40 "allocations and frees for 2000 relays"
}

@test "limits: no malloc and no free for bulk, half-close and resets after warm-up" {
	local before
	[ -z "$SAN" ] || skip "sanitizers bring their own malloc"
	origin origin "127.0.0.1:$back" echo
	mkdir counts
	export MALLOC_COUNT_DIR=$PWD/counts
	PROXYD_WRAP="env LD_PRELOAD=$HELPERS/malloc_count.so" start_limited 1
	unset MALLOC_COUNT_DIR
	counted()
	{
		od -An -tu8 "counts/$(worker_pids).count" | awk '{ print $1 + $2 }'
	}
	mixed()
	{
		client "127.0.0.1:$front" echo 5m 64k
		client "127.0.0.1:$front" reset 100
		client "127.0.0.1:$front" connect
		client "127.0.0.1:$front" echo 10
	}
	# libevent remembers something of every fd number that was ever used.
	client "127.0.0.1:$front" hold 20 0
	mixed
	before=$(counted)
	for _ in {1..10}; do
		mixed
	done
	assert_between $(($(counted) - before)) 0 10 "allocations and frees for 40 relays"
}

# The only worker's.
pipes_open()
{
	find "/proc/$(worker_pids)/fd" -lname 'pipe:*' | wc -l
}

@test "limits: where its user may have no more pipes, bulk is copied; it has some as soon as it may" {
	[ "$(id -u)" -eq 0 ] || skip "needs root, for a user that has nothing else"
	local pid before
	# LeakSanitizer cannot look into a process that changed its user.
	export ASAN_OPTIONS=detect_leaks=0

	# Pipes of 1 MiB until pipe-user-pages-soft is reached.
	spawn hog setpriv --reuid=games --regid=games --clear-groups /usr/bin/python3 -c '
import fcntl, os, time
try:
    while True:
        fcntl.fcntl(os.pipe()[1], 1031, 1 << 20)
except PermissionError:
    print("full", flush=True)
time.sleep(60)'
	pid=$SPAWNED_PID
	wait_until 'grep -q full hog.out' 5
	origin origin "127.0.0.1:$back" source 20m
	start_limited 1 "user: games, group: games"
	before=$(pipes_open)
	client "127.0.0.1:$front" fetch 20m
	assert_eq "$(pipes_open)" "$before"
	kill "$pid"
	wait_until "! alive $pid" 5
	# It does not try again for a second.
	wait_until 'client "127.0.0.1:$front" fetch 20m && [ "$(pipes_open)" -gt "$before" ]' 5
}

# ---------------------------------------------------------------- workers that die or hang

@test "limits: kill -9 of every worker in turn at 500 connections a second: none refused, few lost" {
	local worker lost
	expect_log 'worker'
	origin origin "127.0.0.1:$back" answer here
	start_limited 4
	spawn rate "$HELPERS/client" -t 10 "127.0.0.1:$front" rate $((500 / SLOW)) 6
	rate=$SPAWNED_PID
	wait_until '[ "$(origin_count origin)" -ge 200 ]' 5
	for worker in $(worker_pids); do
		kill -KILL "$worker"
		wait_until "! alive $worker && [ \$(worker_pids | wc -l) -eq 4 ]" 3
	done
	wait "$rate"
	cat rate.out
	assert_eq "$(jq -c '[.refused, .timeout, .wrong, .other]' rate.out)" "[0,0,0,0]"
	# A dead worker's own: what it had accepted and not yet finished.
	lost=$(jq '.reset + .short' rate.out)
	assert_between "$lost" 0 100 "connections lost"
	assert_eq "$(jq '.ok + .reset + .short == .started' rate.out)" true
}

@test "limits: when a worker dies the relays of the others live on" {
	local worker victims before
	expect_log 'worker'
	origin origin "127.0.0.1:$back" echo
	start_limited 4
	spawn held "$HELPERS/client" "127.0.0.1:$front" hold 80 20
	held=$SPAWNED_PID
	wait_until '[ "$(ss -Htn state established "dport = :$back" | wc -l)" -eq 80 ]' 5
	worker=$(worker_pids | head -n 1)
	victims=$(ss -Htnp state established "dport = :$back" | grep -c "pid=$worker,")
	kill -KILL "$worker"
	wait_until '[ "$(worker_pids | wc -l)" -eq 4 ] && ! alive '"$worker" 3
	wait_until '[ "$(ss -Htn state established "dport = :$back" | wc -l)" -eq '$((80 - victims))' ]' 3
	kill -TERM "$held"
	wait_until 'grep -q answered held.out' 5
	assert_eq "$(tail -n 1 held.out | jq -c '[.lost, .answered]')" "[$victims,$((80 - victims))]"
}

@test "limits: a dead worker is replaced within 100 ms" {
	local worker start spent
	expect_log 'worker'
	start_limited 2
	# The best of some tries: what a busy machine adds is not added to each.
	for _ in {1..6}; do
		# One that died young would be replaced later on purpose.
		sleep 1.2
		worker=$(worker_pids | head -n 1)
		start=$(now_ms)
		kill -KILL "$worker"
		wait_until '[ "$(worker_pids | grep -vcx '"$worker"')" -eq 2 ]' 2
		spent=$(($(now_ms) - start))
		echo "$spent ms until there were two again"
		# Polling costs some, so the limit is a little higher.
		[ "$spent" -gt $((200 * SLOW)) ] || break
	done
	[ "$spent" -le $((200 * SLOW)) ]
}

@test "limits: a stopped worker is replaced within 1.5 s and no connection hangs longer" {
	local worker start
	expect_log 'worker'
	origin origin "127.0.0.1:$back" answer here
	start_limited 4
	sleep 1
	spawn rate "$HELPERS/client" -t 5 "127.0.0.1:$front" rate $((200 / SLOW)) 4
	rate=$SPAWNED_PID
	wait_until '[ "$(origin_count origin)" -ge 50 ]' 3
	worker=$(worker_pids | head -n 1)
	start=$(now_ms)
	kill -STOP "$worker"
	wait_until '! alive '"$worker"' && [ "$(worker_pids | wc -l)" -eq 4 ]' 3
	assert_between $(($(now_ms) - start)) 0 $((3000 * SLOW)) "ms until it was replaced"
	wait "$rate"
	cat rate.out
	assert_eq "$(jq -c '[.refused, .timeout, .wrong, .other]' rate.out)" "[0,0,0,0]"
	assert_between "$(jq .slowest_ms rate.out)" 0 $((3100 * SLOW)) "ms that the slowest took"
}

@test "limits: when a worker dies its share of leastconn's counts is given back" {
	local ports worker
	expect_log 'worker'
	read -ra ports <<<"$(free_port 2)"
	origin s1 "127.0.0.1:${ports[0]}" greet s1
	origin s2 "127.0.0.1:${ports[1]}" greet s2
	start_proxyd <<-END
	global: {workers: 2}
	frontends:
	  front: {bind: "127.0.0.1:$front", backend: back}
	backends:
	  back: {balance: leastconn, servers: {s1: "127.0.0.1:${ports[0]}", s2: "127.0.0.1:${ports[1]}"}}
	END
	wait_workers 2
	spawn first "$HELPERS/client" "127.0.0.1:$front" hold 40 30
	wait_until '[ "$(origin_count s1)" -eq 20 ] && [ "$(origin_count s2)" -eq 20 ]' 3
	for worker in $(worker_pids); do
		kill -KILL "$worker"
		wait_until "! alive $worker && [ \$(worker_pids | wc -l) -eq 2 ]" 3
	done
	# Were the dead workers' relays still counted at one of the two, the other would get more.
	spawn second "$HELPERS/client" "127.0.0.1:$front" hold 40 30
	wait_until '[ "$(origin_count s1)" -eq 40 ] && [ "$(origin_count s2)" -eq 40 ]' 3
}
