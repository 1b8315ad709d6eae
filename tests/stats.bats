#!/usr/bin/env bats
# What the daemon counts: every field of it, under load, and that nothing is counted twice or forgotten.

load helpers/common
load helpers/streams
load helpers/generations

serve_counted()
{
	read -ra ports <<<"$(free_port 7)"
	front=127.0.0.1:${ports[0]}
	echo=127.0.0.1:${ports[1]}
	few=127.0.0.1:${ports[2]}
	FRONT=127.0.0.1:${ports[6]}
	origin a "127.0.0.1:${ports[3]}" echo
	origin n "127.0.0.1:${ports[5]}" answer n
	expect_log 'b/dead: is not chosen for'
	expect_log 'c: connect failed after|no server|c/dead: is not chosen'
	expect_log 'frontend few: .* refused: not in allow'
	start_proxyd <<-END
	global: {workers: ${1:-4}}
	frontends:
	  front: {bind: "$front", backend: b, maxconn: 500}
	  own: {bind: "$echo", service: echo}
	  none: {bind: "127.0.0.1:${ports[4]}", backend: c}
	  few: {bind: "$few", service: echo, allow: ["192.0.2.0/24"]}
	  busy: {bind: "$FRONT", backend: d}
	backends:
	  d: {servers: {n: "127.0.0.1:${ports[5]}"}}
	  b: {servers: {a: {address: "127.0.0.1:${ports[3]}", maxconn: 300}, dead: {address: "127.0.0.1:1", weight: 1}}, maxqueue: 77}
	  c: {servers: {dead: "127.0.0.1:1"}, retries: 0}
	END
	none=127.0.0.1:${ports[4]}
}

# stat SCOPE NAME JQ: of the row in rows.json.
stat_of()
{
	jq -c --arg scope "$1" --arg name "$2" ".[] | select(.scope == \$scope and (.name // \"\") == \$name) | $3" rows.json
}

rows()
{
	ctl --json show stats >rows.json
}

@test "stats: what came is what is counted, by frontend, backend, server, worker and in all, each field of it" {
	serve_counted 4
	for i in 1 2 3 4 5 6 7 8; do
		client "$front" echo 1000
		client "$echo" echo 500
	done
	for i in 1 2 3; do
		client "$none" ask hello || true
	done
	for i in 1 2; do
		client "$few" ask hello || true
	done
	wait_until 'shown show stats ".[0] | .total == 21 and .active == 0 and .ended + .failed + .refused == 21"' 5
	# The sampler looks once a second.
	wait_until 'shown show stats ".[0].rate_60s * 60 | round == 21"' 4
	rows
	assert_eq "$(jq -c '[.[] | keys_unsorted] | unique | length' rows.json)" 1 "every row has the same fields"
	assert_eq "$(jq -c '[.[] | .scope] | unique' rows.json)" '["backend","daemon","frontend","server","worker"]'
	assert_eq "$(stat_of frontend front '[.active, .total, .ended, .failed, .refused, .lost, .bytes_in, .bytes_out]')" \
		'[0,8,8,0,0,0,8000,8000]'
	assert_eq "$(stat_of frontend own '[.active, .total, .ended, .failed, .refused, .lost, .bytes_in, .bytes_out]')" \
		'[0,8,8,0,0,0,4000,4000]'
	assert_eq "$(stat_of frontend none '[.total, .ended, .failed, .failed_by.connect_failed, .failed_by.no_server]')" '[3,0,3,3,0]'
	assert_eq "$(stat_of frontend few '[.total, .refused, .refused_by.denied, .refused_by.resource, .bytes_in]')" '[2,2,2,0,0]'
	assert_eq "$(stat_of server b/a '[.state, .active, .total, .failed, .bytes_in, .bytes_out]')" '["nocheck",0,8,0,8000,8000]'
	assert_eq "$(stat_of backend b '[.total, .queued, .bytes_in, .failed == .failed_by.refused]')" '[8,0,8000,true]'
	assert_eq "$(stat_of server c/dead '[.total, .failed, .failed_by.refused, .connect_p50_us]')" '[0,3,3,null]'
	assert_eq "$(stat_of daemon '' '[.total, .ended, .failed, .refused, .lost, .bytes_in, .bytes_out]')" '[21,16,3,2,0,12000,12000]'
	assert_eq "$(jq -c '[.[] | select(.scope == "worker")] | [length, (map(.total) | add), (map(.bytes_in) | add)]' rows.json)" '[4,21,12000]'
	assert_eq "$(jq -c '[.[] | select(.scope == "worker") | .name]' rows.json)" '["0","1","2","3"]'
	# What the origin counted.
	assert_eq "$(origin_count a)" 8
	assert_eq "$(stat_of frontend front '[.rate_60s, .bytes_in_60s, .bytes_out_60s]')" '[0.133,133.333,133.333]'
	assert_eq "$(stat_of backend b '.connect_p50_us > 0 and .connect_p50_us <= .connect_p99_us and .connect_p99_us < 5000000')" true
	assert_eq "$(stat_of frontend front '.session_p99_ms >= .session_p50_ms and .session_p99_ms < 10000 and .connect_p50_us == null')" true
	jq -e '[.[] | select(.scope == "worker" and .connect_p50_us != null)] | length > 0 and all(.connect_p50_us > 0 and .connect_p50_us <= .connect_p99_us)' rows.json
	jq -e '[.[] | select(.scope == "worker" and .ended > 0)] | length > 0 and all(.session_p50_ms != null and .session_p50_ms <= .session_p99_ms)' rows.json
	assert_eq "$(stat_of daemon '' '[.connect_p50_us, .session_p50_ms]')" '[null,null]'
	assert_eq "$(stat_of frontend few '[.session_p50_ms, .session_p99_ms]')" '[null,null]'
}

