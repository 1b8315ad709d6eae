#!/usr/bin/env bats
# What an operator does to the running daemon: connections are closed, servers come and go, and what is in force is shown.

load helpers/common

setup()
{
	common_setup
	front=$(free_port)
	back=$(free_port)
	other=$(free_port)
}

# shown COMMAND... JQ: true when the filter says so of the command's JSON.
shown()
{
	ctl --json "${@:1:$#-1}" | jq -e "${@: -1}" >/dev/null || {
		ctl --json "${@:1:$#-1}" >&2
		return 1
	}
}

# A frontend, a backend of the servers a and b, 2 workers.
steered()
{
	start_proxyd <<-END
	global: {workers: 2, heartbeat_timeout: ${HEARTBEAT:-10s}, access_log: {to: $PWD/access.log}}
	frontends:
	  front: {bind: "127.0.0.1:$front", backend: back, maxconn: 100}
	backends:
	  back:
	    servers:
	      a: {address: "127.0.0.1:$back"${MAXCONN:+, maxconn: $MAXCONN}}
	      ${B-b: "127.0.0.1:$other"}
	END
}

# watchers N: clients that stay, and say how they ended in watch1.out to watchN.out
watchers()
{
	local k

	for ((k = 1; k <= $1; k++)); do
		spawn "watch$k" "$HELPERS/client" -t 30 "127.0.0.1:$front" watch 10
	done
}

sessions()
{
	ctl --json show sessions | jq "${@:-length}"
}

ended_as()
{
	cat watch*.out | cut -d' ' -f1 | sort | uniq -c | tr -s ' \n' ' '
}

# ---------------------------------------------------------------- close

@test "close session: that one ends, both sides by a reset, with its reason; the others go on" {
	local id
	origin a "127.0.0.1:$back" sink
	B="" steered
	watchers 4
	wait_until '[ "$(sessions "map(select(.state == \"relaying\" and .bytes_in == 10)) | length")" = 4 ]' 5
	id=$(sessions '.[1].id')
	run -0 ctl close session "$id"
	assert_eq "$output" "session $id closed"
	assert_eq "$(sessions 'map(.id) | index('"$id"') == null')" true
	assert_eq "$(sessions)" 3
	wait_until '[ "$(ended_as)" = " 1 reset " ]' 3
	wait_until '[ "$(grep -c "reset$" a.out)" = 1 ]' 3
	wait_until '[ -s access.log ]' 3
	assert_eq "$(awk '{ print $8 }' access.log)" KD
	shown status '.connections.killed == 1 and .connections.active == 3'
	# As the access log writes it, too.
	id=$(sessions '.[0].id')
	ctl close session "$(printf '0x%x' "$id")"
	assert_eq "$(sessions)" 2
	run -1 ctl close session "$id"
	[[ $output == *"there is no session $id"* ]]
	for wrong in abc -1 1x 99999999999999999999999 0x "" "1 2"; do
		# shellcheck disable=SC2086 # words
		run -2 ctl close session $wrong
		[[ $output == *usage* ]]
	done
	shown status '.connections.killed == 2'
}

@test "close sessions: all of a server, in all workers, and no other's" {
	origin a "127.0.0.1:$back" hold
	origin b "127.0.0.1:$other" hold
	steered
	watchers 12
	wait_until '[ "$(sessions "map(select(.bytes_in == 10)) | length")" = 12 ]' 5
	run -0 ctl close sessions back/a
	assert_eq "$output" "6 sessions closed"
	assert_eq "$(sessions 'map(.server) | unique == ["b"] and length == 6')" "true"
	wait_until '[ "$(ended_as)" = " 6 reset " ]' 3
	run -0 ctl close sessions back/a
	assert_eq "$output" "0 sessions closed"
	shown close sessions back/b '.message == "6 sessions closed"'
	run -1 ctl close sessions back/nobody
	[[ $output == *"no such server"* ]]
	run -2 ctl close sessions back
	run -2 ctl close sessions
	wait_until '[ "$(wc -l <access.log)" = 12 ]' 3
	assert_eq "$(awk '{ print $8 }' access.log | sort -u)" KD
}

@test "close session: one that waits in the queue is KQ, and counts as failed" {
	local id
	origin a "127.0.0.1:$back" hold
	MAXCONN=1 B="" steered
	watchers 2
	wait_until '[ "$(sessions "map(.state) | sort == [\"queued\", \"relaying\"]")" = true ]' 5
	id=$(sessions 'map(select(.state == "queued"))[0].id')
	ctl close session "$id"
	wait_until '[ -s access.log ]' 3
	assert_eq "$(awk '{ print $8 }' access.log)" KQ
	wait_until '[ "$(ended_as)" = " 1 reset " ]' 3
}

