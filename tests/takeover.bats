#!/usr/bin/env bats
# What a next master finds: dead workers, other places, other users, what an attempt before it left.
# alone: it loads all processors

# shellcheck disable=SC2154 # run sets stderr
# shellcheck disable=SC2034 # the helpers read them
load helpers/common
load helpers/streams
load helpers/generations

# Until there is one of each, and as many workers.
all_is_one()
{
	wait_until "[ \$(pids_of master | wc -l) -eq 1 ] && [ \$(pids_of keeper | wc -l) -eq 1 ] && one_generation $1" 15
}

# The master is killed; it is a zombie until we look.
without_master()
{
	kill -KILL "$PROXYD_PID"
	wait_until "! alive $PROXYD_PID" 2
}

old_enough()
{
	sleep 1.3
	wait_until keeper_is_filled 5
}

@test "takeover: a worker that dies without a master: its relays wait for the next one" {
	expect_deaths
	generations_start 3
	streams_start --idle 150 --stuck 6 --half-client 10 --half-server 10
	old_enough
	without_master
	kill -KILL "$(a_pid_of worker)" 2>/dev/null || :
	sleep 0.5
	start_proxyd <proxyd.yaml
	all_is_one 3
	counts_agree 176
	streams_finish
	nothing_left
	end_proxyd
}

@test "takeover: all workers die without a master" {
	expect_deaths
	generations_start 2
	streams_start --idle 100
	old_enough
	without_master
	# shellcheck disable=SC2046 # pids
	kill -KILL $(pids_of worker)
	# Then nobody is left whom the keeper would wait for: it ends, and with it what it kept.
	wait_until '[ -z "$(pids_of keeper)" ]' 5
	start_proxyd <proxyd.yaml
	all_is_one 2
	end_proxyd
}

@test "takeover: counters, administrative state and health go on" {
	local accepted

	expect_deaths
	generations_start 2
	streams_start --idle 40
	client "$PROBE" ask $'GET / HTTP/1.0\r\n\r' >/dev/null
	accepted=$(ctl --json show workers | jq 'map(.accepted) | add')
	upgraded_by 'ctl upgrade'
	assert_eq "$(ctl --json show workers | jq 'map(.accepted) | add')" "$accepted"
	without_master
	start_proxyd <proxyd.yaml
	all_is_one 2
	[ "$(ctl --json show workers | jq 'map(.accepted) | add')" -ge "$accepted" ]
	[ "$(ctl --json show frontends | jq 'map(.total) | add')" -ge "$accepted" ]
	streams_finish
	nothing_left
	end_proxyd
}

@test "takeover: in the background, with a pidfile, from another directory than /" {
	local master

	expect_deaths
	GLOBAL="pidfile: \"$PWD/proxyd.pid\", log: {to: \"$PWD/proxyd.log\"}"
	read -ra ports <<<"$(free_port 6)"
	FRONT=127.0.0.1:${ports[0]} SECOND=127.0.0.1:${ports[1]} PROBE=127.0.0.1:${ports[2]}
	BACK=127.0.0.1:${ports[3]},127.0.0.1:${ports[4]}
	configuration 2 1 >proxyd.yaml
	"$PROXYD" -D -c proxyd.yaml --control "$PWD/control.sock" 3>&-
	follow_master
	assert_eq "$(cat proxyd.pid)" "$PROXYD_PID"
	streams_start --idle 30
	master=$PROXYD_PID
	ctl upgrade
	wait_until "! alive $master && follow_master" 5
	wait_until "ctl --json show generations | jq -e 'length == 1'" 5
	assert_eq "$(cat proxyd.pid)" "$PROXYD_PID"
	assert_eq "$(readlink "/proc/$PROXYD_PID/cwd")" /
	without_master
	"$PROXYD" -D -c proxyd.yaml --control "$PWD/control.sock" 3>&-
	follow_master
	assert_eq "$(cat proxyd.pid)" "$PROXYD_PID"
	wait_until "ctl --json show generations | jq -e 'length == 1'" 5
	counts_agree 30
	streams_finish
	nothing_left
	stop_background
	[ ! -e proxyd.pid ]
	[ ! -e control.sock ]
	[ ! -e takeover.sock ]
}

stop_background()
{
	kill -TERM "$PROXYD_PID"
	wait_until "! alive $PROXYD_PID" 10
}

