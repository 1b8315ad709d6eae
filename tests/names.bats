#!/usr/bin/env bats
# Names that are looked up again and again, against a real dnsmasq. c-ares asks whom resolv.conf names, so
# proxyd runs in a mount namespace with one of our own, and the server has port 53 of a loopback address.

load helpers/common

setup()
{
	common_setup
	[ "$(id -u)" = 0 ] || skip "port 53 and a mount namespace need root"
	command -v dnsmasq >/dev/null || skip "dnsmasq is not installed"
	unshare -m true 2>/dev/null || skip "no mount namespaces here"
	# One of its own for each test: suites run side by side.
	dns=127.$((RANDOM % 200 + 20)).$((RANDOM % 256)).$((RANDOM % 250 + 1))
	echo "nameserver $dns" >resolv.conf
	front=$(free_port)
	port=$(free_port)
	cat >with-dns <<-END
	#!/bin/sh
	exec unshare -m --propagation private sh -c 'mount --bind "$PWD/resolv.conf" /etc/resolv.conf && exec "\$@"' sh "\$@"
	END
	chmod +x with-dns
	export PROXYD_WRAP=$PWD/with-dns
	: >hosts
}

# dns_server [OPTION]...: names from the file hosts, read again on HUP.
dns_server()
{
	spawn dnsmasq dnsmasq --no-daemon --conf-file=/dev/null --port=53 --no-resolv --no-hosts \
		--addn-hosts="$PWD/hosts" --local-ttl=1 --listen-address="$dns" --bind-interfaces \
		--pid-file= --local=/test/ --user=root "$@"
	DNS_PID=$SPAWNED_PID
	wait_until 'grep -q started dnsmasq.err' 5
}

# names ADDRESS...: what web.test resolves to from now on.
names()
{
	printf '%s web.test\n' "$@" >hosts
	[ -z "${DNS_PID:-}" ] || kill -HUP "$DNS_PID"
}

# servers N...: answering on 127.0.0.N, each with its own name.
servers()
{
	local n

	for n in "$@"; do
		origin "s$n" "127.0.0.$n:$port" answer "s$n"
	done
}

# behind SERVER [BACKEND-KEYS]
behind()
{
	start_proxyd <<-END
	global: {workers: 2}
	frontends:
	  front: {bind: "127.0.0.1:$front", backend: back}
	backends:
	  back:
	    ${2:-retries: 3}
	    servers: {web: {$1}}
	END
}

all_from()
{
	[ "$(ask_names "127.0.0.1:$front" 8 2>/dev/null | tr ' ' '\n' | sort -u | tr '\n' ' ')" = "$1 " ]
}

shown()
{
	ctl show servers --json | jq -r ".[]|\"\(.server) \(.address) $1\""
}

@test "names: several addresses are several servers, from the first client on" {
	servers 11 12 13
	names 127.0.0.11 127.0.0.12 127.0.0.13
	dns_server
	behind "address: \"web.test:$port\", resolve: true"
	all_from "s11 s12 s13"
	assert_eq "$(shown | tr -s ' \n' ' ')" \
		"web#1 127.0.0.11:$port web#2 127.0.0.12:$port web#3 127.0.0.13:$port "
}

@test "names: addresses come and go live, one that stays keeps its instance" {
	servers 11 12 13
	names 127.0.0.11 127.0.0.12
	dns_server
	behind "address: \"web.test:$port\", resolve: true" "check: {type: tcp, inter: 200ms}"
	all_from "s11 s12"
	names 127.0.0.12 127.0.0.13
	wait_until 'all_from "s12 s13"' 10
	assert_log 'back/web: 127.0.0.13 added as web#3'
	assert_log 'back/web: 127.0.0.11 removed, it was web#1'
	refute_log '127.0.0.12 (added|removed)'
	assert_eq "$(shown '\(.state)' | tr -s ' \n' ' ')" \
		"web#2 127.0.0.12:$port up web#3 127.0.0.13:$port up "
	names 127.0.0.11 127.0.0.12 127.0.0.13
	wait_until 'all_from "s11 s12 s13"' 10
	assert_log 'back/web: 127.0.0.11 added as web#1'
}

@test "names: a new address is checked as any server is" {
	expect_log 'back/web#2.*down'
	servers 11
	names 127.0.0.11
	dns_server
	behind "address: \"web.test:$port\", resolve: true" "check: {type: tcp, inter: 200ms, fall: 1}"
	names 127.0.0.11 127.0.0.12
	wait_log 'back/web#2.*is down' 10
	servers 12
	wait_until 'all_from "s11 s12"' 10
}

@test "names: a relay to an address that is gone goes on" {
	origin s11 "127.0.0.11:$port" greet s11
	servers 12
	names 127.0.0.11
	dns_server
	behind "address: \"web.test:$port\", resolve: true" "on_down: close"
	spawn held "$HELPERS/client" "127.0.0.1:$front" hold 1 10
	held=$SPAWNED_PID
	wait_until '[ "$(origin_count s11)" -ge 1 ]' 5
	names 127.0.0.12
	wait_log '127.0.0.12 added as web#2' 10
	all_from s12
	kill -TERM "$held"
	wait_until 'grep -q answered held.out' 3
}

