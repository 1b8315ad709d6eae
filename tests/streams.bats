#!/usr/bin/env bats
# Thousands of relays of every kind, each checked byte by byte at both ends; and that the checker finds what is wrong.
# alone: it loads all processors

load helpers/common
load helpers/streams

# streams_direct OPTION...: without a proxy between.
streams_direct()
{
	local at

	at=127.0.0.1:$(free_port)
	"$STREAMS" --patience 5 "$@" "$at" "$at" >direct.out 2>direct.err
}

# finds WHAT JQ OPTION...: this fault makes it exit 1, and the filter is true of its result.
finds()
{
	local what=$1 code=0

	streams_direct --chat 5 --chat-ms 20 --seconds 1 --fault "$what@300" || code=$?
	assert_eq "$code" 1 "the exit code for $what"
	tail -n 1 direct.out | jq -e "$2" >/dev/null || { echo "$what is not seen as $2:" && cat direct.out && return 1; } >&2
}

relays_of()
{
	FRONT=127.0.0.1:$(free_port)
	BACK=127.0.0.1:$(free_port)
	start_proxyd <<-END
	global: {workers: 4}
	defaults: {timeouts: {client: 1h, client_fin: 1h, server: 1h, server_fin: 1h}}
	frontends:
	  front: {bind: "$FRONT", forward: ["$BACK"]}
	END
	streams_start "$@"
}

@test "streams: without a proxy between, all is right" {
	streams_direct --idle 50 --chat 50 --half-client 20 --half-server 20 --stuck 30 --bulk 8 --churn 20 --life-ms 500 --seconds 2
	tail -n 1 direct.out | jq -e '.ok == .opened and .opened > 200 and .broken == 0 and .wrong_bytes == 0' >/dev/null
}

@test "streams: a flipped, a missing and a doubled byte are found, told apart and counted" {
	local side

	for side in client origin; do
		finds "$side:flip" '.wrong == 1 and .ok == 4 and .wrong_bytes == 1 and .missing_bytes == 0 and .doubled_bytes == 0'
		finds "$side:skip" '.wrong == 1 and .ok == 4 and .missing_bytes == 1 and .doubled_bytes == 0'
		finds "$side:double" '.wrong == 1 and .ok == 4 and .doubled_bytes == 1 and .missing_bytes == 0'
	done
}

@test "streams: an end that nobody sent and a reset are found, with the relay's age" {
	local side

	for side in client origin; do
		finds "$side:fin" '.early_eof == 1 and .ok == 4 and .broken == 1 and .incidents[0].relay == 0 and .incidents[0].age_ms < 1000'
		finds "$side:reset" '.reset == 1 and .ok == 4 and .broken == 1 and .incidents[0].relay == 0'
	done
}

@test "streams: 5,000 relays of every kind through the proxy, all of them right" {
	local n
	n=$((5000 / SLOW))
	relays_of "$(mix_of $n)"
	newcomers_start $((500 / SLOW))
	wait_until '[ "$(streams_say stats | jq .rtt.n)" -gt 5000 ]' 10
	[ "$(streams_say stats | jq .stuck_bytes.least)" -ge 1000000 ]
	wait_until '[ "$(streams_say stats | jq .newcomers)" -gt $((1000 / SLOW)) ]' 10
	newcomers_stop
	streams_finish
	[ "$(streams_result .opened)" -ge $((n * 9 / 10)) ]
	assert_eq "$(streams_result .ok)" "$(streams_result .opened)"
	stop_proxyd
}