@test "stats: JSON of every view is whole and of the right types while 4 workers are busy" {
	local floats='rate_1s,rate_10s,rate_60s,bytes_in_1s,bytes_in_10s,bytes_in_60s,bytes_out_1s,bytes_out_10s,bytes_out_60s'
	serve_counted 4
	newcomers_start 200
	wait_until 'shown show stats ".[0].rate_1s > 20"' 5
	rows
	jq -e "all(.[]; [.${floats//,/,.}] | all(type == \"number\" and . >= 0))" rows.json
	jq -e 'all(.[]; .total | type == "number") and all(.[]; .active >= 0)' rows.json
	# Floating point says so, also when it is none.
	grep -q '"rate_1s":[0-9]*\.[0-9][0-9][0-9],' rows.json
	ctl --json show history >history.json
	jq -e 'all(.[]; (.rate | length) == 60 and (.bytes_in | length) == 60 and (.bytes_out | length) == 60)' history.json
	jq -e 'all(.[]; .p99_us == null or (.p99_us | length) == 60)' history.json
	jq -e '[.[] | select(.p99_us == null) | .scope] | unique == ["frontend", "worker"]' history.json
	jq -e 'map(.scope + ":" + (.name // "")) | contains(["daemon:", "frontend:front", "backend:b", "server:b/a", "worker:3"])' history.json
	wait_until 'shown show history ".[0] | .rate[-1] > 20 and .bytes_in[-1] > 20 and .p99_us[-1] > 0 and .rate[0] == 0"' 15
	ctl --json show limits >limits.json
	jq -e 'all(.[]; (.limit | type) == "string" and (.max | type) == "number" and (.from | type) == "string")' limits.json
	jq -e '.[] | select(.limit == "maxconn" and .name == "front") | .max == 500 and .from == "frontends.*.maxconn"' limits.json
	jq -e '.[] | select(.limit == "maxconn" and .name == "b/a") | .max == 300 and .from == "backends.*.servers.*.maxconn"' limits.json
	jq -e '.[] | select(.limit == "maxqueue" and .name == "b") | .used == 0 and .max == 77' limits.json
	jq -e '[.[] | select(.limit == "relays")] | length == 5 and all(.max > 0)' limits.json
	jq -e '.[] | select(.limit == "workers") | .used == 4 and .max == 64' limits.json
	jq -e '.[] | select(.limit == "servers ever") | .used == 4' limits.json
	jq -e '.[] | select(.limit == "control clients") | .used == 1 and .max == 32' limits.json
	ctl set server b/a maxconn 123
	shown show limits '.[] | select(.name == "b/a") | .max == 123 and .from == "set server"'
	for view in status 'show frontends' 'show servers' 'show workers' 'show sessions' 'show generations'; do
		# shellcheck disable=SC2086 # words
		ctl --json $view | jq -e . >/dev/null
	done
	newcomers_stop
	# Tables as well.
	ctl show stats | head -n 1 | grep -q '^SCOPE .*NAME .*ACTIVE .*TOTAL .*NEW/S'
	ctl show history | grep -q '^server .* b/a '
	ctl show limits | grep -q '^maxqueue .* 77 '
}

