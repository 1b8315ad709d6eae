#!/usr/bin/env bats
# proxyctl itself: its words and options, tables on a terminal, watching, what it says when nobody answers, completion.

# shellcheck disable=SC2154 # run sets stderr
load helpers/common
load helpers/screen

setup()
{
	common_setup
	screen_setup
}

teardown()
{
	screen_teardown
	common_teardown
}

# Three servers, of which one is down and one is drained.
serving()
{
	local front back dead
	read -r front back dead <<<"$(free_port 3)"
	origin origin "127.0.0.1:$back" answer hello
	expect_log 'back/dead'
	start_proxyd <<-END
	global: {workers: 1}
	frontends:
	  front: {bind: "127.0.0.1:$front", backend: back}
	backends:
	  back: {check: {type: tcp, inter: 200ms}, servers: {alive: "127.0.0.1:$back", dead: "127.0.0.1:$dead", out: {address: "127.0.0.1:$back", state: drain}}}
	END
	wait_until 'ctl --json show servers | jq -e "map(.state) == [\"up\", \"down\", \"drain\"]"' 5
}

# on_terminal COLUMNS COMMAND...: what it writes on a terminal of that width.
on_terminal()
{
	local columns=$1
	shift

	TERM=${TERM_IS:-xterm} script -qec "stty cols $columns rows 24 && ${*@Q}" /dev/null </dev/null | tr -d '\r'
}

longest()
{
	sed 's/\x1b\[[0-9;]*m//g' | awk '{ if (length > n) n = length } END { print n + 0 }'
}

# ---------------------------------------------------------------- what it says when it cannot

@test "proxyctl: 0 done, 1 refused or failed, 2 bad usage, 3 nobody answers" {
	run -3 --separate-stderr ctl status
	[[ $stderr == "proxyctl: nobody answers on $SOCKET: No such file or directory; is proxyd running?" ]]
	run -2 "$PROXYCTL"
	run -2 "$PROXYCTL" --nonsense status
	run -2 --separate-stderr "$PROXYCTL" -s "$(printf '%0200d' 0)" status
	[[ $stderr == *"1 to 107 bytes"*"this one has 200"* ]]
	run -2 --separate-stderr ctl --watch 0 status
	[[ $stderr == *"--watch 0: seconds are 0.1 to 86400"* ]]
	run -2 ctl --watch nan status
	run -2 ctl --color purple status
	run -2 ctl --json=yes status
	run -2 ctl status --timeout
	serving
	run -0 ctl status
	run -2 --separate-stderr ctl show nothing
	[[ $stderr == "proxyctl: usage: show frontends | "* ]]
	[ -z "$output" ]
	run -2 ctl stop later
	run -2 ctl --json nothing
	run -2 ctl 'show servers'
	run -2 --separate-stderr ctl --watch 1 stop
	[[ $stderr == *"\`stop\` is done once"* ]]
	alive "$PROXYD_PID"
	run -1 sh -c '"$0" -s "$1" show servers >/dev/full' "$PROXYCTL" "$SOCKET"
}

