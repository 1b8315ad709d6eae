#!/usr/bin/env bats
# Which server a client gets, over all workers together, and what happens when one cannot be connected to.

load helpers/common

# servers N [MODE]: origins s1 to sN on ports in a row, each says its name; $ports has the ports, $list the
# servers as the configuration has them.
servers()
{
	local i
	read -ra ports <<<"$(free_port "$1")"
	list=""
	for ((i = 1; i <= $1; i++)); do
		origin "s$i" "127.0.0.1:${ports[i - 1]}" "${2:-answer}" "s$i"
		list+="s$i: \"127.0.0.1:${ports[i - 1]}\", "
	done
}

# balanced BACKEND-KEYS: a frontend on $front over $list, 4 workers
balanced()
{
	front=$(free_port)
	start_proxyd <<-END
	global: {workers: ${workers:-4}}
	frontends:
	  front: {bind: "127.0.0.1:$front", backend: back}
	backends:
	  back: {$1, servers: {$list}}
	END
	wait_until '[ "$(worker_pids | wc -l)" -eq ${workers:-4} ]' 5
}

@test "balance: roundrobin: six requests see servers 1 2 3 1 2 3, whichever of 4 workers accepts" {
	servers 3
	balanced "balance: roundrobin"
	assert_eq "$(ask_names "127.0.0.1:$front" 6)" "s1 s2 s3 s1 s2 s3"
	assert_eq "$(ask_names "127.0.0.1:$front" 6)" "s1 s2 s3 s1 s2 s3"
}

@test "balance: roundrobin: is what a backend does that says nothing" {
	servers 3
	balanced "retries: 3"
	assert_eq "$(ask_names "127.0.0.1:$front" 6)" "s1 s2 s3 s1 s2 s3"
}

@test "balance: roundrobin: the quick form of the predecessor sees 1 2 3 1 2 3" {
	servers 3
	front=$(free_port)
	start_proxyd -f "$front" -p "${ports[0]}" -p "${ports[1]}" -p "${ports[2]}" </dev/null
	assert_eq "$(ask_names "127.0.0.1:$front" 6)" "s1 s2 s3 s1 s2 s3"
}

@test "balance: roundrobin: weights are kept exactly and spread out" {
	local names
	servers 2
	list="a: {address: \"127.0.0.1:${ports[0]}\", weight: 3}, b: {address: \"127.0.0.1:${ports[1]}\", weight: 1}"
	balanced "balance: roundrobin"
	names=$(ask_names "127.0.0.1:$front" 16)
	assert_eq "$(tr ' ' '\n' <<<"$names" | grep -c s1)" 12
	# Smooth: never more than three of the heavy one in a row.
	[[ $names != *"s1 s1 s1 s1"* ]]
}

@test "balance: roundrobin: a server of weight 0 gets nothing" {
	servers 2
	list="a: {address: \"127.0.0.1:${ports[0]}\", weight: 0}, b: \"127.0.0.1:${ports[1]}\""
	balanced "balance: roundrobin"
	assert_eq "$(ask_names "127.0.0.1:$front" 4)" "s2 s2 s2 s2"
}

@test "balance: roundrobin: at 500 requests a second all servers get the same" {
	servers 3
	balanced "balance: roundrobin"
	run -0 client "127.0.0.1:$front" rate 500 3
	echo "$output"
	assert_eq "$(jq -c '[.ok, .answers.s1, .answers.s2, .answers.s3]' <<<"$output")" "[1500,500,500,500]"
}

# How many relays each of three servers has now.
relays_at()
{
	local n="" i
	for i in 1 2 3; do
		n+=" $(ss -Htn state established "dport = :${ports[i - 1]}" | wc -l)"
	done
	echo "${n# }"
}

@test "balance: leastconn: of 5, 1 and 3 active it takes the one with 1, over all workers" {
	local i s victims before now owner=() server=()
	servers 3 greet
	balanced "balance: leastconn"
	# Fifteen in a row are five each; whose each one is tells the count that went up.
	for i in {1..15}; do
		read -ra before <<<"$(relays_at)"
		spawn "held$i" "$HELPERS/client" "127.0.0.1:$front" hold 1 30
		owner[i]=$SPAWNED_PID
		wait_until '[ "$(relays_at)" != "${before[*]}" ]' 3
		read -ra now <<<"$(relays_at)"
		for s in 0 1 2; do
			[ "${now[s]}" = "${before[s]}" ] || server[i]=$s
		done
	done
	assert_eq "$(relays_at)" "5 5 5"
	for s in 1 2; do
		victims=$([ "$s" = 1 ] && echo 4 || echo 2)
		for i in {1..15}; do
			[ "${server[i]}" = "$s" ] && [ "$victims" -gt 0 ] || continue
			kill -KILL "${owner[i]}"
			victims=$((victims - 1))
		done
	done
	wait_until '[ "$(relays_at)" = "5 1 3" ]' 3
	# The worker counts a relay out in the turn in which the sockets were closed.
	wait_until '[ "$(ctl --json show servers | jq -c "[.[].active]")" = "[5,1,3]" ]' 3
	for i in {16..17}; do
		read -ra before <<<"$(relays_at)"
		spawn "held$i" "$HELPERS/client" "127.0.0.1:$front" hold 1 30
		wait_until '[ "$(relays_at)" != "${before[*]}" ]' 3
	done
	assert_eq "$(relays_at)" "5 3 3"
}