@test "names: one that stops resolving keeps its addresses and says so once" {
	expect_log 'back/web: cannot resolve web.test'
	servers 11
	names 127.0.0.11
	dns_server
	behind "address: \"web.test:$port\", resolve: true"
	: >hosts
	kill -HUP "$DNS_PID"
	wait_log 'back/web: cannot resolve web.test: .*; its last addresses stay' 10
	all_from s11
	names 127.0.0.11
	wait_log 'back/web: web.test resolves again' 15
	all_from s11
	assert_eq "$(grep -c 'cannot resolve' proxyd.log)" 1
	refute_log 'removed'
}

@test "names: one that does not resolve at start is no error, and serves once it does" {
	expect_log 'back/web: cannot resolve web.test: .*; it has no address'
	expect_log 'front: backend back: no name of its servers has an address'
	servers 11
	dns_server
	behind "address: \"web.test:$port\", resolve: true"
	run -0 client "127.0.0.1:$front" watch 5
	names 127.0.0.11
	wait_until 'all_from s11' 10
}

@test "names: a dead checker's successor goes on with the addresses" {
	expect_log 'checker'
	expect_log 'cannot resolve'
	servers 11 12
	names 127.0.0.11 127.0.0.12
	dns_server
	behind "address: \"web.test:$port\", resolve: true"
	kill "$DNS_PID"
	checker=$(role_pids checker)
	kill -KILL "$checker"
	wait_until '[ -n "$(role_pids checker)" ] && [ "$(role_pids checker)" != "$checker" ]' 5
	all_from "s11 s12"
	refute_log 'removed'
}

@test "names: more than 16 addresses: 16 are used and it is said" {
	expect_log 'back/web: web.test has 20 addresses, 16 of them are used'
	# shellcheck disable=SC2046
	names $(seq -f 127.0.0.%g 21 40)
	dns_server
	behind "address: \"web.test:$port\", resolve: true"
	wait_log 'has 20 addresses, 16 of them are used'
	assert_eq "$(shown | wc -l)" 16
	refute_log 'added|removed'
	assert_eq "$(shown | tail -n 1)" "web#16 127.0.0.36:$port "
}

@test "names: SRV records give ports, weights and backups" {
	local a b c counts
	read -r a b c <<<"$(free_port 3)"
	printf '%s\n' '127.0.0.11 a.test' '127.0.0.12 b.test' '127.0.0.13 c.test' >hosts
	dns_server --srv-host=_web._tcp.test,a.test,"$a",10,3 --srv-host=_web._tcp.test,b.test,"$b",10,1 \
		--srv-host=_web._tcp.test,c.test,"$c",20,1
	origin sa "127.0.0.11:$a" answer sa
	origin sb "127.0.0.12:$b" answer sb
	origin sc "127.0.0.13:$c" answer sc
	behind "address: _web._tcp.test, srv: true" "check: {type: tcp, inter: 200ms, fall: 1}"
	counts=$(ask_names "127.0.0.1:$front" 16 | tr ' ' '\n' | sort | uniq -c | tr -s ' \n' ' ')
	assert_eq "$counts" " 12 sa 4 sb "
	assert_eq "$(shown '\(.weight)' | sort -k2 | tr -s ' \n' ' ')" \
		"web#1 127.0.0.11:$a 3 web#2 127.0.0.12:$b 1 web#3 127.0.0.13:$c 1 "
	expect_log 'back/web#[12].*down'
	expect_log 'backend back: connect failed'
	kill "$(pid_of sa)" "$(pid_of sb)"
	wait_until 'all_from sc' 5
}

# The pid of an origin, by the name that it was spawned with.
pid_of()
{
	pgrep -f "answer $1\$" -P "$$" | head -n 1
}

@test "names: SRV records change live" {
	local a b
	expect_log 'cannot resolve'
	read -r a b <<<"$(free_port 2)"
	echo '127.0.0.11 a.test' >hosts
	dns_server --srv-host=_web._tcp.test,a.test,"$a",10,1
	origin sa "127.0.0.11:$a" answer sa
	origin sb "127.0.0.11:$b" answer sb
	behind "address: _web._tcp.test, srv: true"
	all_from sa
	kill "$DNS_PID"
	wait_until '! alive "$DNS_PID"' 3
	dns_server --srv-host=_web._tcp.test,a.test,"$a",10,5 --srv-host=_web._tcp.test,a.test,"$b",10,5
	wait_until 'all_from "sa sb"' 25
	assert_log "back/web: 127.0.0.11:$b added as web#2"
	assert_log "back/web: web#1 .127.0.0.11:$a. has weight 5 now"
}
