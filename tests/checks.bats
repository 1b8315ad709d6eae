#!/usr/bin/env bats
# light: measures how often servers are checked.
# The kinds of active checks, against real servers; how often they come; what maintenance, other addresses
# and the checker's death make of them. Rise, fall and who gets clients: health.bats.

load helpers/common

setup()
{
	common_setup
	front=$(free_port)
	back=$(free_port)
	expect_log 'back/s[0-9]+: is down'
}

# checked CHECK-KEYS [SERVER-KEYS [WORKERS]]: one server behind a frontend.
checked()
{
	start_proxyd <<-END
	global: {workers: ${3:-1}}
	frontends:
	  front: {bind: "127.0.0.1:$front", backend: back}
	backends:
	  back:
	    check: {$1}
	    servers: {s1: {address: "127.0.0.1:$back"${2:+, $2}}}
	END
}

# A web server: / is well unless there is a file `down`, /redirect leads elsewhere. Its log says who asked what.
web_server()
{
	cat >nginx.conf <<-END
	daemon off;
	master_process off;
	pid $PWD/nginx.pid;
	error_log $PWD/nginx-error.out;
	events { worker_connections 4096; }
	http {
		log_format asked '\$request|\$http_host|\$http_user_agent|\$http_connection';
		access_log $PWD/asked asked;
		client_body_temp_path $PWD/body; proxy_temp_path $PWD/t1; fastcgi_temp_path $PWD/t2;
		uwsgi_temp_path $PWD/t3; scgi_temp_path $PWD/t4;
		server {
			listen ${1:-127.0.0.1}:$back;
			location / {
				if (-f $PWD/down) { return 503; }
				return 200 well;
			}
			location /redirect { return 302 /; }
		}
	}
	END
	: >asked
	spawn nginx nginx -p "$PWD" -c "$PWD/nginx.conf" -e "$PWD/nginx-error.out"
	wait_until 'listening "$back"' 5
}

asked()
{
	wc -l <asked
}

# What `show servers` says of s1: show state, show check.
show()
{
	ctl --json show servers | jq -r ".[0].$1"
}

shows()
{
	[ "$(show state): $(show check)" = "$1" ]
}

# ---------------------------------------------------------------- http

@test "http: a server that answers is up, one that answers 503 is down, and comes back" {
	web_server
	checked "type: http, inter: 100ms, rise: 2, fall: 3"
	wait_until 'shows "up: ok"' 3
	touch down
	wait_log 'back/s1: is down: status 503 \(3 checks in a row\)'
	wait_until 'shows "down: status 503"' 1
	rm down
	wait_log 'back/s1: is up \(2 checks in a row\)'
	wait_until 'shows "up: ok"' 1
}

@test "http: a redirect is well, unless another status is expected" {
	web_server
	checked "type: http, inter: 100ms, http: {path: /redirect}"
	wait_until 'shows "up: ok"' 3
	stop_proxyd
	checked "type: http, inter: 100ms, http: {path: /redirect, expect_status: \"200-299,404\"}"
	wait_until 'shows "down: status 302"' 3
	stop_proxyd
	checked "type: http, inter: 100ms, http: {path: /redirect, expect_status: \"200,300-302\"}"
	wait_until 'shows "up: ok"' 3
}

@test "http: what is asked: method, path, host" {
	web_server
	checked "type: http, inter: 100ms"
	wait_until '[ "$(asked)" -ge 1 ]' 3
	assert_eq "$(head -n 1 asked)" "GET / HTTP/1.1|127.0.0.1:$back|proxyd-check|close"
	stop_proxyd
	: >asked
	checked 'type: http, inter: 100ms, http: {method: HEAD, path: "/status?deep=1", host: www.example.org}'
	wait_until '[ "$(asked)" -ge 1 ]' 3
	assert_eq "$(head -n 1 asked)" "HEAD /status?deep=1 HTTP/1.1|www.example.org|proxyd-check|close"
}

@test "http: an answer that comes byte by byte is understood" {
	origin s1 "127.0.0.1:$back" dribble $'HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 200 OK\r\n'
	checked "type: http, inter: 200ms"
	wait_until 'shows "up: ok"' 3
}

@test "http: an answer that comes too slowly is a timeout of the whole check" {
	local start
	origin s1 "127.0.0.1:$back" -d 100 dribble $'HTTP/1.1 200 OK\r\n'
	start=$(now_ms)
	checked "type: http, inter: 10s, timeout: 500ms"
	wait_log 'back/s1: is down: timeout \(1 check\)' 3
	assert_between $(($(now_ms) - start)) 450 $((3000 * SLOW)) "ms until it was found"
}

