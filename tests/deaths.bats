#!/usr/bin/env bats
# Any one process dies or hangs, under live relays that are checked byte by byte: none that was kept is lost.
# alone: it measures pauses and loads all processors

load helpers/common
load helpers/streams
load helpers/generations

# old_enough: so that every relay that is there has been deposited.
old_enough()
{
	sleep 1.3
	wait_until keeper_is_filled 5
}

# steady WORKERS: 300 relays that do not churn, all of them kept.
steady()
{
	expect_deaths
	generations_start "$1"
	streams_start --idle 150 --chat 100 --half-client 15 --half-server 15 --stuck 12 --bulk 8 --bulk-rate 16m
	old_enough
}

@test "deaths: kill -9 of a worker with 5,000 relays" {
	local n=$((5000 / SLOW)) at pid

	expect_deaths
	generations_start 3
	streams_start "$(mix_of $n) --keep-after 1300"
	newcomers_start $((300 / SLOW))
	old_enough
	streams_say mark >/dev/null
	pid=$(a_pid_of worker)
	at=$(now_ms)
	kill -KILL "$pid"
	wait_until 'shown status ".moves.moved > 0" && one_generation 3' 5
	figure "$(($(now_ms) - at)) ms until it was replaced; moves $(ctl --json status | jq -c .moves)"
	assert_pause "a dead worker" 300
	newcomers_stop but reset short
	streams_finish
	nothing_left
}

@test "deaths: two of three workers at once" {
	steady 3
	# shellcheck disable=SC2046 # pids
	kill -KILL $(pids_of worker | head -n 2)
	wait_until 'one_generation 3' 10
	counts_agree 300
	streams_finish
	nothing_left
}

@test "deaths: all workers at once; their successors adopt" {
	steady 3
	# shellcheck disable=SC2046 # pids
	kill -KILL $(pids_of worker)
	wait_until 'one_generation 3' 10
	counts_agree 300
	streams_finish
	nothing_left
}

@test "deaths: the only worker" {
	local i

	steady 1
	for i in 1 2 3; do
		kill -KILL "$(pids_of worker)"
		wait_until 'one_generation 1' 10
		wait_until keeper_is_filled 5
	done
	counts_agree 300
	streams_finish
	nothing_left
}

@test "deaths: an old and a new worker in the middle of a move" {
	local i pid old

	steady 2
	for i in 2 3 4 5; do
		old=$(pids_of worker)
		configure 2 "$i"
		# While the keeper stands still, so does the move.
		kill -STOP "$(keeper_pid)"
		kill -HUP "$PROXYD_PID"
		wait_until '[ "$(pids_of worker | wc -l)" -eq 4 ]' 5
		doze 50
		if [ $((i % 2)) -eq 0 ]; then
			pid=$(pids_of worker | grep -vxF "$old" | head -n 1)
		else
			pid=$(head -n 1 <<<"$old")
		fi
		kill -KILL "$pid"
		doze 50
		kill -CONT "$(keeper_pid)"
		wait_until 'one_generation 2' 15
	done
	counts_agree 300
	streams_finish
	nothing_left
}

@test "deaths: a stopped worker is replaced, its relays go on within the heartbeat's time" {
	local at pid

	steady 3
	newcomers_start $((200 / SLOW))
	streams_say mark >/dev/null
	pid=$(a_pid_of worker)
	kill -STOP "$pid"
	at=$(now_ms)
	wait_until "! alive $pid && one_generation 3" 6
	figure "$(($(now_ms) - at)) ms until the stopped worker was replaced"
	counts_agree 300
	assert_pause "a stopped worker" 2500
	newcomers_stop but reset short
	streams_finish
	nothing_left
}

@test "deaths: a worker in an endless loop is replaced, its relays go on" {
	local pid

	[ -z "${SAN:-}" ] || skip "the sanitizers' library has to be preloaded first"
	export SPIN=proxyd-worker-1
	PROXYD_WRAP="env LD_PRELOAD=$HELPERS/spin.so" steady 3
	pid=$(pids_of worker-1)
	touch spin
	# One of these comes to worker 1.
	newcomers_start 100
	wait_until "! alive $pid" 6
	rm spin
	wait_until 'one_generation 3' 5
	counts_agree 300
	newcomers_stop but reset short timeout
	streams_finish
	nothing_left
}