@test "proxyctl: without a path it says where it looked, in which order, and why not there" {
	# Nothing of what may run here is found there.
	run -3 --separate-stderr env XDG_RUNTIME_DIR=/nowhere unshare -m sh -c \
		'mount -t tmpfs tmpfs /run && exec "$0" status' "$PROXYCTL"
	[[ $stderr == "proxyctl: nobody answers; is proxyd running? Tried, in this order:
  /run/proxyd/control.sock: No such file or directory
  /nowhere/proxyd/control.sock: No such file or directory
  /tmp/proxyd-"*"/control.sock: "*"
If it has another socket (global.control.path), name it: -s SOCKET" ]]
}

@test "proxyctl: a socket of another kind, no socket, and one that a daemon left are told apart" {
	expect_log 'the master is gone'
	serving
	run -3 --separate-stderr "$PROXYCTL" -s takeover.sock status
	[[ $stderr == *"a socket of another kind"* ]]
	run -3 --separate-stderr "$PROXYCTL" -s proxyd.yaml status
	[[ $stderr == *"no socket at all"* ]]
	kill -KILL "$PROXYD_PID"
	wait_until '! alive "$PROXYD_PID"' 2
	run -3 --separate-stderr ctl status
	[[ $stderr == *"Connection refused; is proxyd running? (it was once"* ]]
}

@test "proxyctl: a permission that is lacking is named, and what would help" {
	[ "$(id -u)" = 0 ] || skip "only root can become others"
	mkdir -m 755 open
	chmod 755 "$BATS_TEST_TMPDIR" "$(dirname "$BATS_TEST_TMPDIR")" "$(dirname "$(dirname "$BATS_TEST_TMPDIR")")"
	cp "$PROXYCTL" open/
	as() { setpriv --reuid="$1" --regid="$1" --groups="$2" "$PWD/open/proxyctl" -s "$PWD/open/control.sock" "${@:3}"; }

	PROXYD_CONTROL=$PWD/open/control.sock start_proxyd <<-END
	global: {workers: 1, control: {mode: "0660", group: daemon}}
	frontends: {front: {bind: "127.0.0.1:$(free_port)", service: echo}}
	END
	run -1 --separate-stderr as 65534 65534 status
	[[ $stderr == *"is for user root and group daemon (mode 0660); you are nobody and not in group daemon (\`usermod -aG daemon nobody\`"* ]] ||
		{ echo "$stderr" && false; }
	as 65534 "$(id -g daemon)" status
	chmod 600 open/control.sock
	run -1 --separate-stderr as 65534 65534 status
	[[ $stderr == *"is for user root (mode 0600); you are nobody: ask as that user or as root; see global.control" ]]
	chmod 700 open
	run -1 --separate-stderr as 65534 65534 status
	[ -n "$stderr" ]
}

@test "proxyctl: a daemon that does not answer is given up after the time that was said" {
	local start
	serving
	kill -STOP "$PROXYD_PID"
	start=$(now_ms)
	run -3 --separate-stderr ctl --timeout 1.5 status
	kill -CONT "$PROXYD_PID"
	assert_between $(($(now_ms) - start)) 1400 9000 ms
	[[ $stderr == *"silent for 1.5 s"* ]]
}

@test "proxyctl: who reads no further is no error to speak of" {
	serving
	for trap in '' 'trap "" PIPE;'; do
		sh -c "$trap"'"$0" -s "$1" show servers; echo "$?" >code' "$PROXYCTL" "$SOCKET" 2>said | true
		wait_until '[ -s code ]' 5
		[ ! -s said ] || { cat said && false; }
		rm code
	done
}

# ---------------------------------------------------------------- tables

@test "proxyctl: a table fits the terminal; elsewhere it is printed whole" {
	local width
	serving
	for width in 200 120 80 60 40; do
		on_terminal "$width" "$PROXYCTL" -s "$SOCKET" show servers >table
		[ "$(longest <table)" -le "$width" ]
		assert_eq "$(wc -l <table)" 4
		grep -q alive table && grep -q dead table
	done
	on_terminal 80 "$PROXYCTL" -s "$SOCKET" show servers >table
	grep -q 'STATE' table && grep -q 'ACTIVE' table && run ! grep CHECKED table
	on_terminal 30 "$PROXYCTL" -s "$SOCKET" status >table
	[ "$(longest <table)" -le 30 ]
	on_terminal 200 env COLUMNS=50 "$PROXYCTL" -s "$SOCKET" show servers >table
	[ "$(longest <table)" -le 50 ]
	COLUMNS=50 ctl show servers >whole
	grep -q CHECKED whole && grep -q 'Connection refused' whole
	run ! grep $'\033' whole
}

@test "proxyctl: colours are for terminals, unless somebody says otherwise" {
	local red=$'\033[31mdown\033[0m' green=$'\033[32mup\033[0m' yellow=$'\033[33mdrain\033[0m' bold=$'\033[1mBACKEND'
	serving
	run on_terminal 200 "$PROXYCTL" -s "$SOCKET" show servers
	[[ $output == *"$bold"*"$green"*"$red"*"$yellow"* ]]
	NO_COLOR=1 run on_terminal 200 "$PROXYCTL" -s "$SOCKET" show servers
	[[ $output != *$'\033'* ]]
	TERM_IS=dumb run on_terminal 200 "$PROXYCTL" -s "$SOCKET" show servers
	[[ $output != *$'\033'* ]]
	run on_terminal 200 "$PROXYCTL" -s "$SOCKET" --color=never show servers
	[[ $output != *$'\033'* ]]
	run ctl show servers
	[[ $output != *$'\033'* ]]
	run ctl show servers --color always
	[[ $output == *"$bold"*"$green"*"$red"*"$yellow"* ]]
}

@test "proxyctl: options may stand anywhere, and --no-header is without headings" {
	serving
	assert_eq "$(ctl show servers --no-header | awk '{ print $2 }' | xargs)" "alive dead out"
	assert_eq "$("$PROXYCTL" show --no-header -s"$SOCKET" servers | wc -l)" 3
	assert_eq "$("$PROXYCTL" show servers --json --socket="$SOCKET" | jq length)" 3
	assert_eq "$(ctl --no-header status | head -n 2 | tail -n 1)" serving
	ctl -- status
}

@test "proxyctl: nothing in an answer moves the cursor of a terminal" {
	printf 'fine\033[31mred\033[0m\033]0;title\007\033[2J\302\233A\303\244\033[6n\n' >answer
	spawn hostile socat "UNIX-LISTEN:$SOCKET,fork" 'SYSTEM:read -r line; cat answer'
	wait_until '[ -S "$SOCKET" ]' 5
	run on_terminal 80 "$PROXYCTL" -s "$SOCKET" status
	assert_eq "$output" $'fine\033[31mred\033[0m?]0;title??J?A\303\244?n'
	run on_terminal 80 "$PROXYCTL" -s "$SOCKET" --color=never status
	[[ $output != *$'\033'* ]]
}

# ---------------------------------------------------------------- watch

@test "proxyctl: --watch repeats on a screen of its own, and Ctrl-C gives the terminal back" {
	local end
	serving
	for end in C-c q; do
		open_screen 80 24 "echo before; $PROXYCTL -s $SOCKET --watch 0.2 show servers; echo \"over \$?\"; cat"
		wait_until 'look | grep -q "^Every 0.2s: show servers .*20[0-9][0-9]-[0-9-]* [0-9:]*$"' 5
		look | grep -q 'alive .* up ' && run ! grep before <(look)
		ctl set server back/alive state maint
		wait_until 'look | grep -q "alive .* maint "' 5
		ctl set server back/alive state ready
		wait_until 'look | grep -q "alive .* up "' 5
		keys "$end"
		wait_until 'look | grep -q "^over 0$"' 5
		look | grep -q before && run ! grep alive <(look)
	done
	# What has no room is counted.
	open_screen 80 5 "$PROXYCTL -s $SOCKET --watch 0.2 status"
	wait_until 'look | grep -q "and [0-9]* lines more"' 5
}

@test "proxyctl: --watch waits for a daemon that is away, but not for the first answer" {
	run -3 ctl --watch 0.2 status
	serving
	open_screen 80 24 "$PROXYCTL -s $SOCKET --watch 0.2 show frontends"
	wait_until 'look | grep -q "^front "' 5
	stop_proxyd
	wait_until 'look | grep -q "is proxyd running"' 5
	serving
	wait_until 'look | grep -q "^front "' 5
}

@test "proxyctl: --watch --json is one document a line" {
	serving
	spawn watch "$PROXYCTL" -s "$SOCKET" --json --watch 0.1 show servers
	wait_until '[ "$(wc -l <watch.out)" -ge 3 ]' 5
	kill -INT "$SPAWNED_PID"
	wait "$SPAWNED_PID"
	assert_eq "$(head -n 3 watch.out | jq -c 'map(.server)' | uniq)" '["alive","dead","out"]'
	[ "$(jq -c length watch.out | wc -l)" = "$(wc -l <watch.out)" ]
	timeout -s INT 1 "$PROXYCTL" -s "$SOCKET" --watch 0.2 show frontends >plain || true
	[ "$(grep -c '^Every 0.2s' plain)" -ge 2 ]
	[ "$(grep -c '^front ' plain)" -ge 2 ]
}

# ---------------------------------------------------------------- help and completion

@test "proxyctl: help needs no daemon, as text, of one command, as JSON" {
	run -0 "$PROXYCTL" --help
	[[ $output == *"show sessions"*"stop [--now]"*"--watch SECONDS"* ]]
	assert_eq "$("$PROXYCTL" help)" "$output"
	run -0 "$PROXYCTL" help set server
	[[ $output == *"set server [BACKEND/SERVER WHAT VALUE]"* ]]
	assert_eq "$("$PROXYCTL" help show | grep -c '^  show ')" "$("$PROXYCTL" --help | grep -c '^  show ')"
	run -2 --separate-stderr "$PROXYCTL" help nonsense
	[[ $stderr == *"no command 'nonsense'"* ]]
	"$PROXYCTL" help --json | jq -e 'map(select(.command == "stop")) == [{command: "stop", arguments: "--now",
		role: "operator", help: "stop accepting, let relays finish, exit; --now: at once", own: false}]'
	run -0 "$PROXYCTL" -V
	[[ $output == "proxyctl "[0-9]* ]]
	# What the daemon knows is what proxyctl knows.
	serving
	assert_eq "$("$PROXYCTL" help --json | jq -c 'map(select(.own | not) | .command)')" \
		"$(echo 'help --json' | socat - "UNIX-CONNECT:$SOCKET" | jq -c 'map(.command)')"
}

