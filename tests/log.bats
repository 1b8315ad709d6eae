#!/usr/bin/env bats
# What proxyd writes: its log to stderr, a file or syslog, as text or JSON, and the access log.

load helpers/common

setup()
{
	common_setup
	front=$(free_port)
	back=$(free_port)
}

# logged LOG-KEYS [ACCESS-KEYS [MORE-OPTIONS...]]: one frontend, one server. Where stderr does not get what
# proxyd says, PROXYD_QUIET=1 comes before it.
logged()
{
	local log=$1 access=${2:-to: \"off\"}
	shift
	[ $# -eq 0 ] || shift
	start_proxyd "$@" <<-END
	global: {workers: 2, log: {$log}, access_log: {$access}${ADMIN:+, admin: {bind: "127.0.0.1:$ADMIN"\}}}
	frontends:
	  front: {bind: "127.0.0.1:$front", backend: back}
	backends:
	  back: {servers: {a: "127.0.0.1:$back"}}
	END
}

text_line='^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:]{8}\.[0-9]{3}Z (debug|info|warn|error|fatal) [a-z0-9-]+\[[0-9]+\]: .+'

# What proxyd.log holds once the log was open: before, errors and warnings of the start are plain lines.
opened()
{
	grep -v '^proxyd: ' proxyd.log
}

# ---------------------------------------------------------------- the log

@test "log: text lines say when, how bad, who and what" {
	logged "level: debug"
	client "127.0.0.1:$front" connect
	stop_proxyd
	expect_log 'back'
	opened >opened.log
	[ -s opened.log ]
	refute_lines "$text_line" opened.log
	assert_log ' (info|debug) master\['
	assert_log ' (info|debug) worker-[0-9]+\['
}

# Fails when a line of proxyd.log does not match.
refute_lines()
{
	! grep -vE -- "$1" "${2:-proxyd.log}" >&2
}

# The same for lines that are not JSON objects.
all_json()
{
	local line
	[ -s "$1" ]
	while IFS= read -r line; do
		jq -e 'type == "object"' <<<"$line" >/dev/null || { echo "not JSON: $line" >&2 && return 1; }
	done <"$1"
}

@test "log: JSON lines are one valid object each, with time, level, process, pid and message" {
	expect_log 'back|reduced'
	logged "level: debug, format: json"
	client "127.0.0.1:$front" watch 5
	stop_proxyd
	opened >opened.log
	all_json opened.log
	jq -e '.time and .level and .process and .pid and .message' opened.log >/dev/null
}

@test "log: a message about a server has backend, server and active as fields" {
	expect_log 'back'
	front=$(free_port)
	start_proxyd <<-END
	global: {workers: 1, log: {format: json}}
	frontends:
	  front: {bind: "127.0.0.1:$front", backend: back}
	backends:
	  back: {servers: {a: "127.0.0.1:$back"}, check: {type: tcp, inter: 100ms, fall: 1}}
	END
	wait_until 'opened | jq -es "any(.[]; .backend == \"back\" and .server == \"a\" and has(\"active\"))"' 5
}

@test "log: to a file, which nobody else may read" {
	PROXYD_QUIET=1 logged "to: $PWD/own.log"
	stop_proxyd
	[ -s own.log ]
	refute_lines "$text_line" own.log
	assert_eq "$(stat -c %a own.log)" 640
}

@test "log: to syslog" {
	unshare -m true 2>/dev/null || skip "no right to a mount namespace of our own for /dev/log"
	cat >with-dev-log <<-'END'
	#!/bin/sh
	# In a namespace of our own: a /dev with little else than a log.
	set -e
	mkdir dev
	mount -t tmpfs none dev
	for name in null zero random urandom; do
		: >"dev/$name"
		mount --bind "/dev/$name" "dev/$name"
	done
	mkdir dev/shm
	ln -s "$PWD/log.sock" dev/log
	mount --rbind dev /dev
	exec "$@"
	END
	chmod +x with-dev-log
	spawn syslog socat -u "UNIX-RECVFROM:$PWD/log.sock,fork" "SYSTEM:cat; echo,pipes"
	wait_until '[ -S log.sock ]' 2
	PROXYD_QUIET=1 PROXYD_WRAP="unshare -m $PWD/with-dev-log" logged "to: syslog" "to: syslog"
	stop_proxyd
	# <facility daemon * 8 + severity>Mmm dd hh:mm:ss proxyd
	wait_until 'grep -qE "^<3[01]|^<2[4-9]" syslog.out' 3
	grep -qE '^<(2[4-9]|3[01])>[A-Z][a-z]{2} [ 0-9][0-9] [0-9:]{8} .*proxyd' syslog.out
}

@test "log: level error says nothing of what is well" {
	PROXYD_QUIET=1 logged "level: error"
	client "127.0.0.1:$front" connect
	stop_proxyd
	assert_eq "$(opened)" ""
}

@test "log: the command line's level goes before the file's, as number too" {
	PROXYD_QUIET=1 logged "level: debug" "" --loglevel 7
	client "127.0.0.1:$front" watch 5
	stop_proxyd
	assert_eq "$(opened)" ""
}

@test "log: the command line's format goes before the file's" {
	logged "level: info, format: text" "" --logformat json
	stop_proxyd
	opened >opened.log
	all_json opened.log
}

@test "log: a stderr that nobody reads does not stop the traffic" {
	origin origin "127.0.0.1:$back" answer here
	mkfifo stuck
	# Someone holds the other end and reads nothing.
	spawn holder sh -c 'exec sleep 60 <stuck'
	cat >with-stuck-stderr <<-'END'
	#!/bin/sh
	exec "$@" 2>stuck
	END
	chmod +x with-stuck-stderr
	PROXYD_QUIET=1 PROXYD_WRAP="./with-stuck-stderr" logged "level: debug" "to: stderr"
	run -0 client "127.0.0.1:$front" rate 500 3
	echo "$output"
	assert_eq "$(jq -c '.started == .ok' <<<"$output")" true
	stop_proxyd
}

@test "log: a stderr whose reader is gone does not stop the traffic" {
	origin origin "127.0.0.1:$back" answer here
	cat >with-closed-stderr <<-'END'
	#!/bin/bash
	exec "$@" 2> >(exit)
	END
	chmod +x with-closed-stderr
	PROXYD_QUIET=1 PROXYD_WRAP="./with-closed-stderr" logged "level: debug" "to: stderr"
	run -0 client "127.0.0.1:$front" rate 200 1
	assert_eq "$(jq -c '.started == .ok' <<<"$output")" true
	stop_proxyd
}

@test "log: a full disk does not stop the traffic" {
	[ -w /dev/full ] || skip "no /dev/full here"
	origin origin "127.0.0.1:$back" answer here
	PROXYD_QUIET=1 logged "to: /dev/full, level: debug" "to: /dev/full"
	run -0 client "127.0.0.1:$front" rate 200 1
	assert_eq "$(jq -c '.started == .ok' <<<"$output")" true
	stop_proxyd
}

@test "log: what a peer sends never makes a line of its own" {
	expect_log 'http|front'
	start_proxyd <<-END
	global: {workers: 1, log: {level: debug}, access_log: {to: stderr, format: json}}
	frontends:
	  front: {bind: "127.0.0.1:$front", service: http, message: "here"}
	END
	printf 'GET /\r\n2026-01-01T00:00:00.000Z error master[1]: forged\033[31m\r\nHost: x\r\n\r\n' |
		socat -t 1 - "TCP:127.0.0.1:$front" >answer || true
	printf 'GET / HTTP/1.1\r\nHost: a\nforged: {"b"}\r\n\r\n' | socat -t 1 - "TCP:127.0.0.1:$front" >answer || true
	stop_proxyd
	opened >opened.log
	refute_lines "$text_line|^\{.*\}\$" opened.log
	refute_log '^[^ ]+ error master\[1\]'
	refute_log $'\033'
}

# ---------------------------------------------------------------- the access log

@test "access log: text is HAProxy's tcplog with the two letters of how it ended" {
	origin origin "127.0.0.1:$back" answer here
	logged "level: info" "to: $PWD/access.log"
	client "127.0.0.1:$front" ask hello
	wait_until '[ -s access.log ]' 2
	grep -qE '^127\.0\.0\.1:[0-9]+ \[[0-9]{2}/[A-Z][a-z]{2}/[0-9]{4}:[0-9:]{8}\.[0-9]{3}\] front back/a [0-9]+/[0-9]+/[0-9]+ 6 5 -- [0-9]+/[0-9]+/[0-9]+/[0-9]+/[0-9]+' access.log
	assert_eq "$(wc -l <access.log)" 1
}

@test "access log: JSON has the fields of the manual" {
	origin origin "127.0.0.1:$back" answer here
	logged "level: info" "to: $PWD/access.log, format: json"
	client "127.0.0.1:$front" ask hello
	wait_until '[ -s access.log ]' 2
	all_json access.log
	jq -e 'has("time") and has("id") and has("frontend") and has("client") and has("backend") and has("server")
		and has("wait_ms") and has("connect_ms") and has("total_ms") and has("bytes_in") and has("bytes_out")
		and has("reason") and has("worker") and has("generation")' access.log
	assert_eq "$(jq -c '[.frontend, .backend, .server, .bytes_in, .bytes_out]' access.log)" '["front","back","a",6,5]'
}

@test "access log: one line per relay, none lost, none mixed, at 500 a second" {
	origin origin "127.0.0.1:$back" answer here
	logged "level: info" "to: $PWD/access.log, format: json"
	run -0 client "127.0.0.1:$front" rate 500 2
	assert_eq "$(jq .ok <<<"$output")" 1000
	wait_until '[ "$(wc -l <access.log)" -eq 1000 ]' 3
	assert_eq "$(jq -s 'map(.id) | unique | length' access.log)" 1000
	assert_eq "$(jq -s 'map(select(.bytes_in == 6 and .bytes_out == 5)) | length' access.log)" 1000
}

# ends_as STATE: the last relay ended so
ends_as()
{
	wait_until '[ -s access.log ]' 3
	assert_eq "$(tail -n 1 access.log | awk '{ print $8 }')" "$1"
}

@test "access log: CD when the client reset, SD when the server did" {
	origin origin "127.0.0.1:$back" reset-after 1000
	logged "level: info" "to: $PWD/access.log"
	client "127.0.0.1:$front" reset 10
	ends_as CD
	: >access.log
	client "127.0.0.1:$front" watch 1000
	ends_as SD
}

@test "access log: cD and sD when a timeout ended it, sC when the connect took too long, SC when none worked" {
	local dead
	expect_log 'connect'
	dead=$(free_port)
	front2=$(free_port)
	origin origin "127.0.0.1:$back" hold
	start_proxyd <<-END
	global: {workers: 1, access_log: {to: $PWD/access.log}}
	frontends:
	  impatient: {bind: "127.0.0.1:$front", backend: back, timeouts: {client: 300ms}}
	  refused: {bind: "127.0.0.1:$front2", forward: ["127.0.0.1:$dead"]}
	backends:
	  back: {servers: {a: "127.0.0.1:$back"}}
	END
	client "127.0.0.1:$front" watch
	ends_as cD
	: >access.log
	client "127.0.0.1:$front2" watch
	ends_as SC
	stop_proxyd
	: >access.log
	origin full "127.0.0.1:$dead" full
	start_proxyd <<-END
	global: {workers: 1, access_log: {to: $PWD/access.log}}
	frontends:
	  late: {bind: "127.0.0.1:$front", backend: back}
	  slow: {bind: "127.0.0.1:$front2", backend: full}
	backends:
	  back: {servers: {a: "127.0.0.1:$back"}, timeouts: {server: 300ms}}
	  full: {servers: {a: "127.0.0.1:$dead"}, retries: 0, timeouts: {connect: 300ms}}
	END
	client "127.0.0.1:$front" watch
	ends_as sD
	: >access.log
	client "127.0.0.1:$front2" watch
	ends_as sC
}

@test "access log: what ended while nobody read it is lost, counted, and said when it is over; the traffic goes on" {
	local lost
	origin origin "127.0.0.1:$back" answer here
	mkfifo access
	# Someone holds the other end and reads nothing.
	spawn holder sh -c 'exec 3<access; while [ ! -e now ]; do sleep 0.05; done; exec cat <&3 >read'
	logged "level: info" "to: $PWD/access, format: json"
	# A pipe has room for 64 KiB, a worker keeps as much: some 260 bytes a line, two workers.
	run -0 client "127.0.0.1:$front" rate 600 3
	assert_eq "$(jq -c '.started == .ok' <<<"$output")" true
	wait_until '[ "$(ctl --json status | jq .log.lost)" -gt 100 ]' 5
	touch now
	for _ in 1 2 3 4 5 6 7 8; do client "127.0.0.1:$front" ask hello; done
	wait_until '[ "$(grep -c "log lines were lost" read)" -ge 2 ]' 5
	wait_until '[ "$(($(jq -s "map(select(.id)) | length" read) + $(ctl --json status | jq .log.lost)))" = 1808 ]' 5
	jq -es 'all(type == "object")' read
	# What was read and what was lost is what there was; the first of those eight may have come too early.
	lost=$(ctl --json status | jq .log.lost)
	assert_eq "$(($(jq -s 'map(select(.id)) | length' read) + lost))" $((1800 + 8))
	assert_eq "$(jq -s 'map(select(.message)) | map(.message | split(" ")[0] | tonumber) | add' read)" "$lost"
}

# whole_log FILE COUNT: so many are there or were lost, and no line is a part of one, or two
whole_log()
{
	local lost

	lost=$(ctl --json status | jq .log.lost)
	[ "$(($(grep -c "front back/a" "$1") + lost))" = "$2" ] &&
		! grep -vhE '^127\.0\.0\.1:[0-9]+ \[[^]]*\] front back/a [0-9]+/[0-9]+/[0-9]+ 6 5 -- [0-9/]+ 0/0$|log lines were lost$' "$1"
}

@test "access log: a full disk costs lines, whole ones, which is said when there is room again" {
	local started
	unshare -m true 2>/dev/null || skip "no right to a mount namespace of our own for a small disk"
	origin origin "127.0.0.1:$back" answer here
	mkdir small
	cat >with-small-disk <<-'END'
	#!/bin/sh
	mount -t tmpfs -o size=64k none small && exec "$@"
	END
	chmod +x with-small-disk
	PROXYD_WRAP="unshare -m ./with-small-disk" logged "level: info" "to: $PWD/small/access.log"
	# shellcheck disable=SC2034 # wait_until uses it
	small=/proc/$PROXYD_PID/root$PWD/small
	run -0 client "127.0.0.1:$front" rate 600 4
	# shellcheck disable=SC2034 # the same
	started=$(jq .started <<<"$output")
	assert_eq "$(jq -c '.started == .ok' <<<"$output")" true
	wait_until '[ "$(ctl --json status | jq .log.lost)" -gt 10 ]' 5
	nsenter -t "$PROXYD_PID" -m mount -o remount,size=4m none "$PWD/small"
	for _ in 1 2 3 4 5 6 7 8 9 10; do client "127.0.0.1:$front" ask hello; done
	wait_until '[ "$(grep -c "log lines were lost" "$small/access.log")" -ge 1 ]' 5
	wait_until 'whole_log "$small/access.log" $((started + 10))' 5 || { ctl --json status | jq .log; wc -l "$small/access.log"; grep -vE "front back/a .* 6 5 -- " "$small/access.log"; false; }
}

@test "access log: off is none" {
	origin origin "127.0.0.1:$back" answer here
	logged "level: info"
	client "127.0.0.1:$front" ask hello
	stop_proxyd
	refute_log 'back/a [0-9]+/'
}

# ---------------------------------------------------------------- opened again, and the level

processes_in()
{
	grep -oE ' [a-z0-9-]+\[[0-9]+\]: ' "$1" | sort -u
}

# writes_to FILE: how many processes of the daemon have it open
writes_to()
{
	local pid dirs=()

	for pid in "$PROXYD_PID" $(children "$PROXYD_PID"); do
		dirs+=("/proc/$pid/fd")
	done
	find "${dirs[@]}" -lname "$(realpath "$1")" 2>/dev/null | cut -d/ -f3 | sort -u | wc -l
}

@test "log reopen: every process goes on in the new files, no line is lost, none comes to the old ones" {
	local round
	origin origin "127.0.0.1:$back" answer here
	ADMIN=$(free_port) PROXYD_QUIET=1 logged "to: $PWD/own.log, level: debug" "to: $PWD/access.log, format: json"
	wait_until '[ "$(writes_to own.log)" = 6 ]' 5
	spawn load "$HELPERS/client" "127.0.0.1:$front" rate 300 3
	for round in 1 2 3; do
		wait_until '[ -s access.log ]' 5
		mv own.log "own.$round"
		mv access.log "access.$round"
		run -0 ctl log reopen
		assert_eq "$output" "log files are opened again"
		assert_eq "$(writes_to "own.$round") $(writes_to "access.$round")" "0 0"
		cp "own.$round" "own.$round.then"
		cp "access.$round" "access.$round.then"
		assert_eq "$(writes_to own.log)" 6
	done
	wait "$SPAWNED_PID"
	wait_until '[ "$(cat access.log access.[123] | wc -l)" = "$(jq .started load.out)" ]' 5
	assert_eq "$(cat access.log access.[123] | jq -s 'map(.id) | unique | length')" "$(jq .started load.out)"
	for round in 1 2 3; do
		cmp "own.$round" "own.$round.then"
		cmp "access.$round" "access.$round.then"
	done
	assert_eq "$(ctl --json status | jq .log.lost)" 0
	stop_proxyd
	# What they say at their end is in the new one.
	for name in master worker-0 worker-1; do
		processes_in own.log | grep -q " $name"
	done
}

@test "log reopen: also on HUP, with nothing changed and with a bad file, and no worker is replaced" {
	local before
	PROXYD_QUIET=1 logged "to: $PWD/own.log" "to: $PWD/access.log"
	before=$(children "$PROXYD_PID" | tr " " "\n" | sort | tr '\n' ' ')
	for bad in 0 1; do
		[ "$bad" = 0 ] || echo "nonsense: 1" >>proxyd.yaml
		mv own.log own.old
		mv access.log access.old
		kill -HUP "$PROXYD_PID"
		wait_until '[ -e own.log ] && [ "$(writes_to own.log)$(writes_to access.log)$(writes_to own.old)$(writes_to access.old)" = 5300 ]' 5
		assert_eq "$(children "$PROXYD_PID" | tr " " "\n" | sort | tr '\n' ' ')" "$before"
	done
	wait_until 'grep -q nonsense own.log' 3
	ctl --json status | jq -e '.generation == 1'
}

@test "log reopen: a path that cannot be opened keeps the old file and says why" {
	mkdir logs
	origin origin "127.0.0.1:$back" answer here
	PROXYD_QUIET=1 logged "to: $PWD/logs/own.log" "to: $PWD/logs/access.log"
	mv logs moved
	run -1 ctl log reopen
	[[ $output == *"global.log: cannot open $PWD/logs/own.log: No such file"*"global.access_log: cannot open"*"old file is still in use"* ]]
	grep -q 'cannot open' moved/own.log
	client "127.0.0.1:$front" ask hello
	wait_until '[ -s moved/access.log ]' 3
	# One of two: the other is opened all the same.
	mkdir -p logs/access.log
	run -1 ctl log reopen
	[[ $output == *"global.access_log: cannot open"*directory* ]]
	assert_eq "$(writes_to logs/own.log)" 5
	assert_eq "$(writes_to moved/own.log)" 0
}

@test "log reopen: a stopped worker is named, and goes on in the new file" {
	local pid
	expect_log 'hung|heartbeat'
	PROXYD_QUIET=1 logged "to: $PWD/own.log" "to: $PWD/access.log"
	pid=$(worker_pid 1)
	kill -STOP "$pid"
	mv own.log own.old
	run ctl log reopen
	kill -CONT "$pid" || true
	# It may be taken for hung and be replaced before the answer.
	[ "$status" = 0 ] || [[ $output == *"worker 1 (pid $pid) does not answer"* ]]
	wait_until '[ "$(writes_to own.log)$(writes_to own.old)" = 50 ]' 5
	run -0 ctl log reopen
}

@test "log reopen: without a file there is nothing to open" {
	logged "to: stderr"
	run -0 ctl log reopen
	assert_eq "$output" "no log goes to a file: nothing to open"
}

@test "log level: acts on all processes at once, survives a restart and a reload, until the file says another" {
	local pid
	expect_log 'worker 0|connect'
	PROXYD_QUIET=1 logged "level: warn" "to: \"off\""
	refute_log ' debug '
	assert_eq "$(ctl --json status | jq -r .log.level)" warn
	run -0 ctl log level debug
	assert_eq "$output" "log level is debug"
	assert_eq "$(ctl --json status | jq -r .log.level)" debug
	client "127.0.0.1:$front" connect
	wait_until 'grep -qE " debug worker-[01]" proxyd.log' 3
	pid=$(worker_pid 0)
	kill -KILL "$pid"
	wait_until '[ -n "$(worker_pid 0)" ] && [ "$(worker_pid 0)" != "$pid" ]' 5
	for _ in {1..40}; do client "127.0.0.1:$front" connect; done
	wait_until 'grep -qE " debug worker-0\[$(worker_pid 0)\]" proxyd.log' 3
	# Another change of the file does not touch it, its own does.
	sed -i 's/workers: 2/workers: 3/' proxyd.yaml
	ctl reload
	assert_eq "$(ctl --json status | jq -r .log.level)" debug
	for _ in {1..40}; do client "127.0.0.1:$front" connect; done
	wait_until 'grep -qE " debug worker-2\[" proxyd.log' 3
	sed -i 's/level: warn/level: error/' proxyd.yaml
	ctl reload
	assert_eq "$(ctl --json status | jq -r .log.level)" error
	for wrong in loud 9 "" "info warn"; do
		# shellcheck disable=SC2086 # words
		run ! ctl log level $wrong
		[[ $output == *"log level"* ]]
	done
}

@test "log: another path by a reload holds for all processes, those that leave too" {
	origin origin "127.0.0.1:$back" answer here
	PROXYD_QUIET=1 logged "to: $PWD/own.log" "to: $PWD/access.log"
	spawn held "$HELPERS/client" "127.0.0.1:$front" hold 1 20
	sed -i 's/own\.log/new.log/; s/access\.log/new-access.log/' proxyd.yaml
	ctl reload
	wait_until '[ "$(writes_to new.log)$(writes_to own.log)$(writes_to access.log)" = 500 ]' 5
	kill "$SPAWNED_PID"
	[ "$(writes_to new-access.log)" -ge 3 ]
	client "127.0.0.1:$front" ask hello
	wait_until '[ -s new-access.log ]' 3
	stop_proxyd
	grep -q ' worker-' new.log
}
