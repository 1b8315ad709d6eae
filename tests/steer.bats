#!/usr/bin/env bats
# What an operator does to the running daemon: connections are closed, servers come and go, and what is in force is shown.

load helpers/common

setup()
{
	common_setup
	SOCKET=$BATS_TEST_TMPDIR/control.sock
	front=$(free_port)
	back=$(free_port)
	other=$(free_port)
}

ctl()
{
	"$BUILD/proxyctl" -s "$SOCKET" "$@"
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
	      ${B-b: {address: "127.0.0.1:$other"\}}
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
