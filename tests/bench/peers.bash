# shellcheck shell=bash disable=SC2154,SC2004 # the runner's variables; keys are not arithmetic
# The peers of the bench: how each is configured, started, found and ended. One worker each, pinned to the proxy's
# core with all that belongs to it.
#
# A peer is a function config_PEER_SETUP that prints its configuration to stdout, for the frontend ports
# $front_first to $front_last and the origin's $back_first to $back_last, and a function command_PEER that sets
# `command`, given that file. What a peer needs besides is a directory of its own, $dir. A peer without the function
# for a setup takes no part in its loads, unless that is like_tcp for it.

# SETUP: the peers whose configuration for it is that for tcp. bare has no part in streams: the least for those is no
# copying.
declare -A like_tcp=([bulk]="haproxy tuned nginx proxyd" [iperf]="haproxy tuned nginx proxyd"
	[wrk]="bare haproxy tuned nginx proxyd")

# As Debian and their own documentation have them, with timeouts so that nothing lives for ever.
haproxy_frame()
{
	local port

	cat <<-END
	global
	    nbthread 1
	    maxconn $((relays_max + 100))
	    $1
	defaults
	    mode tcp
	    timeout connect 5s
	    timeout client 1m
	    timeout server 1m
	    $2
	listen bench
	    bind 127.0.0.1:$front_first-$front_last
	    balance roundrobin
	END
	for ((port = back_first; port <= back_last; port++)); do
		echo "    server s$port 127.0.0.1:$port"
	done
}

config_haproxy_tcp()
{
	haproxy_frame "" ""
}

# A quarter of maxconn, which is its default, would be more open files than many a limit allows.
config_tuned_tcp()
{
	haproxy_frame "tune.pipesize 1048576
	    maxpipes 256" "option splice-auto"
}

# Told to splice always: the auto of Debian's version does not find out by itself on every load.
config_spliced_bulk()
{
	haproxy_frame "tune.pipesize 1048576
	    maxpipes 256" "option splice-request
	    option splice-response"
}

config_nginx_tcp()
{
	local port

	cat <<-END
	${nginx_stream:+load_module $nginx_stream;}
	user $(id -un);
	worker_processes 1;
	worker_rlimit_nofile $files_max;
	daemon off;
	pid $dir/nginx.pid;
	error_log $dir/error.log;
	events { worker_connections $((relays_max * 2 + 100)); }
	stream {
	    upstream origin {
	$(for ((port = back_first; port <= back_last; port++)); do echo "        server 127.0.0.1:$port;"; done)
	    }
	    server {
	$(for ((port = front_first; port <= front_last; port++)); do echo "        listen 127.0.0.1:$port;"; done)
	        proxy_pass origin;
	        proxy_connect_timeout 5s;
	        proxy_timeout 1m;
	    }
	}
	END
}

# With everything on that the goals ask for: health checks, timeouts, statistics, a line per relay in a file.
config_proxyd_tcp()
{
	local port servers=""

	for ((port = back_first; port <= back_last; port++)); do
		servers+="s$port: \"127.0.0.1:$port\", "
	done
	proxyd_frame 1 "${servers%, }" "check: {type: tcp, inter: 2s}"
}

# proxyd_frame WORKERS SERVERS MORE: MORE are keys of the backend.
proxyd_frame()
{
	cat <<-END
	global:
	  workers: $1
	  control: {path: "$dir/control.sock"}
	  access_log: {to: "$dir/access.log", format: text}
	frontends:
	  bench:
	    bind: "127.0.0.1:$front_first-$front_last"
	    backend: origin
	    timeouts: {client: ${client_timeout:-60s}}
	backends:
	  origin:
	    ${3:-}
	    servers: {$2}
	END
}

# One frontend is asked, the others are there.
config_proxyd_frontends()
{
	local i

	config_proxyd_tcp | sed '/^backends:/,$d'
	for ((i = 1; i < 1000; i++)); do
		echo "  other$i: {bind: \"unix:$dir/$i\", backend: origin}"
	done
	config_proxyd_tcp | sed -n '/^backends:/,$p'
}

# Names there are ten thousand, addresses eight; not checked.
config_proxyd_servers()
{
	local i servers=""

	for ((i = 0; i < 10000; i++)); do
		servers+="s$i: \"127.0.0.1:$((back_first + i % ports))\", "
	done
	proxyd_frame 1 "${servers%, }"
}

config_proxyd_workers1()
{
	config_proxyd_tcp
}

config_proxyd_workers2()
{
	config_proxyd_tcp | sed 's/workers: 1/workers: 2/'
}

config_proxyd_workers4()
{
	config_proxyd_tcp | sed 's/workers: 1/workers: 4/'
}

# All that there is to be said: where from, where to.
config_bare_tcp()
{
	echo "127.0.0.1:$front_first-$front_last 127.0.0.1:$back_first-$back_last"
}

command_bare()
{
	read -ra command <"$1"
	command=("$BUILD/tests/bench/bare" "${command[@]}")
}

command_haproxy()
{
	command=(haproxy -db -q -f "$1")
}

command_tuned()
{
	command_haproxy "$1"
}

command_spliced()
{
	command_haproxy "$1"
}

# Before it has read its configuration it logs where Debian built it to: said here, so that it need not be root.
command_nginx()
{
	command=(nginx -e "$dir/error.log" -p "$dir" -c "$1")
}

command_proxyd()
{
	command=("$BUILD/proxyd" -c "$1")
}