@test "balance: leastconn: ties are taken in turn" {
	servers 3
	balanced "balance: leastconn"
	run -0 client "127.0.0.1:$front" rate 50 3
	echo "$output"
	assert_between "$(jq .answers.s1 <<<"$output")" 30 70 "of 150 at server 1"
	assert_between "$(jq .answers.s2 <<<"$output")" 30 70 "of 150 at server 2"
}

@test "balance: leastconn: weights count" {
	servers 2 greet
	list="a: {address: \"127.0.0.1:${ports[0]}\", weight: 3}, b: {address: \"127.0.0.1:${ports[1]}\", weight: 1}"
	balanced "balance: leastconn"
	spawn held "$HELPERS/client" "127.0.0.1:$front" hold 40 20
	wait_until '[ "$(origin_count s1)" -eq 30 ] && [ "$(origin_count s2)" -eq 10 ]' 3
}

@test "balance: random: every server gets its share" {
	local i
	servers 3
	balanced "balance: random"
	run -0 client "127.0.0.1:$front" rate 300 1
	echo "$output"
	for i in 1 2 3; do
		assert_between "$(jq ".answers.s$i" <<<"$output")" 50 150 "of 300 at server $i"
	done
}

@test "balance: random: does not repeat from one start to the next" {
	servers 3
	balanced "balance: random, random_draws: 1"
	first=$(ask_names "127.0.0.1:$front" 30)
	stop_proxyd
	balanced "balance: random, random_draws: 1"
	[ "$first" != "$(ask_names "127.0.0.1:$front" 30)" ]
}

@test "balance: first: takes the first that can be had" {
	servers 3
	balanced "balance: first"
	assert_eq "$(ask_names "127.0.0.1:$front" 4)" "s1 s1 s1 s1"
}

@test "balance: source: the same client always sees the same server, others see others" {
	local i seen=""
	servers 3
	balanced "balance: source"
	for i in {1..12}; do
		first=$(client -b "127.0.0.$i:0" "127.0.0.1:$front" ask hello)
		for _ in 1 2 3; do
			assert_eq "$(client -b "127.0.0.$i:0" "127.0.0.1:$front" ask hello)" "$first" "for 127.0.0.$i"
		done
		seen+="$first "
	done
	assert_between "$(tr ' ' '\n' <<<"$seen" | sort -u | grep -c .)" 2 3 "servers seen by 12 clients"
}

# ---------------------------------------------------------------- servers that fail

@test "balance: a failed connect goes to another server and no client notices" {
	expect_log 'back/s2.*(refused|failed|ejected)'
	servers 3
	kill "$(sed -n 2p pids)"
	wait_until '! listening "${ports[1]}"' 2
	balanced "balance: roundrobin"
	run -0 client "127.0.0.1:$front" rate 100 3
	echo "$output"
	assert_eq "$(jq -c '[.ok, .answers.s2]' <<<"$output")" "[300,null]"
}

@test "balance: a server that failed max_fails times is left out for a while, then tried again" {
	local before
	expect_log 'back/s1.*(refused|failed|ejected)'
	servers 2
	kill "$(sed -n 1p pids)"
	wait_until '! listening "${ports[0]}"' 2
	balanced "passive: {max_fails: 2, window: 10s, eject: 3s}"
	ask_names "127.0.0.1:$front" 8
	origin s1 "127.0.0.1:${ports[0]}" answer s1
	# Left out, although it could be had; then it is back.
	assert_eq "$(ask_names "127.0.0.1:$front" 3)" "s2 s2 s2"
	wait_until '[ "$(client "127.0.0.1:$front" ask hello)" = s1 ]' 6
}

@test "balance: retries: 0 leaves it at one attempt" {
	expect_log 'refused|failed|ejected|closed'
	servers 2
	kill "$(sed -n 1p pids)"
	wait_until '! listening "${ports[0]}"' 2
	balanced "retries: 0, passive: {max_fails: 0}"
	run -0 client "127.0.0.1:$front" rate 20 1
	echo "$output"
	assert_eq "$(jq -c '.answers.s2' <<<"$output")" 10
}

