#!/usr/bin/env bats
# light: it measures, if only for a moment
# The bench itself (tests/bench): that it measures what it says, and is loud about failures. Not with a full set of
# peers: those take their time.

load helpers/common

setup()
{
	common_setup
	[ -z "$SAN" ] || skip "what sanitizers cost is nobody's question"
	[ "$(nproc)" -ge 2 ] || skip "the proxy has a core for itself"
}

# bench LOAD...: one short round without the well-known proxies; its output is in table and said.
bench()
{
	OUT=$PWD/out ROUNDS=1 SPAN=${SPAN:-0.1} WARM=0.05 PEERS="none bare proxyd" "$ROOT/tests/bench/run" "$@" >table 2>said
}

# figure LOAD PEER FIGURE: its median
figure()
{
	jq -e --arg load "$1" --arg peer "$2" --arg figure "$3" \
		'.loads[] | select(.name == $load) | .peers[$peer].figures[$figure].median' out/results.json
}

@test "bench: a load has figures of every peer, a plot, and ratios" {
	bench kept-64 bulk-1-down
	local peer
	for peer in none bare proxyd; do
		jq -en "$(figure kept-64 "$peer" rate) > 100 and $(figure kept-64 "$peer" machine) > 0 and
			$(figure kept-64 "$peer" p99) >= $(figure kept-64 "$peer" p50)"
	done
	jq -en "$(figure kept-64 none rate) > $(figure kept-64 proxyd rate)"
	jq -en "$(figure kept-64 proxyd cpu) > 0.5"
	jq -en "$(figure bulk-1-down proxyd rate) > 0.05"
	grep -q 'proxyd: cpu .* of bare' table
	grep -q '<svg' out/kept-64.svg
	grep -q 'kept-64.svg' out/index.html
}

@test "bench: what was not measured is not printed" {
	bench bulk-1-down
	# bare has no part in it, and nobody a latency.
	run ! figure bulk-1-down bare rate
	run ! grep -q '^  bare' table
	run ! figure bulk-1-down proxyd p99
	grep -qE '^  proxyd +[0-9.]+ +[0-9.]+ +[0-9.]+ +- +- +- +-$' table
	# Its goals are against others.
	[ "$(grep -c 'goal: .*not measured' table)" -eq "$(grep -c 'goal:' table)" ]
}

@test "bench: well-known programs find the same way through" {
	bench wrk-64 iperf-16
	local peer
	for peer in none bare proxyd; do
		jq -en "$(figure wrk-64 "$peer" rate) > 100 and $(figure wrk-64 "$peer" p99) > 0"
	done
	jq -en "$(figure wrk-64 proxyd cpu) > 0.5 and $(figure iperf-16 proxyd cpu) > 0.5"
	jq -en "$(figure iperf-16 none rate) > 0.05 and $(figure iperf-16 proxyd rate) > 0.05"
}

# A peer that dies as soon as it has work.
@test "bench: failures are said at once, have no figures, and are its exit code" {
	mkdir -p build/tests/bench
	ln -s "$BUILD"/proxyd "$BUILD"/proxyctl build
	ln -s "$BUILD"/tests/helpers build/tests
	ln -s "$BUILD"/tests/bench/{load,origin} build/tests/bench
	cat >build/tests/bench/bare <<-END
	#!/bin/bash
	"$BUILD/tests/bench/bare" "\$@" &
	for ((i = 0; i < 1000; i++)); do
		fds=(/proc/\$!/fd/*)
		[ \${#fds[@]} -lt 100 ] || break
		sleep 0.02
	done
	kill \$!
	END
	chmod +x build/tests/bench/bare
	local code=0
	SPAN=0.3 BUILD=$PWD/build bench kept-64 || code=$?
	assert_eq "$code" 1
	grep -q '^bench: FAILED: kept-64 through bare, round 1: {"' said
	grep -q '^bench: measurements that FAILED: 1; those loads have no figures$' said
	grep -qE '^  bare +FAILED: \{"' table
	run ! figure kept-64 bare rate
	run ! grep -q 'of bare' table
	figure kept-64 proxyd rate
}

@test "bench: what cannot be measured is one clear line" {
	run ! bench no-such-load
	assert_eq "$(cat said)" "bench: no load is called no-such-load"
	PROXY_CORE=1 run ! bench kept-64
	assert_eq "$(cat said)" "bench: the proxy has its core for itself, not 1 with the load"
	BUILD=$PWD/nowhere run ! bench kept-64
	assert_eq "$(cat said)" "bench: $PWD/nowhere/tests/bench/load is missing: \`make bench\` builds and installs what it needs"
}