version_of()
{
	case $1 in
	none) echo "no proxy in between" ;;
	bare) echo "the least that is a proxy (bare.c)" ;;
	haproxy | tuned | spliced) haproxy -v | sed -n '1s/^HAProxy version \([^ ]*\).*/HAProxy \1/p' ;;
	nginx) nginx -v 2>&1 | sed 's/.*nginx\//nginx /' ;;
	proxyd) "$BUILD/proxyd" -V | head -n 1 ;;
	esac
}

# The function that configures a peer for a setup, or nothing.
config_of()
{
	if [[ " ${like_tcp[$2]:-} " == *" $1 "* ]]; then
		echo "config_$1_tcp"
	else
		declare -F "config_$1_$2"
	fi
}

peer_exists()
{
	[ "$1" = none ] || config_of "$1" "$2" >/dev/null
}

descendants()
{
	local child

	# shellcheck disable=SC2013 # words are what is wanted
	for child in $(cat "/proc/$1/task/$1/children" 2>/dev/null); do
		echo "$child"
		descendants "$child"
	done
}

# By commas.
process_and_below()
{
	{ echo "$1" && descendants "$1"; } | paste -sd,
}

# cpu_ns_of PIDS: what they took so far
cpu_ns_of()
{
	local pid

	for pid in ${1//,/ }; do
		cat "/proc/$pid/task/"*/schedstat
	done | awk '{ ns += $1 } END { printf "%.0f\n", ns }'
}

# What follows is about a peer in one setup: PEER SETUP. Each such pair has its own ports, processes and directory.

# Its processes; none has none.
peer_pids()
{
	[ "$1" = none ] || process_and_below "${peer_pid[$1.$2]}"
}

# Where the load goes.
peer_address()
{
	local first last

	if [ "$1" = none ]; then
		read -r first last < <(peer_backs "$2")
	else
		first=${peer_first[$1.$2]}
		last=$((first + ports - 1))
	fi
	echo "127.0.0.1:$first-$last"
}

# peer_backs SETUP: the first and the last port of the origin
peer_backs()
{
	echo "${known_port[$1]:-$back_first} ${known_port[$1]:-$back_last}"
}

peer_dir()
{
	echo "$state/$1.$2"
}

# Write its configuration. Variables that it looks at may have been changed.
peer_configure()
{
	local dir front_first=${peer_first[$1.$2]} front_last backs

	backs=$(peer_backs "$2")
	local back_first=${backs% *} back_last=${backs#* }
	front_last=$((front_first + ports - 1))
	dir=$(peer_dir "$1" "$2")
	"$(config_of "$1" "$2")" >"$dir/config"
}

# Where it runs, by setup.
peer_cores()
{
	case $1 in
	workers*) echo "$proxy_core,$load_core" ;;
	*) echo "$proxy_core" ;;
	esac
}

# listens PORT
listens()
{
	(: <>"/dev/tcp/127.0.0.1/$1") 2>/dev/null
}

# One request through it is answered, where the origin is the bench's own; else it listens.
peer_relays()
{
	if [ -n "${known_port[$2]:-}" ]; then
		listens "${peer_first[$1.$2]}"
	else
		"$load" -c 1 -w 0 -t 0.01 "$(peer_address "$1" "$2")" 2>/dev/null | grep -q '"failures":0,'
	fi
}

# Until it relays. What is there already stays.
peer_start()
{
	local key=$1.$2 dir tries command=()

	[ "$1" != none ] && [ -z "${peer_pid[$key]:-}" ] || return 0
	[ -n "${peer_first[$key]:-}" ] || peer_first[$key]=$("$BUILD/tests/helpers/free-port" "$ports" | head -n 1)
	dir=$(peer_dir "$1" "$2")
	mkdir -p "$dir"
	peer_configure "$1" "$2"
	"command_$1" "$dir/config"
	taskset -c "$(peer_cores "$2")" "${command[@]}" >>"$dir/out" 2>&1 </dev/null &
	peer_pid[$key]=$!
	for ((tries = 0; tries < 100; tries++)); do
		! peer_relays "$1" "$2" || return 0
		kill -0 "${peer_pid[$key]}" 2>/dev/null || break
		sleep 0.05
	done
	tail -n 20 "$dir/out" >&5
	fail "$1 does not relay"
}

# Now, not politely: what it still has is nobody's. Until all are gone: thousands of sockets take a moment.
peer_stop()
{
	local pids tries

	[ -n "${peer_pid[$1.$2]:-}" ] || return 0
	pids=$(peer_pids "$1" "$2")
	# shellcheck disable=SC2086 # words
	kill -KILL ${pids//,/ } 2>/dev/null
	wait "${peer_pid[$1.$2]}" 2>/dev/null
	for ((tries = 0; tries < 500; tries++)); do
		# shellcheck disable=SC2086 # words
		kill -0 ${pids//,/ } 2>/dev/null || break
		sleep 0.01
	done
	unset "peer_pid[$1.$2]"
}

# Proportional memory of all of a peer's processes, in bytes: what they share is counted once.
peer_memory()
{
	local pid kb total=0

	for pid in $(peer_pids "$1" "$2" | tr , ' '); do
		kb=$(awk '/^Pss:/ { print $2 }' "/proc/$pid/smaps_rollup") || return 1
		[ -n "$kb" ] || return 1
		total=$((total + kb))
	done
	echo $((total * 1024))
}