@test "close sessions: a stopped worker makes the answer say so, and does it when it goes on" {
	local pid start
	expect_log 'hung|no sign'
	origin a "127.0.0.1:$back" hold
	B="" steered
	watchers 8
	wait_until '[ "$(sessions "map(select(.bytes_in == 10)) | length")" = 8 ]' 5
	pid=$(worker_pid 1)
	kill -STOP "$pid"
	start=$(now_ms)
	run -1 ctl close sessions back/a
	assert_between $(($(now_ms) - start)) 2500 $((6000 * SLOW)) ms
	[[ $output == *" sessions closed, "*" not in 3 s: worker 1 (pid $pid) does not answer"* ]]
	kill -CONT "$pid"
	wait_until '[ "$(sessions)" = 0 ]' 5
	shown status '.connections.killed == 8'
}

@test "close sessions: those of a worker that hangs and is replaced are closed where they are then" {
	expect_log 'worker 1|adopted'
	origin a "127.0.0.1:$back" hold
	HEARTBEAT=1s B="" steered
	watchers 8
	wait_until '[ "$(sessions "map(select(.kept == true or .kept == \"yes\")) | length")" = 8 ]' 5
	kill -STOP "$(worker_pid 1)"
	run -0 ctl close sessions back/a
	assert_eq "$(sessions)" 0
	wait_until '[ "$(ended_as)" = " 8 reset " ]' 3
}

@test "close session: while relays move from worker to worker every one is found" {
	local id n=0
	origin a "127.0.0.1:$back" hold
	B="" steered
	watchers 30
	wait_until '[ "$(sessions "map(select(.bytes_in == 10)) | length")" = 30 ]' 5
	while [ "$(sessions)" -gt 0 ]; do
		id=$(sessions '.[0].id')
		sed -i "s/maxconn: 1[0-9][0-9]}/maxconn: $((101 + n))}/" proxyd.yaml
		ctl reload >reload.out &
		ctl close session "$id"
		wait $!
		n=$((n + 1))
		[ "$n" -lt 10 ] || break
	done
	assert_eq "$n" 10
	assert_eq "$(sessions)" 20
	shown status '.connections.killed == 10 and .connections.active == 20 and .generation == 11'
}

# ---------------------------------------------------------------- add and del

names()
{
	ctl --json show servers | jq -r '[.[].server] | join(" ")'
}

# loads_again: show config is good, and normalised already
loads_again()
{
	ctl show config >shown.yaml
	"$PROXYD" -t -c - <shown.yaml
	"$PROXYD" -T -c - <shown.yaml >normal.yaml
	diff shown.yaml normal.yaml
	assert_eq "$(ctl --json show config | jq -r .config)" "$(cat shown.yaml)"
}

@test "add server: all workers have it, with its keys; it answers when it serves" {
	origin a "127.0.0.1:$back" answer a
	origin b "127.0.0.1:$other" answer b
	B="" steered
	run -0 ctl add server back/b "127.0.0.1:$other" weight=3 maxconn=7
	[[ $output == "back/b is added: generation 2 serves"* ]]
	shown show servers 'map([.server, .weight, .maxconn]) == [["a", 1, 0], ["b", 3, 7]]'
	assert_eq "$(ask_names "127.0.0.1:$front" 8 | tr ' ' '\n' | sort | uniq -c | tr -s ' \n' ' ')" " 2 a 6 b "
	loads_again
	# The file that is not changed does not take it back, a reload that changes something else neither.
	ctl reload
	assert_eq "$(names)" "a b"
	sed -i 's/workers: 2/workers: 3/' proxyd.yaml
	ctl reload
	shown show workers 'map(select(.state == "serving")) | length == 3'
	assert_eq "$(names)" "a b"
	run -0 ctl diff
	assert_eq "$output" "nothing would change"
	# Back to the one before it was there, and to the one after.
	run -0 ctl del server back/b
	[[ $output == "back/b is deleted: generation "* ]]
	assert_eq "$(names)" "a"
	ctl rollback
	assert_eq "$(names)" "a b"
	ctl reload
	assert_eq "$(names)" "a b"
	ctl rollback
	assert_eq "$(names)" "a"
	ctl reload
	assert_eq "$(names)" "a"
}

