#!/usr/bin/env bats
# haproxy as a neighbour, before and behind proxyd.

load ../helpers/common

setup()
{
	common_setup
	front=$(free_port)
	middle=$(free_port)
	back=$(free_port)
	cat >haproxy.cfg <<-END
	global
	    stats socket $PWD/haproxy.sock
	defaults
	    mode tcp
	    timeout connect 5s
	    timeout client 30s
	    timeout server 30s
	END
}

# haproxy FRONT BACK
haproxy_between()
{
	cat >>haproxy.cfg <<-END
	listen relay
	    bind 127.0.0.1:$1
	    server a 127.0.0.1:$2
	END
	spawn haproxy haproxy -db -f haproxy.cfg
	wait_until 'ss -Htln "sport = :'"$1"'" | grep -q .' 5
}

proxyd_between()
{
	start_proxyd <<-END
	global: {workers: 2}
	frontends:
	  relay: {bind: "127.0.0.1:$1", forward: ["127.0.0.1:$2"]}
	END
}

both_ways()
{
	client "127.0.0.1:$front" echo 5m
	client "127.0.0.1:$front" echo 0
	run -0 client "127.0.0.1:$front" hold 50 1
	assert_eq "$(jq .answered <<<"${lines[1]}")" 50
}

@test "haproxy: in front of proxyd" {
	origin origin "127.0.0.1:$back" echo
	proxyd_between "$middle" "$back"
	haproxy_between "$front" "$middle"
	both_ways
}

@test "haproxy: behind proxyd" {
	origin origin "127.0.0.1:$back" echo
	haproxy_between "$middle" "$back"
	proxyd_between "$front" "$middle"
	both_ways
}

@test "haproxy: its check of a proxyd frontend that is there finds it up" {
	origin origin "127.0.0.1:$back" echo
	proxyd_between "$middle" "$back"
	sed -i 's/mode tcp/mode tcp\n    default-server check inter 100ms rise 1 fall 1/' haproxy.cfg
	haproxy_between "$front" "$middle"
	# After its first check, while nothing is known of it yet: it looks again every 100 ms.
	sleep 1
	wait_until 'echo "show stat" | socat - "UNIX-CONNECT:haproxy.sock" | grep -E "^relay,a,.*,UP,"' 3
	client "127.0.0.1:$front" echo 1000
}
