#!/usr/bin/env bats
# Another master takes over: a new binary, or the next one after a dead master. Live relays, listeners and counters go on.
# alone: it measures pauses and loads all processors

# shellcheck disable=SC2154 # run sets stderr
load helpers/common
load helpers/streams
load helpers/generations

# under_load WORKERS: what must not notice.
under_load()
{
	expect_deaths
	generations_start "$1"
	streams_start "$(mix_of $((${2:-600} / SLOW)))"
	newcomers_start $((500 / SLOW))
}

all_was_right()
{
	newcomers_stop
	streams_finish
	nothing_left
	end_proxyd
}

# not_upgraded_by WORD...: refused, with a reason, and nobody has changed.
not_upgraded_by()
{
	local pids

	pids=$(pids_of "[a-z]*")
	run -1 --separate-stderr timeout 60 "$BUILD/proxyctl" -s "$PWD/control.sock" upgrade "$@"
	[ -n "$stderr" ]
	figure "upgrade $(basename "$1"): $stderr"
	assert_eq "$(pids_of "[a-z]*")" "$pids"
	assert_eq "$(ctl --json status | jq .pid)" "$PROXYD_PID"
}

@test "upgrade: USR2 under 5,000 relays and 500 new connections a second" {
	local at

	under_load 4 5000
	streams_say mark >/dev/null
	at=$(now_ms)
	upgraded_by 'kill -USR2 "$PROXYD_PID"'
	figure "$(($(now_ms) - at)) ms from USR2 until one master, one keeper and one generation were left; $(ctl --json status | jq -c .moves)"
	assert_pause "upgrade" 50
	all_was_right
}

@test "upgrade: proxyctl upgrade, with the same and with another binary, then everything else still works" {
	local pid

	under_load 2
	upgraded_by 'ctl upgrade'
	cp "$PROXYD" another-proxyd
	upgraded_by 'ctl upgrade "$PWD/another-proxyd"'
	assert_eq "$(readlink "/proc/$PROXYD_PID/exe")" "$PWD/another-proxyd"
	# A reload, a dead keeper and, when all are deposited again, a dead worker.
	configure 3 2
	ctl reload
	assert_eq "$(serving_number)" 2
	wait_until 'one_generation 3' 5
	pid=$(keeper_pid)
	kill -KILL "$pid"
	wait_until "is_another keeper $pid" 5
	all_was_right
}

@test "upgrade: a worker's death after it costs nothing" {
	expect_deaths
	generations_start 2
	streams_start --idle 100 --chat 100 --stuck 6
	upgraded_by 'ctl upgrade'
	sleep 1.3
	wait_until keeper_is_filled 5
	kill -KILL "$(a_pid_of worker)"
	wait_until 'one_generation 2' 5
	counts_agree 206
	streams_finish
	nothing_left
	end_proxyd
}

@test "upgrade: a binary that does not start changes nothing" {
	expect_log 'upgrade|binary|did not|cannot|exited|ended'
	under_load 2 300
	printf '#!/bin/sh\nexit 3\n' >ends
	printf '#!/bin/sh\nkill -KILL $$\n' >dies
	chmod +x ends dies
	not_upgraded_by "$PWD/none-such"
	not_upgraded_by /etc/passwd
	not_upgraded_by "$PWD/ends"
	not_upgraded_by "$PWD/dies"
	# It gets as far as its configuration.
	mv proxyd.yaml good.yaml
	echo "frontends: 3" >proxyd.yaml
	not_upgraded_by "$PROXYD"
	mv good.yaml proxyd.yaml
	upgraded_by 'ctl upgrade'
	all_was_right
}

@test "upgrade: one that hangs is given up" {
	expect_log 'upgrade|binary|did not|in time|killed'
	under_load 2 300
	printf '#!/bin/sh\nexec sleep 600\n' >hangs
	chmod +x hangs
	not_upgraded_by "$PWD/hangs"
	wait_until '[ -z "$(pgrep -f "^sleep 600$")" ]' 3
	upgraded_by 'ctl upgrade'
	all_was_right
}