@test "add server: what cannot be is refused with its reason, and nothing changes" {
	local wrong
	B="" steered
	while IFS='|' read -r wrong why; do
		# shellcheck disable=SC2086 # words
		run ! ctl add server $wrong
		[[ $output == *"$why"* ]] || { echo "$wrong: $output" && false; }
		[ "$status" = 1 ] || [ "$status" = 2 ]
	done <<-'END'
	back/a 127.0.0.1:1|backend `back` has a server `a` already
	nobody/b 127.0.0.1:1|there is no backend `nobody`
	back/b 127.0.0.1|has no port
	back/b 127.0.0.1:99999|
	back/b 127.0.0.1:1 wieght=3|unknown key `wieght`, did you mean `weight`?
	back/b 127.0.0.1:1 weight=300|`weight`
	back/b 127.0.0.1:1 weight|is no KEY=VALUE; keys are weight, maxconn
	back/b 127.0.0.1:1 weight=3 weight=4|`weight` is there twice
	back/b 127.0.0.1:1 state=up|`state`
	back/b 127.0.0.1:1 check_address=127.0.0.1:2|`check_address` without an active check
	back/b 127.0.0.1:1 resolve=true|is no name to look up
	back/b!c 127.0.0.1:1|other characters
	back/ 127.0.0.1:1|needs a name
	back/b|usage: add server
	b 127.0.0.1:1|usage: add server
	END
	expect_log 'add server'
	assert_eq "$(names)" a
	shown status '.generation == 1 and .last_reload.result == "refused"'
	ctl reload
	assert_eq "$(names)" a
}

@test "del server: what it has may finish; with --close it ends; the last one stays" {
	origin a "127.0.0.1:$back" hold
	origin b "127.0.0.1:$other" hold
	steered
	watchers 6
	wait_until '[ "$(sessions "map(select(.bytes_in == 10)) | length")" = 6 ]' 5
	run -0 ctl del server back/b
	assert_eq "$(names)" a
	assert_eq "$(sessions)" 6
	client -t 1 "127.0.0.1:$front" watch 10 || true
	assert_eq "$(origin_count b)" 3
	ctl close sessions back/b
	assert_eq "$(sessions 'map(.server) | unique == ["a"]')" true
	ctl add server back/b "127.0.0.1:$other"
	assert_eq "$(names)" "a b"
	run -0 ctl del server back/a --close
	[[ $output == "back/a is deleted: generation "*"; "[34]" sessions closed" ]]
	wait_until '[ "$(sessions)" = 0 ]' 3
	assert_eq "$(names)" b
	expect_log 'del server'
	run -1 ctl del server back/b
	[[ $output == *"it is the last server of backend"* ]]
	run -1 ctl del server back/a
	[[ $output == *"backend back has no such server"* ]]
	run -1 ctl del server nobody/a
	[[ $output == *"no such backend"* ]]
	run -2 ctl del server back
	run -2 ctl del server
	loads_again
}

@test "add and del server: where the file says something else of that server it wins, which is logged" {
	expect_log 'wins over|gone from the file'
	steered
	ctl add server back/c "127.0.0.1:$other" weight=5
	ctl del server back/b
	assert_eq "$(names)" "a c"
	ctl reload
	assert_eq "$(names)" "a c"
	# The file changes what was deleted: it is back.
	sed -i "s/ b: .*/ b: {address: 127.0.0.1:$other, weight: 9}/" proxyd.yaml
	ctl reload
	assert_eq "$(names)" "a b c"
	assert_log 'back/b: the file says something new of it, and wins'
	# It has one of the name that was added.
	sed -i 's/^      a: /      c: "127.0.0.1:1"\n&/' proxyd.yaml
	ctl reload
	shown show servers 'map([.server, .weight]) == [["c", 1], ["a", 1], ["b", 9]]'
	assert_log 'back/c: the file has it now, and wins'
	# Once it won, it is as if nothing had been.
	sed -i '/c: "127/d' proxyd.yaml
	ctl reload
	assert_eq "$(names)" "a b"
	ctl del server back/b
	sed -i '/ b: /d' proxyd.yaml
	ctl reload
	assert_log 'back/b: gone from the file, too'
	assert_eq "$(names)" "a"
	# set server, too.
	ctl set server back/a weight 4
	ctl add server back/d "127.0.0.1:$other"
	shown show servers 'map([.server, .weight]) == [["a", 4], ["d", 1]]'
	loads_again
	sed -i 's/a: {address: \("[^"]*"\)}/a: {address: \1, weight: 8}/' proxyd.yaml
	ctl reload
	shown show servers 'map([.server, .weight]) == [["a", 8], ["d", 1]]'
	assert_log 'back/a: weight: the file says 8 now, which wins over 4'
}

