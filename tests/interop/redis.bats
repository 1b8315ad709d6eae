#!/usr/bin/env bats
# redis-server behind proxyd: small requests, pipelines, big values.

load ../helpers/common

setup()
{
	common_setup
	front=$(free_port)
	back=$(free_port)
	spawn redis redis-server --port "$back" --bind 127.0.0.1 --save "" --appendonly no --dir "$PWD"
	start_proxyd <<-END
	global: {workers: 2}
	frontends:
	  redis: {bind: "127.0.0.1:$front", forward: ["127.0.0.1:$back"]}
	END
	wait_until '[ "$(redis-cli -p $back ping 2>/dev/null)" = PONG ]' 5
}

# Every test of redis-benchmark ends with a rate and nothing else.
bench()
{
	redis-benchmark -p "$front" -q -n $((20000 / SLOW)) "$@" >bench.out 2>&1
	tr '\r' '\n' <bench.out | grep 'requests per second' >rates
	! grep -iE 'error|could not|closed' bench.out
	[ "$(wc -l <rates)" -eq "$(tr ',' '\n' <<<"${tests:?}" | wc -l)" ]
}

@test "redis: redis-benchmark with 50 kept connections" {
	tests=set,get,incr,lpush,mset
	bench -c 50 -t "$tests"
}

@test "redis: redis-benchmark with pipelines of 32 requests" {
	tests=set,get
	bench -c 20 -P 32 -t "$tests"
}

@test "redis: redis-benchmark with a connection for each request" {
	tests=set,get
	bench -c 20 -k 0 -n 2000 -t "$tests"
}

@test "redis: a value of 20 MB comes back unchanged" {
	head -c 20000000 /dev/urandom >value
	redis-cli -p "$front" -x set big <value
	redis-cli -p "$front" --no-raw strlen big | grep -q 20000000
	# redis-cli adds a newline.
	redis-cli -p "$front" get big | head -c 20000000 | cmp - value
}

@test "redis: a subscriber gets every message while nobody sends anything else" {
	spawn subscriber redis-cli -p "$front" subscribe news
	wait_until 'grep -q subscribe subscriber.out' 3
	for i in {1..20}; do
		redis-cli -p "$front" publish news "message $i" >/dev/null
	done
	wait_until '[ "$(grep -c "^message [0-9]" subscriber.out)" -eq 20 ]' 3
}

@test "redis: a Unix socket in front of the server's port" {
	stop_proxyd
	start_proxyd <<-END
	frontends:
	  redis: {bind: "unix:$PWD/redis.sock", forward: ["127.0.0.1:$back"]}
	END
	assert_eq "$(redis-cli -s "$PWD/redis.sock" ping)" PONG
}