@test "http: what does not speak HTTP, and what closes before it answers" {
	origin s1 "127.0.0.1:$back" greet SSH-2.0-OpenSSH
	checked "type: http, inter: 100ms"
	wait_log 'back/s1: is down: the answer is not HTTP'
	stop_proxyd
	kill "$ORIGIN_PID"
	wait_until '! alive "$ORIGIN_PID"' 2
	origin s2 "127.0.0.1:$back" fin-first
	checked "type: http, inter: 100ms"
	wait_log 'back/s1: is down: closed before it answered \(1'
	stop_proxyd
	kill "$ORIGIN_PID"
	wait_until '! alive "$ORIGIN_PID"' 2
	origin s3 "127.0.0.1:$back" reset-after 5
	checked "type: http, inter: 100ms"
	wait_log 'back/s1: is down: closed before it answered: Connection reset by peer'
}

# ---------------------------------------------------------------- tls

tls_server()
{
	openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 1 -subj /CN=expired.test \
		-keyout key.pem -out cert.pem 2>/dev/null
	spawn tls openssl s_server -accept "127.0.0.1:$back" -cert cert.pem -key key.pem -quiet "$@"
	wait_until 'listening "$back"' 5
}

@test "tls: a handshake is enough, whoever signed the certificate" {
	tls_server
	checked "type: tls, inter: 100ms, fall: 1"
	wait_until 'shows "up: ok"' 3
	kill "$SPAWNED_PID"
	# Refused, unless a check was under way.
	wait_log 'back/s1: is down: (cannot connect: Connection refused|closed before it answered)'
	wait_until '! alive "$SPAWNED_PID"' 2
	tls_server -tls1_2
	wait_until 'shows "up: ok"' 3
}

@test "tls: a server without TLS is down" {
	web_server
	checked "type: tls, inter: 100ms"
	wait_log 'back/s1: is down: TLS handshake failed'
}

@test "tls: a server that says nothing, or closes" {
	origin s1 "127.0.0.1:$back" hold
	checked "type: tls, inter: 100ms, timeout: 200ms"
	wait_log 'back/s1: is down: timeout'
	stop_proxyd
	kill -KILL "$ORIGIN_PID"
	wait_until '! alive "$ORIGIN_PID"' 2
	origin s2 "127.0.0.1:$back" fin-first
	checked "type: tls, inter: 100ms, timeout: 1s"
	wait_log 'back/s1: is down: closed before it answered'
}

# ---------------------------------------------------------------- send_expect

@test "send_expect: redis answers PING, and does not when it wants a password" {
	spawn redis redis-server --bind 127.0.0.1 --port "$back" --save "" --dir "$PWD"
	wait_until 'listening "$back"' 5
	checked "type: send_expect, inter: 200ms, timeout: 300ms, fall: 2, send: 'PING\r\n', expect: '+PONG'"
	wait_until 'shows "up: ok"' 3
	redis-cli -p "$back" config set requirepass secret
	wait_log 'back/s1: is down: expected bytes missing \(2 checks in a row\)'
}

@test "send_expect: a greeting that comes byte by byte, without anything sent" {
	origin s1 "127.0.0.1:$back" dribble $'22 220-not yet\r\n220 mail ready\r\n'
	checked "type: send_expect, inter: 200ms, expect: '\n220 mail\x20r'"
	wait_until 'shows "up: ok"' 3
}

@test "send_expect: a flood without what is expected is given up at its bound" {
	origin s1 "127.0.0.1:$back" source 100m
	checked "type: send_expect, inter: 200ms, timeout: 5s, expect: needle in a haystack"
	wait_log 'back/s1: is down: expected bytes missing' 3
}

@test "send_expect: silence is a timeout" {
	origin s1 "127.0.0.1:$back" hold
	checked "type: send_expect, inter: 200ms, timeout: 200ms, send: '\x00hello', expect: x"
	wait_log 'back/s1: is down: timeout'
}

# ---------------------------------------------------------------- how often

# How many connections come in two seconds.
count_for_two_seconds()
{
	local before start

	before=$(origin_count s1)
	start=$(now_ms)
	sleep 2
	per_second $((($(origin_count s1) - before) * 2)) "$start"
}

@test "inter: as many checks with 8 workers as with 1" {
	local n=() workers
	origin s1 "127.0.0.1:$back" hold
	for workers in 1 8; do
		checked "type: tcp, inter: 100ms, spread: 0" "" "$workers"
		wait_until '[ "$(show check)" = ok ]' 3
		n+=("$(count_for_two_seconds)")
		stop_proxyd
	done
	assert_between "${n[0]}" 14 22 "checks in 2 s with 1 worker"
	assert_between "${n[1]}" 14 22 "checks in 2 s with 8 workers"
}