@test "takeover: workers of another user" {
	[ "$(id -u)" -eq 0 ] || skip "not root"
	expect_deaths
	GLOBAL="user: nobody" generations_start 2
	streams_start --idle 30 --chat 10
	upgraded_by 'ctl upgrade'
	without_master
	start_proxyd <proxyd.yaml
	all_is_one 2
	assert_eq "$(stat -c %U "/proc/$(keeper_pid)")" nobody
	upgraded_by 'ctl upgrade'
	streams_finish
	nothing_left
	end_proxyd
}

@test "takeover: all of it as a user that is not root" {
	[ "$(id -u)" -eq 0 ] || skip "not root: every test is this one"
	expect_deaths
	chmod 777 .
	PROXYD_WRAP="setpriv --reuid=nobody --regid=nogroup --clear-groups" generations_start 2
	streams_start --idle 30 --chat 10
	upgraded_by 'ctl upgrade'
	without_master
	PROXYD_WRAP="setpriv --reuid=nobody --regid=nogroup --clear-groups" start_proxyd <proxyd.yaml
	all_is_one 2
	upgraded_by 'kill -USR2 "$PROXYD_PID"'
	streams_finish
	nothing_left
	end_proxyd
}

@test "takeover: capabilities that a user was given stay" {
	local as="setpriv --reuid=nobody --regid=nogroup --clear-groups --inh-caps=-all,+net_bind_service"

	[ "$(id -u)" -eq 0 ] || skip "not root"
	chmod 777 .
	PROXYD_WRAP="$as --ambient-caps=-all,+net_bind_service" generations_start 2
	upgraded_by 'ctl upgrade'
	upgraded_by 'ctl upgrade'
	assert_eq "$(grep -c 'capabilities kept: net_bind_service' proxyd.log)" 3
	end_proxyd
}

@test "takeover: a run directory that was replaced is no obstacle to an upgrade" {
	expect_deaths
	mkdir run
	PROXYD_CONTROL=run/control.sock PROXYD_QUIET=1
	SOCKET=$PWD/run/control.sock
	generations_start 2
	streams_start --idle 30
	rm -r run
	mkdir run
	upgraded_by 'kill -USR2 "$PROXYD_PID"'
	[ -S run/takeover.sock ]
	counts_agree 30
	streams_finish
	nothing_left
	end_proxyd
}

@test "takeover: a second start is told who runs" {
	generations_start 2
	run -1 --separate-stderr timeout 10 "$PROXYD" -c proxyd.yaml --control control.sock
	[[ $stderr == *"already running, pid $PROXYD_PID "* ]]
	assert_eq "$(serving_number)" 1
	end_proxyd
}

@test "takeover: starts that fail leave the orphans as they were" {
	local i pid

	expect_deaths
	generations_start 2
	streams_start --idle 40 --chat 20
	cp proxyd.yaml good.yaml
	without_master
	# A port that somebody has.
	spawn other "$HELPERS/origin" "$SPARE" echo
	wait_until "listening ${SPARE##*:}" 2
	FRONTENDS="  guest: {bind: \"$SPARE\", service: echo}" configuration 2 2 >bad.yaml
	run -1 timeout 10 "$PROXYD" -c bad.yaml --control control.sock
	# One that is killed at any moment.
	for i in 1 2 3 4 5; do
		spawn_proxyd <good.yaml
		doze 40
		kill -KILL "$PROXYD_PID"
		wait_until "! alive $PROXYD_PID" 2
	done
	start_proxyd <good.yaml
	all_is_one 2
	assert_eq "$(serving_number)" 1
	counts_agree 60
	streams_finish
	nothing_left
	end_proxyd
}

@test "takeover: upgrades, good and bad ones, leave nothing behind" {
	local i

	expect_log 'upgrade'
	generations_start 2
	# What the first one was started with of open files is not passed on.
	upgraded_by 'ctl upgrade'
	footprint_at_rest before.footprint
	for _ in 1 2 3; do
		mv proxyd.yaml good.yaml
		echo "frontends: 3" >proxyd.yaml
		run -1 ctl upgrade
		run -1 ctl upgrade /etc/passwd
		mv good.yaml proxyd.yaml
		upgraded_by 'ctl upgrade'
	done
	wait_until 'footprint_as before.footprint 2>/dev/null 3>/dev/null' 5 || footprint_as before.footprint
	end_proxyd
}

