#!/usr/bin/env bats
# The master: binding, supervising, stopping, privileges, background.
# light: it measures how soon a worker is replaced
# shellcheck disable=SC2154 # stderr is what run --separate-stderr sets

load helpers/common

# serve [GLOBAL]: two workers before an echo, with these keys of global.
serve()
{
	front=$(free_port)
	back=$(free_port)
	origin origin "127.0.0.1:$back" echo
	PROXYD_WORKERS=2 start_proxyd < <(config "$front" "$@")
	wait_log ' serving;'
}

# config PORT [GLOBAL]
config()
{
	cat <<-END
	global: {workers: 2${2:+, $2}}
	frontends:
	  front: {bind: "127.0.0.1:$1", forward: ["127.0.0.1:${back:-1}"]}
	END
}

# fails_to_start WHAT COMMAND...: exit 1, WHAT (a regular expression) on stderr, nobody left.
fails_to_start()
{
	local what=$1
	shift

	run -1 --separate-stderr timeout 10 "$@"
	grep -qE -- "$what" <<<"$stderr" || { echo "not said: $what, but: $stderr" >&2 && return 1; }
	assert_eq "$(proxyds)" "" "processes left behind"
}

# The pids of all proxyd processes of this test.
proxyds()
{
	local pid

	for pid in $(processes_here); do
		[[ $(readlink "/proc/$pid/exe") == "$(realpath "$PROXYD")" ]] && echo "$pid"
	done
	return 0
}

# The pid of worker N once it is another one than OLD.
successor()
{
	local pid

	pid=$(worker_pid "$1")
	[ -n "$pid" ] && [ "$pid" != "$2" ]
}

# Ten connections, each of which must work.
all_served()
{
	local i

	for ((i = 0; i < ${1:-10}; i++)); do
		client -t 3 "127.0.0.1:$front" echo 1k || return 1
	done
}

# ---------------------------------------------------------------- binding

@test "master: a port that is taken is one clear line, exit 1" {
	front=$(free_port)
	origin other "127.0.0.1:$front" echo
	config "$front" >taken.yaml
	fails_to_start "frontend front: cannot bind 127.0.0.1:$front: Address already in use" \
		"$PROXYD" -c taken.yaml --control other.sock
	assert_eq "$(grep -c 'cannot bind' <<<"$stderr")" 1
}

@test "master: a second daemon on the same port is refused in spite of SO_REUSEPORT" {
	serve
	cp proxyd.yaml again.yaml
	run -1 timeout 10 "$PROXYD" -c again.yaml --control other.sock
	[[ $output == *"Address already in use"* ]]
	all_served
	stop_proxyd
}

@test "master: every address that fails is said, and what could be bound is let go" {
	local ports free

	read -r -a ports <<<"$(free_port 2)"
	free=$(free_port)
	origin one "127.0.0.1:${ports[0]}" echo
	origin two "127.0.0.1:${ports[1]}" echo
	cat >three.yaml <<-END
	frontends:
	  a: {bind: "127.0.0.1:${ports[0]}", service: echo}
	  b: {bind: ["127.0.0.1:${ports[1]}", "unix:$PWD/b.sock"], service: echo}
	  c: {bind: "127.0.0.1:$free", service: echo}
	END
	fails_to_start 'frontend a: cannot bind' "$PROXYD" -c three.yaml --control other.sock
	grep -q 'frontend b: cannot bind' <<<"$stderr"
	assert_eq "$(grep -c 'frontend c' <<<"$stderr")" 0
	[ ! -e b.sock ]
	origin three "127.0.0.1:$free" echo
}

@test "master: a port without permission says what is needed" {
	[ "$(id -u)" -eq 0 ] || skip "needs root to become somebody else"
	[ "$(cat /proc/sys/net/ipv4/ip_unprivileged_port_start)" -gt 81 ] || skip "anybody may bind port 81"
	config 81 >low.yaml
	chmod 755 .
	fails_to_start '127.0.0.1:81: Permission denied \(ports below 1024 need root or CAP_NET_BIND_SERVICE\)' \
		setpriv --reuid=65534 --regid=65534 --clear-groups "$PROXYD" -c - <low.yaml
}

