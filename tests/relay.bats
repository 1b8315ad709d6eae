#!/usr/bin/env bats
# Bytes from a client to a server and back: addresses, half-close, resets, slow and fast peers, timeouts.

load helpers/common

# Two ports for most tests.
front_and_back()
{
	front=$(free_port)
	back=$(free_port)
}

# proxy MODE [ARGUMENT]...: an origin in that manner behind proxyd, 127.0.0.1 on both sides. workers, timeouts
# and backend may say more.
proxy()
{
	front_and_back
	origin origin "127.0.0.1:$back" "$@"
	start_front
}

start_front()
{
	start_proxyd <<-END
	global: {workers: ${workers:-2}}
	defaults: {timeouts: {${timeouts:-}}}
	frontends:
	  front: {bind: "127.0.0.1:$front", backend: back}
	backends:
	  back: {${backend:-}servers: {a: "127.0.0.1:$back"}}
	END
}

# relays FRONT-ADDRESS BACK-ADDRESS [CLIENT-ADDRESS]: 100 kB echoed through the two.
relays()
{
	origin origin "$2" echo
	start_proxyd <<-END
	global: {workers: 2}
	frontends:
	  front: {bind: "$1", forward: ["${4:-$2}"]}
	END
	client "${3:-$1}" echo 100k
}

# ---------------------------------------------------------------- addresses

@test "relay: from IPv4 to IPv4" {
	front_and_back
	relays "127.0.0.1:$front" "127.0.0.1:$back"
	stop_proxyd
}

@test "relay: from IPv6 to IPv6" {
	front_and_back
	relays "[::1]:$front" "[::1]:$back"
}

@test "relay: from IPv4 to IPv6" {
	front_and_back
	relays "127.0.0.1:$front" "[::1]:$back"
}

@test "relay: from IPv6 to IPv4" {
	front_and_back
	relays "[::1]:$front" "127.0.0.1:$back"
}

@test "relay: a name as the address of a frontend and of a server" {
	front_and_back
	relays "localhost:$front" "127.0.0.1:$back" "127.0.0.1:$front" "localhost:$back"
}

@test "relay: a server's name that has two addresses is tried on both, first on the one that last worked" {
	local family
	unshare -m true 2>/dev/null || skip "no right to a mount namespace of our own for /etc/hosts"
	printf '127.0.0.1 localhost twofold.test\n::1 twofold.test\n' >hosts
	printf '#!/bin/sh\nmount --bind hosts /etc/hosts && exec "$@"\n' >with-hosts
	chmod +x with-hosts
	for family in "127.0.0.1" "[::1]"; do
		front_and_back
		PROXYD_WRAP="unshare -m ./with-hosts" \
			relays "127.0.0.1:$front" "$family:$back" "127.0.0.1:$front" "twofold.test:$back"
		client "127.0.0.1:$front" echo 1000
		stop_proxyd
		end_everything
	done
}

@test "relay: :PORT takes clients of both families" {
	front_and_back
	relays ":$front" "127.0.0.1:$back" "127.0.0.1:$front"
	client "[::1]:$front" echo 100k
}

@test "relay: [::]:PORT with v6only takes clients of IPv6 alone" {
	front_and_back
	origin origin "127.0.0.1:$back" echo
	start_proxyd <<-END
	frontends:
	  front: {bind: "[::]:$front", forward: ["127.0.0.1:$back"], tcp: {v6only: true}}
	END
	client "[::1]:$front" echo 1000
	run -3 client "127.0.0.1:$front" connect
}

@test "relay: a range of ports is a frontend on each of them" {
	local ports first last port
	back=$(free_port)
	read -ra ports <<<"$(free_port 6)"
	first=${ports[0]}
	last=${ports[4]}
	relays "127.0.0.1:$first-$last" "127.0.0.1:$back" "127.0.0.1:$first"
	for port in "${ports[@]:0:5}"; do
		client "127.0.0.1:$port" echo 1000
	done
	run -3 client "127.0.0.1:${ports[5]}" connect
}