@test "downinter: a server that is down is left in peace" {
	origin s1 "127.0.0.1:$back" flap 1000000000000
	checked "type: http, inter: 50ms, downinter: 500ms, spread: 0, http: {expect_status: \"201\"}"
	wait_log 'back/s1: is down: status (200|503)'
	assert_between "$(count_for_two_seconds)" 2 6 "checks in 2 s while it is down"
}

@test "fastinter: a change is seen sooner" {
	local start
	web_server
	checked "type: http, inter: 1s, fastinter: 50ms, downinter: 1s, spread: 0, rise: 5, fall: 5"
	wait_until 'shows "up: ok"' 3
	touch down
	start=$(now_ms)
	wait_log 'back/s1: is down: status 503 \(5 checks'
	assert_between $(($(now_ms) - start)) 190 $((3000 * SLOW)) "ms until it was down"
	rm down
	start=$(now_ms)
	wait_log 'back/s1: is up \(5 checks'
	assert_between $(($(now_ms) - start)) 190 $((3000 * SLOW)) "ms until it was up"
}

@test "spread: intervals differ, and none is shorter than inter" {
	local stamps sorted
	web_server
	sed -i "s/log_format asked.*/log_format asked '\$msec';/" nginx.conf
	kill "$SPAWNED_PID"
	wait_until '! alive "$SPAWNED_PID"' 3
	spawn nginx nginx -p "$PWD" -c "$PWD/nginx.conf" -e "$PWD/nginx-error.out"
	wait_until 'listening "$back"' 5
	: >asked
	checked "type: http, inter: 100ms, spread: 50"
	wait_until '[ "$(asked)" -ge 31 ]' 6
	stamps=$(awk 'NR > 1 { printf "%d\n", ($1 - last) * 1000 + 0.5 } { last = $1 }' asked | sort -n)
	echo "$stamps"
	# One that is seen late is a long interval, and a short one then.
	mapfile -t sorted < <(head -n 30 <<<"$stamps")
	assert_between "${sorted[3]}" 90 130 "ms, the shortest intervals but three"
	assert_between "${sorted[15]}" 105 $((145 * SLOW)) "ms, half of all"
	assert_between "${sorted[26]}" 125 $((170 * SLOW)) "ms, the longest but three"
}

@test "flapping at 10 Hz: at most one check per interval, and the state does not follow it" {
	local n changes start
	origin s1 "127.0.0.1:$back" flap 50
	checked "type: http, inter: 100ms, fall: 3, rise: 3"
	wait_until '[ "$(origin_count s1)" -ge 1 ]' 3
	n=$(origin_count s1)
	start=$(now_ms)
	sleep 5
	n=$(per_second $((($(origin_count s1) - n) * 5)) "$start")
	changes=$(grep -c 'back/s1: is' proxyd.log) || true
	assert_between "$n" 20 52 "checks in 5 s"
	assert_between "$changes" 0 13 "changes in 5 s"
}

@test "flapping at 10 Hz: no client fails that another server could serve" {
	local other
	other=$(free_port)
	origin s1 "127.0.0.1:$back" blink 50
	origin s2 "127.0.0.1:$other" answer steady
	expect_log 'back'
	start_proxyd <<-END
	global: {workers: 2}
	frontends:
	  front: {bind: "127.0.0.1:$front", backend: back}
	backends:
	  back:
	    check: {type: tcp, inter: 100ms, fall: 2, rise: 2}
	    servers: {s1: "127.0.0.1:$back", s2: "127.0.0.1:$other"}
	END
	run -0 client "127.0.0.1:$front" rate 100 5
	echo "$output"
	assert_eq "$(jq .ok <<<"$output")" 500
}

allocations()
{
	od -An -t u8 -N 8 "$(role_pids checker).count"
}

