#!/usr/bin/env bats
# The control socket and proxyctl: what is shown, who may, and that nobody can hold the daemon up.

# shellcheck disable=SC2154 # run sets stderr
load helpers/common

setup()
{
	common_setup
	read -ra ports <<<"$(free_port 3)"
	front=$(free_port)
	back=$(free_port)
}

# A frontend with one living and one dead server behind 2 workers, and an echo. CONTROL says more of the socket.
controlled()
{
	origin origin "127.0.0.1:$back" "${1:-answer}" "${2:-hello}"
	expect_log 'back/dead'
	start_proxyd <<-END
	global:
	  workers: 2
	  control: {${CONTROL:-}}
	  heartbeat_timeout: ${HEARTBEAT:-1s}
	frontends:
	  front: {bind: "127.0.0.1:$front", backend: back}
	  echo: {bind: ["127.0.0.1:${ports[0]}", "127.0.0.1:${ports[1]}"], service: echo}
	backends:
	  back: {check: {type: tcp, inter: 200ms}, servers: {alive: {address: "127.0.0.1:$back", weight: 7}, dead: "127.0.0.1:${ports[2]}"}}
	END
}

# shown COMMAND... JQ: true when the filter says so of the command's JSON.
shown()
{
	ctl --json "${@:1:$#-1}" | jq -e "${@: -1}" >/dev/null || {
		ctl --json "${@:1:$#-1}" >&2
		return 1
	}
}

# Started as daemons at the same place are; their files are NAME.log.
second_proxyd()
{
	cat >second.yaml <<-END
	frontends:
	  second: {bind: "127.0.0.1:$(free_port)", service: echo}
	END
	run timeout 10 "$PROXYD" -c second.yaml --control "$SOCKET"
}

# ---------------------------------------------------------------- what is shown

@test "control: status counts all connections of all workers" {
	controlled
	ask_names "127.0.0.1:$front" 6 >held.names
	spawn held "$HELPERS/client" "127.0.0.1:${ports[0]}" hold 3 10
	wait_until 'shown status ".connections.active == 3" 2>/dev/null' 3
	shown status ".connections.total == 9 and .pid == $PROXYD_PID and .workers == 2"
	shown status '.generation == 1 and (.uptime_s | type) == "number" and .uptime_s < 60'
	[ "$("$PROXYD" --version | cut -d' ' -f2)" = "$(ctl --json status | jq -r .version)" ]
	ctl status | grep -q "^connections now  *3$"
}

@test "control: show frontends: name, binds, counts and bytes, exactly" {
	controlled
	ask_names "127.0.0.1:$front" 10
	client "127.0.0.1:${ports[1]}" echo 100k
	wait_until 'shown show frontends "map(.active) == [0, 0]" 2>/dev/null' 3
	shown show frontends 'map(.name) == ["front", "echo"]'
	shown show frontends ".[1].bind == [\"127.0.0.1:${ports[0]}\", \"127.0.0.1:${ports[1]}\"]"
	shown show frontends '.[0].total == 10 and .[1].total == 1 and map(.refused) == [0, 0]'
	shown show frontends '.[1].bytes_in == .[1].bytes_out and .[1].bytes_in >= 100000'
	shown show frontends '.[0].bytes_in > 0 and .[0].bytes_out > 0'
}

@test "control: show servers: state and check, counts equal to what the origin saw" {
	controlled
	wait_until 'shown show servers ".[1].state == \"down\"" 2>/dev/null' 3
	ask_names "127.0.0.1:$front" 10
	wait_until 'shown show servers ".[0].active == 0" 2>/dev/null' 3
	shown show servers 'map(.backend) == ["back", "back"] and map(.server) == ["alive", "dead"]'
	shown show servers ".[0].address == \"127.0.0.1:$back\" and map(.weight) == [7, 1]"
	shown show servers 'map(.admin) == ["ready", "ready"] and map(.maxconn) == [0, 0]'
	shown show servers '.[0].state == "up" and .[0].check == "ok" and .[1].total == 0'
	shown show servers '.[1].check | contains("refused")'
	# Checked every 200 ms: how old the state is can be seen.
	shown show servers 'all(.[]; .last_check_s <= 2)'
	shown show servers '.[0].total == 10 and .[0].bytes_in > 0 and .[0].bytes_out > 0'
	shown show servers 'map(.last_change_s | type) == ["number", "number"] and map(.failed) == [0, 0]'
}