@test "master: a busy address comes into service by itself with bind_retry" {
	local busy

	front=$(free_port)
	busy=$(free_port)
	origin other "127.0.0.1:$busy" echo
	expect_log "frontend late: cannot bind 127.0.0.1:$busy"
	start_proxyd <<-END
	global: {workers: 2, bind_retry: 200ms}
	frontends:
	  front: {bind: "127.0.0.1:$front", service: echo}
	  late: {bind: "127.0.0.1:$busy", service: reverse}
	END
	all_served 2
	kill "$ORIGIN_PID"
	wait_log 'frontend late: .* is bound at last'
	assert_eq "$(echo stressed | socat -t 2 - "TCP:127.0.0.1:$busy")" desserts
	stop_proxyd
}

@test "master: a stale Unix socket is replaced, a live one and a file are not" {
	cat >unix.yaml <<-END
	global: {workers: 2}
	frontends:
	  u: {bind: "unix:$PWD/u.sock", service: echo}
	END
	echo precious >u.sock
	fails_to_start "cannot bind unix:.*u.sock: File exists" "$PROXYD" -c unix.yaml --control other.sock
	assert_eq "$(cat u.sock)" precious
	rm u.sock
	start_proxyd <unix.yaml
	wait_log ' serving;'
	client "unix:$PWD/u.sock" echo 10k
	assert_eq "$(stat -c %a u.sock)" 666
	run -1 timeout 10 "$PROXYD" -c unix.yaml --control other.sock
	[[ $output == *"Address already in use"* ]]
	[ -S u.sock ]
	# The workers may see it before their own signal.
	expect_log 'the master is gone'
	# shellcheck disable=SC2046 # pids
	kill -KILL "$PROXYD_PID" $(children "$PROXYD_PID")
	wait_until "! alive $PROXYD_PID" 2
	[ -S u.sock ]
	start_proxyd <unix.yaml
	wait_log ' serving;'
	client "unix:$PWD/u.sock" echo 10k
	stop_proxyd
	[ ! -e u.sock ]
}

@test "master: it starts with 64 file descriptors" {
	front=$(free_port)
	PROXYD_WRAP="prlimit --nofile=64" PROXYD_WORKERS=2 start_proxyd <<-END
	global: {workers: 2}
	frontends:
	  a: {bind: ":$front", service: echo}
	  b: {bind: ":$(free_port)", service: echo}
	END
	wait_log ' serving;'
	all_served 3
	stop_proxyd
}

@test "master: too few file descriptors for the listeners are said" {
	cat >many.yaml <<-END
	global: {workers: 8}
	frontends:
	  a: {bind: "127.0.0.1:20000-20100", service: echo}
	END
	fails_to_start '808 listening sockets need a limit of at least [0-9]+ open files, it is 64' \
		prlimit --nofile=64 "$PROXYD" -c many.yaml --control other.sock
}

@test "master: a name that does not resolve is a server that is down, not an error" {
	front=$(free_port)
	expect_log 'cannot resolve nowhere.invalid'
	expect_log 'front'
	start_proxyd <<-END
	global: {workers: 1}
	frontends:
	  front: {bind: "127.0.0.1:$front", forward: ["nowhere.invalid:80"]}
	END
	grep -q 'cannot resolve nowhere.invalid' proxyd.log
	stop_proxyd
}

# ---------------------------------------------------------------- supervising

@test "master: a killed worker is replaced within 100 ms, and no connection is refused" {
	local pid at i spent least=1000000

	serve
	expect_log 'worker [01] \(pid [0-9]+\) was killed by signal 9'
	for i in 0 1 0 1 0 1 0 1; do
		pid=$(worker_pid "$i")
		at=$(now_ms)
		kill -KILL "$pid"
		wait_until "successor $i $pid" 2
		spent=$(($(now_ms) - at))
		echo "$spent ms until worker $i was replaced"
		[ "$spent" -ge "$least" ] || least=$spent
		all_served
		# The best of some: a busy machine adds something, though not to each.
		[ "$(grep -c 'was killed' proxyd.log)" -lt 4 ] || [ "$least" -gt $((100 * SLOW)) ] || break
		# A death in a row is young and waits 100 ms by rule.
		sleep 0.6
	done
	# 20 ms of it are the polling here.
	assert_between "$least" 0 $((100 * SLOW)) "ms until a worker was replaced"
	stop_proxyd
}

