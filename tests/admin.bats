#!/usr/bin/env bats
# The admin process: who may ask it what over HTTP, how it lives and is replaced.

load helpers/common
load helpers/admin
# shellcheck disable=SC2154 # output is what run sets

status_of()
{
	curl -s -o /dev/null -m 10 -w '%{http_code}' "$@"
}

admin_pid()
{
	role_pids admin
}

# raw TEXT: what the server answers to these bytes, until it ends or is silent for 2 s.
raw()
{
	printf '%b' "$1" | socat -T 2 STDIO,ignoreeof "TCP:127.0.0.1:$ADMIN"
}

@test "admin: without global.admin there is no such process; with it, it has its name and writes nothing shared" {
	local front

	front=$(free_port)
	start_proxyd -w 1 <<<"frontends: {web: {bind: \"127.0.0.1:$front\", service: echo}}"
	assert_eq "$(admin_pid)" ""
	stop_proxyd

	admin_start
	assert_eq "$(admin_pid | wc -l)" 1
	assert_eq "$(title_of "$(admin_pid)")" "proxyd: admin"
	assert_eq "$(cat "/proc/$(admin_pid)/comm")" proxyd-admin
	# The shared memory is mapped read only, all of it.
	grep -q 'memfd:proxyd' "/proc/$(admin_pid)/maps"
	assert_eq "$(grep 'memfd:proxyd' "/proc/$(admin_pid)/maps" | grep -cv ' r--s ')" 0
	assert_eq "$(awk '/^CapEff/ { print $2 }' "/proc/$(admin_pid)/status")" 0000000000000000
}

@test "admin: /healthz, /readyz, and what is not there" {
	admin_start
	assert_eq "$(curl -s "$(url /healthz)")" ok
	wait_until '[ "$(status_of "$(url /readyz)")" = 200 ]' 5
	end_origin
	wait_until '[ "$(status_of "$(url /readyz)")" = 503 ]' 5
	curl -s "$(url /readyz)" | grep -q 'no frontend has a server that is up'
	assert_eq "$(status_of "$(url /nope)")" 404
	assert_eq "$(status_of "$(url /api/v1/)")" 404
}

end_origin()
{
	kill "$ORIGIN_PID"
	wait_until "! alive $ORIGIN_PID" 5
}

@test "admin: a frontend with a service of its own is ready without any server" {
	read -r ADMIN front <<<"$(free_port 2)"
	start_proxyd -w 1 --admin "127.0.0.1:$ADMIN" <<<"frontends: {web: {bind: \"127.0.0.1:$front\", service: echo}}"
	wait_until '[ "$(status_of "$(url /readyz)")" = 200 ]' 5
}

@test "admin: every answer says that it is not to be kept, framed or guessed at" {
	local path

	admin_start
	for path in /healthz /readyz /nope /api/v1/status; do
		curl -s -D "headers" -o /dev/null "$(url "$path")"
		tr -d '\r' <headers >clean
		grep -qi '^cache-control: no-store$' clean
		grep -qi '^x-content-type-options: nosniff$' clean
		grep -qi '^x-frame-options: deny$' clean
		grep -qi "^content-security-policy: default-src 'none'" clean
	done
	grep -qi '^content-type: application/json$' clean
	curl -s -D - -o /dev/null "$(url /healthz)" | tr -d '\r' | grep -qi '^content-length: 3$'
}

@test "admin: GET and HEAD alone; a body, a long header and nonsense are refused" {
	local method long

	admin_start
	for method in POST PUT DELETE OPTIONS PATCH; do
		assert_eq "$(status_of -X "$method" "$(url /healthz)")" 405 "$method"
	done
	curl -s -D - -o /dev/null -X DELETE "$(url /healthz)" | tr -d '\r' | grep -qi '^allow: GET, HEAD$'
	assert_eq "$(status_of --data x "$(url /healthz)")" 413
	# No body after HEAD: the next answer on the same connection begins where it should.
	raw 'HEAD /healthz HTTP/1.1\r\nHost: localhost\r\n\r\nGET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n' >said
	assert_eq "$(grep -c '^HTTP/1.1 200 OK' said)" 2
	assert_eq "$(grep -c '^ok$' said)" 1
	assert_eq "$(grep -ci '^content-length: 3' said)" 2
	long=$(head -c 20000 /dev/zero | tr '\0' a)
	[ "$(status_of -H "X-Long: $long" "$(url /healthz)")" != 200 ]
	raw 'nonsense\r\n\r\n' | grep -q '^HTTP/1.. 400'
	raw 'GET http://x/../../etc/passwd HTTP/1.0\r\n\r\n' | grep -q '^HTTP/1.. 404'
	assert_eq "$(curl -s "$(url /healthz)")" ok
}