@test "control: show backends: who can serve, and the sums of their servers" {
	controlled
	wait_until 'shown show backends ".[0].serving == 1" 2>/dev/null' 3
	ask_names "127.0.0.1:$front" 10
	wait_until 'shown show backends ".[0].active == 0" 2>/dev/null' 3
	shown show backends 'map([.name, .state, .balance, .servers, .queued]) == [["back", "up", "roundrobin", 2, 0]]'
	shown show backends '.[0].total == 10 and .[0].bytes_in > 0 and .[0].bytes_out > 0 and .[0].queue_full == 0'
	ctl set server back/alive state drain
	shown show backends '.[0].state == "down" and .[0].serving == 0 and .[0].servers == 2'
	ctl set server back/alive state ready
	ctl set server back/alive weight 0
	shown show backends '.[0].serving == 0'
}

@test "control: show workers: their pids, what they accepted, how often they were replaced" {
	local pid before
	expect_log 'worker 1'
	controlled
	ask_names "127.0.0.1:$front" 20
	shown show workers 'map(.slot) == [0, 1] and map(.generation) == [1, 1] and map(.restarts) == [0, 0]'
	shown show workers 'map(.state) == ["serving", "serving"] and (map(.accepted) | add) == 20'
	assert_eq "$(ctl --json show workers | jq -r '.[].pid' | sort)" "$(worker_pids | sort)"
	before=$(ctl --json show frontends | jq -c 'map([.total, .bytes_in, .bytes_out])')
	pid=$(worker_pid 1)
	kill -KILL "$pid"
	wait_until 'shown show workers ".[1].restarts == 1 and .[1].state == \"serving\"" 2>/dev/null' 3
	shown show workers ".[1].pid != $pid and (map(.accepted) | add) == 20"
	assert_eq "$(ctl --json show frontends | jq -c 'map([.total, .bytes_in, .bytes_out])')" "$before"
}

@test "control: counters never go back while workers die under traffic" {
	local i total last=0
	expect_log 'worker [01]'
	controlled
	spawn load "$HELPERS/client" "127.0.0.1:$front" rate 200 4
	for i in 1 2 3 4 5 6; do
		kill -KILL "$(worker_pid $((i % 2)))"
		wait_until '[ "$(worker_pids | wc -l)" = 2 ]' 3
		for _ in 1 2 3 4 5; do
			total=$(ctl --json status | jq .connections.total)
			[ "$total" -ge "$last" ]
			last=$total
		done
	done
	wait "$SPAWNED_PID" || true
	shown show workers '(map(.restarts) | add) == 6'
	shown status ".connections.total >= $last and .connections.total > 100"
}

@test "control: show sessions: one line for each relay, gone when it ends" {
	controlled greet
	spawn held "$HELPERS/client" "127.0.0.1:$front" hold 3 20
	wait_until 'shown show sessions "length == 3 and map(.state) == [\"relaying\", \"relaying\", \"relaying\"]" 2>/dev/null' 3
	shown show sessions 'map(.frontend) == ["front", "front", "front"] and (map(.id) | unique | length) == 3'
	shown show sessions 'all(.backend == "back" and .server == "alive" and .generation == 1)'
	shown show sessions 'all(.client | test("^127\\.0\\.0\\.1:[0-9]+$"))'
	shown show sessions 'all(.worker < 2 and .worker_state == "serving" and .age_ms < 20000 and .idle_ms <= .age_ms)'
	shown show sessions 'all(.bytes_in >= 0 and .bytes_out > 0)'
	assert_eq "$(ctl show sessions | wc -l)" 4
	kill "$SPAWNED_PID"
	wait_until 'shown show sessions "length == 0" 2>/dev/null' 3
}