@test "add and del server: they are there after an upgrade and after a dead master" {
	local old
	# The generation before may not be gone yet: then it is tried again.
	expect_log 'the master is gone|took over|master left|upgrade: pid|did not take over'
	origin c "127.0.0.1:$other" answer c
	steered
	ctl add server back/c "127.0.0.1:$other" weight=2
	ctl del server back/b
	ctl set server back/a state maint
	old=$PROXYD_PID
	ctl upgrade
	PROXYD_PID=$(ctl --json status | jq .pid)
	echo "$PROXYD_PID" >>pids
	[ "$PROXYD_PID" != "$old" ]
	assert_eq "$(names)" "a c"
	assert_eq "$(ask_names "127.0.0.1:$front" 4 | tr -s ' ')" "c c c c"
	loads_again
	kill -KILL "$PROXYD_PID"
	wait_until '! alive "$PROXYD_PID"' 3
	start_proxyd <proxyd.yaml
	assert_eq "$(names)" "a c"
	shown show servers 'map(.admin) == ["maint", "ready"]'
	# Without the backend they are gone.
	kill -KILL "$PROXYD_PID"
	wait_until '! alive "$PROXYD_PID"' 3
	expect_log 'add server|forgotten|gone from the file'
	sed -i 's/back:$/other:/; s/backend: back/backend: other/' proxyd.yaml
	start_proxyd <proxyd.yaml
	assert_eq "$(names)" "a b"
	# Where they do not fit the file any more, it is more.
	ctl add server other/c "127.0.0.1:$other"
	kill -KILL "$PROXYD_PID"
	wait_until '! alive "$PROXYD_PID"' 3
	sed -i '/^      a:/d; /^      b:/d' proxyd.yaml
	start_proxyd <<-END
	$(cat proxyd.yaml)
	      a: "[::1]:$back"
	      b: "[::1]:$other"
	    source: "::1"
	END
	assert_eq "$(names)" "a b"
	assert_log 'add server other/c: .*cannot be reached from'
	assert_log 'are forgotten'
	stop_proxyd
}

@test "add server: several at once, each its own answer, under traffic" {
	local k
	origin a "127.0.0.1:$back" answer a
	B="" steered
	spawn load "$HELPERS/client" "127.0.0.1:$front" rate 100 4
	for k in 1 2 3 4; do
		ctl add server "back/x$k" "127.0.0.1:$back" >"added$k" &
	done
	wait_until '[ "$(cat added? | grep -c "is added: generation")" = 4 ]' 20
	assert_eq "$(names | tr ' ' '\n' | sort | tr '\n' ' ')" "a x1 x2 x3 x4 "
	wait "$SPAWNED_PID"
	assert_eq "$(jq -c '.started == .ok' load.out)" true
}

@test "show config: what the command line says over the file is in it" {
	B="" steered
	stop_proxyd
	PROXYD_QUIET=1 start_proxyd -w 3 --loglevel error <proxyd.yaml
	wait_until 'ctl status' 5
	ctl show config | grep -q 'workers: 3'
	ctl show config | grep -q 'level: error'
	loads_again
}

# ---------------------------------------------------------------- stop

@test "stop: a second one changes nothing, stop --now ends the wait, and what would change anything is refused meanwhile" {
	local words
	expect_log 'relays closed'
	origin a "127.0.0.1:$back" hold
	B="" steered
	watchers 2
	wait_until '[ "$(sessions "map(select(.bytes_in == 10)) | length")" = 2 ]' 5
	run -0 ctl stop
	assert_eq "$output" "stopping: 2 relays have 30s to finish"
	run -0 ctl stop
	shown status '.state == "stopping" and .connections.active == 2'
	for words in reload rollback upgrade rebalance "add server back/b 127.0.0.1:1" "del server back/a" "log reopen" \
		"log level info" "close sessions back/a" "close session 1"; do
		# shellcheck disable=SC2086 # words
		run -1 ctl $words
		[[ $output == *"proxyd stops"* ]] || { echo "$words: $output" && false; }
	done
	run -0 ctl stop --now
	assert_eq "$output" "stopping now"
	wait_until '! alive "$PROXYD_PID"' 5
	wait "$PROXYD_PID"
	[ ! -e "$SOCKET" ]
}