@test "admin: on loopback a Host that is a name is refused, for a browser may have been lied to" {
	admin_start
	assert_eq "$(status_of -H 'Host: evil.example' "$(url /healthz)")" 421
	assert_eq "$(status_of -H "Host: evil.example:$ADMIN" "$(url /api/v1/sessions)")" 421
	assert_eq "$(status_of -H "Host: localhost:$ADMIN" "$(url /healthz)")" 200
	assert_eq "$(status_of -H "Host: 127.0.0.1" "$(url /healthz)")" 200
	assert_eq "$(status_of -H "Host: [::1]:$ADMIN" "$(url /healthz)")" 200
	raw 'GET /healthz HTTP/1.0\r\nConnection: close\r\n\r\n' | grep -q '^HTTP/1.0 200'
}

@test "admin: the API is what proxyctl says" {
	local what

	admin_start
	client "127.0.0.1:$front" ask hello >/dev/null
	for what in frontends servers workers sessions generations events; do
		curl -sf "$(url "/api/v1/$what")" >api.json
		jq -e 'type == "array"' api.json >/dev/null
		ctl show "$what" --json >ctl.json
		assert_eq "$(jq -c 'map(keys) | unique' api.json)" "$(jq -c 'map(keys) | unique' ctl.json)"
	done
	curl -sf "$(url /api/v1/servers)" | jq -e 'map(.server) == ["up", "down"]' >/dev/null
	curl -sf "$(url /api/v1/status)" | jq -e ".pid == $PROXYD_PID and .connections.total >= 1" >/dev/null
}

@test "admin: clients that send half a request, or nothing, starve nobody" {
	local i

	admin_start
	for i in $(seq 90); do
		exec {fd}<>"/dev/tcp/127.0.0.1/$ADMIN" || break
		printf 'GET /healthz HTTP/1.1\r\nX: ' >&"$fd" || true
	done
	wait_until '[ "$(status_of -m 1 "$(url /healthz)")" = 200 ]' 3
	# No more than 64 of them are still there.
	wait_until '[ "$(ls "/proc/$(admin_pid)/fd" | wc -l)" -lt 85 ]' 5
}

@test "admin: a master that hangs is said: 504 for its part, the rest is answered; who drips a request is cut off" {
	local drip

	admin_start
	# Byte by byte, for longer than anybody is waited for.
	spawn drip bash -c 'exec 3<>/dev/tcp/127.0.0.1/$0; printf "GET / HTTP/1.1\r\nX: " >&3
		for i in $(seq 300); do printf a >&3 || exit 0; sleep 0.2; done; exit 1' "$ADMIN"
	drip=$SPAWNED_PID
	kill -STOP "$PROXYD_PID"
	assert_eq "$(status_of "$(url /api/v1/status)")" 504
	wait_until '[ "$(status_of "$(url /healthz)")" = 503 ]' 8
	assert_eq "$(status_of "$(url /api/v1/status)")" 503
	kill -CONT "$PROXYD_PID"
	wait_until '[ "$(status_of "$(url /healthz)")" = 200 ]' 5
	wait_until '[ "$(status_of "$(url /api/v1/status)")" = 200 ]' 5
	wait_until "! alive $drip" 10
}

@test "admin: a dead master is said, and the next one is there at once" {
	admin_start
	expect_log 'is silent|was killed|ended while|the master is gone'
	kill -KILL "$PROXYD_PID"
	wait_until '[ "$(status_of "$(url /healthz)")" = 503 ]' 5
	client "127.0.0.1:$front" ask hello
	start_proxyd -w 2 <proxyd.yaml
	wait_until '[ "$(status_of "$(url /healthz)")" = 200 ]' 5
	assert_eq "$(curl -s "$(url /api/v1/status)" | jq .pid)" "$PROXYD_PID"
}

