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
	global: {workers: 2, log: {$log}, access_log: {$access}}
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

@test "access log: off is none" {
	origin origin "127.0.0.1:$back" answer here
	logged "level: info"
	client "127.0.0.1:$front" ask hello
	stop_proxyd
	refute_log 'back/a [0-9]+/'
}