@test "takeover: reloads and upgrades follow each other at once" {
	local i master

	expect_deaths
	generations_start 3
	streams_start --idle 200 --chat 100 --churn 50
	for i in 2 3 4 5 6; do
		configure 3 "$i"
		ctl reload
		master=$PROXYD_PID
		ctl upgrade
		wait_until "! alive $master && follow_master" 5
	done
	all_is_one 3
	assert_eq "$(serving_number)" 6
	streams_finish
	nothing_left
	end_proxyd
}

@test "takeover: workers that die around an upgrade" {
	local i

	expect_deaths
	expect_log 'take over'
	generations_start 3
	streams_start --idle 200 --chat 100 --keep-after 1300
	old_enough
	for i in 1 2 3 4 5; do
		kill -KILL "$(a_pid_of worker)" 2>/dev/null || :
		ctl upgrade
		doze 30
		kill -KILL "$(a_pid_of worker)" 2>/dev/null || :
		wait_until follow_master 5
		wait_until 'one_generation 3 && keeper_is_filled' 10
	done
	streams_finish
	nothing_left
	end_proxyd
}

@test "takeover: a stop that follows at once" {
	local i

	for i in 1 2 3 4 5 6; do
		generations_start 2
		ctl upgrade
		wait_until follow_master 5
		doze 40
		end_proxyd
	done
}

@test "takeover: HUP and USR2 at once: both happen" {
	local master

	expect_deaths
	expect_log 'an upgrade is under way'
	generations_start 2
	streams_start --idle 30
	configure 2 2
	master=$PROXYD_PID
	kill -USR2 "$PROXYD_PID"
	kill -HUP "$PROXYD_PID"
	kill -USR2 "$PROXYD_PID"
	wait_until "! alive $master && follow_master" 10
	all_is_one 2
	assert_eq "$(serving_number)" 2
	configure 2 3
	ctl reload
	assert_eq "$(serving_number)" 3
	counts_agree 30
	streams_finish
	nothing_left
	end_proxyd
}

