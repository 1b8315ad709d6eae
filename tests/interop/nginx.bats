#!/usr/bin/env bats
# nginx behind proxyd, with curl and wrk.

load ../helpers/common

setup()
{
	common_setup
	front=$(free_port)
	back=$(free_port)
	mkdir www
	echo "hello from nginx" >www/hello
	head -c 1024 /dev/urandom >www/1k
	cat >nginx.conf <<-END
	daemon off;
	master_process off;
	pid $PWD/nginx.pid;
	error_log $PWD/nginx-error.out;
	events { worker_connections 1024; }
	http {
		access_log off;
		keepalive_requests 1000000;
		client_body_temp_path $PWD/body; proxy_temp_path $PWD/t1; fastcgi_temp_path $PWD/t2;
		uwsgi_temp_path $PWD/t3; scgi_temp_path $PWD/t4;
		server { listen 127.0.0.1:$back; root $PWD/www; }
	}
	END
	spawn nginx nginx -p "$PWD" -c "$PWD/nginx.conf" -e "$PWD/nginx-error.out"
	start_proxyd <<-END
	global: {workers: 2}
	frontends:
	  web: {bind: ":$front", forward: ["127.0.0.1:$back"]}
	END
	wait_until 'listening "$back"' 5
}

@test "nginx: curl over IPv4 and IPv6" {
	assert_eq "$(curl -sS "http://127.0.0.1:$front/hello")" "hello from nginx"
	assert_eq "$(curl -sS "http://[::1]:$front/hello")" "hello from nginx"
}

@test "nginx: Connection: close, 100 good answers of 100" {
	local i
	for i in {1..100}; do
		curl -sS -H 'Connection: close' "http://127.0.0.1:$front/1k" | cmp - www/1k ||
			{ echo "request $i" >&2 && return 1; }
	done
}

@test "nginx: HTTP/1.0 from a client that shuts down writing first, 50 of 50" {
	local i
	for i in {1..50}; do
		printf 'GET /hello HTTP/1.0\r\n\r\n' | socat -t 5 - "TCP:127.0.0.1:$front,shut-down" >answer ||
			true
		grep -q "hello from nginx" answer || { echo "request $i" >&2 && return 1; }
	done
}

@test "nginx: wrk with 64 kept connections, no error" {
	run -0 wrk -t 2 -c 64 -d 3s "http://127.0.0.1:$front/1k"
	echo "$output"
	[[ $output != *"Socket errors"* && $output != *"Non-2xx"* ]]
}

@test "nginx: wrk with a connection for each request, no error" {
	run -0 wrk -t 2 -c 16 -d 2s -H 'Connection: close' "http://127.0.0.1:$front/1k"
	echo "$output"
	[[ $output != *"Non-2xx"* ]]
	# wrk counts the server's regular close as a read error in some versions: connects and timeouts count here.
	[[ $output != *"Socket errors"* || $output == *"connect 0,"*"timeout 0"* ]]
}

@test "nginx: a download of 100 MB has the same hash at both ends" {
	head -c 100000000 /dev/urandom >www/big
	assert_eq "$(curl -sS "http://127.0.0.1:$front/big" | sha256sum)" "$(sha256sum <www/big)"
}

@test "nginx: ten downloads at once, one of them slow" {
	local i pids=()
	head -c 5000000 /dev/urandom >www/mid
	curl -sS --limit-rate 2m -o slow "http://127.0.0.1:$front/mid" 3>&- &
	pids+=($!)
	for i in {1..9}; do
		curl -sS -o "got$i" "http://127.0.0.1:$front/mid" 3>&- &
		pids+=($!)
	done
	for i in "${pids[@]}"; do
		wait "$i"
	done
	for i in slow got{1..9}; do
		cmp "$i" www/mid
	done
}
