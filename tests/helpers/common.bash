# shellcheck shell=bash
# What every suite loads: ports, starting and stopping proxyd and other programs, measuring, and the
# judgement at the end of each test.
#
#   load helpers/common          (../helpers/common in interop)
#
# A test works in its own directory. Whatever it starts goes through spawn or start_proxyd, or at least runs
# in that directory: teardown ends all such processes by pid, also orphans, and fails the test when proxyd's
# log holds a warning that was not expected (expect_log) or a sanitizer's finding.

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
BUILD=${BUILD:-$ROOT/build}
PROXYD=${PROXYD:-$BUILD/proxyd}
HELPERS=$BUILD/tests/helpers
export PROXYD_PID=""
# Seconds that things may take are multiplied by this: sanitizers slow everything down.
SLOW=$([ -n "${SAN:-}" ] && echo 3 || echo 1)

setup()
{
	common_setup
}

teardown()
{
	common_teardown
}

# Suites with a setup or teardown of their own call these two.
common_setup()
{
	bats_require_minimum_version 1.5.0
	cd "$BATS_TEST_TMPDIR" || return 1
	: >pids
	: >expected
	PROXYCTL=$BUILD/proxyctl
	SOCKET=$BATS_TEST_TMPDIR/control.sock
	expect_log 'started as root without global.user'
	expect_log 'tcp.backlog 4096 is cut to net.core.somaxconn'
}

common_teardown()
{
	local verdict=0

	judge_log || verdict=1
	end_everything
	judge_sanitizers || verdict=1
	if [ -z "${BATS_TEST_COMPLETED:-}" ] || [ "$verdict" -ne 0 ]; then
		show_files
	fi
	return "$verdict"
}

# ---------------------------------------------------------------- processes

# spawn NAME COMMAND...: in the background, with its output in NAME.out and NAME.err, its pid in SPAWNED_PID.
# Nothing of bats is inherited, so that bats never waits for it.
spawn()
{
	local name=$1
	shift

	"$@" >"$name.out" 2>"$name.err" </dev/null 3>&- &
	SPAWNED_PID=$!
	echo "$SPAWNED_PID" >>pids
}

alive()
{
	local state

	# A zombie has ended.
	read -r _ state < <(grep -s '^State:' "/proc/$1/status")
	[ -n "$state" ] && [ "${state:0:1}" != Z ]
}

# Children of a process, and all below it.
children()
{
	cat "/proc/$1/task/$1/children" 2>/dev/null
}

descendants()
{
	local child

	for child in $(children "$1"); do
		echo "$child"
		descendants "$child"
	done
}

# Children of proxyd's master by role: worker_pids, or role_pids checker.
role_pids()
{
	local child comm

	for child in $(children "$PROXYD_PID"); do
		read -r comm 2>/dev/null <"/proc/$child/comm" || continue
		[[ $comm == "proxyd-$1"* ]] && alive "$child" && echo "$child"
	done
	return 0
}

worker_pids()
{
	role_pids worker
}

# The pid of worker N (from 1 or as proxyd counts them).
worker_pid()
{
	local child comm

	for child in $(children "$PROXYD_PID"); do
		read -r comm 2>/dev/null <"/proc/$child/comm" || continue
		[ "$comm" = "proxyd-worker-$1" ] && echo "$child"
	done
	return 0
}

# What ps shows of a process. A title as long as the program's own name ends with a space.
title_of()
{
	tr -d '\0' <"/proc/$1/cmdline" | sed 's/ *$//'
}