@test "control: a thousand sessions, as table and as JSON" {
	controlled
	spawn held "$HELPERS/client" "127.0.0.1:${ports[0]}" hold 1000 20
	wait_until 'shown status ".connections.active == 1000" 2>/dev/null' 10
	shown show sessions 'length == 1000 and (map(.id) | unique | length) == 1000'
	assert_eq "$(ctl show sessions | grep -c 127.0.0.1)" 1000
}

@test "control: set server acts on all workers at once, and says what is wrong" {
	controlled
	expect_log 'client closed'
	ctl set server back/alive weight 3
	shown show servers 'map(select(.server == "alive"))[0] | .weight == 3'
	ctl set server back/alive maxconn 100000000 # as much as the file may say
	ctl set server back/alive maxconn 2
	shown show servers 'map(select(.server == "alive"))[0] | .maxconn == 2'
	assert_eq "$(client "127.0.0.1:$front" ask hi)" hello
	ctl set server back/alive state drain
	shown show servers 'map(select(.server == "alive"))[0] | [.state, .admin] == ["drain", "drain"]'
	# Both workers: none of many finds a server.
	for _ in {1..8}; do
		run client "127.0.0.1:$front" ask hi
		[[ $output != *hello* ]]
	done
	ctl set server back/alive state ready
	for _ in {1..8}; do
		assert_eq "$(client "127.0.0.1:$front" ask hi)" hello
	done
	for wrong in "back/nobody weight 3" "nobody weight 3" "back/alive weight 257" "back/alive weight -1" "back/alive maxconn 100000001" \
		"back/alive weight" "back/alive state up" "back/alive colour red" "back/alive weight 3 4" ""; do
		# shellcheck disable=SC2086 # words
		run ! ctl set server $wrong
		[ -n "$output" ]
	done
	run ! ctl set server back/alive state up
	[[ $output == *'`state` is ready | drain | maint, not `up`'* ]]
	shown show servers 'map(select(.server == "alive"))[0] | .weight == 3'
}

@test "control: help lists every command, and each of them answers" {
	local words
	controlled
	while read -r words; do
		[ "$words" = stop ] && continue
		# shellcheck disable=SC2086 # words
		ctl $words >/dev/null && ctl --json $words | jq -e . >/dev/null
	done < <(ctl --json help | jq -r 'map(select(.own | not))[].command')
}

@test "control: the socket speaks lines, without proxyctl" {
	controlled
	assert_eq "$(echo 'show servers --json' | socat - "UNIX-CONNECT:$SOCKET" | jq -r '.[0].server')" alive
	assert_eq "$(printf 'show --json servers' | socat - "UNIX-CONNECT:$SOCKET" | jq -r '.[0].server')" alive
	[[ $(printf 'status\r\nstatus\n' | socat - "UNIX-CONNECT:$SOCKET" | grep -c version) = 1 ]]
	assert_eq "$(printf 'nonsense --json\n' | socat - "UNIX-CONNECT:$SOCKET" | jq -r '.error[:7]')" 'usage: '
	assert_eq "$(printf '\n' | socat - "UNIX-CONNECT:$SOCKET" | cut -c-14)" 'error: usage: '
	assert_eq "$(head -c 9000 /dev/zero | tr '\0' a | socat - "UNIX-CONNECT:$SOCKET" 2>/dev/null | cut -c-14)" 'error: usage: '
	assert_eq "$(head -c 100 /dev/urandom | tr -d '\n' | socat - "UNIX-CONNECT:$SOCKET" | cut -c-14)" 'error: usage: '
	ctl status
}

# ---------------------------------------------------------------- stop

