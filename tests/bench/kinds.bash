# shellcheck shell=bash disable=SC2154 # the runner's variables
# The kinds of loads: kind_KIND PEER SETUP OPTION... measures once and prints one object of JSON, which has at least
# `failures`; has_KIND says which peers it is measured on. It fails, saying why, when there is nothing to print.

has_load()
{
	true
}

# What the generator says, with the CPU time of whoever takes part.
kind_load()
{
	local peer=$1 setup=$2 option options=() most
	shift 2

	for option in "$@"; do
		case $option in
		full) ;;
		most=*)
			most=${option#most=}
			options+=(-c $((most < relays_max ? most : relays_max)))
			;;
		*) options+=("$option") ;;
		esac
	done
	timeout 60 taskset -c "$load_core" "$load" -w "$row_warm" -t "$row_span" -P "$(peer_pids "$peer" "$setup")" -O "$origin_pid" \
		"${options[@]}" "$(peer_address "$peer" "$setup")"
}

has_workers()
{
	[ "$1" = proxyd ]
}

# What each worker has accepted so far, one a line.
accepted()
{
	"$BUILD/proxyctl" -s "$1/control.sock" --json show workers | jq -e '.[].accepted'
}

# The kernel spreads connections over the listening sockets of all workers by their addresses (SO_REUSEPORT): uneven is
# how much more than the mean the busiest got.
kind_workers()
{
	local dir before after
	dir=$(peer_dir "$1" "$2")

	before=$(accepted "$dir" | jq -cs .) || return 1
	kind_load "$@" >"$state/workers" || return 1
	after=$(accepted "$dir" | jq -cs .) || return 1
	jq -c --argjson a "$before" --argjson b "$after" '. + {accepted: [$a, $b] | transpose | map(.[1] - .[0])}
		| . + {uneven_pct: ((.accepted | (max / (add / length) - 1) * 100))}' "$state/workers"
}

has_fixed()
{
	true
}

# Half of what the slowest of the proxies could do on the load that half=NAME names, the same for all peers and
# rounds: one and the same rate tells their latencies apart.
kind_fixed()
{
	local peer=$1 setup=$2 option options=() half
	shift 2

	for option in "$@"; do
		case $option in
		half=*) half=${option#half=} ;;
		*) options+=("$option") ;;
		esac
	done
	[ -e "$state/half-$half" ] || jq -rs --arg load "$half" \
		'[.[] | select(.load == $load and .peer != "none" and .failures == 0)] | group_by(.peer) |
		map(map(.units / .seconds) | add / length) | min // empty | . / 2 | floor' "$out/results.jsonl" >"$state/half-$half"
	[ -s "$state/half-$half" ] || { rm -f "$state/half-$half" && echo "$half was not measured before" >&2 && return 1; }
	kind_load "$peer" "$setup" "${options[@]}" -r "$(cat "$state/half-$half")" |
		jq -c --argjson rate "$(cat "$state/half-$half")" '. + {fixed_rate: $rate}'
}

has_idle()
{
	[ "$1" != none ] && [ "$1" != bare ]
}

# The value behind -c among the options.
connections_of()
{
	sed -n 's/.*-c \([0-9]*\).*/\1/p' <<<"$*"
}

# hold OPTION...: idle connections in the background, until `hold_end`. Fails when they do not all come about.
hold()
{
	local line

	mkfifo "$state/hold.in" "$state/hold.out" 2>/dev/null
	taskset -c "$load_core" "$load" "$@" <"$state/hold.in" >"$state/hold.out" &
	hold_pid=$!
	exec 8>"$state/hold.in" 9<"$state/hold.out"
	read -rt 30 line <&9 && [ "$line" = ready ]
}

# What became of them goes to `held`, as JSON: each must still answer. Not for a subshell, whose end of the pipe is
# not the only one.
hold_end()
{
	held=
	exec 8>&-
	read -rt 30 held <&9 || kill "$hold_pid"
	exec 9<&-
	wait "$hold_pid" 2>/dev/null
	[ -n "$held" ]
}