@test "upgrade: the next master is killed on its way: nothing changed, or it has taken over" {
	local old new

	expect_deaths
	expect_log 'upgrade|binary|did not|takeover|exited'
	under_load 2 300
	for _ in 1 2 3; do
		old=$PROXYD_PID
		kill -USR2 "$old"
		wait_until '[ "$(pids_of master | wc -l)" -eq 2 ] || [ "$(pids_of master)" != "$old" ]' 5
		doze 100
		new=$(pids_of master | grep -vx "$old" | head -n 1)
		if alive "$old" && [ -n "$new" ]; then
			kill -KILL "$new"
			wait_until "! alive $new" 3
		fi
		# Dead after it had taken over: then it is the dead master.
		if ! wait_until 'ctl status >/dev/null 2>&1 && follow_master' 3; then
			start_proxyd <proxyd.yaml
		fi
		wait_until '[ "$(pids_of master | wc -l)" -eq 1 ] && one_generation 2' 15
	done
	all_was_right
}

@test "upgrade: between versions of the formats, listeners are passed and relays drain" {
	local old

	expect_deaths
	expect_log 'version|format'
	DRAIN=60s generations_start 2
	streams_start --idle 100 --chat 50
	newcomers_start $((300 / SLOW))
	old=$(pids_of worker)
	ctl upgrade "$BUILD/other/proxyd"
	wait_until "! alive $PROXYD_PID && follow_master" 10
	# The relays stay where they are; new connections are served by the new one.
	newcomers_stop
	assert_eq "$(serving_number)" 1
	# shellcheck disable=SC2086 # pids
	run ! none_alive $old
	assert_eq "$(readlink "/proc/$PROXYD_PID/exe")" "$(realpath "$BUILD/other/proxyd")"
	streams_finish
	# shellcheck disable=SC2086 # pids
	wait_until "none_alive $(tr '\n' ' ' <<<"$old")" 5
	wait_until 'one_generation 2 && [ "$(pids_of keeper | wc -l)" -eq 1 ]' 5
	end_proxyd
}

# All that systemd was told so far, a word each, in order: READY:PID, RELOADING, MAINPID:PID, STOPPING.
told_systemd()
{
	# Datagrams follow each other without anything in between.
	tr -d '\0' <notify.out | tr '\n' ' ' | sed -E 's/(READY|RELOADING|STOPPING|MONOTONIC_USEC|MAINPID|WATCHDOG)=/\n\1=/g' |
		awk -F '[= ]' '
		/^READY/ { ready = 1; next }
		/^MAINPID/ && ready { printf "READY:%s ", $2; ready = 0; next }
		/^MAINPID/ { printf "MAINPID:%s ", $2 }
		/^(RELOADING|STOPPING)/ { printf "%s ", $1 }'
}

@test "upgrade: systemd is told who is the master, and what it does" {
	local first second

	command -v socat >/dev/null || skip "no socat"
	expect_log 'upgrade|reload|proxyd.yaml:'
	spawn notify socat -u "UNIX-RECV:$PWD/notify" STDOUT
	wait_until '[ -S notify ]' 2
	export NOTIFY_SOCKET=$PWD/notify WATCHDOG_USEC=400000
	GLOBAL="pidfile: \"$PWD/proxyd.pid\"" generations_start 2
	grep -q READY=1 notify.out || grep -q READY=1 "$PROXYD" || skip "built without libsystemd"
	first=$PROXYD_PID
	wait_until "[ \"\$(told_systemd)\" = 'READY:$first ' ]" 3
	# A reload ends with READY whatever comes of it.
	GLOBAL="pidfile: \"$PWD/proxyd.pid\"" configure 2 2
	ctl reload
	cp proxyd.yaml good.yaml
	echo 'frontends: 3' >proxyd.yaml
	run -1 ctl reload
	# Nothing is said of an upgrade that comes to nothing.
	run -1 ctl upgrade
	cp good.yaml proxyd.yaml
	wait_until "[ \"\$(told_systemd)\" = 'READY:$first RELOADING READY:$first RELOADING READY:$first ' ]" 3
	[ "$(tr '\n' ' ' <notify.out | grep -aoE 'RELOADING=1 MONOTONIC_USEC=[0-9]+' | wc -l)" -eq 2 ]
	: >notify.out
	# The old one says who is next, before it is gone: what another says is not believed before that.
	upgraded_by 'kill -USR2 "$PROXYD_PID"'
	second=$PROXYD_PID
	[ "$first" != "$second" ]
	assert_eq "$(cat proxyd.pid)" "$second"
	wait_until "[ \"\$(told_systemd)\" = 'MAINPID:$second READY:$second ' ]" 3
	: >notify.out
	# Signs of life go on, without being the first one's.
	wait_until 'grep -aq WATCHDOG=1 notify.out' 3
	: >notify.out
	kill -HUP "$second"
	wait_until "[ \"\$(told_systemd)\" = 'RELOADING READY:$second ' ]" 3
	: >notify.out
	end_proxyd
	wait_until '[ "$(told_systemd)" = "STOPPING " ]' 3
	[ ! -e proxyd.pid ]
}