@test "control: stop lets relays finish, and it answers meanwhile" {
	controlled greet
	spawn held "$HELPERS/client" "127.0.0.1:$front" hold 1 20
	wait_until 'shown status ".connections.active == 1" 2>/dev/null' 3
	[[ $(ctl stop) == "stopping: 1 relays have 30s to finish" ]]
	shown status '.state == "stopping" and .connections.active == 1'
	wait_until '! listening "$front"' 3
	kill "$SPAWNED_PID"
	wait_until '! alive "$PROXYD_PID"' 5
	wait "$PROXYD_PID"
	[ ! -e "$SOCKET" ]
}

@test "control: stop --now does not wait" {
	controlled greet
	expect_log 'relays closed'
	spawn held "$HELPERS/client" "127.0.0.1:$front" hold 1 20
	wait_until 'shown status ".connections.active == 1" 2>/dev/null' 3
	shown stop --now '.message == "stopping now"'
	wait_until '! alive "$PROXYD_PID"' 3
	wait "$PROXYD_PID"
	[ ! -e "$SOCKET" ]
}

# ---------------------------------------------------------------- nobody holds it up

@test "control: clients that send half a line do not keep others from their answer" {
	local i start best=9999
	controlled
	for ((i = 0; i < 50; i++)); do
		spawn "half$i" socat -u "EXEC:'sh -c \"printf stat; exec sleep 20\"'" "UNIX-CONNECT:$SOCKET"
		[ "$i" = 20 ] || continue
		# The best of some, on a machine that is busy.
		for _ in 1 2 3 4 5; do
			start=$(now_ms)
			ctl status
			start=$(($(now_ms) - start))
			[ "$start" -ge "$best" ] || best=$start
		done
		assert_between "$best" 0 1000 "ms until the 21st was answered"
	done
	start=$(now_ms)
	ctl status
	assert_between $(($(now_ms) - start)) 0 $((3000 * SLOW)) "ms until the 51st was answered"
	wait_until '[ "$(ls /proc/$PROXYD_PID/fd | wc -l)" -lt 70 ]' 2
}

@test "control: a client that sends nothing more is closed after 10 s" {
	local start
	controlled
	start=$(now_ms)
	# Nothing more comes, nor an end, so that it is proxyd that ends it.
	timeout 20 socat -t 0.1 - "UNIX-CONNECT:$SOCKET" < <(printf stat && exec sleep 25 3>&-)
	assert_between $(($(now_ms) - start)) 9000 16000 "ms"
	wait_until '[ "$(ss -Hx src "$SOCKET" state established | wc -l)" = 0 ]' 3
}

@test "control: a stopped worker is shown from what it wrote, and nobody waits for it" {
	local pid start
	HEARTBEAT=4s controlled greet
	spawn held "$HELPERS/client" "127.0.0.1:$front" hold 8 20
	wait_until 'shown show sessions "length == 8" 2>/dev/null' 3
	for pid in $(worker_pids); do
		kill -STOP "$pid"
	done
	start=$(now_ms)
	shown status '.connections.active == 8'
	shown show sessions 'length == 8'
	assert_between $(($(now_ms) - start)) 0 $((3000 * SLOW)) "ms"
	wait_until 'shown show workers "map(.state) == [\"hung\", \"hung\"]" 2>/dev/null' 4
	shown show sessions 'all(.worker_state == "hung")'
	for pid in $(worker_pids); do
		kill -CONT "$pid"
	done
	wait_until 'shown show workers "map(.state) == [\"serving\", \"serving\"]" 2>/dev/null' 4
}

# ---------------------------------------------------------------- who may

@test "control: the socket is its owner's alone, also while it is made" {
	umask 000
	controlled
	assert_eq "$(stat -c %a "$SOCKET")" 600
	stop_proxyd
	[ ! -e "$SOCKET" ]
	PROXYD_CONTROL="$PWD/new/control.sock" start_proxyd <<-END
	global: {control: {mode: "0666"}}
	frontends:
	  front: {bind: "127.0.0.1:$front", service: echo}
	END
	assert_eq "$(stat -c %a new new/control.sock | tr '\n' ' ')" "750 666 "
}

