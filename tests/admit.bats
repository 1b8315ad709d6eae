#!/usr/bin/env bats
# Who is let in: maxconn of the daemon and of frontends, limits, allow and deny.

load helpers/common

# admitting WORKERS FRONTEND_KEYS [GLOBAL_KEYS [MORE_FRONTEND_KEYS [ORIGIN]]]: a frontend on 127.0.0.1 and [::1]
# before an echo.
admitting()
{
	front=$(free_port)
	back=$(free_port)
	# shellcheck disable=SC2086 # words
	origin origin "127.0.0.1:$back" ${5:-echo}
	PROXYD_WORKERS=$1 start_proxyd <<-END
	global: {workers: $1${3:+, $3}}
	frontends:
	  front:
	    bind: ["127.0.0.1:$front", "[::1]:$front"]
	    forward: "127.0.0.1:$back"
	    $2
	    ${4:-}
	END
}

frontend_field()
{
	ctl --json show frontends | jq ".[0].$1"
}

@test "maxconn: a frontend has so many over all workers, the others wait" {
	admitting 4 "maxconn: 5"
	spawn held "$HELPERS/client" -t 20 "127.0.0.1:$front" hold 20 30
	held=$SPAWNED_PID
	wait_until '[ "$(frontend_field active)" -eq 5 ]' 3
	sleep 0.5
	assert_eq "$(frontend_field active)" 5
	assert_eq "$(origin_count origin)" 5
	kill "$held"
	wait_until '[ "$(frontend_field active)" -eq 0 ]' 5
	client "127.0.0.1:$front" echo 1000
}

@test "maxconn: one that waited is served as soon as another ends" {
	admitting 2 "maxconn: 1"
	spawn held "$HELPERS/client" "127.0.0.1:$front" hold 1 30
	held=$SPAWNED_PID
	wait_until '[ "$(frontend_field active)" -eq 1 ]' 3
	spawn waiting "$HELPERS/client" -t 10 "127.0.0.1:$front" echo 1000
	waiting=$SPAWNED_PID
	sleep 0.3
	alive "$waiting"
	kill "$held"
	wait "$waiting"
}

@test "maxconn: global.maxconn holds for all frontends together" {
	admitting 2 "" "maxconn: 3"
	spawn held "$HELPERS/client" "127.0.0.1:$front" hold 8 30
	wait_until '[ "$(frontend_field active)" -eq 3 ]' 3
	sleep 0.3
	assert_eq "$(origin_count origin)" 3
}

@test "maxconn: waiting clients cost no CPU" {
	admitting 2 "maxconn: 1"
	spawn held "$HELPERS/client" "127.0.0.1:$front" hold 20 30
	wait_until '[ "$(frontend_field active)" -eq 1 ]' 3
	local before
	before=$(cpu_ms "$PROXYD_PID")
	sleep 2
	assert_between $(($(cpu_ms "$PROXYD_PID") - before)) 0 $((60 * SLOW)) "ms of CPU in 2 s"
}

@test "limits: source_maxconn counts one source over all workers, and refuses the next" {
	expect_log 'refused: limits.source_maxconn'
	admitting 4 "limits: {source_maxconn: 3}"
	spawn held "$HELPERS/client" "127.0.0.1:$front" hold 3 30
	held=$SPAWNED_PID
	wait_until '[ "$(frontend_field active)" -eq 3 ]' 3
	for _ in {1..8}; do
		run client "127.0.0.1:$front" watch
		[[ $output == reset\ 0\ * ]]
	done
	assert_eq "$(frontend_field refused)" 8
	# Another source is not concerned.
	client -b 127.0.0.9:0 "127.0.0.1:$front" echo 1000
	kill "$held"
	wait_until '[ "$(frontend_field active)" -eq 0 ]' 3
	client "127.0.0.1:$front" echo 1000
	assert_log 'frontend front: 127.0.0.1:[0-9]+ refused: limits.source_maxconn'
}

@test "limits: a worker's death gives back what its clients had of source_maxconn" {
	local pid
	expect_log 'was killed by signal 9'
	expect_log 'refused: limits.source_maxconn'
	admitting 2 "limits: {source_maxconn: 6}"
	spawn held "$HELPERS/client" "127.0.0.1:$front" hold 6 30
	wait_until '[ "$(frontend_field active)" -eq 6 ]' 3
	for pid in $(worker_pids); do
		kill -KILL "$pid"
	done
	wait_until '[ "$(frontend_field active)" -eq 0 ]' 3
	for _ in {1..6}; do
		client "127.0.0.1:$front" echo 1000
	done
}

@test "limits: source_rate refuses more than that in a second" {
	expect_log 'refused: limits.source_rate'
	admitting 4 "limits: {source_rate: 10}" "" "" "answer here"
	local start
	start=$(now_ms)
	client "127.0.0.1:$front" rate 40 1 >rate.json || true
	# In a second, or the ends of two; of one more when it took long.
	assert_between "$(jq .ok rate.json)" 10 $(((($(now_ms) - start) / 1000 + 1) * 10)) "let in"
	wait_until "client 127.0.0.1:$front ask hello" 5
}

@test "limits: rate lets the others wait instead" {
	admitting 2 "limits: {rate: 20}" "" "" "answer here"
	local start
	start=$(now_ms)
	client -t 20 "127.0.0.1:$front" rate 50 1 >rate.json
	assert_eq "$(jq .ok rate.json)" 50
	assert_between $(($(now_ms) - start)) 1000 $((9000 * SLOW)) "ms for 50 at 20 a second"
}

@test "allow: only these networks, deny: all but these, and a refusal is a reset" {
	expect_log 'refused: not in allow'
	admitting 2 'allow: ["127.0.0.0/24", "::1"]' "" 'deny: ["127.0.0.66"]'
	client "127.0.0.1:$front" echo 1000
	client -b 127.0.0.65:0 "127.0.0.1:$front" echo 1000
	client "[::1]:$front" echo 1000
	run client -b 127.0.1.1:0 "127.0.0.1:$front" watch
	[[ $output == reset\ 0\ * ]]
	run client -b 127.0.0.66:0 "127.0.0.1:$front" watch
	[[ $output == reset\ 0\ * ]]
	assert_eq "$(frontend_field refused)" 2
	assert_eq "$(origin_count origin)" 3
}

@test "limits: what is refused is said at most once a second" {
	expect_log 'refused: limits.source_rate'
	admitting 1 "limits: {source_rate: 1}" "" "" "answer here"
	client "127.0.0.1:$front" rate 200 2 >rate.json || true
	assert_between "$(grep -c 'refused: limits' proxyd.log)" 1 10 "lines for hundreds of refusals"
	assert_log 'more like this'
}