@test "master: dying young backs off, and the other worker serves on" {
	local pid

	serve
	expect_log 'worker 0 \(pid [0-9]+\) was killed by signal 9'
	for delay in 'now' 'in 100 ms' 'in 200 ms' 'in 400 ms'; do
		pid=$(worker_pid 0)
		kill -KILL "$pid"
		wait_log "worker 0 \(pid $pid\) was killed by signal 9 \(Killed\), 0 relays lost, started again $delay"
		all_served 4
		wait_until "successor 0 $pid" 2
	done
	stop_proxyd
}

@test "master: a stopped worker is replaced within 1.5 s, and nobody waits longer" {
	local pid at spent

	serve
	expect_log 'worker 0 \(pid [0-9]+\) (is silent for [0-9]+ ms, killing it|was killed by signal 9)'
	for _ in 1 2 3; do
		pid=$(worker_pid 0)
		at=$(now_ms)
		kill -STOP "$pid"
		all_served 6
		wait_until "successor 0 $pid" 3
		spent=$(($(now_ms) - at))
		[ "$spent" -gt $((1500 * SLOW)) ] || break
	done
	assert_between "$spent" 700 $((1500 * SLOW)) "ms until the stopped worker was replaced, at best"
	all_served
	stop_proxyd
}

@test "master: a worker in an endless loop is replaced, the other one serves on" {
	local pid at

	[ -z "${SAN:-}" ] || skip "the sanitizers' library has to be preloaded first"
	front=$(free_port)
	back=$(free_port)
	origin origin "127.0.0.1:$back" echo
	export SPIN=proxyd-worker-1
	PROXYD_WRAP="env LD_PRELOAD=$HELPERS/spin.so" PROXYD_WORKERS=2 start_proxyd < <(config "$front")
	wait_log ' serving;'
	expect_log 'worker 1 \(pid [0-9]+\) (is silent for [0-9]+ ms, killing it|was killed by signal 9)'
	pid=$(worker_pid 1)
	touch spin
	at=$(now_ms)
	# One of these comes to worker 1 and stays there; it is that worker's loss.
	for _ in {1..12}; do
		spawn looped "$HELPERS/client" -t 1 "127.0.0.1:$front" echo 10
	done
	wait_until "! alive $pid" 6
	assert_between $(($(now_ms) - at)) 700 5000 "ms until the looping worker was killed"
	rm spin
	wait_until "successor 1 $pid" 3
	all_served 6
	stop_proxyd
}

@test "master: a stopped and a killed checker are replaced" {
	local pid

	serve
	expect_log 'checker \(pid [0-9]+\) (is silent for [0-9]+ ms, killing it|was killed by signal 9)'
	pid=$(role_pids checker)
	kill -KILL "$pid"
	wait_until "[ -n \"\$(role_pids checker)\" ] && [ \"\$(role_pids checker)\" != $pid ]" 2
	pid=$(role_pids checker)
	kill -STOP "$pid"
	wait_until "[ -n \"\$(role_pids checker)\" ] && [ \"\$(role_pids checker)\" != $pid ]" 3
	stop_proxyd
}

@test "master: one that was stopped itself kills nobody when it goes on" {
	local before

	serve
	before=$(worker_pids)
	# shellcheck disable=SC2046 # pids
	kill -STOP "$PROXYD_PID" $(children "$PROXYD_PID")
	sleep 1.6
	kill -CONT "$PROXYD_PID"
	sleep 0.3
	# shellcheck disable=SC2046 # pids
	kill -CONT $(children "$PROXYD_PID")
	all_served 4
	assert_eq "$(worker_pids)" "$before"
	stop_proxyd
}

@test "master: a connection that waits with a dead worker's socket is served by another" {
	local pids

	serve "heartbeat_timeout: 3s"
	expect_log 'worker 0 \(pid [0-9]+\) was killed by signal 9'
	pids=$(worker_pid 0)
	kill -STOP "$pids"
	for i in 1 2 3 4 5 6; do
		spawn "waiting$i" "$HELPERS/client" -t 5 "127.0.0.1:$front" echo 1k
	done
	# What was given to the stopped worker now waits in its queue.
	sleep 0.3
	kill -KILL "$pids"
	for i in 1 2 3 4 5 6; do
		wait "$(sed -n "$((i + 2))p" pids)"
	done
	stop_proxyd
}