@test "takeover: addresses that left while there was no master refuse, those that stay lose nobody" {
	expect_deaths
	generations_start 3
	FRONTENDS="  guest: {bind: \"$SPARE\", service: echo}
  path: {bind: \"unix:$PWD/path.sock\", service: echo}" configure 3 2
	ctl reload
	client "$SPARE" echo 1k
	client "unix:$PWD/path.sock" echo 1k
	streams_start --idle 20
	newcomers_start $((300 / SLOW))
	without_master
	configure 1 3
	start_proxyd <proxyd.yaml
	all_is_one 1
	assert_eq "$(serving_number)" 3
	wait_until "! listening ${SPARE##*:}" 3
	[ ! -e path.sock ]
	without_master
	configure 4 4
	start_proxyd <proxyd.yaml
	all_is_one 4
	newcomers_stop
	streams_finish
	end_proxyd
}

@test "takeover: a dead master of another version" {
	local old

	expect_deaths
	expect_log 'version'
	DRAIN=60s generations_start 2
	streams_start --idle 50
	newcomers_start $((200 / SLOW))
	old=$(pids_of worker)
	cp proxyd.yaml again.yaml
	without_master
	PROXYD=$BUILD/other/proxyd start_proxyd <again.yaml
	newcomers_stop
	# shellcheck disable=SC2086 # pids
	run ! none_alive $old
	streams_finish
	all_is_one 2
	end_proxyd
}

# ---------------------------------------------------------------- the keeper dies on the way

# in_the_log WORDS: how often it was said.
in_the_log()
{
	grep -c "$1" proxyd.log || :
}

# An upgrade has begun; its binary waits for the file "go".
upgrade_begins()
{
	printf '#!/bin/sh\nwhile [ ! -e go ]; do sleep 0.02; done\nexec "%s" "$@"\n' "$PROXYD" >waits
	chmod +x waits
	rm -f go
	ctl upgrade "$PWD/waits" >upgrade.out 2>&1 3>&- &
	wait_until "grep -q 'waits was started' proxyd.log" 5
}

# upgrade_of_all PATTERN: the same to OLD with its KEEPER, which have relays of every kind. PATTERN may be logged.
upgrade_of_all()
{
	expect_deaths
	expect_log "$1"
	GLOBAL="log: {level: debug}" generations_start 2
	streams_start --idle 100 --chat 100 --stuck 6 --half-client 10 --half-server 10
	newcomers_start $((200 / SLOW))
	old_enough
	OLD=$PROXYD_PID
	KEEPER=$(keeper_pid)
	upgrade_begins
}

# The keeper has said K2M_TAKEN to a master that is stopped, and not K2M_YOURS.
taken_is_said()
{
	upgrade_of_all 'the keeper is gone|unexpected|did not leave'
	kill -STOP "$OLD"
	touch go
	# What the next one says after that takes the keeper less than the two seconds that the old one has.
	wait_until '[ "$(in_the_log "ready to take over")" -ge 1 ]' 5
	sleep 0.1
}

keeper_dies_after_taken()
{
	taken_is_said
	kill -KILL "$KEEPER"
}

# one_is_left [but WORD...]: which newcomers may fail.
one_is_left()
{
	wait_until "! alive $OLD && follow_master && is_another keeper $KEEPER" 15
	all_is_one 2
	newcomers_stop "$@"
	wait_until keeper_is_filled 5
	kill -KILL "$(a_pid_of worker)"
	wait_until 'one_generation 2' 5
	counts_agree 226
	streams_finish
	nothing_left
	end_proxyd
}

@test "takeover: the keeper dies when it has told the old master: that one leaves, the next one goes on alone" {
	keeper_dies_after_taken
	kill -CONT "$OLD"
	one_is_left
}

@test "takeover: the keeper dies when it has told the old master, which dies too" {
	keeper_dies_after_taken
	kill -KILL "$OLD"
	one_is_left
}

@test "takeover: a worker dies when the keeper has told the old master: nobody is forgotten" {
	taken_is_said
	expect_log 'is ended|once more'
	kill -KILL "$(pids_of worker | head -n 1)"
	kill -CONT "$OLD"
	one_is_left but reset short
}

@test "takeover: the keeper dies before it told the old master: that one goes on, and tries again" {
	upgrade_of_all 'take over|is ended|once more'
	touch go
	while [ "$(in_the_log 'was told all')" -eq 0 ]; do :; done
	# The next one asks, and is not heard: it does not know that.
	kill -STOP "$KEEPER" 2>/dev/null || :
	wait_until '[ "$(in_the_log "ready to take over")" -ge 1 ]' 5
	kill -KILL "$KEEPER" 2>/dev/null || :
	one_is_left
}

@test "takeover: the keeper dies while the next one after a dead master prepares itself" {
	local i told

	expect_deaths
	expect_log 'the keeper is gone|take over'
	for i in 1 2 3; do
		GLOBAL="log: {level: debug}" generations_start 4
		streams_start --idle 100 --chat 100
		old_enough
		KEEPER=$(keeper_pid)
		without_master
		told=$(in_the_log 'was told all')
		spawn_proxyd <proxyd.yaml
		while [ "$(in_the_log 'was told all')" -eq "$told" ]; do :; done
		# On a busy machine it has been replaced already.
		kill -KILL "$KEEPER" 2>/dev/null || :
		wait_until 'ctl status >/dev/null 2>&1' 10
		wait_until 'one_generation 4 && keeper_is_filled' 10
		counts_agree 200
		streams_finish
		nothing_left
		end_proxyd
	done
}

# ---------------------------------------------------------------- the way back

@test "takeover: a reload that waits to be confirmed waits on in the next master" {
	expect_deaths
	expect_log 'waits to be confirmed|not confirmed in time'
	generations_start 2
	streams_start --idle 20
	configure 2 2
	ctl reload --confirm 6s
	upgraded_by 'ctl upgrade'
	assert_eq "$(serving_number)" 2
	grep -q 'waits to be confirmed: it goes back in' proxyd.log
	wait_until '[ "$(serving_number)" = 1 ]' 8
	# Confirmed in the next one; the way back is there all the same.
	configure 2 3
	ctl reload --confirm 1m
	upgraded_by 'ctl upgrade'
	ctl confirm
	run -1 ctl confirm
	upgraded_by 'ctl upgrade'
	run -1 ctl confirm
	assert_eq "$(serving_number)" 3
	ctl rollback
	assert_eq "$(serving_number)" 1
	# Its time runs out while there is no master.
	configure 2 4
	ctl reload --confirm 1s
	without_master
	sleep 1
	start_proxyd <proxyd.yaml
	wait_until '[ "$(serving_number)" = 1 ]' 8
	all_is_one 2
	counts_agree 20
	streams_finish
	nothing_left
	end_proxyd
}
