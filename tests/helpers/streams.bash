# shellcheck shell=bash
# For the suites that move live relays: streams (the program that is load and judge) beside proxyd, newcomers,
# generations and processes by role. Loaded after common.

STREAMS=$HELPERS/streams
# Of a test that has to fit into `make test`; `make storm` sets STORM and runs what the promise says in full.
STORM=${STORM:-}
export FRONT="" BACK=""
NEWCOMERS_PIDS=()

# A figure that people want to read, also of tests that pass; bats shows it beside the test.
figure()
{
	echo "# $*" >&3
	[ -z "${FIGURES:-}" ] || echo "$BATS_TEST_DESCRIPTION: $*" >>"$FIGURES"
}

# by_size STORM SHORT: a number, by what is run. Sanitizers get a third of the short form.
by_size()
{
	if [ -n "$STORM" ]; then echo "$1"; else echo $(($2 / SLOW)); fi
}

# shown COMMAND... JQ: the filter says true of the command's JSON.
shown()
{
	ctl --json "${@:1:$#-1}" 2>/dev/null | jq -e "${@: -1}" >/dev/null
}

# ---------------------------------------------------------------- streams

# The promise's mix of relays, as options, of so many in all (at least 60).
mix_of()
{
	local n=$1

	echo "--idle $((n * 58 / 100)) --chat $((n * 20 / 100)) --half-client $((n * 4 / 100))" \
		"--half-server $((n * 4 / 100)) --stuck $((n * 4 / 100)) --bulk 16 --churn $((n * 8 / 100))"
}

# streams_start [OPTION]...: from FRONT to BACK (addresses, with commas), until all relays are established. Its
# lines are streams.out.
streams_start()
{
	local options

	read -ra options <<<"$*"
	[ -p streams.cmd ] || mkfifo streams.cmd
	"$STREAMS" --patience $((20 * SLOW)) "${options[@]}" "$FRONT" "$BACK" <>streams.cmd >streams.out 2>streams.err 3>&- &
	STREAMS_PID=$!
	echo "$STREAMS_PID" >>pids
	wait_until "grep -q ^ready streams.out || ! alive $STREAMS_PID" 20
	alive "$STREAMS_PID" || { echo "streams ended:" && cat streams.out streams.err && return 1; } >&2
}

# streams_say stats|mark: the line that answers.
streams_say()
{
	local lines

	lines=$(wc -l <streams.out)
	# Read and write, so that nobody waits here for one that died.
	echo "$1" 1<>streams.cmd
	wait_until "[ \$(wc -l <streams.out) -gt $lines ]" 10 || return 1
	tail -n 1 streams.out
}

# Everything comes to its end: fails, with what happened, unless every relay and every byte was right.
# STREAMS_RESULT is the line of the result.
streams_finish()
{
	local code=0

	echo finish 1<>streams.cmd
	wait_until "! alive $STREAMS_PID" 60 || return 1
	wait "$STREAMS_PID" || code=$?
	STREAMS_RESULT=$(tail -n 1 streams.out)
	figure "$(streams_summary)"
	[ "$code" -eq 0 ] || { echo "streams exited $code: $STREAMS_RESULT" >&2 && return 1; }
}

streams_summary()
{
	jq -r '"\(.opened) relays, \(.ok) right, broken \(.broken) (older than kept: \(.broken_old); reset \(.reset), "
		+ "early end \(.early_eof), short \(.short), timeout \(.timeout), refused \(.refused)), bytes wrong \(.wrong_bytes), "
		+ "missing \(.missing_bytes), doubled \(.doubled_bytes), of \((.received_up + .received_down) / 1048576 | floor) MiB; "
		+ "round trips p50 \(.rtt.p50) p99 \(.rtt.p99) max \(.rtt.max) us"' <<<"$STREAMS_RESULT"
}

# streams_result JQ: of the result.
streams_result()
{
	jq -r "$1" <<<"$STREAMS_RESULT"
}

# The pauses since the last mark, as a figure; fails when the 99th percentile over the relays is above five times MS: others
# may have had the processors meanwhile. The best of a test's is held against MS itself by assert_best_pause, in the storm;
# in a suite beside others against three times that.
assert_pause()
{
	local line p99

	line=$(streams_say mark)
	figure "$1: $(jq -r '"pause of \(.pause.n) relays p50 \(.pause.p50) p99 \(.pause.p99) max \(.pause.max) us; "
		+ "\(.rtt.n) round trips p50 \(.rtt.p50) p99 \(.rtt.p99) p99.9 \(.rtt.p999) max \(.rtt.max) us"' <<<"$line")"
	p99=$(jq .pause.p99 <<<"$line")
	PAUSES+=("$p99")
	assert_between "$p99" 0 $(($2 * 5000 * SLOW)) "us, 99th percentile of the relays' pauses"
}

assert_best_pause()
{
	local best

	best=$(printf '%s\n' "${PAUSES[@]}" | sort -n | head -n 1)
	assert_between "$best" 0 $(($1 * ${PAUSE_SLACK:-3} * 1000 * SLOW)) "us, the best 99th percentile of the relays' pauses"
}

# ---------------------------------------------------------------- newcomers

# newcomers_start RATE [ADDRESS]: new connections a second (to FRONT), each a request and an answer by the streams' origin,
# until stopped. May be called more than once.
newcomers_start()
{
	local name=newcomers${#NEWCOMERS_PIDS[@]}

	[ ${#NEWCOMERS_PIDS[@]} -gt 0 ] || rm -f newcomers*.out
	spawn "$name" "$HELPERS/client" -t 10 "${2:-${FRONT%%,*}}" rate "$1" 3600
	NEWCOMERS_PIDS+=("$SPAWNED_PID")
}

# Stops them; NEWCOMERS_RESULT is how they ended, all together. Fails unless all were served; of `but KIND...` there
# may be some.
newcomers_stop()
{
	local kind excused=" ${*:2} " failed=0

	kill -TERM "${NEWCOMERS_PIDS[@]}"
	wait_until "none_alive ${NEWCOMERS_PIDS[*]}" 15 || return 1
	NEWCOMERS_PIDS=()
	NEWCOMERS_RESULT=$(jq -cs '{failures: (map(.failures) | add), p99_us: (map(.p99_us) | max), slowest_ms: (map(.slowest_ms) | max)}
		+ ([.[] | {started, ok, refused, reset, timeout, short, wrong, other} | to_entries[]] | group_by(.key)
		| map({key: .[0].key, value: (map(.value) | add)}) | from_entries)' newcomers*.out)
	figure "newcomers: $(jq -r '"\(.started) started, \(.ok) served, refused \(.refused), reset \(.reset), timeout \(.timeout), "
		+ "short \(.short), other \(.wrong + .other); p99 \(.p99_us) us, slowest \(.slowest_ms) ms"' <<<"$NEWCOMERS_RESULT")"
	for kind in refused reset timeout short wrong other; do
		[[ $excused == *" $kind "* ]] || failed=$((failed + $(jq ".$kind" <<<"$NEWCOMERS_RESULT")))
	done
	[ "$failed" -eq 0 ] || { echo "newcomers failed: $NEWCOMERS_RESULT" >&2 && return 1; }
}