@test "balance: with no server left the client is closed at once and the log says why" {
	expect_log 'back'
	servers 2
	kill "$(sed -n 1p pids)" "$(sed -n 2p pids)"
	wait_until '! listening "${ports[0]}" && ! listening "${ports[1]}"' 2
	balanced "balance: roundrobin"
	run -0 client "127.0.0.1:$front" watch 5
	assert_between "${output##* }" 0 $((2000 * SLOW)) "ms until the client was closed"
	wait_log 'back.*(refused|down|connect)'
}

@test "balance: a name that does not resolve is a warning and a server that is down" {
	expect_log 'no-such-host.invalid'
	servers 1
	list+="gone: \"no-such-host.invalid:80\""
	balanced "balance: roundrobin"
	assert_log 'cannot resolve no-such-host.invalid'
	assert_eq "$(ask_names "127.0.0.1:$front" 3)" "s1 s1 s1"
}

@test "balance: a backup serves only while no other can, and no longer" {
	expect_log 'back/s1'
	servers 2
	list="s1: \"127.0.0.1:${ports[0]}\", s2: {address: \"127.0.0.1:${ports[1]}\", backup: true}"
	balanced "check: {inter: 100ms, fall: 2, rise: 1}"
	assert_eq "$(ask_names "127.0.0.1:$front" 4)" "s1 s1 s1 s1"
	kill "$(sed -n 1p pids)"
	wait_until '[ "$(client "127.0.0.1:$front" ask hello)" = s2 ]' 4
	assert_eq "$(ask_names "127.0.0.1:$front" 3)" "s2 s2 s2"
	origin s1 "127.0.0.1:${ports[0]}" answer s1
	wait_until '[ "$(client "127.0.0.1:$front" ask hello)" = s1 ]' 4
	assert_eq "$(ask_names "127.0.0.1:$front" 3)" "s1 s1 s1"
}

@test "balance: servers in drain and maint get nothing new, and one in maint is not checked" {
	servers 3
	list="s1: {address: \"127.0.0.1:${ports[0]}\", state: drain},
		s2: {address: \"127.0.0.1:${ports[1]}\", state: maint}, s3: \"127.0.0.1:${ports[2]}\""
	list=$(tr -d '\t\n' <<<"$list")
	balanced "check: {inter: 100ms}"
	assert_eq "$(ask_names "127.0.0.1:$front" 4)" "s3 s3 s3 s3"
	wait_until '[ "$(origin_count s1)" -ge 2 ]' 3 # checks alone
	assert_eq "$(origin_count s2)" 0
	assert_eq "$(ctl --json show servers | jq -c '[.[].state]')" '["drain","maint","up"]'
}

@test "balance: maglev and source: a client stays with its server, whichever worker it meets" {
	local balance first
	servers 5
	for balance in maglev source; do
		balanced "balance: $balance"
		first=$(client -b 127.0.0.21:0 "127.0.0.1:$front" ask hello)
		for _ in {1..8}; do
			assert_eq "$(client -b 127.0.0.21:0 "127.0.0.1:$front" ask hello)" "$first"
		done
		# And not all have the same one.
		for i in {1..20}; do
			client -b "127.0.0.$((i + 30)):0" "127.0.0.1:$front" ask hello
		done | sort -u >seen
		[ "$(wc -l <seen)" -ge 3 ]
		stop_proxyd
	done
}

@test "balance: latency: a server that is slow to accept gets less" {
	servers 3
	balanced "balance: latency"
	run -0 client "127.0.0.1:$front" rate 100 2
	assert_eq "$(jq .ok <<<"$output")" 200
}

@test "balance: slowstart: a server that comes up begins with a small share" {
	local n
	expect_log 'back/s1'
	servers 2
	kill "$(sed -n 1p pids)"
	wait_until '! listening "${ports[0]}"' 2
	balanced "slowstart: 20s, check: {inter: 100ms, fall: 1, rise: 1}"
	wait_until "grep -q 's1: is down' proxyd.log" 4
	origin s1 "127.0.0.1:${ports[0]}" answer s1
	wait_until "grep -q 's1: is up' proxyd.log" 4
	n=$(ask_names "127.0.0.1:$front" 40 | tr ' ' '\n' | grep -c s1)
	assert_between "$n" 1 12 "of 40 for a server that has just come up"
}

@test "balance: when all are ejected they serve all the same, and the log says so once" {
	expect_log 'back'
	servers 2
	balanced "passive: {max_fails: 1, eject: 30s, max_ejected: 100}, retries: 1"
	# Both refuse for a moment: the last that works is never ejected.
	kill "$(sed -n 1p pids)" "$(sed -n 2p pids)"
	wait_until '! listening "${ports[0]}" && ! listening "${ports[1]}"' 2
	ask_names "127.0.0.1:$front" 4 || true
	origin s1 "127.0.0.1:${ports[0]}" answer s1
	origin s2 "127.0.0.1:${ports[1]}" answer s2
	wait_until '[ -n "$(client "127.0.0.1:$front" ask hello)" ]' 3
}