@test "deaths: the keeper; the next one is filled again, and a worker may die" {
	local pid

	steady 3
	newcomers_start $((300 / SLOW))
	streams_say mark >/dev/null
	pid=$(keeper_pid)
	kill -KILL "$pid"
	wait_until "is_another keeper $pid && keeper_is_filled" 5
	assert_pause "a dead keeper" 50
	counts_agree 300
	newcomers_stop
	kill -KILL "$(a_pid_of worker)"
	wait_until 'one_generation 3' 5
	counts_agree 300
	streams_finish
	nothing_left
}

@test "deaths: a stopped keeper holds nobody up, and is replaced" {
	local pid

	steady 3
	newcomers_start $((300 / SLOW))
	streams_say mark >/dev/null
	pid=$(keeper_pid)
	kill -STOP "$pid"
	wait_until "is_another keeper $pid && keeper_is_filled" 8
	assert_pause "a stopped keeper" 50
	newcomers_stop
	kill -KILL "$(a_pid_of worker)"
	wait_until 'one_generation 3' 5
	streams_finish
	nothing_left
}

@test "deaths: the keeper in the middle of a move" {
	local i pid

	steady 2
	for i in 2 3 4; do
		pid=$(keeper_pid)
		configure 2 "$i"
		kill -HUP "$PROXYD_PID"
		doze 80
		kill -KILL "$pid"
		wait_until "is_another keeper $pid && one_generation 2 && keeper_is_filled" 15
	done
	assert_eq "$(serving_number)" 4
	counts_agree 300
	streams_finish
	nothing_left
}

@test "deaths: the keeper and a worker at once: the others' relays and all bytes are right" {
	expect_deaths
	generations_start 3
	streams_start --idle 150 --chat 100 --stuck 12 --keep-after 3600000
	old_enough
	kill -KILL "$(keeper_pid)" "$(a_pid_of worker)"
	wait_until 'one_generation 3 && keeper_is_filled' 10
	streams_finish
	# Whatever of them broke, of two workers there is nothing to break.
	[ "$(streams_result .ok)" -ge 100 ]
	nothing_left
}

@test "deaths: keep_after off: what the dead worker had is lost and said, moves go on" {
	expect_deaths
	GLOBAL="keep_after: off" generations_start 3
	streams_start --idle 200 --chat 100 --keep-after 3600000
	GLOBAL="keep_after: off" configure 3 2
	ctl reload
	wait_until 'one_generation 3' 5
	counts_agree 300
	assert_eq "$(streams_say stats | jq .broken)" 0
	kill -KILL "$(a_pid_of worker)"
	wait_until '[ "$(streams_say stats | jq .broken)" -ge 30 ]' 5
	wait_until 'one_generation 3' 5
	streams_finish
	assert_eq "$(streams_result '.broken + .ok')" 300
	nothing_left
}

@test "deaths: keep_after 0: a relay is kept from its first byte" {
	local i

	expect_deaths
	GLOBAL="keep_after: 0" generations_start 3
	# Nothing of what lives here is as old as a second; what is younger than a few turns may still be on its way.
	streams_start --churn 300 --life-ms 900 --chat-ms 30 --keep-after 150
	for i in 1 2 3 4; do
		kill -KILL "$(a_pid_of worker)"
		wait_until 'one_generation 3' 10
	done
	streams_finish
	nothing_left
}

@test "deaths: a keeper without room says so once; planned acts move all relays all the same" {
	expect_deaths
	expect_log 'keeper.*(limit|room|full)'
	PROXYD_WRAP="prlimit --nofile=1024" generations_start 4
	streams_start --idle 700 --chat 100
	sleep 1.3
	shown status '.moves.kept > 100 and .moves.kept < 800'
	newcomers_start $((100 / SLOW))
	configure 4 2
	ctl reload
	wait_until 'one_generation 4' 10
	counts_agree 800
	newcomers_stop
	assert_between "$(grep -ciE 'keeper.*(limit|room|full)' proxyd.log)" 1 2 "lines that say it"
	streams_finish
	nothing_left
}

@test "deaths: workers at random, under newcomers and relays of every kind" {
	death_storm $((10 / SLOW)) $((1000 / SLOW))
}

@test "deaths: worker deaths leave nothing behind" {
	growth_of_deaths 10
}