@test "relay: a Unix socket in front" {
	back=$(free_port)
	relays "unix:$PWD/front.sock" "127.0.0.1:$back"
}

@test "relay: a Unix socket behind" {
	front=$(free_port)
	relays "127.0.0.1:$front" "unix:$PWD/back.sock"
}

@test "relay: Unix sockets on both sides, half-closed" {
	origin origin "unix:$PWD/back.sock" sink
	start_proxyd <<-END
	frontends:
	  front: {bind: "unix:$PWD/front.sock", forward: ["unix:$PWD/back.sock"]}
	END
	client "unix:$PWD/front.sock" half 1m
}

@test "relay: a frontend on several addresses" {
	local ports
	back=$(free_port)
	read -ra ports <<<"$(free_port 2)"
	origin origin "127.0.0.1:$back" echo
	start_proxyd <<-END
	frontends:
	  front:
	    bind: ["127.0.0.1:${ports[0]}", "[::1]:${ports[1]}", "unix:$PWD/front.sock"]
	    forward: ["127.0.0.1:$back"]
	END
	client "127.0.0.1:${ports[0]}" echo 1000
	client "[::1]:${ports[1]}" echo 1000
	client "unix:$PWD/front.sock" echo 1000
}

@test "relay: 300 frontends serve, and stop" {
	local ports port
	back=$(free_port)
	read -ra ports <<<"$(free_port 300)"
	origin origin "127.0.0.1:$back" answer here
	{
		echo "global: {workers: 2}"
		echo "frontends:"
		for port in "${ports[@]}"; do
			echo "  f$port: {bind: \"127.0.0.1:$port\", backend: back}"
		done
		echo "backends: {back: {servers: {a: \"127.0.0.1:$back\"}}}"
	} >300.yaml
	start_proxyd <300.yaml
	for port in "${ports[@]}"; do
		assert_eq "$(client "127.0.0.1:$port" ask hello)" here "port $port"
	done
	stop_proxyd
}

@test "relay: the quick form with predecessor's options serves localhost" {
	front_and_back
	origin origin "127.0.0.1:$back" echo
	start_proxyd "-listen=:$front" "-forward=localhost:$back" </dev/null
	client "127.0.0.1:$front" echo 100k
	client "[::1]:$front" echo 100k
}

# ---------------------------------------------------------------- ends of a direction

@test "relay: a client that sends 100 kB and shuts down writing gets its answer" {
	proxy sink
	client "127.0.0.1:$front" half 100k
	stop_proxyd
}

@test "relay: the answer comes although the server takes a second over it" {
	proxy -d 1000 sink
	client "127.0.0.1:$front" half 100k
}

@test "relay: a server that ends its direction first still gets what the client sends" {
	proxy fin-first
	run -0 client "127.0.0.1:$front" watch 200k
	[[ $output == "eof 0 "* ]]
	wait_until 'grep -q "^end 1 in=204800 out=0 eof" origin.out' 3
}

@test "relay: a client that shuts down writing gets all of a long answer" {
	proxy source 20m
	client "127.0.0.1:$front" fetch 20m
}

@test "relay: bytes before a FIN are never lost, whatever their number" {
	local n
	proxy sink
	for n in 0 1 2 7 100 1023 1024 1025 4096 16383 16384 65535 65536 65537 262143 262144 262145 524289 1m 3m; do
		client "127.0.0.1:$front" half "$n" || { echo "with $n bytes" >&2 && return 1; }
	done
}

@test "relay: bytes that a server sent before it closed all arrive" {
	local n
	front_and_back
	workers=2 start_front
	for n in 0 1 100 16384 65537 262144 262145 1m 8m; do
		origin "burst-$n" "127.0.0.1:$back" burst "$n"
		client "127.0.0.1:$front" fetch "$n" || { echo "with $n bytes" >&2 && return 1; }
		kill "$ORIGIN_PID"
		wait_until "! alive $ORIGIN_PID" 2
	done
}

@test "relay: queued bytes are delivered to a slow client after the server closed" {
	proxy burst 8m
	client "127.0.0.1:$front" fetch 8m 2
}