@test "5,000 servers are checked over http every 2 s, within 512 fds and without allocating" {
	local before after n i first start
	[ -z "${SAN:-}" ] || skip "measures memory"
	web_server 0.0.0.0
	cat >many.yaml <<-END
	global: {workers: 1}
	frontends:
	  front: {bind: "127.0.0.1:$front", backend: back}
	backends:
	  back:
	    check: {type: http, inter: 2s, timeout: 2s}
	    servers:
	END
	for ((i = 0; i < 5000; i++)); do
		printf '      s%d: 127.1.%d.%d:%d\n' $i $((i / 250)) $((i % 250 + 1)) "$back"
	done >>many.yaml
	: >asked
	PROXYD_WRAP="prlimit --nofile=512:512 env LD_PRELOAD=$HELPERS/malloc_count.so MALLOC_COUNT_DIR=$PWD" \
		start_proxyd <many.yaml
	wait_until '[ "$(asked)" -ge 10000 ]' 10
	before=$(allocations)
	n=$(asked)
	start=$(now_ms)
	sleep 4
	after=$(allocations)
	assert_between "$(per_second $((($(asked) - n) * 4)) "$start")" 7500 10500 "checks in 4 s"
	# The event loop still meets a higher fd now and then.
	assert_between $((after - before)) 0 200 "allocations in 10,000 checks"
	assert_between "$(awk '/^RssAnon/ { print $2 }' "/proc/$(role_pids checker)/status")" 0 16384 "KiB"
	# Each within the first interval: as many different servers as there are.
	first=$(head -n 5000 asked | cut -d '|' -f 2 | sort -u | wc -l)
	assert_between "$first" 4500 5000 "servers among the first 5000 checks"
}

@test "more servers that hang than there are fds: they take turns" {
	local i
	origin s1 "0.0.0.0:$back" hold
	cat >many.yaml <<-END
	global: {workers: 1}
	frontends:
	  front: {bind: "127.0.0.1:$front", backend: back}
	backends:
	  back:
	    check: {type: http, inter: 1s, downinter: 1m, timeout: 300ms}
	    servers:
	END
	for ((i = 0; i < 300; i++)); do
		printf '      s%d: 127.2.%d.%d:%d\n' $i $((i / 250)) $((i % 250 + 1)) "$back"
	done >>many.yaml
	PROXYD_WRAP="prlimit --nofile=128:128" start_proxyd <many.yaml
	wait_until '[ "$(grep -c "is down: timeout" proxyd.log)" -eq 300 ]' 10
	assert_eq "$(origin_count s1)" 300
}

# ---------------------------------------------------------------- where, and whether at all

@test "check_address: is where it is checked, not where it serves" {
	local other
	other=$(free_port)
	origin s1 "127.0.0.1:$back" answer hello
	origin s2 "127.0.0.1:$other" hold
	expect_log 'front'
	checked "type: tcp, inter: 100ms, fall: 1, rise: 1" "check_address: \"127.0.0.1:$other\""
	wait_until '[ "$(origin_count s2)" -ge 3 ]' 3
	assert_eq "$(origin_count s1)" 0
	assert_eq "$(client "127.0.0.1:$front" ask hello)" hello
	kill -KILL "$ORIGIN_PID"
	wait_log 'back/s1: is down: cannot connect: Connection refused'
}

@test "maintenance: a server is not checked" {
	origin s1 "127.0.0.1:$back" hold
	checked "type: tcp, inter: 50ms" "state: maint"
	sleep 0.5
	assert_eq "$(origin_count s1)" 0
}

@test "a name that does not resolve is a server that is down, also without a check" {
	expect_log 'cannot resolve'
	start_proxyd <<-END
	frontends:
	  front: {bind: "127.0.0.1:$front", backend: back}
	backends:
	  back:
	    servers: {s1: "no-such-host.invalid:80"}
	END
	wait_until 'shows "down: the name does not resolve"' 3
}

# ---------------------------------------------------------------- the checker's death

@test "death: the successor goes on with states, streaks and rhythm" {
	local checker n start
	expect_log 'checker'
	web_server
	touch down
	checked "type: http, inter: 700ms, spread: 0, fall: 4, rise: 100"
	wait_log 'back/s1: is down: status 503 \(1 check\)'
	rm down
	wait_until 'shows "down: ok"' 3
	checker=$(role_pids checker)
	n=$(asked)
	start=$(now_ms)
	kill -KILL "$checker"
	wait_until '[ -n "$(role_pids checker)" ] && [ "$(role_pids checker)" != "$checker" ]' 3
	assert_eq "$(show state): $(show check)" "down: ok"
	assert_between $(($(asked) - n)) 0 $((1 + ($(now_ms) - start) / 700)) "checks by the successor so far"
	wait_until '[ "$(asked)" -ge '$((n + 2))' ]' 3
	assert_eq "$(show state)" down
	refute_log 'back/s1: is up'
}

@test "death: fall is counted through it" {
	local checker
	expect_log 'checker'
	web_server
	checked "type: http, inter: 1s, spread: 0, fall: 4, rise: 1"
	wait_until 'shows "up: ok"' 3
	touch down
	: >asked
	wait_until '[ "$(asked)" -ge 2 ]' 3
	checker=$(role_pids checker)
	kill -KILL "$checker"
	wait_log 'back/s1: is down: status 503 \(4 checks in a row\)'
	assert_between "$(asked)" 4 5 "checks until it was down"
}