# Processes that this test started in its directory and that are not the test itself.
processes_here()
{
	local entry pid

	while read -r entry; do
		pid=${entry#/proc/} && pid=${pid%/cwd}
		# Subshells of the test are bash too; what they wait for is ended on its own.
		[ "/proc/$pid/exe" -ef "/proc/$$/exe" ] || ! alive "$pid" || echo "$pid"
	done < <(find /proc -maxdepth 2 -path '/proc/[0-9]*/cwd' -lname "$BATS_TEST_TMPDIR" 2>/dev/null)
}

# By pid: what was spawned is asked first (proxyd last and twice, which means at once), then whatever is left
# below it or runs here is killed.
end_everything()
{
	local pids="" all="" pid

	while read -r pid; do
		alive "$pid" || continue
		pids+=" $pid"
		all+=" $pid $(descendants "$pid")"
	done <pids
	for pid in $pids; do
		[ "$pid" = "$PROXYD_PID" ] || kill -TERM "$pid" 2>/dev/null || true
	done
	if [ -n "$PROXYD_PID" ] && alive "$PROXYD_PID"; then
		kill -TERM "$PROXYD_PID" 2>/dev/null || true
		within_ms $((1000 * SLOW)) '! alive "$PROXYD_PID"' || kill -TERM "$PROXYD_PID" 2>/dev/null || true
	fi
	within_ms $((1000 * SLOW)) 'none_alive $pids' || true
	for pid in $all $(processes_here); do
		! alive "$pid" || kill -KILL "$pid" 2>/dev/null || true
	done
	# shellcheck disable=SC2086
	[ -z "$pids" ] || wait $pids 2>/dev/null || true
}

none_alive()
{
	local pid

	for pid in "$@"; do
		alive "$pid" && return 1
	done
	return 0
}

# ---------------------------------------------------------------- waiting

# wait_until 'CONDITION' SECONDS: polls; fails, saying for what it waited, when the time is up. That is three
# times what was asked for: a machine may be busy, and how long a thing took is a question of its own.
wait_until()
{
	within_ms "$(($2 * SLOW * 3000))" "$1" && return
	echo "waited $2 s and longer in vain for: $1" >&2
	return 1
}

# within_ms MS CONDITION
within_ms()
{
	local until=$((${EPOCHREALTIME/[.,]/} + $1 * 1000))

	while ! eval "$2" 2>/dev/null; do
		[ "${EPOCHREALTIME/[.,]/}" -lt "$until" ] || return 1
		sleep 0.02
	done
}

now_ms()
{
	echo $((${EPOCHREALTIME/[.,]/} / 1000))
}

# ---------------------------------------------------------------- ports and sockets

# One free port, or with a number that many, in a row.
free_port()
{
	"$HELPERS/free-port" "${1:-1}" | tr '\n' ' ' | sed 's/ $//'
}

listening()
{
	"$HELPERS/client" -t 1 "127.0.0.1:$1" connect >/dev/null 2>&1
}

# ---------------------------------------------------------------- origins and clients

# origin NAME ADDRESS MODE [ARGUMENT]...: started and listening. Its log is NAME.out, its pid ORIGIN_PID.
origin()
{
	local name=$1
	shift

	spawn "$name" "$HELPERS/origin" "$@"
	ORIGIN_PID=$SPAWNED_PID
	wait_until "grep -qs ^ready $name.out || ! alive $ORIGIN_PID" 5
	grep -q ^ready "$name.out" || { cat "$name.err" >&2 && return 1; }
}

# How many connections an origin has had so far.
origin_count()
{
	grep -c '^accept' "$1.out" || true
}

client()
{
	"$HELPERS/client" "$@"
}

# The names that N requests in turn are answered with, on one line.
ask_names()
{
	local address=$1 n=$2 i names=""

	for ((i = 0; i < n; i++)); do
		names+=" $(client "$address" ask hello)"
	done
	echo "${names# }"
}

# ---------------------------------------------------------------- proxyd

# start_proxyd [OPTION]... [<CONFIGURATION]: with the configuration that stands on stdin (none when stdin is
# a terminal or empty: then the options say it all), until it says that it serves, or for what cannot be seen
# saying so (PROXYD_QUIET=1) until its workers are there. PROXYD_PID is the master, proxyd.log its stderr.
start_proxyd()
{
	spawn_proxyd "$@"
	wait_until "proxyd_serves || ! alive $PROXYD_PID" 10
	alive "$PROXYD_PID" || { echo "proxyd ended:" && cat proxyd.log && return 1; } >&2
}

# The same without waiting: for starts that fail.
spawn_proxyd()
{
	local config=()

	PROXYD_LOG_AT=$(stat -c %s proxyd.log 2>/dev/null || echo 0)
	# By way of another file: stdin may be the one that is there.
	: >stdin.yaml
	[ -t 0 ] || cat >stdin.yaml
	mv stdin.yaml proxyd.yaml
	[ -s proxyd.yaml ] && config=(-c proxyd.yaml)
	# Its own run directory, or the suites that run side by side would be second daemons on one.
	[ "${PROXYD_CONTROL=control.sock}" = none ] || config+=(--control "$PROXYD_CONTROL")
	# shellcheck disable=SC2086 # PROXYD_WRAP is words: prlimit --nofile=64
	${PROXYD_WRAP:-} "$PROXYD" "${config[@]}" "$@" >proxyd.out 2>>proxyd.log </dev/null 3>&- &
	PROXYD_PID=$!
	echo "$PROXYD_PID" >>pids
}

proxyd_serves()
{
	if [ -n "${PROXYD_QUIET:-}" ]; then
		[ -n "$(worker_pids)" ]
	else
		tail -c "+$((PROXYD_LOG_AT + 1))" proxyd.log | grep -q 'serving; frontends: '
	fi
}

# Ends proxyd with TERM (or the signal named) and fails unless it exits 0 within 10 s.
stop_proxyd()
{
	local code=0

	kill -"${1:-TERM}" "$PROXYD_PID"
	wait_until "! alive $PROXYD_PID" 10 || return 1
	wait "$PROXYD_PID" || code=$?
	[ "$code" -eq 0 ] || { echo "proxyd exited $code" >&2 && return 1; }
}

# ctl ARGUMENT...: proxyctl for the daemon of this test.
ctl()
{
	"$PROXYCTL" -s "$SOCKET" "$@"
}

# ---------------------------------------------------------------- logs

# Lines of a warning or worse that match this regular expression are expected from here on.
expect_log()
{
	printf '%s\n' "$1" >>expected
}

# Fails unless a line of proxyd.log matches.
assert_log()
{
	grep -qE -- "$1" proxyd.log || { echo "no line in the log matches: $1" >&2 && return 1; }
}

refute_log()
{
	! grep -E -- "$1" proxyd.log >&2
}

wait_log()
{
	wait_until "grep -qE -- '$1' proxyd.log" "${2:-5}"
}

# Up to now: what it says while it is ended by force is not judged.
judge_log()
{
	if [ -e proxyd.log ] && grep -E '^[^ ]+ (warn|error|fatal) |"level":"(warn|error|fatal)"' proxyd.log |
		grep -vEf expected >&2; then
		echo "proxyd.log: not expected" >&2
		return 1
	fi
}

# Also what was found at the very end, as leaks are. Nothing of this is ever expected: no test kills so.
judge_sanitizers()
{
	local file verdict=0

	for file in *.log *.err; do
		[ -e "$file" ] || continue
		if grep -E 'Sanitizer|runtime error:|assertion failed|was killed by signal (4|6|7|8|11) ' "$file" >&2; then
			echo "$file: a sanitizer or an assertion spoke, or a process crashed" >&2
			verdict=1
		fi
	done
	return "$verdict"
}

# What a failed test leaves to look at, the last lines of each.
show_files()
{
	local file

	for file in *.log *.err; do
		[ -s "$file" ] || continue
		echo "--- $file" >&2
		tail -n 30 "$file" >&2
	done
}

# ---------------------------------------------------------------- measuring

# CPU milliseconds that proxyd's processes have used so far.
cpu_ms()
{
	local pid ns total=0

	for pid in "$1" $(descendants "$1"); do
		read -r ns _ 2>/dev/null <"/proc/$pid/schedstat" || continue
		total=$((total + ns))
	done
	echo $((total / 1000000))
}

# Resident memory of proxyd's processes without what they share: their own pages.
rss_kb()
{
	local pid total=0 own

	for pid in "$1" $(descendants "$1"); do
		own=$(awk '/^RssAnon|^RssShmem/ { n += $2 } END { print n + 0 }' "/proc/$pid/status" 2>/dev/null)
		total=$((total + ${own:-0}))
	done
	echo "$total"
}

# per_second COUNT SINCE: so many since then (now_ms) are how many a second; a sleep may be longer than it should.
per_second()
{
	echo $(($1 * 1000 / ($(now_ms) - $2)))
}

# assert_between VALUE LEAST MOST WHAT
assert_between()
{
	if [ "$1" -lt "$2" ] || [ "$1" -gt "$3" ]; then
		echo "$4: $1 is not between $2 and $3" >&2
		return 1
	fi
}

assert_eq()
{
	[ "$1" = "$2" ] || { echo "got '$1', not '$2'${3:+: $3}" >&2 && return 1; }
}