@test "relay: queued bytes are delivered to a slow server after the client closed" {
	proxy slow 16k
	# The client leaves as soon as the kernel has its bytes.
	client "127.0.0.1:$front" half 2m || true
	wait_until 'grep -q "^end 1 in=2097152 .*eof" origin.out' 8
}

@test "relay: a server that closes first closes the client promptly" {
	proxy name here
	run -0 client "127.0.0.1:$front" watch
	[[ $output == "eof 5 "* ]]
	assert_between "${output##* }" 0 $((2000 * SLOW)) "ms until the client was closed"
}

@test "relay: a client that closes first closes the server promptly" {
	proxy echo
	client "127.0.0.1:$front" connect
	wait_until 'grep -q "^end 1 .*eof" origin.out' 1
}

# ---------------------------------------------------------------- resets

@test "relay: a reset by the client is a reset for the server" {
	proxy discard
	client "127.0.0.1:$front" reset 10000
	wait_until 'grep -q "^end 1 in=10000 out=0 reset" origin.out' 3
}

@test "relay: a reset by the server is a reset for the client" {
	proxy reset-after 10000
	run -0 client "127.0.0.1:$front" watch 10000
	[[ $output == "reset 0 "* ]]
}

@test "relay: what a server sent before it reset arrives before the reset" {
	local n
	front_and_back
	start_front
	for n in 1 1000 100k 400k; do
		# The reset comes when proxyd's kernel has everything: what the client reads then is not lost.
		origin "reset-$n" "127.0.0.1:$back" -d 100 send-reset "$n"
		run -0 client "127.0.0.1:$front" watch
		[[ $output == "reset "* ]]
		kill "$ORIGIN_PID"
		wait_until "! alive $ORIGIN_PID" 2
	done
}

@test "relay: a reset while a client does not read does not hang the relay" {
	proxy reset-after 1000
	client "127.0.0.1:$front" reset 500
	run -0 client "127.0.0.1:$front" watch 1000
	[[ $output == "reset "* ]]
	wait_until 'grep -q "^end 1 .*reset" origin.out' 2
}

@test "relay: a client that did not read and is gone is not waited for after its server's reset" {
	timeouts="client_fin: 1h" proxy send-reset 2m
	spawn reader "$HELPERS/client" -t 60 "127.0.0.1:$front" fetch 2m 60
	wait_until 'grep -q "^end 1" origin.out' 5
	wait_until '[ "$(ctl --json show sessions | jq -c "map(.state)")" = "[\"lingering\"]" ]' 5
	kill -KILL "$SPAWNED_PID"
	wait_until '[ "$(ctl --json show sessions | jq length)" = 0 ]' 3
}

# ---------------------------------------------------------------- manners of peers

@test "relay: a client that writes byte by byte gets every byte back" {
	proxy echo
	client "127.0.0.1:$front" echo 20000 1
}

@test "relay: pieces of every awkward size come back unchanged" {
	local chunk
	proxy echo
	for chunk in 3 511 1460 1461 4095 65535; do
		client "127.0.0.1:$front" echo 300k "$chunk"
	done
}

@test "relay: 50 MB at once in both directions, unchanged" {
	proxy echo
	client -t 30 "127.0.0.1:$front" echo 50m 64k
}

@test "relay: 20 clients at once never get each other's bytes" {
	local i pids=()
	proxy echo
	for i in {1..20}; do
		client -t 20 -s "$i" "127.0.0.1:$front" echo 1m 3>&- &
		pids+=($!)
	done
	for i in "${pids[@]}"; do
		wait "$i"
	done
}

@test "relay: 500 idle relays stay and answer afterwards" {
	proxy echo
	run -0 client "127.0.0.1:$front" hold 500 2
	assert_eq "$(jq -c '[.connected, .lost, .answered]' <<<"${lines[1]}")" "[500,0,500]"
}

@test "relay: 1000 short connections a second, none fails" {
	proxy answer here
	run -0 client "127.0.0.1:$front" rate $((1000 / SLOW)) 3
	echo "$output"
	assert_eq "$(jq -c '.started == .ok' <<<"$output")" true
}

