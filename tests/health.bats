#!/usr/bin/env bats
# light: measures how long it takes until a server's state is seen.
# The checker: which servers are up, seen by every worker.

load helpers/common

setup()
{
	common_setup
	read -ra ports <<<"$(free_port 2)"
	front=$(free_port)
	expect_log 'back/s[12]'
	# Between the end of a server and the checks that see it.
	expect_log 'backend back: connect failed'
}

# checked CHECK-KEYS [BACKEND-KEYS]: two servers behind 4 workers. Without passive health and retries, so that
# only the checker can keep a client from a dead server.
checked()
{
	start_proxyd <<-END
	global: {workers: 4}
	frontends:
	  front: {bind: "127.0.0.1:$front", backend: back}
	backends:
	  back:
	    check: {$1}
	    retries: 0
	    passive: {max_fails: 0}
	    servers: {s1: "127.0.0.1:${ports[0]}", s2: "127.0.0.1:${ports[1]}"}
	END
}

both()
{
	origin s1 "127.0.0.1:${ports[0]}" answer s1
	first=$ORIGIN_PID
	origin s2 "127.0.0.1:${ports[1]}" answer s2
}

end_first()
{
	kill "$first"
	wait_until '! alive "$first"' 2
}

# Eight requests, so that all workers had their turn.
all_from()
{
	[ "$(ask_names "127.0.0.1:$front" 8 2>/dev/null | tr ' ' '\n' | sort -u | tr '\n' ' ')" = "$1 " ]
}

@test "health: a server that no longer accepts is left out after fall checks" {
	local start
	both
	checked "type: tcp, inter: 200ms, fall: 3"
	all_from "s1 s2"
	start=$(now_ms)
	end_first
	wait_until 'all_from s2' 5
	assert_between $(($(now_ms) - start)) 300 $((4000 * SLOW)) "ms until it was left out"
	assert_log 'back/s1.*down'
}

@test "health: a server that accepts again is taken after rise checks" {
	local start
	origin s2 "127.0.0.1:${ports[1]}" answer s2
	checked "type: tcp, inter: 200ms, fall: 1, rise: 3"
	wait_until 'all_from s2' 3
	start=$(now_ms)
	origin s1 "127.0.0.1:${ports[0]}" answer s1
	wait_until 'all_from "s1 s2"' 5
	assert_between $(($(now_ms) - start)) 300 $((4000 * SLOW)) "ms until it was taken"
	assert_log 'back/s1.*up'
}

@test "health: a server that hangs is found by the check's timeout" {
	origin s1 "127.0.0.1:${ports[0]}" full
	origin s2 "127.0.0.1:${ports[1]}" answer s2
	checked "type: tcp, inter: 200ms, timeout: 500ms, fall: 2"
	wait_log 'back/s1.*down' 5
	run -0 client "127.0.0.1:$front" rate 50 2
	echo "$output"
	assert_eq "$(jq -c '[.ok, .answers.s2]' <<<"$output")" "[100,100]"
}

@test "health: one checker checks, whatever the number of workers" {
	local n start
	both
	checked "type: tcp, inter: 200ms"
	wait_until '[ "$(origin_count s1)" -ge 2 ]' 3
	n=$(origin_count s1)
	start=$(now_ms)
	sleep 2
	assert_between "$(per_second $((($(origin_count s1) - n) * 2)) "$start")" 6 13 "checks in 2 s"
	assert_eq "$(role_pids checker | wc -l)" 1
}

@test "health: all servers down: the client is closed at once and the log says why" {
	checked "type: tcp, inter: 200ms, fall: 1"
	expect_log 'down'
	wait_log 'back/s1.*down'
	wait_log 'back/s2.*down'
	run -0 client "127.0.0.1:$front" watch 5
	assert_between "${output##* }" 0 $((2000 * SLOW)) "ms until the client was closed"
	wait_log 'front.*back.*down.*client closed'
}

@test "health: a relay to a server that goes down lives on" {
	origin s1 "127.0.0.1:${ports[0]}" greet s1
	first=$ORIGIN_PID
	checked "type: tcp, inter: 200ms, fall: 1"
	wait_log 'back/s2.*down'
	spawn held "$HELPERS/client" "127.0.0.1:$front" hold 1 10
	held=$SPAWNED_PID
	wait_until '[ "$(ss -Htn state established "dport = :${ports[0]}" | wc -l)" -ge 1 ]' 3
	# Its listener ends, its connections stay.
	kill -USR1 "$first"
	wait_log 'back/s1.*down'
	kill -TERM "$held"
	wait_until 'grep -q answered held.out' 3
	assert_eq "$(tail -n 1 held.out | jq .answered)" 1
}

@test "health: the checker is replaced when it dies, and checks go on" {
	local checker
	expect_log 'checker'
	both
	checked "type: tcp, inter: 200ms, fall: 2"
	checker=$(role_pids checker)
	kill -KILL "$checker"
	wait_until '[ -n "$(role_pids checker)" ] && [ "$(role_pids checker)" != "$checker" ]' 3
	end_first
	wait_until 'all_from s2' 5
}

@test "health: without a check nobody connects but clients" {
	both
	start_proxyd <<-END
	frontends:
	  front: {bind: "127.0.0.1:$front", forward: ["127.0.0.1:${ports[0]}"]}
	END
	client "127.0.0.1:$front" ask hello
	sleep 1
	assert_eq "$(origin_count s1)" 1
}