@test "stats: histories, limits and counts go on over a reload" {
	serve_counted 2
	for i in 1 2 3 4 5; do
		client "$front" echo 100
	done
	wait_until 'shown show stats ".[0].rate_60s * 60 | round == 5"' 4
	sed 's/retries: 0/retries: 1/' proxyd.yaml >next.yaml && mv next.yaml proxyd.yaml
	ctl reload
	client "$front" echo 100
	wait_until 'shown show stats ".[0].rate_60s * 60 | round == 6"' 4
	shown show stats '.[0] | .total == 6 and .bytes_in == 600'
	# What left the configuration is still in the sums of what it belonged to.
	sed 's/{dead: "127.0.0.1:1"}/{other: "127.0.0.1:2"}/; s/a: {address/new: {address/' proxyd.yaml >next.yaml && mv next.yaml proxyd.yaml
	ctl reload
	shown show stats '.[] | select(.scope == "backend" and .name == "b") | .total == 6 and .bytes_out == 600'
	shown show stats '.[] | select(.scope == "server" and .name == "b/new") | .total == 0'
}

# ------------------------------------------------------------------ SIGUSR1

@test "stats: USR1 prints one object on one line, the eight fields of foo first, and what is counted" {
	serve_counted 2
	for i in 1 2 3; do
		client "$front" echo 1000
	done
	wait_until 'shown show stats ".[0] | .ended == 3"' 5
	kill -USR1 "$PROXYD_PID"
	wait_until '[ "$(wc -l <proxyd.out)" -eq 1 ]' 5
	jq -e '.msg_total == 0 and .msg_req == 0 and .msg_ack == 0 and .msg_nak == 0' proxyd.out
	jq -e '.request_rate_1s == 0 and .request_rate_10s == 0 and .response_rate_1s == 0 and .response_rate_10s == 0' proxyd.out
	grep -q '"request_rate_1s":0\.0' proxyd.out
	jq -e '.daemon | .total == 3 and .bytes_in == 3000 and .bytes_out == 3000' proxyd.out
	jq -e '(.frontends | map(.name)) == ["front", "own", "none", "few", "busy"] and .frontends[0].ended == 3' proxyd.out
	jq -e '(.servers | map(.name)) == ["d/n", "b/a", "b/dead", "c/dead"] and .servers[1].total == 3' proxyd.out
	jq -e '(.backends | length) == 3 and (.workers | length) == 2' proxyd.out
	kill -USR1 "$PROXYD_PID"
	wait_until '[ "$(wc -l <proxyd.out)" -eq 2 ]' 5
	stop_proxyd
}

@test "stats: a stdout that nobody reads costs statistics, not time; what was begun is whole when it is read" {
	mkfifo stdout
	exec 8<>stdout
	{
		echo "global: {workers: 1, control: {path: \"$PWD/control.sock\"}}"
		echo "frontends: {front: {bind: \"127.0.0.1:$(free_port)\", backend: b}}"
		echo "backends: {b: {servers: {"
		for ((i = 1; i <= 1000; i++)); do echo "s$i: \"127.0.0.1:$i\","; done
		echo "}}}"
	} >many.yaml
	expect_log 'SIGUSR1: stdout has not taken all of the last statistics'
	"$PROXYD" -c many.yaml >stdout 2>proxyd.log </dev/null 3>&- 8>&- &
	PROXYD_PID=$!
	echo "$PROXYD_PID" >>pids
	wait_until 'grep -q "serving; frontends" proxyd.log' 10
	kill -USR1 "$PROXYD_PID"
	# It answers meanwhile, and says what the next one costs.
	wait_until 'shown status ".state == \"serving\""' 2
	wait_until 'kill -USR1 "$PROXYD_PID" && grep -q "SIGUSR1: stdout has not taken all" proxyd.log' 3
	shown show workers 'length == 1'
	head -n 1 <&8 >line.json
	jq -e '(.servers | length) == 1000 and (.servers[999].name == "b/s1000") and .msg_total == 0' line.json
	# And the one after that goes through again.
	kill -USR1 "$PROXYD_PID"
	timeout 10 head -n 1 <&8 | jq -e '(.servers | length) == 1000'
	exec 8>&-
}