# Asks until the file `enough` is there, each time on a connection of its own; what was not 200 is in poll.bad.
poll_health()
{
	cat >poll.bash <<-'END'
	n=0
	: >poll.bad
	until [ -e enough ]; do
		code=$(curl -s -o /dev/null -m 5 -w '%{http_code}' "$1")
		[ "$code" = 200 ] || echo "$code at $EPOCHREALTIME" >>poll.bad
		n=$((n + 1))
		echo "$n" >poll.count
		sleep 0.01
	done
	END
	spawn poll bash poll.bash "$(url /healthz)"
	wait_until '[ "$(cat poll.count)" -gt 5 ]' 5
}

polled_well()
{
	local before

	before=$(cat poll.count)
	wait_until "[ \"\$(cat poll.count)\" -gt $((before + 5)) ]" 5
	[ ! -s poll.bad ] || { cat poll.bad >&2 && return 1; }
}

@test "admin: it lives on over a reload that is none of its business; no request fails" {
	local pid

	admin_start
	pid=$(admin_pid)
	poll_health
	sed -i 's/inter: 200ms/inter: 300ms/' proxyd.yaml
	ctl reload
	assert_eq "$(admin_pid)" "$pid"
	# Its heartbeat is another one: so is the process, but not the socket.
	sed -i 's/level: info}/level: info}, heartbeat_timeout: 900ms/' proxyd.yaml
	ctl reload
	wait_until '[ "$(admin_pid)" != '"$pid"' ] && [ -n "$(admin_pid)" ]' 5
	polled_well
	touch enough
}

@test "admin: no request fails over a new binary, nor when it is killed" {
	admin_start
	expect_log 'was killed by signal 9'
	poll_health
	kill -KILL "$(admin_pid)"
	wait_until '[ -n "$(admin_pid)" ]' 5
	# One that was connected at that moment may have been cut.
	[ "$(wc -l <poll.bad)" -le 1 ]
	: >poll.bad
	polled_well
	ctl upgrade
	PROXYD_PID=$(ctl status --json | jq .pid)
	echo "$PROXYD_PID" >>pids
	wait_until '[ -n "$(admin_pid)" ]' 5
	[ "$(wc -l <poll.bad)" -le 1 ]
	: >poll.bad
	polled_well
	touch enough
}

@test "admin: one that hangs is replaced, and relays never notice" {
	local pid

	admin_start
	expect_log 'admin \(pid [0-9]+\) (is silent|was killed)'
	pid=$(admin_pid)
	kill -STOP "$pid"
	wait_until '[ "$(admin_pid)" != '"$pid"' ] && [ -n "$(admin_pid)" ]' 8
	wait_until '[ "$(status_of "$(url /healthz)")" = 200 ]' 5
	client "127.0.0.1:$front" ask hello
}

@test "admin: a reload moves it, turns it off and on again" {
	local other

	admin_start
	other=$(free_port)
	sed -i "s/127.0.0.1:$ADMIN/127.0.0.1:$other/" proxyd.yaml
	ctl reload
	wait_until '[ "$(status_of "http://127.0.0.1:'"$other"'/healthz")" = 200 ]' 5
	wait_until '! listening '"$ADMIN" 5
	sed -i "s/\"127.0.0.1:$other\"/\"\"/" proxyd.yaml
	ctl reload
	wait_until '[ -z "$(admin_pid)" ] && ! listening '"$other" 5
	sed -i "s/bind: \"\"/bind: \"127.0.0.1:$ADMIN\"/" proxyd.yaml
	ctl reload
	wait_until '[ "$(status_of "$(url /healthz)")" = 200 ]' 5
}

