#!/usr/bin/env bats
# As fast as it goes: iperf3, and files of 100 MB hashed at both ends.

load ../helpers/common

setup()
{
	common_setup
	front=$(free_port)
	back=$(free_port)
	start_proxyd <<-END
	global: {workers: 2}
	frontends:
	  bulk: {bind: "127.0.0.1:$front", forward: ["127.0.0.1:$back"]}
	END
}

# iperf OPTION...: two seconds through proxyd; bytes must have arrived and no error be reported
iperf()
{
	spawn server iperf3 -s -B 127.0.0.1 -p "$back" -1
	wait_until 'ss -Htln "sport = :$back" | grep -q .' 3
	iperf3 -c 127.0.0.1 -p "$front" -t 2 -J "$@" >iperf.json
	assert_eq "$(jq 'has("error")' iperf.json)" false
	jq -e '.end.sum_received.bytes > 10000000' iperf.json
}

@test "bulk: iperf3 to the server, 4 streams" {
	iperf -P 4
}

@test "bulk: iperf3 from the server, 4 streams" {
	iperf -P 4 -R
}

@test "bulk: iperf3 both ways at once" {
	stop_proxyd
	# iperf3 tells its two streams apart by the order in which they are accepted, which two workers do not keep.
	start_proxyd -w 1 <<-END
	frontends:
	  bulk: {bind: "127.0.0.1:$front", forward: ["127.0.0.1:$back"]}
	END
	iperf --bidir
}

@test "bulk: a file of 100 MB to the server has the same hash there" {
	head -c 100000000 /dev/urandom >file
	spawn server socat -u "TCP-LISTEN:$back,bind=127.0.0.1" "OPEN:got,creat"
	wait_until 'ss -Htln "sport = :$back" | grep -q .' 3
	socat -u "OPEN:file" "TCP:127.0.0.1:$front"
	wait_until '! alive "$SPAWNED_PID"' 10
	assert_eq "$(sha256sum <got)" "$(sha256sum <file)"
}

@test "bulk: a file of 100 MB from the server has the same hash here" {
	head -c 100000000 /dev/urandom >file
	spawn server socat -u "OPEN:file" "TCP-LISTEN:$back,bind=127.0.0.1"
	wait_until 'ss -Htln "sport = :$back" | grep -q .' 3
	socat -u "TCP:127.0.0.1:$front" "OPEN:got,creat"
	assert_eq "$(sha256sum <got)" "$(sha256sum <file)"
}

@test "bulk: 100 MB through Unix sockets on both sides have the same hash" {
	stop_proxyd
	start_proxyd <<-END
	frontends:
	  bulk: {bind: "unix:$PWD/front.sock", forward: ["unix:$PWD/back.sock"]}
	END
	head -c 100000000 /dev/urandom >file
	spawn server socat -u "UNIX-LISTEN:back.sock" "OPEN:got,creat"
	wait_until '[ -S back.sock ]' 3
	socat -u "OPEN:file" "UNIX-CONNECT:front.sock"
	wait_until '! alive "$SPAWNED_PID"' 10
	assert_eq "$(sha256sum <got)" "$(sha256sum <file)"
}
