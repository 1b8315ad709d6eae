# shellcheck shell=bash disable=SC2154,SC2034 # the runner's variables
# Programs that everyone knows, so that nobody has to believe the bench's own generator alone: wrk asks nginx over HTTP,
# iperf3 sends to iperf3. Both in between a peer of a setup of that name, with one server behind it.

# The setups' own origins, on the load's core, as long as the bench lives.
declare -A known_port known_pid

# known_start NAME COMMAND...: in the background, until it listens on known_port[NAME]
known_start()
{
	local name=$1 tries
	shift

	taskset -c "$load_core" "$@" >"$state/$name.origin" 2>&1 </dev/null &
	known_pid[$name]=$!
	for ((tries = 0; tries < 100; tries++)); do
		! listens "${known_port[$name]}" || return 0
		kill -0 "${known_pid[$name]}" 2>/dev/null || break
		sleep 0.05
	done
	cat "$state/$name.origin" >&5
	fail "the origin of $name does not listen"
}

# For a setup that has one, once.
known_origin()
{
	local port

	[[ $1 =~ ^(wrk|iperf)$ ]] && [ -z "${known_pid[$1]:-}" ] || return 0
	port=$("$BUILD/tests/helpers/free-port")
	known_port[$1]=$port
	case $1 in
	wrk)
		mkdir -p "$state/web"
		cat >"$state/web/config" <<-END
		user $(id -un);
		worker_processes 1;
		daemon off;
		pid $state/web/nginx.pid;
		error_log $state/web/error.log;
		events { worker_connections 2000; }
		http {
		    access_log off;
		    keepalive_requests 1000000000;
		    server { listen 127.0.0.1:$port backlog=4096; location / { return 200 "$(printf '%1024s' '')"; } }
		}
		END
		known_start wrk nginx -e "$state/web/error.log" -p "$state/web" -c "$state/web/config"
		;;
	iperf) known_start iperf iperf3 -s -B 127.0.0.1 -p "$port" ;;
	esac
}

known_clean_up()
{
	local name pid

	for name in "${!known_pid[@]}"; do
		pid=${known_pid[$name]}
		# shellcheck disable=SC2046 # pids
		kill $(descendants "$pid") "$pid" 2>/dev/null
	done
}

# The first port alone: neither program takes several.
known_address()
{
	local address

	address=$(peer_address "$1" "$2")
	echo "${address%-*}"
}

# known_cpu PEER SETUP COMMAND...: runs it, and then says what CPU time the peer and the whole took meanwhile, as JSON.
# The program's own is what the shell waited for, to a millisecond.
known_cpu()
{
	local peer=$1 setup=$2 proxy origin code TIMEFORMAT='%U %S'
	shift 2

	proxy=$(cpu_ns_of "$(peer_pids "$peer" "$setup")")
	origin=$(cpu_ns_of "$(process_and_below "${known_pid[$setup]}")")
	{ time timeout 60 taskset -c "$load_core" "$@" 2>"$state/known.err"; } 2>"$state/known.time"
	code=$?
	cat "$state/known.err" >&2
	jq -nc --argjson proxy $(($(cpu_ns_of "$(peer_pids "$peer" "$setup")") - proxy)) \
		--argjson origin $(($(cpu_ns_of "$(process_and_below "${known_pid[$setup]}")") - origin)) \
		--argjson load "$(awk '{ printf "%.0f", ($1 + $2) * 1e9 }' "$state/known.time")" \
		'{cpu_proxy_ns: $proxy, cpu_origin_ns: $origin, cpu_load_ns: $load}' >"$state/known.cpu"
	return "$code"
}

has_wrk()
{
	true
}

# HTTP requests, each connection's next one after the answer.
kind_wrk()
{
	local peer=$1 setup=$2
	shift 2

	known_cpu "$peer" "$setup" wrk -t 1 "$@" -d "$(known_seconds)" -s tests/bench/wrk.lua "http://$(known_address "$peer" "$setup")/" \
		>"$state/wrk" || return 1
	jq -cs 'add' <(tail -n 1 "$state/wrk") "$state/known.cpu"
}

has_iperf()
{
	true
}

# Streams. iperf3 reports bytes that came, and no errors but its own end.
kind_iperf()
{
	local peer=$1 setup=$2 address
	shift 2

	address=$(known_address "$peer" "$setup")
	known_cpu "$peer" "$setup" iperf3 -c "${address%:*}" -p "${address#*:}" -t "$(known_seconds)" -J "$@" >"$state/iperf" ||
		{ jq -r '.error // "?"' "$state/iperf" >&2; return 1; }
	jq -c --slurpfile cpu "$state/known.cpu" 'if has("error") then {failures: 1, failed: {(.error): 1}} else
		{failures: 0, failed: {}, units: .end.sum_received.bytes, seconds: .end.sum_received.seconds} + $cpu[0] end' "$state/iperf"
}

# Neither knows parts of a second.
known_seconds()
{
	awk -v span="$row_span" 'BEGIN { print (span < 1 ? 1 : int(span + 0.5)) }'
}