# Proportional memory of all processes, with the relays and without, and what they cost per second of doing nothing.
# A peer that is fresh but for a few requests: what it kept of another load is not the relays'.
kind_idle()
{
	local peer=$1 setup=$2 n before after cpu
	shift 2

	n=$(connections_of "$@")
	[ "$n" -le "$relays_max" ] || { echo "$n relays need a limit of $((n * 2 + 2000)) open files" >&2 && return 1; }
	peer_stop "$peer" "$setup"
	peer_start "$peer" "$setup"
	"$load" -c 64 -w 0 -t 0.05 "$(peer_address "$peer" "$setup")" >/dev/null
	before=$(peer_memory "$peer" "$setup")
	hold "$@" "$(peer_address "$peer" "$setup")" || { hold_end; echo "not all came about: $held" >&2; return 1; }
	sleep 1.5
	cpu=$(cpu_ns_of "$(peer_pids "$peer" "$setup")")
	sleep 1
	cpu=$(($(cpu_ns_of "$(peer_pids "$peer" "$setup")") - cpu))
	after=$(peer_memory "$peer" "$setup")
	hold_end || return 1
	jq -c --argjson n "$n" --argjson memory "$((after - before))" --argjson cpu "$cpu" \
		'. + {relays: $n, memory: ($memory / $n), idle_cpu_ns: $cpu}' <<<"$held"
}

# The only one that moves relays, once it can: until then nothing is measured and nothing printed.
has_reload()
{
	[ "$1" = proxyd ] && "$BUILD/proxyctl" --help | grep -q '^ *reload'
}

# moved DIRECTORY: relays that proxyd says it has moved so far. Who asks takes as little as possible of what is measured.
moved()
{
	[[ $("$BUILD/proxyctl" -s "$1/control.sock" --json status) =~ \"moved\":\ *([0-9]+) ]] && echo "${BASH_REMATCH[1]}"
}

# Idle relays and a few busy ones; a reload that needs new workers; until the last has moved. The rate counts from when
# the first was seen to have moved: the start of the new workers is not in it. The longest that a request of the busy ones
# took is the pause.
kind_reload()
{
	local peer=$1 setup=$2 n start us=0 first=0 now=0 since dir busy
	shift 2

	n=$(connections_of "$@")
	dir=$(peer_dir "$peer" "$setup")
	peer_stop "$peer" "$setup"
	peer_start "$peer" "$setup"
	hold "$@" "$(peer_address "$peer" "$setup")" || { hold_end; echo "not all came about: $held" >&2; return 1; }
	taskset -c "$load_core" "$load" -c 16 -r 1000 -w 1.5 -t 5 "$(peer_address "$peer" "$setup")" >"$state/busy" &
	busy=$!
	sleep 2.5
	since=$(moved "$dir") || return 1
	client_timeout=61s peer_configure "$peer" "$setup"
	"$BUILD/proxyctl" -s "$dir/control.sock" reload >&2 &
	start=${EPOCHREALTIME/[.,]/}
	while [ $((now - since)) -lt "$n" ] && [ "$us" -lt 10000000 ]; do
		now=$(moved "$dir") || return 1
		us=$((${EPOCHREALTIME/[.,]/} - start))
		if [ "$now" -eq "$since" ]; then
			first=$us
		fi
		sleep 0.003
	done
	wait $! || return 1
	wait "$busy"
	hold_end || return 1
	jq -cs --argjson n "$n" --argjson moved "$((now - since))" --argjson us $((us - first)) \
		'{failures: (.[0].failures + .[1].failures + ([$n - $moved, 0] | max)),
		failed: (.[0].failed + .[1].failed + (if $moved < $n then {"not moved": ($n - $moved)} else {} end)),
		units: $moved, seconds: ($us / 1e6), pause_ms: (.[1].max_us / 1000)}' <<<"$held $(cat "$state/busy")"
}