@test "proxyctl: completion offers commands, options, servers and states" {
	complete() { "$PROXYCTL" --complete "$@" | xargs; }
	[[ $(complete '') == *"status show"*"top" ]]
	assert_eq "$(complete sho)" show
	[[ $(complete show '') == "frontends backends servers"* ]]
	[[ $(complete help set '') == *server* ]]
	assert_eq "$(complete --color '')" "auto always never"
	assert_eq "$(complete --color=n)" never
	assert_eq "$(complete -s '')" :files
	assert_eq "$(complete diff '')" :files
	assert_eq "$(complete stop --n)" "--now --no-header"
	assert_eq "$(complete set server b/s state '')" "ready drain maint"
	assert_eq "$(complete set server b/s '')" "state weight maxconn"
	# Nobody answers: nothing is said.
	run -0 --separate-stderr "$PROXYCTL" --complete -s "$SOCKET" set server ''
	[ -z "$output$stderr" ]
	serving
	assert_eq "$(complete -s "$SOCKET" set server '')" "back/alive back/dead back/out"
	assert_eq "$(complete --json -s "$SOCKET" set server back/a)" back/alive
}

@test "proxyctl: bash completes with it" {
	serving
	cat >rc <<-END
	PS1='ready> '
	PATH=$(dirname "$PROXYCTL"):\$PATH
	. $ROOT/packaging/completion/proxyctl.bash
	END
	open_screen 80 24 "bash --noprofile --rcfile $PWD/rc -i"
	wait_until 'look | grep -q "^ready>"' 5
	type_text "proxyctl -s $SOCKET se"
	keys Tab
	type_text "ser"
	keys Tab
	type_text "back/al"
	keys Tab
	type_text "sta"
	keys Tab
	type_text "ma"
	keys Tab
	type_text "--col"
	keys Tab
	type_text "al"
	keys Tab Enter
	wait_until 'ctl --json show servers | jq -e ".[0].state == \"maint\""' 5
	type_text "proxyctl -s $SOCKET --color=ne"
	keys Tab
	type_text "show servers"
	keys Enter
	wait_until 'look | grep -q "alive .* maint "' 5
	# A file where one is meant.
	type_text "clear; proxyctl diff proxyd.ya"
	keys Tab
	wait_until 'look | grep -q "proxyctl diff proxyd.yaml"' 5
}