# ---------------------------------------------------------------- a dead master

@test "dead master: workers accept and relay on, the next start adopts it all" {
	local before workers

	under_load 3
	before=$(ctl --json show frontends | jq '.[0].total')
	workers=$(pids_of worker)
	kill -KILL "$PROXYD_PID"
	wait_until "! alive $PROXYD_PID" 2
	sleep 1
	# shellcheck disable=SC2086 # pids
	for pid in $workers; do alive "$pid"; done
	streams_say mark >/dev/null
	start_proxyd <proxyd.yaml
	wait_until 'one_generation 3 && [ "$(pids_of keeper | wc -l)" -eq 1 ]' 10
	assert_pause "a dead master and the next" 50
	# Counters go on.
	[ "$(ctl --json show frontends | jq '.[0].total')" -ge "$before" ]
	refute_log 'Address already in use'
	all_was_right
}

@test "dead master: the next one may have another configuration" {
	under_load 3 300
	kill -KILL "$PROXYD_PID"
	wait_until "! alive $PROXYD_PID" 2
	start_proxyd < <(FRONTENDS="  guest: {bind: \"$SPARE\", service: echo}" configuration 2 2)
	wait_until 'one_generation 2' 10
	assert_eq "$(serving_number)" 2
	client "$SPARE" echo 1k
	all_was_right
}

@test "dead master: a bad configuration does not start, and the orphans go on" {
	under_load 2 300
	cp proxyd.yaml good.yaml
	kill -KILL "$PROXYD_PID"
	wait_until "! alive $PROXYD_PID" 2
	echo "frontends: 3" >bad.yaml
	run -2 timeout 10 "$PROXYD" -c bad.yaml --control control.sock
	assert_eq "$(pids_of worker | wc -l)" 2
	start_proxyd <good.yaml
	wait_until 'one_generation 2' 10
	all_was_right
}

@test "dead master: orphans that nobody adopts end by TERM, when their relays have" {
	local orphans

	expect_deaths
	generations_start 2
	streams_start --idle 20 --chat 20
	orphans=$(pids_of "[a-z]*" | grep -vx "$PROXYD_PID")
	kill -KILL "$PROXYD_PID"
	wait_until "! alive $PROXYD_PID" 2
	# shellcheck disable=SC2086 # pids
	kill -TERM $orphans
	sleep 0.3
	assert_eq "$(streams_say stats | jq .broken)" 0
	streams_finish
	wait_until '[ -z "$(pids_of "[a-z]*")" ]' 5
	run ! listening "${FRONT##*:}"
}

@test "dead master and keeper: workers relay on, the next one binds beside them" {
	local old

	expect_deaths
	DRAIN=60s generations_start 2
	streams_start --idle 50 --chat 50
	old=$(pids_of worker)
	kill -KILL "$PROXYD_PID" "$(keeper_pid)"
	wait_until "! alive $PROXYD_PID" 2
	DRAIN=60s start_proxyd < <(DRAIN=60s configuration 2 2)
	assert_eq "$(serving_number)" 2
	# shellcheck disable=SC2086 # pids
	run ! none_alive $old
	streams_finish
	wait_until 'one_generation 2' 5
}

@test "upgrade: binaries replaced and masters killed in a row" {
	upgrade_storm 2 $((500 / SLOW))
	end_proxyd
}

@test "dead master: again and again" {
	master_storm 3 $((500 / SLOW))
}