@test "admin: a port that is taken refuses the start, and the reload, and says whose it is to be" {
	local taken front

	read -r taken front ADMIN <<<"$(free_port 3)"
	origin other "127.0.0.1:$taken" echo
	spawn_proxyd -w 1 --admin "127.0.0.1:$taken" <<<"frontends: {web: {bind: \"127.0.0.1:$front\", service: echo}}"
	expect_log "global.admin: cannot bind 127.0.0.1:$taken"
	wait_until "! alive $PROXYD_PID" 5
	run -1 wait "$PROXYD_PID"
	assert_log "global.admin: cannot bind 127.0.0.1:$taken: Address already in use \\(another process listens there\\)"
	start_proxyd -w 1 <<<"frontends: {web: {bind: \"127.0.0.1:$front\", service: echo}}"
	expect_log 'reload: '
	sed -i "1i global: {admin: {bind: \"127.0.0.1:$taken\"}}" proxyd.yaml
	run -1 ctl reload
	[[ $output == *"global.admin: cannot bind 127.0.0.1:$taken"* ]]
	client "127.0.0.1:$front" echo 1k
}

@test "admin: :PORT is loopback of both families, a Unix socket is taken as well, -pprof is the predecessor's" {
	local front

	read -r ADMIN front <<<"$(free_port 2)"
	start_proxyd -w 1 --admin ":$ADMIN" <<<"frontends: {web: {bind: \"127.0.0.1:$front\", service: echo}}"
	wait_until '[ "$(status_of "$(url /healthz)")" = 200 ]' 5
	assert_eq "$(status_of "http://[::1]:$ADMIN/healthz")" 200
	assert_eq "$(ss -Hltn "sport = :$ADMIN" | grep -cvE '127.0.0.1|\[::1\]')" 0
	stop_proxyd
	start_proxyd -w 1 --admin "unix:$PWD/admin.sock" <proxyd.yaml
	wait_until '[ "$(curl -s --unix-socket admin.sock http://localhost/healthz)" = ok ]' 5
	stop_proxyd
	[ ! -e admin.sock ]
	"$PROXYD" -T -pprof -c proxyd.yaml | grep -q '127.0.0.1:6060'
}

@test "admin: while the daemon drains it is there, and says that it is not ready" {
	admin_start
	exec {fd}<>"/dev/tcp/127.0.0.1/$front"
	wait_until 'ctl status --json | jq -e ".connections.active > 0"' 5
	kill -TERM "$PROXYD_PID"
	wait_until '[ "$(status_of "$(url /readyz)")" = 503 ]' 5 || alive "$PROXYD_PID"
	exec {fd}>&-
	wait_until "! alive $PROXYD_PID" 10
}

@test "admin: events tell what happened: servers, deaths, reloads, commands" {
	admin_start
	expect_log 'was killed by signal 9|reload: '
	wait_until 'ctl show events --json | jq -e "any(.kind == \"server\" and .object == \"app/down\" and .level == \"bad\")"' 5
	end_origin
	wait_until 'ctl show events --json | jq -e "any(.object == \"app/up\" and (.text | startswith(\"down: cannot connect\")))"' 5
	wait_until 'ctl show events --json | jq -e "any(.kind == \"backend\" and .object == \"app\" and (.text | startswith(\"no server\")))"' 5
	kill -KILL "$(worker_pid 1)"
	wait_until 'ctl show events --json | jq -e "any(.object == \"worker 1\" and (.text | contains(\"signal 9\")))"' 5
	wait_until 'ctl show events --json | jq -e "any(.object == \"worker 1\" and .level == \"good\")"' 5
	ctl set server app/up state maint
	sed -i 's/frontends:/frontend:/' proxyd.yaml
	run -1 ctl reload
	ctl show events --json >events.json
	jq -e 'any(.kind == "operator" and (.text | startswith("set server app/up state maint")))' events.json
	jq -e 'any(.kind == "reload" and .level == "bad" and (.text | startswith("refused: ")))' events.json
	jq -e 'map(.id) == ([range(1; length + 1)])' events.json
	ctl show events | grep -q 'set server app/up state maint'
}

@test "admin: events are there for the next master, the last 256 of them" {
	local i

	admin_start
	for i in $(seq 280); do
		echo "set server app/up weight $((i % 3 + 1))" | socat -t 5 - UNIX:control.sock >/dev/null
	done
	ctl show events --json | jq -e 'length == 256' >/dev/null
	ctl upgrade
	PROXYD_PID=$(ctl status --json | jq .pid)
	echo "$PROXYD_PID" >>pids
	ctl show events --json | jq -e 'length == 256 and (.[-1].text | contains("took over"))' >/dev/null
}
