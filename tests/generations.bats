#!/usr/bin/env bats
# A generation replaces another under live relays: nobody notices.
# alone: it measures pauses and loads all processors

load helpers/common
load helpers/streams
load helpers/generations

# reload_by COMMAND WORKERS_AFTER WHAT: and what replaced measures.
reload_by()
{
	local old at before

	old=$(pids_of worker)
	before=$(moved)
	at=$(now_ms)
	eval "$1"
	replaced "$old" "$2" "$at" "$before" "$3"
}

@test "generations: HUP under 5,000 relays and 500 new connections a second" {
	local i n=$((5000 / SLOW))

	generations_start 4
	streams_start "$(mix_of $n)"
	newcomers_start $((500 / SLOW))
	for i in 2 3 4; do
		streams_say mark >/dev/null
		configure 4 "$i"
		reload_by 'kill -HUP "$PROXYD_PID"' 4 "HUP"
		assert_pause "HUP" 50
		assert_eq "$(serving_number)" "$i"
	done
	assert_best_pause 50
	assert_eq "$(ctl --json status | jq .moves.failed)" 0
	newcomers_stop
	streams_finish
	nothing_left
	stop_proxyd
}

@test "generations: the number of workers changes in both directions, and no connection is lost" {
	local i=1 workers

	generations_start 4
	streams_start "$(mix_of 300)"
	newcomers_start $((500 / SLOW))
	for workers in 1 4 2 3; do
		configure "$workers" $((++i))
		reload_by 'ctl reload' "$workers" "$workers workers"
	done
	newcomers_stop
	streams_finish
	nothing_left
}

@test "generations: idle relays are moved as they are: id, age, counters" {
	generations_start 2
	streams_start --idle 200 --stuck 6 --bulk 0
	ctl --json show sessions | jq -S 'map(select(.frontend == "front")) | map({id, client, server, state}) | sort_by(.id)' >before.json
	configure 3 2
	ctl reload
	wait_until 'one_generation 3' 5
	ctl --json show sessions | jq -S 'map(select(.frontend == "front")) | map({id, client, server, state}) | sort_by(.id)' >after.json
	cmp before.json after.json
	shown show sessions 'map(select(.frontend == "front") | .generation) | unique == [2]'
	counts_agree 206
	wait_until 'shown show sessions "map(select(.frontend == \"front\") | .age_ms) | min > 1500"' 3
	streams_finish
	nothing_left
}

@test "generations: a relay that is connecting stays, and moves when it relays" {
	local at held

	generations_start 2
	streams_start --idle 20
	back=$(free_port)
	spawn full "$HELPERS/origin" "127.0.0.1:$back" full
	wait_until 'grep -q ready full.out' 5
	FRONTENDS="  slow: {bind: \"$SPARE\", forward: [\"127.0.0.1:$back\"]}" configure 2 2
	expect_log "slow"
	ctl reload
	wait_until 'one_generation 2' 5
	spawn held "$HELPERS/client" "$SPARE" hold 1 30
	held=$SPAWNED_PID
	wait_until 'shown show sessions "map(select(.frontend == \"slow\")) | length == 1"' 5
	FRONTENDS="  slow: {bind: \"$SPARE\", forward: [\"127.0.0.1:$back\"]}" configure 2 3
	ctl reload
	assert_eq "$(serving_number)" 3
	# The old generation waits for this one alone.
	shown show generations 'length == 2 and (map(.active) | add >= 21)'
	kill "$held"
	wait_until 'one_generation 2' 15
	streams_finish
	nothing_left
}

@test "generations: what a server that left the file relays drains, and ends with drain_timeout" {
	local at kept

	expect_log 'drain'
	DRAIN=2s generations_start 2
	origin leaving "$SPARE" echo
	DRAIN=2s SERVERS=", c: \"$SPARE\", d: \"$SPARE\"" configure 2 2
	ctl reload
	streams_start --idle 50 --chat 20
	# All three in turn, so that some are at c and d.
	spawn kept "$HELPERS/client" "$SECOND" hold 9 30
	kept=$SPAWNED_PID
	wait_until '[ "$(origin_count leaving)" -ge 5 ]' 5
	DRAIN=2s configure 2 3
	ctl reload
	at=$(now_ms)
	shown show generations 'length == 2'
	wait_until 'one_generation 2' 10
	assert_between $(($(now_ms) - at)) 1000 $((3500 * SLOW)) "ms until drain_timeout had ended them"
	kill "$kept"
	streams_finish
	nothing_left
}

@test "generations: with one worker before and after" {
	generations_start 1
	streams_start "$(mix_of 200)"
	newcomers_start $((300 / SLOW))
	configure 1 2
	reload_by 'ctl reload' 1 "one worker"
	newcomers_stop
	streams_finish
	nothing_left
}

@test "generations: rebalance evens the workers out, and nobody notices" {
	generations_start 1
	streams_start --idle 300 --chat 100 --half-client 20 --half-server 20 --stuck 12
	configure 3 2
	ctl reload
	wait_until 'one_generation 3' 5
	# Whatever a reload does with them: two die, and one has all.
	expect_deaths
	sleep 1.3
	# shellcheck disable=SC2046 # pids
	kill -KILL $(pids_of worker | head -n 2)
	wait_until 'one_generation 3 && shown show workers "map(.active) | add >= 452"' 10
	ctl rebalance
	wait_until 'shown show workers "map(.active) | (max - min) <= (add / length * 0.1 + 1)"' 5 || { ctl show workers >&2 && return 1; }
	counts_agree 452
	streams_finish
	nothing_left
}

@test "generations: a storm of reloads, good and bad files, workers, frontends and servers that come and go" {
	reload_storm 12 8 $((1000 / SLOW))
}

@test "generations: reloads leave nothing behind" {
	growth_of_reloads $((15 / SLOW))
}