@test "master: HUP and USR1 do not end it" {
	serve
	expect_log 'SIGHUP'
	for signal in HUP USR1; do
		kill -"$signal" "$PROXYD_PID"
	done
	all_served 4
	stop_proxyd
}

# ---------------------------------------------------------------- stopping

@test "master: TERM, INT and QUIT end it with exit 0, and nobody is left" {
	for signal in TERM INT QUIT; do
		serve
		all_served 2
		stop_proxyd "$signal"
		assert_eq "$(children "$PROXYD_PID" | wc -w)" 0
		! listening "$front"
		kill "$ORIGIN_PID"
		: >proxyd.log
	done
}

@test "master: relays may finish before it ends, new ones are refused" {
	serve "drain_timeout: 10s"
	spawn held "$HELPERS/client" "127.0.0.1:$front" hold 3 20
	local held=$SPAWNED_PID
	wait_until '[ "$(origin_count origin)" -ge 3 ]' 5
	kill -TERM "$PROXYD_PID"
	wait_until '! listening "$front"' 3
	sleep 0.5
	alive "$PROXYD_PID"
	kill "$held"
	wait_until "! alive $PROXYD_PID" 5
	wait "$PROXYD_PID"
}

@test "master: drain_timeout ends what does not finish" {
	local at

	serve "drain_timeout: 1s"
	expect_log 'drain_timeout ran out'
	spawn held "$HELPERS/client" "127.0.0.1:$front" hold 3 30
	wait_until '[ "$(origin_count origin)" -ge 3 ]' 5
	at=$(now_ms)
	stop_proxyd
	assert_between $(($(now_ms) - at)) 800 $((4000 * SLOW)) "ms until the drain was over"
}

@test "master: a second signal ends it at once" {
	local at

	serve "drain_timeout: 0"
	expect_log 'drain_timeout ran out'
	spawn held "$HELPERS/client" "127.0.0.1:$front" hold 3 30
	wait_until '[ "$(origin_count origin)" -ge 3 ]' 5
	kill -INT "$PROXYD_PID"
	wait_log stopping
	at=$(now_ms)
	stop_proxyd INT
	assert_between $(($(now_ms) - at)) 0 $((4000 * SLOW)) "ms after the second signal"
}

@test "master: a worker that hangs cannot hold up the end" {
	serve
	expect_log 'worker 0 \(pid [0-9]+\) (is silent|was killed by signal 9|has not ended)'
	kill -STOP "$(worker_pid 0)"
	stop_proxyd
}

# ---------------------------------------------------------------- who and where

@test "master: every process says what it is" {
	serve
	assert_eq "$(title_of "$PROXYD_PID")" "proxyd: master"
	assert_eq "$(cat "/proc/$PROXYD_PID/comm")" proxyd-master
	assert_eq "$(title_of "$(worker_pid 1)")" "proxyd: worker 1"
	assert_eq "$(title_of "$(role_pids checker)")" "proxyd: checker"
	stop_proxyd
}

@test "master: children drop to the user, for good, and the master keeps little" {
	[ "$(id -u)" -eq 0 ] || skip "needs root"
	local pid file

	# LeakSanitizer cannot look into a process that changed its user.
	export ASAN_OPTIONS=detect_leaks=0
	serve "user: nobody, group: nogroup"
	for pid in $(children "$PROXYD_PID"); do
		file=/proc/$pid/status
		assert_eq "$(awk '/^Uid/ { print $2, $3, $4, $5 }' "$file")" "65534 65534 65534 65534"
		assert_eq "$(awk '/^Gid/ { print $2, $3, $4, $5 }' "$file")" "65534 65534 65534 65534"
		assert_eq "$(awk '/^Groups/ { print $2, $3 }' "$file")" "65534 "
		for set in CapInh CapPrm CapEff CapBnd CapAmb; do
			assert_eq "$(awk -v s="$set:" '$1 == s { print $2 }' "$file")" 0000000000000000 "$set"
		done
		assert_eq "$(awk '/^NoNewPrivs/ { print $2 }' "$file")" 1
	done
	# kill, setgid, setuid, setpcap, net_bind_service
	assert_eq "$(awk '/^CapPrm/ { print $2 }' "/proc/$PROXYD_PID/status")" 00000000000005e0
	refute_log 'without global.user'
	all_served 4
	expect_log 'worker 0 \(pid [0-9]+\) was killed by signal 9'
	kill -KILL "$(worker_pid 0)"
	all_served 4
	stop_proxyd
}