@test "control: a stranger is refused, a member of the group may look, its daemon's user may all" {
	[ "$(id -u)" = 0 ] || skip "only root can become others"
	expect_log 'control: .* refused to uid'
	mkdir -m 755 open
	chmod 755 "$BATS_TEST_TMPDIR" "$(dirname "$BATS_TEST_TMPDIR")" "$(dirname "$(dirname "$BATS_TEST_TMPDIR")")"
	SOCKET=$PWD/open/control.sock
	# Where the workspace's own path is closed to others.
	cp "$PROXYCTL" open/ && PROXYCTL=$PWD/open/proxyctl
	as() { setpriv --reuid="$1" --regid="$1" --groups="$2" "$PROXYCTL" -s "$SOCKET" "${@:3}"; }

	CONTROL='mode: "0666", group: daemon' PROXYD_CONTROL=$SOCKET controlled
	assert_eq "$(stat -c '%a %G' "$SOCKET")" "666 daemon"
	run -1 --separate-stderr as 65534 65534 status
	[[ $stderr == *"refused: you are uid 65534"*"members of group daemon"* ]] || { echo "$stderr" && false; }
	run -1 --separate-stderr as 65534 65534 --json stop
	[[ $stderr == '{"error":"refused'* ]]
	as 65534 "$(id -g daemon)" status
	run -1 --separate-stderr as 65534 "$(id -g daemon)" stop
	[[ $stderr == *"for root and the user of the daemon"* ]]
	alive "$PROXYD_PID"

	chmod 600 "$SOCKET"
	run -1 --separate-stderr as 65534 65534 status
	[[ $stderr == *"permission denied: $SOCKET is for user root (mode 0600)"* ]] || { echo "$stderr" && false; }
	ctl stop
	wait_until '! alive "$PROXYD_PID"' 5
}

@test "control: who is not root has it in XDG_RUNTIME_DIR, else in /tmp" {
	local tmp=/tmp/proxyd-65533
	[ "$(id -u)" = 0 ] || skip "only root can become others"
	[ ! -e "$tmp" ] || skip "$tmp is there"
	mkdir -m 755 open && cp "$PROXYD" "$PROXYCTL" open/
	mkdir -m 700 open/xdg && chown 65533 open/xdg
	chmod 755 "$BATS_TEST_TMPDIR" "$(dirname "$BATS_TEST_TMPDIR")" "$(dirname "$(dirname "$BATS_TEST_TMPDIR")")"
	cat >open/own.yaml <<-END
	frontends:
	  own: {bind: "127.0.0.1:$front", service: echo}
	END
	as=(setpriv --reuid=65533 --regid=65533 --clear-groups)
	for where in xdg tmp; do
		env=(env -u XDG_RUNTIME_DIR) expected=$tmp
		[ "$where" = tmp ] || { env=(env "XDG_RUNTIME_DIR=$PWD/open/xdg") && expected=$PWD/open/xdg/proxyd; }
		spawn own "${as[@]}" "${env[@]}" "$PWD/open/proxyd" -c open/own.yaml
		wait_until '[ -S "$expected/control.sock" ]' 5
		assert_eq "$(stat -c '%u %a' "$expected/control.sock")" "65533 600"
		wait_until '"${as[@]}" "${env[@]}" "$PWD/open/proxyctl" status' 5
		"${as[@]}" "${env[@]}" "$PWD/open/proxyctl" stop
		wait_until '! alive "$SPAWNED_PID"' 5
	done
	assert_eq "$(stat -c '%u %a' "$tmp")" "65533 700"
	rmdir "$tmp"
}

# ---------------------------------------------------------------- one daemon for each run directory