# ---------------------------------------------------------------- timeouts

# ended_within LEAST MOST: `client watch` was ended by the proxy after so many ms
ended_within()
{
	assert_between "${output##* }" "$1" $(($2 * SLOW)) "ms until the end"
}

@test "timeouts: client: an idle relay ends" {
	timeouts="client: 500ms" proxy discard
	run -0 client "127.0.0.1:$front" watch 10
	ended_within 400 3000
}

@test "timeouts: client: a relay on which something moves does not end" {
	timeouts="client: 1s" proxy slow 1
	run -0 client "127.0.0.1:$front" watch 10
	(
		for _ in {1..8}; do
			echo x
			sleep 0.25
		done
	) | socat -t 1 - "TCP:127.0.0.1:$front"
	wait_until 'grep -q "^end 2 in=16" origin.out' 3
}

@test "timeouts: server: a server that says nothing ends the relay" {
	timeouts="server: 500ms" proxy hold
	run -0 client "127.0.0.1:$front" watch 10
	ended_within 400 3000
}

@test "timeouts: connect: a server that does not answer counts as failed" {
	expect_log 'client closed|cannot connect'
	front_and_back
	origin origin "127.0.0.1:$back" full
	timeouts="connect: 300ms" backend="retries: 1, " start_front
	run -0 client "127.0.0.1:$front" watch 10
	ended_within 500 5000
}

@test "timeouts: client_fin: a server that does not end after the client did is cut off" {
	timeouts="client_fin: 500ms, server_fin: 500ms" proxy discard
	run -0 client "127.0.0.1:$front" watch 10 fin
	ended_within 400 3000
}

@test "timeouts: server_fin: a client that does not end after the server did is cut off" {
	timeouts="client_fin: 500ms, server_fin: 500ms" proxy fin-first
	(sleep 4 | socat -t 4 - "TCP:127.0.0.1:$front") 3>&- &
	wait_until 'grep -q "^end 1" origin.out' 3
}

@test "timeouts: 0 is none" {
	timeouts="client: 0, server: 0" proxy echo
	run -0 client "127.0.0.1:$front" hold 3 2
	assert_eq "$(jq -c '[.lost, .answered]' <<<"${lines[1]}")" "[0,3]"
}

# ---------------------------------------------------------------- options of the frontend's sockets

# The listening sockets of a port, with all that ss knows.
listeners_of()
{
	ss -HOtlnpeio "sport = :$1"
}

@test "tcp: every worker has a listening socket of its own" {
	workers=3 proxy echo
	assert_eq "$(listeners_of "$front" | wc -l)" 3
}

@test "tcp: backlog is the listening sockets' queue" {
	front_and_back
	start_proxyd <<-END
	frontends:
	  front: {bind: "127.0.0.1:$front", forward: ["127.0.0.1:$back"], tcp: {backlog: 77}}
	END
	assert_eq "$(listeners_of "$front" | awk '{ print $3 }' | sort -u)" 77
}

@test "tcp: keepalive is on at the clients' sockets" {
	front_and_back
	origin origin "127.0.0.1:$back" echo
	start_proxyd <<-END
	frontends:
	  front: {bind: "127.0.0.1:$front", forward: ["127.0.0.1:$back"], tcp: {keepalive: 90s}}
	END
	spawn held "$HELPERS/client" "127.0.0.1:$front" hold 1 5
	wait_until 'ss -Htnp -o "sport = :$front" | grep -q "timer:(keepalive"' 3
}

@test "tcp: defer_accept leaves a client that says nothing in the kernel" {
	front_and_back
	origin origin "127.0.0.1:$back" echo
	start_proxyd <<-END
	frontends:
	  front: {bind: "127.0.0.1:$front", forward: ["127.0.0.1:$back"], tcp: {defer_accept: 5s}}
	END
	spawn held "$HELPERS/client" "127.0.0.1:$front" hold 1 5
	wait_until 'grep -q connected held.out' 2
	client "127.0.0.1:$front" echo 1000
	assert_eq "$(origin_count origin)" 1
}