@test "master: an unknown user is said, exit 1" {
	config 1 "user: nobody-of-that-name" >user.yaml
	fails_to_start 'global.user: there is no user nobody-of-that-name' "$PROXYD" -c user.yaml --control other.sock
	config 1 "group: nobody-of-that-name" >group.yaml
	fails_to_start 'global.group: there is no group nobody-of-that-name' "$PROXYD" -c group.yaml --control other.sock
}

@test "master: children inherit no fd that they should not have" {
	local pid fd

	serve
	exec 7</dev/null
	for pid in $(role_pids checker); do
		for fd in "/proc/$pid/fd/"*; do
			[[ $(readlink "$fd") != *memfd* && $(readlink "$fd") != *pidfd* && $(readlink "$fd") != *signalfd* ]]
		done
	done
	exec 7<&-
	stop_proxyd
}

@test "master: the pidfile is there while it serves, and only then" {
	serve "pidfile: \"$PWD/proxyd.pid\""
	assert_eq "$(cat proxyd.pid)" "$PROXYD_PID"
	assert_eq "$(stat -c %a proxyd.pid)" 644
	stop_proxyd
	[ ! -e proxyd.pid ]
	assert_eq "$(find . -name 'proxyd.pid*')" "" "nothing is left"
}

@test "master: a pidfile that cannot be written is said, exit 1" {
	config "$(free_port)" "pidfile: $PWD/no/such/proxyd.pid" >pid.yaml
	fails_to_start 'cannot write the pidfile .*: No such file or directory' "$PROXYD" -c pid.yaml --control other.sock
}

@test "master: a log file that cannot be opened is said, exit 1" {
	config "$(free_port)" "log: {to: $PWD/no/such/log}" >log.yaml
	fails_to_start 'global.log: cannot open .*/no/such/log: No such file or directory' "$PROXYD" -c log.yaml --control other.sock
}

@test "master: -D returns when it serves, with its exit code" {
	local daemon

	front=$(free_port)
	config "$front" "log: {to: $PWD/daemon.log}" | sed 's/forward.*/service: echo}/' >daemon.yaml
	run -0 timeout 10 "$PROXYD" -D -c daemon.yaml --control other.sock --pidfile run.pid
	daemon=$(cat run.pid)
	echo "$daemon" >>pids
	listening "$front"
	assert_eq "$(readlink "/proc/$daemon/cwd")" /
	assert_eq "$(readlink "/proc/$daemon/fd/0")" /dev/null
	assert_eq "$(readlink "/proc/$daemon/fd/2")" /dev/null
	assert_eq "$(ps -o sid= -p "$daemon" | tr -d ' ')" "$daemon"
	all_served 3
	# A second one fails in the foreground, and says why.
	run -1 timeout 10 "$PROXYD" -D -c daemon.yaml --control other.sock
	[[ $output == *"Address already in use"* || $output == *"$daemon"* ]]
	alive "$daemon"
	kill "$daemon"
	wait_until "! alive $daemon" 5
	[ ! -e run.pid ]
}

@test "master: systemd is told when it serves and when it stops" {
	command -v socat >/dev/null || skip "no socat"
	strings "$PROXYD" 2>/dev/null | grep -q 'READY=1' || grep -q 'READY=1' "$PROXYD" || skip "built without libsystemd"
	spawn notify socat -u "UNIX-RECVFROM:$PWD/notify,fork" STDOUT
	wait_until '[ -S notify ]' 2
	export NOTIFY_SOCKET=$PWD/notify
	serve
	wait_until 'grep -q READY=1 notify.out' 3
	grep -q "MAINPID=$PROXYD_PID" notify.out
	stop_proxyd
	wait_until 'grep -q STOPPING=1 notify.out' 3
}

@test "stop: TERM to all processes at once, as service managers do, is a clean stop" {
	serve
	spawn held "$HELPERS/client" "127.0.0.1:$front" hold 3 1
	wait_until '[ "$(origin_count origin)" -ge 3 ]' 3
	# shellcheck disable=SC2046 # pids
	kill -TERM "$PROXYD_PID" $(children "$PROXYD_PID")
	wait "$PROXYD_PID"
	refute_log 'was killed'
}