@test "control: a second daemon is refused and told the first one's pid" {
	controlled
	second_proxyd
	assert_eq "$status" 1
	[[ $output == *"$SOCKET"*"pid $PROXYD_PID "* ]]
	shown status ".pid == $PROXYD_PID"
	# Also when the first one cannot answer.
	kill -STOP "$PROXYD_PID"
	second_proxyd
	kill -CONT "$PROXYD_PID"
	assert_eq "$status" 1
	[[ $output == *"pid $PROXYD_PID "* ]]
	shown status ".pid == $PROXYD_PID"
}

@test "control: what a killed daemon left is replaced" {
	expect_log 'the master is gone'
	controlled
	kill -KILL "$PROXYD_PID"
	wait_until '! alive "$PROXYD_PID"' 2
	[ -S "$SOCKET" ]
	run -3 --separate-stderr ctl status
	[[ $stderr == *"nobody answers on $SOCKET: Connection refused; is proxyd running?"* ]]
	start_proxyd <<-END
	frontends:
	  front: {bind: "127.0.0.1:$front", service: echo}
	END
	shown status ".pid == $PROXYD_PID"
}

@test "control: a file that is no socket is left alone" {
	echo precious >control.sock
	second_proxyd
	assert_eq "$status" 1
	[[ $output == *"no socket"* ]]
	assert_eq "$(cat control.sock)" precious
}

@test "control: of ten that start at once on a dead socket one serves" {
	local i
	expect_log 'the master is gone'
	controlled
	kill -KILL "$PROXYD_PID"
	wait_until '! alive "$PROXYD_PID"' 2
	for i in 0 1 2 3 4 5 6 7 8 9; do
		echo "frontends: {f: {bind: \"127.0.0.1:$(free_port)\", service: echo}}" >"many$i.yaml"
		spawn "many$i" "$PROXYD" -w 1 -c "many$i.yaml" --control "$SOCKET"
	done
	wait_until '[ "$(cat many*.err | grep -cE "lives there|already running|another start")" = 9 ]' 10
	wait_until 'ctl status' 5
	ctl stop
	wait_until '[ ! -e "$SOCKET" ]' 5
}

@test "control: in the background with a relative path" {
	cat >daemon.yaml <<-END
	global: {workers: 1, log: {to: $PWD/proxyd.log}}
	frontends:
	  front: {bind: "127.0.0.1:$front", service: echo}
	END
	"$PROXYD" -D -c daemon.yaml --control relative.sock
	pid=$("$PROXYCTL" -s relative.sock --json status | jq .pid)
	echo "$pid" >>pids
	"$PROXYCTL" -s relative.sock stop
	wait_until '! alive "$pid"' 5
	[ ! -e relative.sock ]
}

@test "control: a quick form goes without where the default one is taken, and says so once" {
	[ "$(id -u)" = 0 ] || skip "only root has /run/proxyd"
	# Its own /run, so that nothing is met but what this test starts.
	cat >in-own-run <<-'END'
	#!/bin/sh
	mount -t tmpfs tmpfs /run || exit 77
	"$PROXYD" -w 1 -f "$1" -p 1 2>first.log &
	first=$!
	until grep -qs serving first.log; do sleep 0.05; done
	"$PROXYD" -w 1 -f "$2" -p 1 2>second.log &
	second=$!
	until grep -qs serving second.log; do sleep 0.05; done
	"$PROXYCTL" --json status
	echo "$first"
	kill "$first" "$second"
	wait "$first" "$second"
	ls /run/proxyd
	END
	export PROXYD PROXYCTL
	run unshare -m sh in-own-run "$front" "$back"
	[ "$status" != 77 ] || skip "no mount namespaces here"
	assert_eq "$status" 0
	assert_eq "$(jq .pid <<<"${lines[0]}")" "${lines[1]}"
	[ "${#lines[@]}" = 2 ]
	assert_eq "$(grep -c 'no control socket: /run/proxyd/control.sock: a daemon with pid' second.log)" 1
	run ! grep 'no control socket' first.log
}