# ------------------------------------------------------------------ exactly

# The row of frontend front, and its servers' sums, against the streams' own counts.
counted_as_streams_did()
{
	# The 16 bytes that every relay begins with, which tell the origin its kind, are not in its count.
	local up=$(($(streams_result .received_up) + 16 * $(streams_result .opened)))

	rows
	figure "$(stat_of frontend front '{total, ended, lost, bytes_in, bytes_out}')"
	assert_eq "$(stat_of frontend front '[.total, .ended, .active, .failed, .refused, .lost]')" \
		"[$(streams_result .opened),$(streams_result .opened),0,0,0,0]"
	assert_eq "$(stat_of frontend front '[.bytes_in, .bytes_out]')" \
		"[$up,$(streams_result .received_down)]"
	assert_eq "$(stat_of backend back '[.total, .failed, .bytes_in, .bytes_out]')" \
		"[$(streams_result .opened),0,$up,$(streams_result .received_down)]"
	assert_eq "$(jq '[.[] | select(.scope == "server" and (.name | startswith("back/"))) | .bytes_in] | add' rows.json)" \
		"$up"
}

@test "stats: connections and bytes equal those of client and server, exactly, over reloads and kill -9 of workers" {
	local i
	expect_deaths
	generations_start 4
	streams_start --idle 40 --chat 80 --half-client 12 --half-server 12 --stuck 8 --bulk 6 --bulk-rate 16m
	sleep 1.3
	for i in 1 2 3 4 5 6; do
		wait_until keeper_is_filled 10
		kill -KILL "$(a_pid_of worker)"
		wait_until 'one_generation 4' 15
		if [ $((i % 2)) -eq 0 ]; then
			configure 4 $((i + 1))
			ctl reload >/dev/null
			wait_until 'one_generation 4' 15
		fi
	done
	counts_agree 158
	streams_finish
	nothing_left
	counted_as_streams_did
}

@test "stats: of short connections none is counted twice or forgotten, when workers are killed and replaced" {
	local i kills=0 n ok
	expect_deaths
	expect_log 'relay #|client closed'
	serve_counted 4
	newcomers_start 300
	for i in 1 2 3 4 5 6; do
		sleep 0.5
		if [ $((i % 3)) -eq 0 ]; then
			sed "s/maxqueue: [0-9]*/maxqueue: $((80 + i))/" proxyd.yaml >next.yaml && mv next.yaml proxyd.yaml
			ctl reload
		else
			kill -KILL "$(a_pid_of worker)" && kills=$((kills + 1))
		fi
		wait_until 'one_generation 4' 15
	done
	newcomers_stop but reset short
	wait_until 'shown show stats ".[0] | .active == 0 and .total == .ended + .failed + .refused + .lost"' 5
	rows
	n=$(jq .started <<<"$NEWCOMERS_RESULT") ok=$(jq .ok <<<"$NEWCOMERS_RESULT")
	figure "$kills kills: $(stat_of frontend busy '{total, ended, failed, lost}') of $n, $ok served; origin $(origin_count n)"
	assert_eq "$(stat_of frontend busy '.total == .ended + .failed + .refused + .lost and .failed == 0 and .refused == 0')" true
	# What the kernel had given to a worker in the instant of its death, nobody knows.
	assert_between "$(stat_of frontend busy .total)" $((n - kills)) "$n" "connections counted"
	assert_between "$ok" "$(stat_of frontend busy .ended)" "$(stat_of frontend busy '.ended + .lost')" "connections served"
	assert_between "$(origin_count n)" "$(stat_of server d/n .total)" "$(($(stat_of server d/n .total) + $(stat_of frontend busy .lost)))" "connections at the server"
}
